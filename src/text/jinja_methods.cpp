// Methods of texts, dicts and lists.
#include <algorithm>

#include "jinja_functions.hpp"
#include "python_text.hpp"
#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text::jinja {
namespace {

using python::Case;

Value list_of(const std::vector<std::string_view>& parts, Budget& budget) {
    Values items;
    items.reserve(parts.size());
    for (const std::string_view part : parts) items.push_back(make_text(std::string(part), budget));
    return make_list(std::move(items), budget);
}

Value strip_method(const std::string& text, const std::string& name, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, name, {"chars"});
    const bool left = name != "rstrip";
    const bool right = name != "lstrip";
    if (bound[0].is_none() || !bound.has(0)) return make_text(std::string(python::strip(text, left, right)), budget);
    const std::string& set = bound.text(0);
    const auto drop = [&](char32_t code) {
        std::string character;
        append_utf8(character, code);
        budget.scan(set.size());
        return set.find(character) != std::string::npos;
    };
    return make_text(std::string(python::strip(text, left, right, drop)), budget);
}

Value split_method(const std::string& text, const std::string& name, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, name, {"sep", "maxsplit"});
    const std::int64_t most = bound.integer(1, -1);
    const bool from_right = name == "rsplit";
    if (bound[0].is_none() || !bound.has(0)) return list_of(python::split_white(text, most, from_right), budget);
    if (bound.text(0).empty()) refuse("split by an empty text");
    return list_of(python::split_at(text, bound.text(0), most, from_right), budget);
}

Value partition(const std::string& text, const std::string& separator, bool from_right, Budget& budget) {
    if (separator.empty()) refuse("partition by an empty text");
    const std::size_t hit = from_right ? text.rfind(separator) : text.find(separator);
    Values parts;
    if (hit == std::string::npos) {
        parts = from_right ? Values{"", "", make_text(text, budget)} : Values{make_text(text, budget), "", ""};
    } else {
        parts = {make_text(text.substr(0, hit), budget), make_text(separator, budget),
                 make_text(text.substr(hit + separator.size()), budget)};
    }
    return make_list(std::move(parts), budget, List::Kind::tuple);
}

/// Part of `text` from the second to the third argument, which count characters.
struct Window {
    std::string_view text;
    std::int64_t begin;
    bool inside;  ///< whether the window begins within the text
};

Window window(const std::string& text, const Bound& bound) {
    const std::int64_t size = python::length(text);
    const auto place = [&](std::size_t i, std::int64_t otherwise) {
        if (!bound.has(i) || bound[i].is_none()) return otherwise;
        const std::int64_t at = bound.integer(i, 0);
        return at < 0 ? std::max<std::int64_t>(at + size, 0) : at;
    };
    const std::int64_t begin = place(1, 0);
    const std::int64_t end = std::min(place(2, size), size);
    if (begin > size || begin > end) return {"", begin, false};
    const std::size_t from = python::offset_of(text, begin);
    const std::string_view rest = std::string_view(text).substr(from);
    return {rest.substr(0, python::offset_of(rest, end - begin)), begin, true};
}

Value starts_or_ends(const std::string& text, const std::string& name, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, name, {name == "startswith" ? "prefix" : "suffix", "start", "end"}, 1);
    const bool several = bound[0].list() != nullptr && bound[0].list()->kind == List::Kind::tuple;
    const Values choices = several ? iterate(bound[0], budget) : Values{bound[0]};
    const Window in = window(text, bound);
    for (const Value& choice : choices) {
        if (!choice.is_text()) refuse(cat("\"", name, "\" of ", type_name(choice), ", not str"));
        if (in.inside && (name == "startswith" ? in.text.starts_with(choice.text()) : in.text.ends_with(choice.text())))
            return true;
    }
    return false;
}

/// find, rfind, index, rindex and count.
Value search(const std::string& text, const std::string& name, const Arguments& arguments) {
    const Bound bound(arguments, name, {"sub", "start", "end"}, 1);
    const std::string& part = bound.text(0);
    const Window in = window(text, bound);
    if (name == "count") {
        if (!in.inside) return std::int64_t{0};
        if (part.empty()) return python::length(in.text) + 1;
        std::int64_t hits = 0;
        for (std::size_t at = 0; (at = in.text.find(part, at)) != std::string_view::npos; at += part.size()) ++hits;
        return hits;
    }
    const std::size_t hit = !in.inside            ? std::string_view::npos
                            : name.front() == 'r' ? in.text.rfind(part)
                                                  : in.text.find(part);
    if (hit != std::string_view::npos) return in.begin + python::length(in.text.substr(0, hit));
    if (name.ends_with("index")) refuse(cat("\"", name, "\" of a text that isn't there"));
    return std::int64_t{-1};
}

Value justify(const std::string& text, const std::string& name, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, name, {"width", "fillchar"}, 1);
    const std::string fill = bound.has(1) ? bound.text(1) : name == "zfill" ? "0" : " ";
    if (python::length(fill) != 1) refuse(cat("\"", name, "\" with a filling that isn't one character"));
    const std::int64_t length = python::length(text);
    const std::int64_t missing = std::max<std::int64_t>(bound.integer(0, 0) - length, 0);
    if (missing > std::int64_t{1} << 32) budget.make(SIZE_MAX);
    budget.make(static_cast<std::size_t>(missing) * fill.size() + text.size());
    const bool extra = missing % 2 != 0 && (length + missing) % 2 != 0;
    const std::int64_t left = name == "ljust" ? 0 : name == "center" ? missing / 2 + (extra ? 1 : 0) : missing;
    std::string result;
    const bool sign = name == "zfill" && (text.starts_with('-') || text.starts_with('+'));
    if (sign) result = text.substr(0, 1);
    for (std::int64_t i = 0; i < left; ++i) result += fill;
    result += sign ? text.substr(1) : text;
    for (std::int64_t i = left; i < missing; ++i) result += fill;
    return result;
}

Value expand_tabs(const std::string& text, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "expandtabs", {"tabsize"});
    const std::int64_t width = bound.integer(0, 8);
    std::string result;
    std::int64_t column = 0;
    for (const char c : text) {
        if (c == '\t') {
            const std::int64_t spaces = width > 0 ? width - column % width : 0;
            budget.make(static_cast<std::size_t>(std::min<std::int64_t>(spaces, std::int64_t{1} << 40)));
            result.append(static_cast<std::size_t>(spaces), ' ');
            column += spaces;
        } else {
            result += c;
            if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) ++column;
            if (c == '\n' || c == '\r') column = 0;
        }
    }
    return make_text(std::move(result), budget);
}

Value join_texts(const std::string& separator, const Value& list, Budget& budget) {
    std::string text;
    bool first = true;
    for (const Value& item : iterate(list, budget)) {
        if (!item.is_text()) refuse(cat("\"join\" of ", type_name(item), ", not str"));
        budget.make(item.text().size() + separator.size());
        if (!first) text += separator;
        text += item.text();
        first = false;
    }
    return text;
}

Value case_method(const std::string& text, const std::string& name, Budget& budget) {
    const Case wanted = name == "upper"        ? Case::upper
                        : name == "lower"      ? Case::lower
                        : name == "title"      ? Case::title
                        : name == "swapcase"   ? Case::swap
                        : name == "capitalize" ? Case::capital
                                               : Case::fold;
    return make_text(python::change_case(text, wanted), budget);
}

Value text_method(const std::string& text, const std::string& name, const Arguments& arguments, Budget& budget) {
    const bool quick =
        name.ends_with("strip") || name == "startswith" || name == "endswith" || name == "replace" || name == "join";
    if (quick)
        budget.scan(text.size());
    else
        budget.walk(text.size());
    const auto nothing = [&] { (void)Bound(arguments, name, {}); };
    if (name == "strip" || name == "lstrip" || name == "rstrip") return strip_method(text, name, arguments, budget);
    if (name == "split" || name == "rsplit") return split_method(text, name, arguments, budget);
    if (name == "startswith" || name == "endswith") return starts_or_ends(text, name, arguments, budget);
    if (name == "find" || name == "rfind" || name == "index" || name == "rindex" || name == "count")
        return search(text, name, arguments);
    if (name == "upper" || name == "lower" || name == "title" || name == "swapcase" || name == "capitalize" ||
        name == "casefold")
        return nothing(), case_method(text, name, budget);
    if (name == "ljust" || name == "rjust" || name == "center" || name == "zfill")
        return justify(text, name, arguments, budget);
    if (name == "splitlines")
        return list_of(python::split_lines(text, Bound(arguments, name, {"keepends"}).truth(0, false)), budget);
    if (name == "expandtabs") return expand_tabs(text, arguments, budget);
    if (name == "format") return format_braces(text, arguments, budget);
    if (name.starts_with("is")) return nothing(), Value(python::has_property(text, std::string_view(name).substr(2)));
    if (name == "join") return join_texts(text, Bound(arguments, name, {"iterable"}, 1)[0], budget);
    if (name == "replace") {
        const Bound bound(arguments, name, {"old", "new", "count"}, 2);
        return python::replace(text, bound.text(0), bound.text(1), bound.integer(2, -1),
                               [&](std::size_t size) { budget.make(size); });
    }
    if (name == "removeprefix" || name == "removesuffix") {
        const Bound bound(arguments, name, {"part"}, 1);
        const std::string& part = bound.text(0);
        if (name == "removeprefix") return make_text(text.starts_with(part) ? text.substr(part.size()) : text, budget);
        return make_text(text.ends_with(part) ? text.substr(0, text.size() - part.size()) : text, budget);
    }
    if (name == "partition" || name == "rpartition")
        return partition(text, Bound(arguments, name, {"sep"}, 1).text(0), name == "rpartition", budget);
    fail(cat("the method \"", name, "\" of str"));
}

Value dict_method(const Value& object, const std::string& name, const Arguments& arguments, Budget& budget) {
    const Dict& dict = *object.dict();
    if (name == "get") {
        const Bound bound(arguments, name, {"key", "default"}, 1);
        budget.scan(dict.entries.size() * 8);
        const Value* found = bound[0].is_text() ? dict.find(bound[0].text()) : dict.find(bound[0], budget);
        return found != nullptr ? *found : bound.has(1) ? bound[1] : Value(None{});
    }
    (void)Bound(arguments, name, {});
    if (name == "copy") return object;
    Values items;
    for (const auto& [key, value] : dict.entries) {
        if (name == "items") items.push_back(make_list({key, value}, budget, List::Kind::tuple));
        if (name == "keys") items.push_back(key);
        if (name == "values") items.push_back(value);
    }
    if (name == "items") return make_list(std::move(items), budget, List::Kind::items);
    if (name == "keys") return make_list(std::move(items), budget, List::Kind::keys);
    if (name == "values") return make_list(std::move(items), budget, List::Kind::values);
    fail(cat("the method \"", name, "\" of dict"));
}

Value list_method(const Value& object, const std::string& name, const Arguments& arguments, Budget& budget) {
    const Values& items = object.list()->items;
    if (name == "copy") return object;
    const Bound bound(arguments, name, {"value"}, 1);
    const auto matches = [&](const Value& item) { return equal(item, bound[0], budget); };
    if (name == "count") return static_cast<std::int64_t>(std::count_if(items.begin(), items.end(), matches));
    const auto hit = std::find_if(items.begin(), items.end(), matches);
    if (hit == items.end()) refuse("\"index\" of a value that isn't there");
    return static_cast<std::int64_t>(hit - items.begin());
}

}  // namespace

Value call_method(const Value& object, const std::string& name, const Arguments& arguments, Budget& budget) {
    if (object.is_text() && has_method(object, name)) {
        if (object.is_markup() && (name == "join" || name == "format" || name == "replace"))
            fail(cat("\"", name, "\" of an escaped text"));
        return text_method(object.text(), name, arguments, budget);
    }
    if (object.dict() != nullptr && has_method(object, name)) return dict_method(object, name, arguments, budget);
    if (object.list() != nullptr && has_method(object, name)) return list_method(object, name, arguments, budget);
    refuse(cat("the method \"", name, "\" of ", type_name(object)));
}

}  // namespace tdrm::text::jinja
