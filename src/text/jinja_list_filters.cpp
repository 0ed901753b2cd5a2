// Filters on lists, dicts and whatever else can be gone through.
#include <algorithm>
#include <unordered_map>

#include "jinja_functions.hpp"
#include "python_text.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::text::jinja {
namespace {

/// The part of `item` at a dotted path ("function.name", "0.x") or at a number.
Value part_at(const Value& item, const Value& path, const Value& otherwise, Budget& budget) {
    if (!path.is_text()) return get_item(item, path, budget);
    Value found = item;
    for (const std::string_view part : python::split_at(path.text(), ".", -1, false)) {
        const bool number =
            !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string_view::npos;
        found = get_item(found, number ? Value(std::int64_t{std::stoll(std::string(part))}) : Value(part), budget);
        if (found.is_undefined() && !otherwise.is_undefined() && !otherwise.is_none()) found = otherwise;
    }
    return found;
}

/// By which sort, unique, min, max and groupby compare.
Value key_of(const Value& item, const Value& attribute, bool case_sensitive, Budget& budget) {
    const bool named = !attribute.is_undefined() && !attribute.is_none();
    return sort_key(named ? part_at(item, attribute, {}, budget) : item, case_sensitive, budget);
}

using Keyed = std::vector<std::pair<Value, Value>>;

void sort_keyed(Keyed& items, bool backwards, Budget& budget) {
    std::stable_sort(items.begin(), items.end(), [&](const auto& a, const auto& b) {
        const int order = compare(a.first, b.first, budget);
        return backwards ? order > 0 : order < 0;
    });
}

Value length(const Value& value, const Arguments&, Budget& budget) {
    if (value.is_undefined()) return std::int64_t{0};
    if (const Dict* dict = value.dict()) return static_cast<std::int64_t>(dict->entries.size());
    if (const List* list = value.list()) return static_cast<std::int64_t>(list->items.size());
    if (!value.is_text()) refuse(cat("the length of ", type_name(value)));
    budget.scan(value.text().size());
    return python::length(value.text());
}

Value first(const Value& value, const Arguments&, Budget& budget) {
    if (value.is_text()) return get_item(value, std::int64_t{0}, budget);
    if (Object* object = value.object(); object != nullptr && object->kind == Object::Kind::iterator) {
        auto& iterator = static_cast<Iterator&>(*object);
        return iterator.at < iterator.items.size() ? iterator.items[iterator.at++] : Value();
    }
    const Values items = iterate(value, budget);
    return items.empty() ? Value() : items.front();
}

Value last(const Value& value, const Arguments&, Budget& budget) {
    if (value.is_text()) return get_item(value, std::int64_t{-1}, budget);
    if (value.object() != nullptr || value.is_undefined()) refuse(cat("the last item of ", type_name(value)));
    const Values items = iterate(value, budget);
    return items.empty() ? Value() : items.back();
}

Value join(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "join", {"d", "attribute"});
    const std::string separator = bound.has(0) ? to_text(bound[0], budget) : "";
    std::string text;
    bool begun = false;
    for (const Value& item : iterate(value, budget)) {
        const std::string part =
            to_text(bound.has(1) && !bound[1].is_none() ? part_at(item, bound[1], {}, budget) : item, budget);
        budget.make(part.size() + separator.size());
        if (begun) text += separator;
        text += part;
        begun = true;
    }
    return text;
}

Value list(const Value& value, const Arguments&, Budget& budget) { return make_list(iterate(value, budget), budget); }

Value items(const Value& value, const Arguments&, Budget& budget) {
    if (value.is_undefined()) return make_iterator({}, budget);
    if (value.dict() == nullptr) refuse(cat("the filter \"items\" of ", type_name(value)));
    return make_iterator(iterate(call_method(value, "items", {}, budget), budget), budget);
}

Value reverse(const Value& value, const Arguments&, Budget& budget) {
    Values items = iterate(value, budget);
    std::reverse(items.begin(), items.end());
    if (value.is_text()) return call_method(Value(""), "join", {{make_list(std::move(items), budget)}, {}}, budget);
    return value.object() != nullptr ? make_list(std::move(items), budget) : make_iterator(std::move(items), budget);
}

Value sort(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "sort", {"reverse", "case_sensitive", "attribute"});
    Keyed keyed;
    for (const Value& item : iterate(value, budget)) {
        Value key;
        if (bound[2].is_text() && bound[2].text().find(',') != std::string::npos) {
            Values parts;
            for (const std::string_view part : python::split_at(bound[2].text(), ",", -1, false))
                parts.push_back(key_of(item, Value(part), bound.truth(1, false), budget));
            key = make_list(std::move(parts), budget);
        } else {
            key = key_of(item, bound[2], bound.truth(1, false), budget);
        }
        keyed.emplace_back(key, item);
    }
    sort_keyed(keyed, bound.truth(0, false), budget);
    Values items;
    for (auto& [key, item] : keyed) items.push_back(std::move(item));
    return make_list(std::move(items), budget);
}

Value dict_sort(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "dictsort", {"case_sensitive", "by", "reverse"});
    const std::string by = bound.has(1) ? bound.text(1) : "key";
    if (value.dict() == nullptr || (by != "key" && by != "value")) refuse("the filter \"dictsort\" of these arguments");
    Keyed keyed;
    for (const auto& [key, item] : value.dict()->entries) {
        keyed.emplace_back(sort_key(by == "key" ? key : item, bound.truth(0, false), budget),
                           make_list({key, item}, budget, List::Kind::tuple));
    }
    sort_keyed(keyed, bound.truth(2, false), budget);
    Values items;
    for (auto& [key, item] : keyed) items.push_back(std::move(item));
    return make_list(std::move(items), budget);
}

Value unique(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "unique", {"case_sensitive", "attribute"});
    Values keys;
    Values kept;
    for (const Value& item : iterate(value, budget)) {
        const Value key = key_of(item, bound[1], bound.truth(0, false), budget);
        if (std::any_of(keys.begin(), keys.end(), [&](const Value& seen) { return equal(seen, key, budget); }))
            continue;
        keys.push_back(key);
        kept.push_back(item);
    }
    return make_iterator(std::move(kept), budget);
}

Value extreme(const Value& value, const Arguments& arguments, int sign, Budget& budget) {
    const Bound bound(arguments, sign < 0 ? "min" : "max", {"case_sensitive", "attribute"});
    Value best;
    Value best_key;
    bool any = false;
    for (const Value& item : iterate(value, budget)) {
        const Value key = key_of(item, bound[1], bound.truth(0, false), budget);
        if (any && compare(key, best_key, budget) * sign <= 0) continue;
        best = item;
        best_key = key;
        any = true;
    }
    return best;
}
Value smallest(const Value& value, const Arguments& arguments, Budget& budget) {
    return extreme(value, arguments, -1, budget);
}
Value largest(const Value& value, const Arguments& arguments, Budget& budget) {
    return extreme(value, arguments, 1, budget);
}

Value sum(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "sum", {"attribute", "start"});
    Value total = bound.has(1) ? bound[1] : Value(std::int64_t{0});
    if (total.is_text()) refuse("the filter \"sum\" of texts");
    for (const Value& item : iterate(value, budget)) {
        budget.step();
        const bool named = bound.has(0) && !bound[0].is_none();
        total = apply_operator("+", total, named ? part_at(item, bound[0], {}, budget) : item, budget);
    }
    return total;
}

Value group_by(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "groupby", {"attribute", "default", "case_sensitive"}, 1);
    Keyed keyed;
    for (const Value& item : iterate(value, budget)) {
        const Value part = part_at(item, bound[0], bound[1], budget);
        keyed.emplace_back(sort_key(part, bound.truth(2, false), budget), item);
    }
    sort_keyed(keyed, false, budget);
    Values groups;
    for (std::size_t i = 0; i < keyed.size();) {
        Values members;
        const std::size_t begin = i;
        for (; i < keyed.size() && equal(keyed[i].first, keyed[begin].first, budget); ++i)
            members.push_back(keyed[i].second);
        const Value name = part_at(members.front(), bound[0], bound[1], budget);
        groups.push_back(make_list({name, make_list(std::move(members), budget)}, budget, List::Kind::tuple));
    }
    return make_list(std::move(groups), budget);
}

std::int64_t positive(const Bound& bound, std::string_view name) {
    const std::int64_t size = bound.integer(0, 0);
    if (size <= 0 || size > 1'000'000) refuse(cat("the filter \"", name, "\" with the size ", size));
    return size;
}

Value batch(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "batch", {"linecount", "fill_with"}, 1);
    const auto size = static_cast<std::size_t>(positive(bound, "batch"));
    Values rows;
    Values row;
    for (const Value& item : iterate(value, budget)) {
        if (row.size() == size) rows.push_back(make_list(std::exchange(row, {}), budget));
        row.push_back(item);
    }
    if (!row.empty() && bound.has(1) && !bound[1].is_none()) {
        budget.make(size * sizeof(Value));
        row.resize(size, bound[1]);
    }
    if (!row.empty()) rows.push_back(make_list(std::move(row), budget));
    return make_iterator(std::move(rows), budget);
}

Value slice(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "slice", {"slices", "fill_with"}, 1);
    const auto slices = static_cast<std::size_t>(positive(bound, "slice"));
    const Values items = iterate(value, budget);
    const std::size_t each = items.size() / slices;
    const std::size_t longer = items.size() % slices;
    Values columns;
    std::size_t at = 0;
    for (std::size_t i = 0; i < slices; ++i) {
        const std::size_t size = each + (i < longer ? 1 : 0);
        Values column(items.begin() + static_cast<std::ptrdiff_t>(at),
                      items.begin() + static_cast<std::ptrdiff_t>(at + size));
        at += size;
        if (bound.has(1) && !bound[1].is_none() && i >= longer) column.push_back(bound[1]);
        columns.push_back(make_list(std::move(column), budget));
    }
    return make_iterator(std::move(columns), budget);
}

/// The arguments behind the first `skip` positional ones.
Arguments rest_of(const Arguments& arguments, std::size_t skip) {
    const auto begin = arguments.positional.begin() + static_cast<std::ptrdiff_t>(skip);
    return {Values(begin, arguments.positional.end()), arguments.named};
}

Value map(const Value& value, const Arguments& arguments, Budget& budget) {
    Values mapped;
    if (!is_true(value)) return make_iterator({}, budget);
    if (arguments.positional.empty()) {
        const Bound bound(arguments, "map", {"attribute", "default"}, 1);
        for (const Value& item : iterate(value, budget)) mapped.push_back(part_at(item, bound[0], bound[1], budget));
        return make_iterator(std::move(mapped), budget);
    }
    if (!arguments.positional[0].is_text()) refuse("the filter \"map\" without the name of a filter");
    const std::string& name = arguments.positional[0].text();
    const Arguments rest = rest_of(arguments, 1);
    for (const Value& item : iterate(value, budget)) {
        budget.step();
        mapped.push_back(apply_filter(name, item, rest, budget));
    }
    return make_iterator(std::move(mapped), budget);
}

/// select, reject, selectattr and rejectattr: items that pass a test, or are true where none is named.
Value chosen(const Value& value, const Arguments& arguments, bool by_attribute, bool wanted, Budget& budget) {
    const std::size_t skip = by_attribute ? 1 : 0;
    if (arguments.positional.size() < skip) refuse("a filter that needs the name of an attribute");
    const bool tested = arguments.positional.size() > skip;
    const Arguments rest = rest_of(arguments, tested ? skip + 1 : skip);
    Values kept;
    if (!is_true(value)) return make_iterator({}, budget);
    for (const Value& item : iterate(value, budget)) {
        budget.step();
        const Value part = by_attribute ? part_at(item, arguments.positional[0], {}, budget) : item;
        bool passes = is_true(part);
        if (tested) {
            const Value& name = arguments.positional[skip];
            if (!name.is_text()) refuse("a filter whose test isn't named by a text");
            passes = apply_test(name.text(), part, rest, budget);
        }
        if (passes == wanted) kept.push_back(item);
    }
    return make_iterator(std::move(kept), budget);
}
Value select(const Value& v, const Arguments& a, Budget& b) { return chosen(v, a, false, true, b); }
Value reject(const Value& v, const Arguments& a, Budget& b) { return chosen(v, a, false, false, b); }
Value select_attribute(const Value& v, const Arguments& a, Budget& b) { return chosen(v, a, true, true, b); }
Value reject_attribute(const Value& v, const Arguments& a, Budget& b) { return chosen(v, a, true, false, b); }

/// Only what Python knows as an attribute, so no entry of a dict.
Value attribute(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "attr", {"name"}, 1);
    if (value.is_undefined()) refuse("a part of an undefined value");
    return has_method(value, bound.text(0)) || value.space() != nullptr ? get_attribute(value, bound.text(0), budget)
                                                                        : Value();
}

const std::unordered_map<std::string_view, Filter> kFilters{{"attr", attribute},
                                                            {"batch", batch},
                                                            {"count", length},
                                                            {"dictsort", dict_sort},
                                                            {"first", first},
                                                            {"groupby", group_by},
                                                            {"items", items},
                                                            {"join", join},
                                                            {"last", last},
                                                            {"length", length},
                                                            {"list", list},
                                                            {"map", map},
                                                            {"max", largest},
                                                            {"min", smallest},
                                                            {"reject", reject},
                                                            {"rejectattr", reject_attribute},
                                                            {"reverse", reverse},
                                                            {"select", select},
                                                            {"selectattr", select_attribute},
                                                            {"slice", slice},
                                                            {"sort", sort},
                                                            {"sum", sum},
                                                            {"unique", unique}};

}  // namespace

Value sort_key(const Value& value, bool case_sensitive, Budget& budget) {
    if (case_sensitive || !value.is_text()) return value;
    budget.walk(value.text().size());
    return make_text(python::change_case(value.text(), python::Case::lower), budget);
}

void sort_by_key(Entries& entries, Budget& budget) { sort_keyed(entries, false, budget); }

Filter find_list_filter(std::string_view name) {
    const auto found = kFilters.find(name);
    return found == kFilters.end() ? nullptr : found->second;
}

Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments, Budget& budget) {
    Filter filter = find_text_filter(name);
    if (filter == nullptr) filter = find_list_filter(name);
    if (filter == nullptr) fail(cat("the filter \"", name, "\""));
    return filter(value, arguments, budget);
}

Value make_range(const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "range", {"start", "stop", "step"}, 1);
    if (!arguments.named.empty()) refuse("\"range\" with named arguments");
    const bool one = !bound.has(1);
    const std::int64_t begin = one ? 0 : bound.integer(0, 0);
    const std::int64_t end = one ? bound.integer(0, 0) : bound.integer(1, 0);
    const std::int64_t step = bound.integer(2, 1);
    if (step == 0) refuse("a range with the step 0");
    const double size = (static_cast<double>(end) - static_cast<double>(begin)) / static_cast<double>(step);
    if (size > 100'000) refuse("a range of more than 100,000 numbers");
    Values numbers;
    budget.make(static_cast<std::size_t>(std::max(size, 0.0)) * sizeof(Value));
    for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
        numbers.push_back(i);
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    budget.step(static_cast<std::int64_t>(numbers.size() / 4));
    return std::make_shared<const List>(List{List::Kind::range, std::move(numbers), 1, begin, end, step});
}

}  // namespace tdrm::text::jinja
