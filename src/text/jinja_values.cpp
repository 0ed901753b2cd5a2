#include <algorithm>
#include <cmath>

#include "jinja.hpp"
#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text::jinja {
namespace {

/// What Python's str.strip() takes off.
bool is_python_space(char32_t code) { return is_space(code) || (code >= 0x1C && code <= 0x1F); }

template <class Predicate>
std::string_view strip(std::string_view text, bool left, bool right, Predicate&& drop) {
    while (left && !text.empty() && drop(code_point_at(text, 0))) text.remove_prefix(utf8_length(text[0]));
    while (right && !text.empty() && drop(code_point_before(text, text.size()))) {
        do text.remove_suffix(1);
        while (!text.empty() && find_invalid_utf8(text));
    }
    return text;
}

std::string strip_method(const std::string& text, const std::string& name, const std::vector<Value>& arguments) {
    const bool left = name != "rstrip";
    const bool right = name != "lstrip";
    if (arguments.empty() || arguments[0].is_null()) return std::string(strip(text, left, right, is_python_space));
    const auto& set = arguments[0].get_ref<const std::string&>();
    return std::string(strip(text, left, right, [&](char32_t code) {
        std::string character;
        append_utf8(character, code);
        return set.find(character) != std::string::npos;
    }));
}

Value split(std::string_view text, const std::vector<Value>& arguments) {
    Value parts = Value::array();
    if (arguments.empty() || arguments[0].is_null()) {
        const auto white = [](char32_t code) { return is_python_space(code); };
        for (text = strip(text, true, false, white); !text.empty(); text = strip(text, true, false, white)) {
            std::size_t end = 0;
            while (end < text.size() && !white(code_point_at(text, end))) end += utf8_length(text[end]);
            parts.push_back(text.substr(0, end));
            text.remove_prefix(end);
        }
        return parts;
    }
    const auto& separator = arguments[0].get_ref<const std::string&>();
    if (separator.empty()) fail("split by an empty string");
    std::int64_t left = arguments.size() > 1 ? arguments[1].get<std::int64_t>() : -1;
    for (std::size_t hit; left != 0 && (hit = text.find(separator)) != std::string_view::npos; --left) {
        parts.push_back(text.substr(0, hit));
        text.remove_prefix(hit + separator.size());
    }
    parts.push_back(text);
    return parts;
}

std::string replace(const std::string& text, const std::string& from, const std::string& to) {
    if (from.empty()) fail("replace of an empty string");
    std::string result;
    std::size_t at = 0;
    for (std::size_t hit; (hit = text.find(from, at)) != std::string::npos; at = hit + from.size()) {
        result.append(text, at, hit - at).append(to);
    }
    return result.append(text, at);
}

/// Upper or lower case of ASCII; other letters are refused, since their rules are long.
std::string change_case(std::string text, bool upper) {
    for (char& c : text) {
        if (static_cast<unsigned char>(c) >= 0x80) fail("upper or lower case of a text that isn't ASCII");
        c = static_cast<char>(upper ? std::toupper(c) : std::tolower(c));
    }
    return text;
}

std::vector<std::string> characters(const std::string& text) {
    std::vector<std::string> result;
    for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
        result.push_back(text.substr(at, utf8_length(text[at])));
    }
    return result;
}

std::string join(const Value& list, const std::string& separator) {
    std::string text;
    for (std::size_t i = 0; i < list.size(); ++i) text += (i > 0 ? separator : "") + to_text(list[i]);
    return text;
}

std::int64_t length_of(const Value& value) {
    if (value.is_string()) return static_cast<std::int64_t>(characters(value.get_ref<const std::string&>()).size());
    if (value.is_array() || value.is_object()) return static_cast<std::int64_t>(value.size());
    if (value.is_discarded()) return 0;
    fail("the length of a value that has none");
}

std::int64_t clamp_index(const Value& value, std::int64_t size, std::int64_t otherwise) {
    if (value.is_null()) return otherwise;
    const auto index = value.get<std::int64_t>();
    return std::clamp(index < 0 ? index + size : index, std::int64_t{0}, size);
}

Value arithmetic(const std::string& op, const Value& left, const Value& right) {
    if (left.is_number_integer() && right.is_number_integer()) {
        const auto a = left.get<std::int64_t>();
        const auto b = right.get<std::int64_t>();
        constexpr std::int64_t kLimit = std::int64_t{1} << 31;
        if (std::abs(a) > kLimit || std::abs(b) > kLimit) fail("a number that is too large");
        if (op == "+") return a + b;
        if (op == "-") return a - b;
        if (op == "*") return a * b;
        if (b == 0) fail("a division by zero");
        const std::int64_t rest = (a % b + b) % b;
        if (op == "%") return rest;
        if (op == "//") return (a - rest) / b;
        if (op == "/") return static_cast<double>(a) / static_cast<double>(b);
    }
    fail(cat("the operator ", op, " between ", left.type_name(), " and ", right.type_name()));
}

}  // namespace

void fail(const std::string& what) {
    throw DataError(
        cat("the chat template uses ", what,
            ", which tdrm doesn't render (the prompt would differ). docs/tokenizers.md lists what it knows; "
            "use another template."));
}

bool is_true(const Value& value) {
    if (value.is_discarded() || value.is_null()) return false;
    if (value.is_boolean()) return value.get<bool>();
    if (value.is_number()) return value.get<double>() != 0;
    if (value.is_string()) return !value.get_ref<const std::string&>().empty();
    return !value.empty();
}

std::string to_text(const Value& value) {
    if (value.is_discarded()) return "";
    if (value.is_null()) return "None";
    if (value.is_string()) return value.get<std::string>();
    if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
    if (value.is_number_integer()) return value.dump();
    fail(cat("a value of type ", value.type_name(), " as text"));
}

Value get_item(const Value& object, const Value& key) {
    if (object.is_discarded()) fail("a part of an undefined value");
    if (object.is_object() && key.is_string()) {
        const auto entry = object.find(key.get_ref<const std::string&>());
        return entry == object.end() ? undefined() : *entry;
    }
    if (!key.is_number_integer()) return undefined();
    auto index = key.get<std::int64_t>();
    if (object.is_array()) {
        const auto size = static_cast<std::int64_t>(object.size());
        if (index < 0) index += size;
        return index < 0 || index >= size ? undefined() : object[static_cast<std::size_t>(index)];
    }
    if (object.is_string()) {
        const auto parts = characters(object.get_ref<const std::string&>());
        const auto size = static_cast<std::int64_t>(parts.size());
        if (index < 0) index += size;
        return index < 0 || index >= size ? undefined() : Value(parts[static_cast<std::size_t>(index)]);
    }
    return undefined();
}

Value get_slice(const Value& object, const Value& begin, const Value& end, const Value& step) {
    Value parts = object;
    if (object.is_string()) parts = characters(object.get_ref<const std::string&>());
    if (!parts.is_array()) fail(cat("a slice of ", object.type_name()));
    const auto size = static_cast<std::int64_t>(parts.size());
    const bool backwards =
        step.is_number_integer() && step.get<std::int64_t>() == -1 && begin.is_null() && end.is_null();
    if (!step.is_null() && step != 1 && !backwards) fail("a slice with a step other than [::-1]");
    Value result = Value::array();
    for (std::int64_t i = clamp_index(begin, size, 0); i < clamp_index(end, size, size); ++i) {
        result.push_back(parts[static_cast<std::size_t>(i)]);
    }
    if (backwards) std::reverse(result.begin(), result.end());
    if (object.is_string()) return join(result, "");
    return result;
}

bool contains(const Value& container, const Value& element) {
    if (container.is_string() && element.is_string()) {
        return container.get_ref<const std::string&>().find(element.get_ref<const std::string&>()) != std::string::npos;
    }
    if (container.is_object() && element.is_string()) return container.contains(element.get_ref<const std::string&>());
    if (container.is_array()) return std::find(container.begin(), container.end(), element) != container.end();
    if (container.is_discarded()) return false;
    fail(cat("\"in\" with ", container.type_name()));
}

Value binary(const std::string& op, const Value& left, const Value& right) {
    if (op == "==" || op == "!=") {
        if (left.is_boolean() && right.is_number()) return binary(op, left.get<bool>() ? 1 : 0, right);
        if (left.is_number() && right.is_boolean()) return binary(op, left, right.get<bool>() ? 1 : 0);
        const bool both_undefined = left.is_discarded() && right.is_discarded();
        const bool equal = both_undefined || (!left.is_discarded() && !right.is_discarded() && left == right);
        return equal == (op == "==");
    }
    if (op == "in") return contains(right, left);
    if (op == "not in") return !contains(right, left);
    if (op == "~") return to_text(left) + to_text(right);
    if (op == "<" || op == ">" || op == "<=" || op == ">=") {
        const bool comparable = (left.is_number() && right.is_number()) || (left.is_string() && right.is_string());
        if (!comparable) fail(cat("the comparison of ", left.type_name(), " and ", right.type_name()));
        return op == "<" ? left < right : op == ">" ? left > right : op == "<=" ? left <= right : left >= right;
    }
    if (op == "+" && left.is_string() && right.is_string()) return left.get<std::string>() + right.get<std::string>();
    if (op == "+" && left.is_array() && right.is_array()) {
        Value result = left;
        result.insert(result.end(), right.begin(), right.end());
        return result;
    }
    return arithmetic(op, left, right);
}

Value call_method(const Value& object, const std::string& name, const std::vector<Value>& arguments) {
    if (object.is_string()) {
        const auto& text = object.get_ref<const std::string&>();
        if (name == "strip" || name == "lstrip" || name == "rstrip") return strip_method(text, name, arguments);
        if (name == "split") return split(text, arguments);
        if (name == "upper" || name == "lower") return change_case(text, name == "upper");
        if (name == "startswith") return text.starts_with(arguments.at(0).get_ref<const std::string&>());
        if (name == "endswith") return text.ends_with(arguments.at(0).get_ref<const std::string&>());
        if (name == "replace" && arguments.size() == 2) return replace(text, arguments[0], arguments[1]);
        if (name == "join") return join(arguments.at(0), text);
    }
    if (object.is_object()) {
        if (name == "get") {
            const Value found = get_item(object, arguments.at(0));
            if (!found.is_discarded()) return found;
            return arguments.size() > 1 ? arguments[1] : Value();
        }
        Value result = Value::array();
        for (const auto& [key, value] : object.items()) {
            if (name == "items") result.push_back({key, value});
            if (name == "keys") result.push_back(key);
            if (name == "values") result.push_back(value);
        }
        if (name == "items" || name == "keys" || name == "values") return result;
    }
    fail(cat("the method \"", name, "\" of ", object.is_discarded() ? "an undefined value" : object.type_name()));
}

Value apply_filter(const std::string& name, const Value& value, const std::vector<Value>& arguments) {
    if (name == "trim") return strip_method(to_text(value), "strip", arguments);
    if (name == "length" || name == "count") return length_of(value);
    if (name == "default" || name == "d") {
        const bool also_false = arguments.size() > 1 && is_true(arguments[1]);
        const bool given = also_false ? is_true(value) : !value.is_discarded();
        return given ? value : arguments.empty() ? Value("") : arguments[0];
    }
    if (name == "string" || name == "safe") return to_text(value);
    if (name == "upper" || name == "lower") return change_case(to_text(value), name == "upper");
    if (name == "join") return join(value, arguments.empty() ? "" : to_text(arguments[0]));
    if (name == "first") return get_item(value, 0);
    if (name == "last") return get_item(value, -1);
    if (name == "replace" && arguments.size() == 2) return replace(to_text(value), arguments[0], arguments[1]);
    if (name == "list" && value.is_array()) return value;
    if (name == "items" && value.is_object()) return call_method(value, "items", {});
    fail(cat("the filter \"", name, "\""));
}

bool apply_test(const std::string& name, const Value& value, const std::vector<Value>& arguments) {
    if (name == "defined") return !value.is_discarded();
    if (name == "undefined") return value.is_discarded();
    if (name == "none") return value.is_null();
    if (name == "string") return value.is_string();
    if (name == "mapping") return value.is_object();
    if (name == "iterable" || name == "sequence") return value.is_array() || value.is_object() || value.is_string();
    if (name == "number") return value.is_number() || value.is_boolean();
    if (name == "integer") return value.is_number_integer();
    if (name == "boolean") return value.is_boolean();
    if (name == "true") return value.is_boolean() && value.get<bool>();
    if (name == "false") return value.is_boolean() && !value.get<bool>();
    if (name == "in") return contains(arguments.at(0), value);
    if (name == "equalto" || name == "eq" || name == "sameas") return is_true(binary("==", value, arguments.at(0)));
    if (name == "even") return value.get<std::int64_t>() % 2 == 0;
    if (name == "odd") return value.get<std::int64_t>() % 2 != 0;
    fail(cat("the test \"", name, "\""));
}

}  // namespace tdrm::text::jinja
