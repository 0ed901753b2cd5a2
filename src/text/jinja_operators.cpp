// Operators, attributes, items and slices.
#include <algorithm>
#include <array>
#include <cmath>

#include "jinja_functions.hpp"
#include "python_text.hpp"
#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text::jinja {
namespace {

[[noreturn]] void refuse_operator(std::string_view op, const Value& left, const Value& right) {
    refuse(cat("the operator ", op, " between ", type_name(left), " and ", type_name(right)));
}

std::int64_t power(std::int64_t base, std::int64_t exponent) {
    std::int64_t result = 1;
    for (; exponent > 0; --exponent) {
        if (__builtin_mul_overflow(result, base, &result)) fail("a whole number of more than 63 bits");
        if (result == 0 || result == 1) break;
        if (result == -1 && base == -1) return exponent % 2 == 0 ? 1 : -1;
    }
    return result;
}

Value whole(std::string_view op, std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    bool over = false;
    if (op == "+") {
        over = __builtin_add_overflow(a, b, &result);
    } else if (op == "-") {
        over = __builtin_sub_overflow(a, b, &result);
    } else if (op == "*") {
        over = __builtin_mul_overflow(a, b, &result);
    } else if (op == "**") {
        if (b < 0) return std::pow(static_cast<double>(a), static_cast<double>(b));
        result = power(a, b);
    } else {
        if (b == 0) refuse("a division by zero");
        if (op == "/") return static_cast<double>(a) / static_cast<double>(b);
        if (b == -1) return op == "%" ? Value(std::int64_t{0}) : whole("-", 0, a);
        const std::int64_t rest = (a % b + b) % b;
        result = op == "%" ? rest : (a - rest) / b;
    }
    if (over) fail("a whole number of more than 63 bits");
    return result;
}

Value real(std::string_view op, double a, double b) {
    if (op == "+") return a + b;
    if (op == "-") return a - b;
    if (op == "*") return a * b;
    if (op == "**") return std::pow(a, b);
    if (b == 0) refuse("a division by zero");
    if (op == "/") return a / b;
    const double rest = a - b * std::floor(a / b);
    return op == "%" ? rest : std::floor(a / b);
}

Value repeat(const Value& value, std::int64_t times, Budget& budget) {
    times = std::max<std::int64_t>(times, 0);
    const auto bounded = [&](std::size_t size) {
        if (size > 0 && static_cast<std::uint64_t>(times) > (std::uint64_t{1} << 40) / size) budget.make(SIZE_MAX);
        budget.make(size * static_cast<std::size_t>(times));
        return size == 0 ? 0 : times;
    };
    if (value.is_text()) {
        std::string text;
        for (std::int64_t i = bounded(value.text().size()); i > 0; --i) text += value.text();
        return {std::move(text), value.is_markup()};
    }
    Values items;
    const List& list = *value.list();
    for (std::int64_t i = bounded(list.items.size() * sizeof(Value)); i > 0; --i)
        items.insert(items.end(), list.items.begin(), list.items.end());
    return make_list(std::move(items), budget, list.kind);
}

bool is_plain_list(const Value& value) { return value.list() != nullptr && value.list()->kind <= List::Kind::tuple; }

Value add(const Value& left, const Value& right, Budget& budget) {
    if (left.is_text() && right.is_text()) {
        if (left.is_markup() != right.is_markup()) return add(escape(left, budget), escape(right, budget), budget);
        budget.make(left.text().size() + right.text().size());
        return {left.text() + right.text(), left.is_markup()};
    }
    if (is_plain_list(left) && is_plain_list(right) && left.list()->kind == right.list()->kind) {
        Values items = iterate(left, budget);
        items.insert(items.end(), right.list()->items.begin(), right.list()->items.end());
        return make_list(std::move(items), budget, left.list()->kind);
    }
    refuse_operator("+", left, right);
}

bool compares(std::string_view op, const Value& left, const Value& right, Budget& budget) {
    if (left.is_number() && right.is_number() && (std::isnan(left.as_real()) || std::isnan(right.as_real())))
        return false;
    const int order = compare(left, right, budget);
    return op == "<" ? order < 0 : op == ">" ? order > 0 : op == "<=" ? order <= 0 : order >= 0;
}

constexpr std::array<std::string_view, 47> kTextMethods{
    "capitalize",   "casefold",   "center",    "count",       "encode",    "endswith",     "expandtabs",   "find",
    "format",       "format_map", "index",     "isalnum",     "isalpha",   "isascii",      "isdecimal",    "isdigit",
    "isidentifier", "islower",    "isnumeric", "isprintable", "isspace",   "istitle",      "isupper",      "join",
    "ljust",        "lower",      "lstrip",    "maketrans",   "partition", "removeprefix", "removesuffix", "replace",
    "rfind",        "rindex",     "rjust",     "rpartition",  "rsplit",    "rstrip",       "split",        "splitlines",
    "startswith",   "strip",      "swapcase",  "title",       "translate", "upper",        "zfill"};
constexpr std::array<std::string_view, 6> kDictMethods{"copy", "fromkeys", "get", "items", "keys", "values"};
constexpr std::array<std::string_view, 5> kDictChanges{"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::array<std::string_view, 8> kListChanges{"append", "clear",  "extend",  "insert",
                                                       "pop",    "remove", "reverse", "sort"};

template <std::size_t n>
bool is_one_of(std::string_view name, const std::array<std::string_view, n>& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

/// A method that would change its object: the sandbox hides it.
bool is_hidden(const Value& value, std::string_view name) {
    if (value.dict() != nullptr) return is_one_of(name, kDictChanges);
    return value.list() != nullptr && value.list()->kind == List::Kind::list && is_one_of(name, kListChanges);
}

}  // namespace

Value apply_operator(std::string_view op, const Value& left, const Value& right, Budget& budget) {
    if (op == "==") return equal(left, right, budget);
    if (op == "!=") return !equal(left, right, budget);
    if (op == "in") return contains(right, left, budget);
    if (op == "not in") return !contains(right, left, budget);
    if (op == "<" || op == ">" || op == "<=" || op == ">=") return compares(op, left, right, budget);
    if (left.is_int() && right.is_int()) return whole(op, left.as_int(), right.as_int());
    if (left.is_number() && right.is_number()) return real(op, left.as_real(), right.as_real());
    if (op == "+") return add(left, right, budget);
    if (op == "*" && (left.is_text() || is_plain_list(left)) && right.is_int())
        return repeat(left, right.as_int(), budget);
    if (op == "*" && (right.is_text() || is_plain_list(right)) && left.is_int())
        return repeat(right, left.as_int(), budget);
    if (op == "%" && left.is_text()) {
        if (left.is_markup()) fail("the operator % of an escaped text");
        return format_percent(left.text(), right, budget);
    }
    refuse_operator(op, left, right);
}

Value negative(const Value& value, bool minus) {
    if (value.is_int()) return whole(minus ? "-" : "+", 0, value.as_int());
    if (value.is_real()) return minus ? -value.as_real() : value.as_real();
    refuse(cat("the operator ", minus ? "-" : "+", " in front of ", type_name(value)));
}

bool contains(const Value& container, const Value& element, Budget& budget) {
    if (container.is_text()) {
        if (!element.is_text()) refuse(cat("\"in\" between ", type_name(element), " and str"));
        budget.scan(container.text().size());
        return container.text().find(element.text()) != std::string::npos;
    }
    if (container.is_undefined()) return false;
    if (const Dict* dict = container.dict()) {
        budget.scan(dict->entries.size() * sizeof(Value));
        return element.is_text() ? dict->find(element.text()) != nullptr : dict->find(element, budget) != nullptr;
    }
    const auto matches = [&](const Value& item) { return equal(item, element, budget); };
    if (const List* list = container.list()) return std::any_of(list->items.begin(), list->items.end(), matches);
    if (Object* object = container.object(); object != nullptr && object->kind == Object::Kind::iterator) {
        auto& iterator = static_cast<Iterator&>(*object);
        while (iterator.at < iterator.items.size())
            if (matches(iterator.items[iterator.at++])) return true;
        return false;
    }
    refuse(cat("\"in\" with ", type_name(container)));
}

bool has_method(const Value& value, std::string_view name) {
    if (value.is_text()) return is_one_of(name, kTextMethods);
    if (value.dict() != nullptr) return is_one_of(name, kDictMethods);
    if (const List* list = value.list()) {
        if (list->kind == List::Kind::list && name == "copy") return true;
        return list->kind <= List::Kind::range && (name == "index" || name == "count");
    }
    return false;
}

Value get_attribute(const Value& value, const std::string& name, Budget& budget) {
    if (value.is_undefined()) refuse(cat("the part \"", name, "\" of an undefined value"));
    if (Namespace* space = value.space()) {
        const Value* found = space->find(name);
        return found == nullptr ? Value() : *found;
    }
    if (has_method(value, name)) {
        budget.make(sizeof(Method));
        if (value.depth() >= kMostValueDepth) refuse("values that are nested too deep");
        return std::shared_ptr<Object>(std::make_shared<Method>(value, name));
    }
    if (is_hidden(value, name)) return {};
    const Dict* dict = value.dict();
    if (dict == nullptr) return {};
    budget.scan(dict->entries.size() * 8);
    const Value* found = dict->find(name);
    return found == nullptr ? Value() : *found;
}

Value get_item(const Value& value, const Value& key, Budget& budget) {
    if (value.is_undefined()) refuse("a part of an undefined value");
    if (const Dict* dict = value.dict()) {
        budget.scan(dict->entries.size() * 8);
        const bool hashable = key.dict() == nullptr && (key.list() == nullptr || key.list()->kind != List::Kind::list);
        const Value* found = key.is_text() ? dict->find(key.text()) : hashable ? dict->find(key, budget) : nullptr;
        if (found != nullptr) return *found;
    }
    if (key.is_text())
        return value.is_text() && !has_method(value, key.text()) ? Value() : get_attribute(value, key.text(), budget);
    if (!key.is_int()) return {};
    std::int64_t index = key.as_int();
    if (const List* list = value.list(); list != nullptr && list->kind <= List::Kind::range) {
        const auto size = static_cast<std::int64_t>(list->items.size());
        if (index < 0) index += size;
        return index < 0 || index >= size ? Value() : list->items[static_cast<std::size_t>(index)];
    }
    if (value.is_text()) {
        const std::string& text = value.text();
        budget.scan(text.size());
        if (index < 0) index += python::length(text);
        const std::size_t at = index < 0 ? text.size() : python::offset_of(text, index);
        if (at >= text.size()) return {};
        return make_text(text.substr(at, utf8_length(text[at])), budget, value.is_markup());
    }
    return {};
}

Value get_slice(const Value& value, const Value& begin, const Value& end, const Value& step, Budget& budget) {
    if (value.is_undefined()) refuse("a slice of an undefined value");
    const List* list = value.list();
    if (!value.is_text() && (list == nullptr || list->kind > List::Kind::range))
        refuse(cat("a slice of ", type_name(value)));
    const auto given = [](const Value& bound) { return !bound.is_none(); };
    for (const Value* bound : {&begin, &end, &step})
        if (!bound->is_none() && !bound->is_int()) refuse(cat("a slice at ", type_name(*bound)));
    const std::int64_t stride = given(step) ? step.as_int() : 1;
    if (stride == 0) refuse("a slice with the step 0");
    if (value.is_text()) budget.scan(value.text().size());
    const std::int64_t size =
        list != nullptr ? static_cast<std::int64_t>(list->items.size()) : python::length(value.text());
    const auto place = [&](const Value& bound, std::int64_t otherwise) {
        if (!given(bound)) return otherwise;
        const std::int64_t at = bound.as_int() < 0 ? std::max(bound.as_int(), -size - 1) + size : bound.as_int();
        return stride > 0 ? std::clamp(at, std::int64_t{0}, size) : std::clamp(at, std::int64_t{-1}, size - 1);
    };
    const std::int64_t first = place(begin, stride > 0 ? 0 : size - 1);
    const std::int64_t last = place(end, stride > 0 ? size : -1);
    if (value.is_text() && stride == 1) {
        const std::string& text = value.text();
        const std::size_t from = python::offset_of(text, first);
        const std::size_t length =
            last > first ? python::offset_of(std::string_view(text).substr(from), last - first) : 0;
        return make_text(text.substr(from, length), budget, value.is_markup());
    }
    const Values items = iterate(value, budget);
    Values chosen;
    for (std::int64_t i = first; stride > 0 ? i < last : i > last;) {
        chosen.push_back(items[static_cast<std::size_t>(i)]);
        if (__builtin_add_overflow(i, stride, &i)) break;
    }
    if (list != nullptr) {
        if (list->kind == List::Kind::range) fail("a slice of a range");
        return make_list(std::move(chosen), budget, list->kind);
    }
    std::string text;
    for (const Value& character : chosen) text += character.text();
    return make_text(std::move(text), budget, value.is_markup());
}

}  // namespace tdrm::text::jinja
