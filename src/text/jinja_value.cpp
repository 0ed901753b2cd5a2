#include "jinja_value.hpp"

#include <algorithm>
#include <cmath>

#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text::jinja {
namespace {

template <class T>
const T* pointee(const Value::Data& data) {
    const auto* pointer = std::get_if<std::shared_ptr<T>>(&data);
    return pointer == nullptr ? nullptr : pointer->get();
}

int checked(int depth) {
    if (depth > kMostValueDepth) refuse(cat("values nested more than ", kMostValueDepth, " deep"));
    return depth;
}

int depth_of(const Values& items) {
    int depth = 0;
    for (const Value& item : items) depth = std::max(depth, item.depth());
    return checked(depth + 1);
}

/// Numbers are equal across types, NaN to nothing.
bool equal_numbers(const Value& a, const Value& b) {
    if (a.is_int() && b.is_int()) return a.as_int() == b.as_int();
    return a.as_real() == b.as_real();
}

int sign(auto a, auto b) { return a < b ? -1 : a > b ? 1 : 0; }

}  // namespace

void Budget::exhausted() {
    throw DataError(
        "the chat template does more than a rendering may (4 million steps or 128 MiB of text; it might never end). "
        "Use another template.");
}

void fail(const std::string& what) {
    throw DataError(cat("the chat template uses ", what,
                        ", which tdrm doesn't render (the prompt would differ). docs/chat-templates.md says what it "
                        "knows; use another template."));
}

void refuse(const std::string& what) {
    throw DataError(
        cat("the chat template fails: ", what, " (Jinja refuses it, too). Use messages or a template that fit."));
}

std::int64_t Value::as_int() const {
    if (const auto* number = std::get_if<std::int64_t>(&data_)) return *number;
    return std::get<bool>(data_) ? 1 : 0;
}
double Value::as_real() const {
    if (const auto* number = std::get_if<double>(&data_)) return *number;
    return static_cast<double>(as_int());
}
const List* Value::list() const { return pointee<const List>(data_); }
const Dict* Value::dict() const { return pointee<const Dict>(data_); }
Object* Value::object() const { return const_cast<Object*>(pointee<Object>(data_)); }
Namespace* Value::space() const {
    const auto* pointer = std::get_if<Namespace*>(&data_);
    return pointer == nullptr ? nullptr : *pointer;
}
int Value::depth() const {
    if (const List* found = list()) return found->depth;
    if (const Dict* found = dict()) return found->depth;
    if (const Object* found = object()) return found->depth;
    return 0;
}

const Value* Dict::find(std::string_view key) const {
    for (const auto& [name, value] : entries)
        if (name.is_text() && name.text() == key) return &value;
    return nullptr;
}

const Value* Dict::find(const Value& key, Budget& budget) const {
    if (key.list() != nullptr && key.list()->kind == List::Kind::list) refuse("a list as the key of a dict");
    if (key.dict() != nullptr) refuse("a dict as the key of a dict");
    budget.step(static_cast<std::int64_t>(entries.size() / 8));
    for (const auto& [name, value] : entries)
        if (equal(name, key, budget)) return &value;
    return nullptr;
}

Value* Namespace::find(std::string_view key) {
    for (auto& [name, value] : entries)
        if (name.text() == key) return &value;
    return nullptr;
}

Bound::Bound(const Arguments& arguments, std::string_view function, std::vector<std::string_view> parameters,
             std::size_t required)
    : function_(function), parameters_(std::move(parameters)), given_(parameters_.size()) {
    if (arguments.positional.size() > parameters_.size())
        refuse(cat("\"", function_, "\" takes ", parameters_.size(), " arguments, not ", arguments.positional.size()));
    for (std::size_t i = 0; i < arguments.positional.size(); ++i) given_[i] = &arguments.positional[i];
    for (const auto& [name, value] : arguments.named) {
        const auto at = std::find(parameters_.begin(), parameters_.end(), name);
        if (at == parameters_.end()) refuse(cat("\"", function_, "\" has no argument \"", name, "\""));
        const Value*& place = given_[static_cast<std::size_t>(at - parameters_.begin())];
        if (place != nullptr) refuse(cat("\"", function_, "\" gets the argument \"", name, "\" twice"));
        place = &value;
    }
    for (std::size_t i = 0; i < required; ++i)
        if (given_[i] == nullptr) refuse(cat("\"", function_, "\" lacks its argument \"", parameters_[i], "\""));
}

const Value& Bound::operator[](std::size_t i) const {
    static const Value missing;
    return given_[i] == nullptr ? missing : *given_[i];
}
const std::string& Bound::text(std::size_t i) const {
    if (!(*this)[i].is_text())
        refuse(cat("the argument ", parameters_[i], " of \"", function_, "\" is ", type_name((*this)[i]), ", not str"));
    return (*this)[i].text();
}
std::int64_t Bound::integer(std::size_t i, std::int64_t otherwise) const {
    if (!has(i)) return otherwise;
    if (!(*this)[i].is_int())
        refuse(cat("the argument ", parameters_[i], " of \"", function_, "\" is ", type_name((*this)[i]), ", not int"));
    return (*this)[i].as_int();
}
bool Bound::truth(std::size_t i, bool otherwise) const { return has(i) ? is_true((*this)[i]) : otherwise; }

Value make_text(std::string text, Budget& budget, bool markup) {
    budget.make(text.size() + sizeof(Text));
    return {std::move(text), markup};
}

Value make_list(Values items, Budget& budget, List::Kind kind) {
    budget.make(items.size() * sizeof(Value) + sizeof(List));
    budget.step(static_cast<std::int64_t>(items.size() / 4));
    const int depth = depth_of(items);
    return std::make_shared<const List>(List{kind, std::move(items), depth});
}

Value make_dict(Entries entries, Budget& budget) {
    budget.make(entries.size() * 2 * sizeof(Value) + sizeof(Dict));
    int depth = 0;
    for (const auto& [key, value] : entries) depth = std::max({depth, key.depth(), value.depth()});
    return std::make_shared<const Dict>(Dict{std::move(entries), checked(depth + 1)});
}

Value make_iterator(Values items, Budget& budget) {
    budget.make(items.size() * sizeof(Value) + sizeof(Iterator));
    const int depth = depth_of(items);
    return std::shared_ptr<Object>(std::make_shared<Iterator>(std::move(items), depth));
}

Value from_json(const Json& json, Budget& budget, int depth) {
    checked(depth + 1);
    budget.step();
    switch (json.type()) {
        case Json::value_t::null:
            return None{};
        case Json::value_t::boolean:
            return json.get<bool>();
        case Json::value_t::number_integer:
            return json.get<std::int64_t>();
        case Json::value_t::number_unsigned:
            if (json.get<std::uint64_t>() > INT64_MAX) fail("a whole number of more than 63 bits");
            return json.get<std::int64_t>();
        case Json::value_t::number_float:
            return json.get<double>();
        case Json::value_t::string:
            return make_text(json.get<std::string>(), budget);
        case Json::value_t::array: {
            Values items;
            for (const Json& item : json) items.push_back(from_json(item, budget, depth + 1));
            return make_list(std::move(items), budget);
        }
        case Json::value_t::object: {
            Entries entries;
            for (const auto& [key, item] : json.items())
                entries.emplace_back(make_text(key, budget), from_json(item, budget, depth + 1));
            return make_dict(std::move(entries), budget);
        }
        default:
            return {};
    }
}

bool is_true(const Value& value) {
    if (value.is_undefined() || value.is_none()) return false;
    if (value.is_int()) return value.as_int() != 0;
    if (value.is_real()) return value.as_real() != 0;
    if (value.is_text()) return !value.text().empty();
    if (const List* list = value.list()) return !list->items.empty();
    if (const Dict* dict = value.dict()) return !dict->entries.empty();
    return true;
}

bool equal(const Value& a, const Value& b, Budget& budget) {
    budget.step();
    if (a.is_number() && b.is_number()) return equal_numbers(a, b);
    if (a.data().index() != b.data().index()) return false;
    if (a.is_text()) {
        budget.scan(std::min(a.text().size(), b.text().size()));
        return a.text() == b.text();
    }
    if (const List* left = a.list()) {
        const List* right = b.list();
        if (left == right) return true;
        return left->kind == right->kind &&
               std::equal(left->items.begin(), left->items.end(), right->items.begin(), right->items.end(),
                          [&](const Value& x, const Value& y) { return equal(x, y, budget); });
    }
    if (const Dict* left = a.dict()) {
        const Dict* right = b.dict();
        if (left == right) return true;
        if (left->entries.size() != right->entries.size()) return false;
        return std::all_of(left->entries.begin(), left->entries.end(), [&](const auto& entry) {
            const Value* other = right->find(entry.first, budget);
            return other != nullptr && equal(entry.second, *other, budget);
        });
    }
    if (a.space() != nullptr) return a.space() == b.space();
    if (const Object* left = a.object()) return left == b.object();
    return true;  // none or undefined
}

int compare(const Value& a, const Value& b, Budget& budget) {
    budget.step();
    if (a.is_int() && b.is_int()) return sign(a.as_int(), b.as_int());
    if (a.is_number() && b.is_number()) return sign(a.as_real(), b.as_real());
    if (a.is_text() && b.is_text()) {
        budget.scan(std::min(a.text().size(), b.text().size()));
        return sign(a.text().compare(b.text()), 0);  // bytes of UTF-8 are ordered as code points are
    }
    const List* left = a.list();
    const List* right = b.list();
    if (left == nullptr || right == nullptr || left->kind != right->kind || left->kind > List::Kind::tuple)
        refuse(cat("the comparison of ", type_name(a), " and ", type_name(b)));
    for (std::size_t i = 0; i < std::min(left->items.size(), right->items.size()); ++i)
        if (!equal(left->items[i], right->items[i], budget)) return compare(left->items[i], right->items[i], budget);
    return sign(left->items.size(), right->items.size());
}

std::string type_name(const Value& value) {
    if (value.is_undefined()) return "undefined";
    if (value.is_none()) return "None";
    if (value.is_bool()) return "bool";
    if (value.is_int()) return "int";
    if (value.is_real()) return "float";
    if (value.is_text()) return "str";
    if (value.dict() != nullptr) return "dict";
    if (value.space() != nullptr) return "namespace";
    if (const List* list = value.list()) {
        constexpr std::string_view kNames[] = {"list", "tuple", "range", "dict_keys", "dict_values", "dict_items"};
        return std::string(kNames[static_cast<std::size_t>(list->kind)]);
    }
    constexpr std::string_view kNames[] = {"function", "method", "macro", "loop", "cycler", "joiner", "generator"};
    return std::string(kNames[static_cast<std::size_t>(value.object()->kind)]);
}

Values iterate(const Value& value, Budget& budget) {
    Values items;
    if (value.is_undefined()) return items;
    if (const List* list = value.list()) {
        budget.make(list->items.size() * sizeof(Value));
        budget.step(static_cast<std::int64_t>(list->items.size() / 4));
        return list->items;
    }
    if (const Dict* dict = value.dict()) {
        budget.make(dict->entries.size() * sizeof(Value));
        for (const auto& [key, item] : dict->entries) items.push_back(key);
        return items;
    }
    if (value.is_text()) {
        const std::string& text = value.text();
        budget.walk(text.size());
        for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
            budget.step();
            items.push_back(make_text(text.substr(at, utf8_length(text[at])), budget));
        }
        return items;
    }
    if (Object* object = value.object(); object != nullptr && object->kind == Object::Kind::iterator) {
        auto& iterator = static_cast<Iterator&>(*object);
        items.assign(iterator.items.begin() + static_cast<std::ptrdiff_t>(iterator.at), iterator.items.end());
        iterator.at = iterator.items.size();
        return items;
    }
    refuse(cat("a loop over ", type_name(value)));
}

}  // namespace tdrm::text::jinja
