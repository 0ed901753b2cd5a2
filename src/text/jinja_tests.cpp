// Tests: what stands behind "is".
#include <algorithm>
#include <array>

#include "jinja_functions.hpp"
#include "python_text.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::text::jinja {
namespace {

/// The operator that a test of comparison stands for; "" for other tests.
std::string_view operator_of(std::string_view name) {
    if (name == "eq" || name == "equalto" || name == "==") return "==";
    if (name == "ne" || name == "!=") return "!=";
    if (name == "lt" || name == "lessthan" || name == "<") return "<";
    if (name == "le" || name == "<=") return "<=";
    if (name == "gt" || name == "greaterthan" || name == ">") return ">";
    if (name == "ge" || name == ">=") return ">=";
    return name == "in" ? "in" : "";
}

/// Whether two values are the same object: what is small and unchangeable is, by value.
bool same(const Value& a, const Value& b, Budget& budget) {
    if (a.data().index() != b.data().index()) return false;
    if (a.list() != nullptr) return a.list() == b.list();
    if (a.dict() != nullptr) return a.dict() == b.dict();
    return equal(a, b, budget);
}

bool is_callable(const Value& value) {
    return value.is_undefined() || (value.object() != nullptr && value.object()->kind != Object::Kind::iterator);
}

bool is_sequence(const Value& value) {
    return value.is_undefined() || value.is_text() || value.dict() != nullptr ||
           (value.list() != nullptr && value.list()->kind <= List::Kind::range);
}

bool is_iterable(const Value& value) {
    return value.is_undefined() || value.is_text() || value.dict() != nullptr || value.list() != nullptr ||
           (value.object() != nullptr && value.object()->kind == Object::Kind::iterator);
}

bool divides(const Value& value, const Value& by, Budget& budget) {
    return equal(apply_operator("%", value, by, budget), Value(std::int64_t{0}), budget);
}

constexpr std::array<std::string_view, 39> kNames{
    "boolean", "callable", "defined", "divisibleby", "eq",   "equalto",   "==",     "escaped",
    "even",    "false",    "filter",  "float",       "ge",   ">",         "gt",     "greaterthan",
    ">=",      "in",       "integer", "iterable",    "le",   "<",         "lt",     "lessthan",
    "<=",      "lower",    "mapping", "ne",          "!=",   "none",      "number", "odd",
    "sameas",  "sequence", "string",  "test",        "true", "undefined", "upper"};

}  // namespace

bool apply_test(const std::string& name, const Value& value, const Arguments& arguments, Budget& budget) {
    if (const std::string_view op = operator_of(name); !op.empty())
        return is_true(apply_operator(op, value, Bound(arguments, name, {"other"}, 1)[0], budget));
    if (name == "divisibleby") return divides(value, Bound(arguments, name, {"num"}, 1)[0], budget);
    if (name == "sameas") return same(value, Bound(arguments, name, {"other"}, 1)[0], budget);
    (void)Bound(arguments, name, {});
    if (name == "defined") return !value.is_undefined();
    if (name == "undefined") return value.is_undefined();
    if (name == "none") return value.is_none();
    if (name == "boolean") return value.is_bool();
    if (name == "true") return value.is_bool() && value.as_int() != 0;
    if (name == "false") return value.is_bool() && value.as_int() == 0;
    if (name == "integer") return value.is_int() && !value.is_bool();
    if (name == "float") return value.is_real();
    if (name == "number") return value.is_number();
    if (name == "string") return value.is_text();
    if (name == "mapping") return value.dict() != nullptr;
    if (name == "sequence") return is_sequence(value);
    if (name == "iterable") return is_iterable(value);
    if (name == "callable") return is_callable(value);
    if (name == "escaped") return value.is_markup();
    if (name == "lower" || name == "upper") return python::has_property(to_text(value, budget), name);
    if (name == "even") return divides(value, Value(std::int64_t{2}), budget);
    if (name == "odd")
        return equal(apply_operator("%", value, Value(std::int64_t{2}), budget), Value(std::int64_t{1}), budget);
    if (name == "filter" || name == "test") {
        if (!value.is_text()) return false;
        if (name == "test") return std::find(kNames.begin(), kNames.end(), value.text()) != kNames.end();
        return find_text_filter(value.text()) != nullptr || find_list_filter(value.text()) != nullptr;
    }
    fail(cat("the test \"", name, "\""));
}

}  // namespace tdrm::text::jinja
