// Filters that make a text or a number of one value.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <unordered_map>

#include "jinja_functions.hpp"
#include "python_text.hpp"
#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text::jinja {
namespace {

using python::Case;

Value filter_case(const Value& value, Case wanted, Budget& budget) {
    const std::string text = to_text(value, budget);
    budget.walk(text.size());
    return make_text(python::change_case(text, wanted), budget, value.is_markup());
}
Value upper(const Value& value, const Arguments&, Budget& budget) { return filter_case(value, Case::upper, budget); }
Value lower(const Value& value, const Arguments&, Budget& budget) { return filter_case(value, Case::lower, budget); }
Value capitalize(const Value& value, const Arguments&, Budget& budget) {
    return filter_case(value, Case::capital, budget);
}

/// Words begin behind white space and behind - ( { [ <.
Value title(const Value& value, const Arguments&, Budget& budget) {
    const std::string text = to_text(value, budget);
    budget.walk(text.size());
    std::string result;
    std::size_t begin = 0;
    const auto flush = [&](std::size_t end) {
        const std::string_view word = std::string_view(text).substr(begin, end - begin);
        if (word.empty()) return;
        const std::size_t first = utf8_length(word[0]);
        result += python::change_case(word.substr(0, first), Case::upper);
        result += python::change_case(word.substr(first), Case::lower);
    };
    for (std::size_t at = 0; at < text.size();) {
        const char32_t code = code_point_at(text, at);
        const std::size_t next = at + utf8_length(text[at]);
        if (python::is_space(code) ||
            (code < 0x80 && std::string_view("-({[<").find(static_cast<char>(code)) != std::string_view::npos)) {
            flush(at);
            result.append(text, at, next - at);
            begin = next;
        }
        at = next;
    }
    flush(text.size());
    return make_text(std::move(result), budget);
}

Value trim(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "trim", {"chars"});
    Arguments chars;
    if (bound.has(0)) chars.positional.push_back(bound[0]);
    const Value text = value.is_text() ? value : Value(to_text(value, budget));
    const Value result = call_method(text, "strip", chars, budget);
    return value.is_markup() ? Value(result.text(), true) : result;
}

Value replace(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "replace", {"old", "new", "count"}, 2);
    const std::string text = to_text(value, budget);
    const std::string from = to_text(bound[0], budget);
    const std::string to = to_text(bound[1], budget);
    const std::int64_t most = bound[2].is_none() ? -1 : bound.integer(2, -1);
    return python::replace(text, from, to, most, [&](std::size_t size) { budget.make(size); });
}

Value string(const Value& value, const Arguments&, Budget& budget) {
    return value.is_text() ? value : Value(to_text(value, budget));
}
Value safe(const Value& value, const Arguments&, Budget& budget) { return {to_text(value, budget), true}; }
Value escaped(const Value& value, const Arguments&, Budget& budget) { return escape(value, budget); }
Value force_escape(const Value& value, const Arguments&, Budget& budget) {
    return escape(Value(to_text(value, budget)), budget);
}

Value indent(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "indent", {"width", "first", "blank"});
    std::string space;
    if (bound[0].is_text()) {
        space = bound[0].text();
    } else {
        const std::int64_t width = std::max<std::int64_t>(bound.integer(0, 4), 0);
        budget.make(static_cast<std::size_t>(std::min<std::int64_t>(width, std::int64_t{1} << 40)));
        space.assign(static_cast<std::size_t>(width), ' ');
    }
    if (!value.is_text()) refuse(cat("\"indent\" of ", type_name(value), ", not str"));
    budget.walk(value.text().size());
    const std::string text = value.text() + '\n';
    const auto lines = python::split_lines(text, false);
    std::string result = bound.truth(1, false) ? space : "";
    for (std::size_t i = 0; i < lines.size(); ++i) {
        budget.make(lines[i].size() + space.size() + 1);
        if (i > 0) result += '\n';
        if (i > 0 && (bound.truth(2, false) || !lines[i].empty())) result += space;
        result += lines[i];
    }
    return {std::move(result), value.is_markup()};
}

Value center(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "center", {"width"});
    return call_method(Value(to_text(value, budget)), "center", {{Value(bound.integer(0, 80))}, {}}, budget);
}

Value truncate(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "truncate", {"length", "killwords", "end", "leeway"});
    if (!value.is_text()) refuse(cat("\"truncate\" of ", type_name(value), ", not str"));
    const std::string& text = value.text();
    const std::string end = bound.has(2) ? bound.text(2) : "...";
    const std::int64_t most = bound.integer(0, 255);
    if (most < python::length(end)) refuse("\"truncate\" to less than its end mark");
    budget.make(text.size());
    if (python::length(text) <= most + (bound[3].is_none() ? 5 : bound.integer(3, 5))) return value;
    std::string cut = text.substr(0, python::offset_of(text, most - python::length(end)));
    if (!bound.truth(1, false) && cut.find(' ') != std::string::npos) cut.resize(cut.rfind(' '));
    return cut + end;
}

Value word_count(const Value& value, const Arguments&, Budget& budget) {
    const std::string text = to_text(value, budget);
    budget.walk(text.size());
    std::int64_t words = 0;
    bool inside = false;
    for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
        const bool letter = is_word_character(code_point_at(text, at));
        if (letter && !inside) ++words;
        inside = letter;
    }
    return words;
}

Value url_encode(const Value& value, const Arguments&, Budget& budget) {
    if (!value.is_text()) fail(cat("the filter \"urlencode\" of ", type_name(value)));
    budget.make(3 * value.text().size());
    std::string result;
    for (const char c : value.text()) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain =
            byte < 0x80 && (std::isalnum(byte) != 0 || std::string_view("_.-~/").find(c) != std::string_view::npos);
        if (plain) {
            result += c;
        } else {
            result += '%';
            result += "0123456789ABCDEF"[byte >> 4];
            result += "0123456789ABCDEF"[byte & 15];
        }
    }
    return result;
}

Value format(const Value& value, const Arguments& arguments, Budget& budget) {
    if (!arguments.positional.empty() && !arguments.named.empty()) refuse("\"format\" with both kinds of arguments");
    const std::string text = to_text(value, budget);
    if (arguments.named.empty())
        return format_percent(text, make_list(arguments.positional, budget, List::Kind::tuple), budget);
    Entries entries;
    for (const auto& [name, given] : arguments.named) entries.emplace_back(Value(name), given);
    return format_percent(text, make_dict(std::move(entries), budget), budget);
}

/// A number as Python's float() and int() read it from a text.
std::optional<double> read_real(std::string_view text) {
    text = python::strip(text, true, true);
    if (text.starts_with('+')) text.remove_prefix(1);
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc::invalid_argument || end != text.data() + text.size() || text.starts_with("+"))
        return std::nullopt;
    return error == std::errc::result_out_of_range ? HUGE_VAL : number;
}
std::optional<std::int64_t> read_whole(std::string_view text, int base) {
    text = python::strip(text, true, true);
    if (text.starts_with('+')) text.remove_prefix(1);
    if (base == 16 && (text.starts_with("0x") || text.starts_with("0X"))) text.remove_prefix(2);
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (error == std::errc::result_out_of_range) fail("a whole number of more than 63 bits");
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

Value to_int(const Value& value, const Arguments& arguments, Budget&) {
    const Bound bound(arguments, "int", {"default", "base"});
    Value otherwise = bound.has(0) ? bound[0] : Value(std::int64_t{0});
    if (value.is_undefined()) refuse("the filter \"int\" of an undefined value");
    if (value.is_int()) return value.as_int();
    std::optional<double> real;
    if (value.is_real()) real = value.as_real();
    if (value.is_text()) {
        const std::int64_t base = bound.integer(1, 10);
        if (base < 2 || base > 36) fail("the filter \"int\" with this base");
        if (const auto number = read_whole(value.text(), static_cast<int>(base))) return *number;
        real = read_real(value.text());
    }
    if (!real || !std::isfinite(*real)) return otherwise;
    if (std::abs(*real) > 9.2e18) fail("a whole number of more than 63 bits");
    return static_cast<std::int64_t>(*real);
}

Value to_float(const Value& value, const Arguments& arguments, Budget&) {
    const Bound bound(arguments, "float", {"default"});
    if (value.is_undefined()) refuse("the filter \"float\" of an undefined value");
    if (value.is_number()) return value.as_real();
    if (const auto number = value.is_text() ? read_real(value.text()) : std::nullopt) return *number;
    return bound.has(0) ? bound[0] : Value(0.0);
}

Value absolute(const Value& value, const Arguments&, Budget&) {
    if (value.is_int()) return value.as_int() < 0 ? negative(value, true) : Value(value.as_int());
    if (value.is_real()) return std::abs(value.as_real());
    refuse(cat("the filter \"abs\" of ", type_name(value)));
}

Value rounded(const Value& value, const Arguments& arguments, Budget&) {
    const Bound bound(arguments, "round", {"precision", "method"});
    const std::int64_t digits = bound.integer(0, 0);
    const std::string method = bound.has(1) ? bound.text(1) : "common";
    if (!value.is_number()) refuse(cat("the filter \"round\" of ", type_name(value)));
    if (digits < 0 || digits > 300) fail("the filter \"round\" with this precision");
    if (method == "ceil" || method == "floor") {
        const double scale = std::pow(10.0, static_cast<double>(digits));
        const double scaled = value.as_real() * scale;
        return (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale;
    }
    if (method != "common") refuse(cat("the method \"", method, "\" of \"round\""));
    if (value.is_int()) return value.as_int();
    std::array<char, 1024> digits_of{};
    std::snprintf(digits_of.data(), digits_of.size(), "%.*f", static_cast<int>(digits), value.as_real());
    return std::strtod(digits_of.data(), nullptr);
}

Value default_value(const Value& value, const Arguments& arguments, Budget&) {
    const Bound bound(arguments, "default", {"default_value", "boolean"});
    const bool given = !value.is_undefined() && (!bound.truth(1, false) || is_true(value));
    return given ? value : bound.has(0) ? bound[0] : Value("");
}

const std::unordered_map<std::string_view, Filter> kFilters{{"abs", absolute},
                                                            {"capitalize", capitalize},
                                                            {"center", center},
                                                            {"d", default_value},
                                                            {"default", default_value},
                                                            {"e", escaped},
                                                            {"escape", escaped},
                                                            {"float", to_float},
                                                            {"forceescape", force_escape},
                                                            {"format", format},
                                                            {"indent", indent},
                                                            {"int", to_int},
                                                            {"lower", lower},
                                                            {"replace", replace},
                                                            {"round", rounded},
                                                            {"safe", safe},
                                                            {"string", string},
                                                            {"title", title},
                                                            {"tojson", to_json},
                                                            {"trim", trim},
                                                            {"truncate", truncate},
                                                            {"upper", upper},
                                                            {"urlencode", url_encode},
                                                            {"wordcount", word_count}};

}  // namespace

Value escape(const Value& value, Budget& budget) {
    if (value.is_markup()) return value;
    std::string result;
    const std::string plain = to_text(value, budget);
    budget.walk(plain.size());
    for (const char c : plain) {
        if (c == '&')
            result += "&amp;";
        else if (c == '<')
            result += "&lt;";
        else if (c == '>')
            result += "&gt;";
        else if (c == '\'')
            result += "&#39;";
        else if (c == '"')
            result += "&#34;";
        else
            result += c;
    }
    return make_text(std::move(result), budget, true);
}

Filter find_text_filter(std::string_view name) {
    const auto found = kFilters.find(name);
    return found == kFilters.end() ? nullptr : found->second;
}

}  // namespace tdrm::text::jinja
