// "..." % values, "...".format(...), and dates.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "jinja_functions.hpp"
#include "python_text.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::text::jinja {
namespace {

/// What stands between % and the letter: flags, width, precision.
struct Spec {
    std::string flags;
    std::int64_t width = 0;
    std::int64_t precision = -1;
};

std::int64_t read_number(std::string_view text, std::size_t& at) {
    std::int64_t number = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
        number = number * 10 + (text[at] - '0');
        if (number > 1'000'000) refuse("a format that is wider than a million");
    }
    return number;
}

std::string printed(const std::string& format, auto number) {
    std::string buffer(512, '\0');
    const int size = std::snprintf(buffer.data(), buffer.size(), format.c_str(), number);
    if (size < 0) refuse("a format that can't be printed");
    if (static_cast<std::size_t>(size) < buffer.size()) {
        buffer.resize(static_cast<std::size_t>(size));
        return buffer;
    }
    buffer.resize(static_cast<std::size_t>(size) + 1);
    std::snprintf(buffer.data(), buffer.size(), format.c_str(), number);
    buffer.pop_back();
    return buffer;
}

std::string padded(std::string text, const Spec& spec) {
    const std::int64_t missing = spec.width - python::length(text);
    if (missing <= 0) return text;
    const std::string space(static_cast<std::size_t>(missing), ' ');
    return spec.flags.find('-') != std::string::npos ? text + space : space + text;
}

std::string one_value(char letter, const Spec& spec, const Value& value, Budget& budget) {
    budget.make(static_cast<std::size_t>(spec.width) +
                static_cast<std::size_t>(std::max<std::int64_t>(spec.precision, 0)));
    if (letter == 's' || letter == 'r') {
        std::string text = letter == 's' ? to_text(value, budget) : to_repr(value, budget);
        if (spec.precision >= 0) text.resize(python::offset_of(text, spec.precision));
        return padded(std::move(text), spec);
    }
    if (!value.is_number()) refuse(cat("the format %", letter, " of ", type_name(value)));
    const std::string precision = spec.precision >= 0 ? cat('.', spec.precision) : "";
    const std::string head = cat('%', spec.flags, spec.width > 0 ? cat(spec.width) : "", precision);
    if (letter == 'd' || letter == 'i' || letter == 'u') {
        if (value.is_real() && !(std::abs(value.as_real()) < 9e18)) refuse("a whole number of more than 63 bits");
        return printed(head + "lld", static_cast<long long>(value.is_real() ? static_cast<std::int64_t>(value.as_real())
                                                                            : value.as_int()));
    }
    if (letter == 'x' || letter == 'X' || letter == 'o') {
        if (!value.is_int() || value.as_int() < 0) fail(cat("the format %", letter, " of this value"));
        return printed(head + "ll" + letter, static_cast<long long>(value.as_int()));
    }
    if (std::string_view("eEfFgG").find(letter) == std::string_view::npos)
        fail(cat("the format %", std::string(1, letter)));
    return printed(head + letter, value.as_real());
}

}  // namespace

Value format_percent(const std::string& format, const Value& values, Budget& budget) {
    const bool several = values.list() != nullptr && values.list()->kind == List::Kind::tuple;
    const Values list = several ? values.list()->items : Values{values};
    std::size_t next = 0;
    bool by_name = false;
    std::string result;
    budget.make(format.size());
    for (std::size_t at = 0; at < format.size(); ++at) {
        if (format[at] != '%') {
            result += format[at];
            continue;
        }
        if (++at >= format.size()) refuse("a format that ends behind %");
        if (format[at] == '%') {
            result += '%';
            continue;
        }
        const Value* value = nullptr;
        if (format[at] == '(') {
            const std::size_t close = format.find(')', at);
            if (close == std::string::npos || values.dict() == nullptr) refuse("a format %(name) without its dict");
            value = values.dict()->find(format.substr(at + 1, close - at - 1));
            if (value == nullptr) refuse("a format %(name) without its name in the dict");
            by_name = true;
            if ((at = close + 1) >= format.size()) refuse("a format that ends behind %");
        }
        Spec spec;
        for (; at < format.size() && std::string_view("-+ #0").find(format[at]) != std::string_view::npos; ++at)
            if (spec.flags.find(format[at]) == std::string::npos) spec.flags += format[at];
        spec.width = read_number(format, at);
        if (at < format.size() && format[at] == '.') spec.precision = read_number(format, ++at);
        if (at >= format.size()) refuse("a format that ends behind %");
        if (value == nullptr) {
            if (next >= list.size()) refuse("a format with more marks than values");
            value = &list[next++];
        }
        const std::string_view rest = std::string_view(format).substr(at);
        if (static_cast<unsigned char>(format[at]) >= 0x80)  // a message needs the whole character
            fail(cat("the format %", rest.substr(0, python::offset_of(rest, 1))));
        result += one_value(format[at], spec, *value, budget);
        budget.step();
    }
    if (next < list.size() && !by_name && (several || values.dict() == nullptr))
        refuse("a format with fewer marks than values");
    return make_text(std::move(result), budget);
}

Value format_braces(const std::string& format, const Arguments& arguments, Budget& budget) {
    std::string result;
    std::size_t next = 0;
    for (std::size_t at = 0; at < format.size(); ++at) {
        const char c = format[at];
        if ((c == '{' || c == '}') && at + 1 < format.size() && format[at + 1] == c) {
            result += c;
            ++at;
            continue;
        }
        if (c == '}') refuse("a format with a } that nothing opens");
        if (c != '{') {
            result += c;
            continue;
        }
        const std::size_t close = format.find('}', at);
        if (close == std::string::npos) refuse("a format with a { that isn't closed");
        const std::string name = format.substr(at + 1, close - at - 1);
        at = close;
        if (name.find_first_of(".[!:{") != std::string::npos) fail("a format with more than a name in {}");
        const bool number = name.find_first_not_of("0123456789") == std::string::npos;
        const Value* value = nullptr;
        if (number) {
            std::size_t start = 0;
            const auto index = name.empty() ? next++ : static_cast<std::size_t>(read_number(name, start));
            if (index < arguments.positional.size()) value = &arguments.positional[index];
        }
        for (const auto& [key, given] : arguments.named)
            if (key == name) value = &given;
        if (value == nullptr) refuse(cat("a format without a value for {", name, "}"));
        result += to_text(*value, budget);
    }
    return make_text(std::move(result), budget);
}

std::string format_date(const std::string& date, const std::string& format) {
    constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm day{};
    std::array<char, 4> month{};
    int last = 0;
    const int size = static_cast<int>(date.size());
    const bool iso =
        std::sscanf(date.c_str(), "%4d-%2d-%2d%n", &day.tm_year, &day.tm_mon, &day.tm_mday, &last) == 3 && last == size;
    if (!iso) {
        last = 0;
        const bool words =
            std::sscanf(date.c_str(), "%2d %3s %4d%n", &day.tm_mday, month.data(), &day.tm_year, &last) == 3 &&
            last == size;
        const auto found = std::find(kMonths.begin(), kMonths.end(), std::string_view(month.data()));
        if (!words || found == kMonths.end())
            throw DataError(
                cat("the date \"", date,
                    "\" can't be read (the chat template prints it). Write it as 2024-07-26 or 26 Jul 2024."));
        day.tm_mon = static_cast<int>(found - kMonths.begin()) + 1;
    }
    day.tm_year -= 1900;
    day.tm_mon -= 1;
    const std::tm wanted = day;
    if (timegm(&day) == -1 && day.tm_year != 69) day.tm_mday = 0;
    if (day.tm_mday != wanted.tm_mday || day.tm_mon != wanted.tm_mon)
        throw DataError(cat("the date \"", date, "\" isn't a day (the chat template prints it). Correct it."));
    if (format.empty()) return "";
    if (format.size() > 4096) refuse("a date format of more than 4096 bytes");
    std::string plain;  // without what Python writes otherwise: no time zone, and %f for microseconds
    for (std::size_t at = 0; at < format.size(); ++at) {
        const char letter = format[at] == '%' && at + 1 < format.size() ? format[at + 1] : '\0';
        if (letter != '\0') ++at;
        if (letter == 'f') plain += "000000";
        if (letter == '\0') plain += format[at];
        if (letter != '\0' && letter != 'f' && letter != 'z' && letter != 'Z') plain += {'%', letter};
    }
    std::string text(65536, '\0');
    text.resize(std::strftime(text.data(), text.size(), plain.c_str(), &day));
    return text;
}

}  // namespace tdrm::text::jinja
