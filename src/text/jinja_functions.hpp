// What templates do with values: operators, attributes, methods, filters and tests. All work is charged to the budget;
// what Python or Jinja refuses is a DataError.
#pragma once

#include <string>
#include <string_view>

#include "jinja_value.hpp"

namespace tdrm::text::jinja {

/// + - * / // % ** and the comparisons; `in` and `not in` likewise.
[[nodiscard]] Value apply_operator(std::string_view op, const Value& left, const Value& right, Budget& budget);
[[nodiscard]] Value negative(const Value& value, bool minus);
[[nodiscard]] bool contains(const Value& container, const Value& element, Budget& budget);

/// value.name and value[key]: undefined if there is no such thing. @throws DataError for parts of undefined values
[[nodiscard]] Value get_attribute(const Value& value, const std::string& name, Budget& budget);
[[nodiscard]] Value get_item(const Value& value, const Value& key, Budget& budget);
/// value[begin:end:step], each undefined or none where it isn't written.
[[nodiscard]] Value get_slice(const Value& value, const Value& begin, const Value& end, const Value& step,
                              Budget& budget);
/// Whether Python's value has a method of this name that templates may call.
[[nodiscard]] bool has_method(const Value& value, std::string_view name);

[[nodiscard]] Value call_method(const Value& object, const std::string& name, const Arguments& arguments,
                                Budget& budget);
/// "..." % values, and "...".format(...).
[[nodiscard]] Value format_percent(const std::string& format, const Value& values, Budget& budget);
[[nodiscard]] Value format_braces(const std::string& format, const Arguments& arguments, Budget& budget);

using Filter = Value (*)(const Value& value, const Arguments& arguments, Budget& budget);
/// Null if there is no filter of this name.
[[nodiscard]] Filter find_text_filter(std::string_view name);
[[nodiscard]] Filter find_list_filter(std::string_view name);
[[nodiscard]] Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments,
                                 Budget& budget);
[[nodiscard]] bool apply_test(const std::string& name, const Value& value, const Arguments& arguments, Budget& budget);

[[nodiscard]] Value to_json(const Value& value, const Arguments& arguments, Budget& budget);
[[nodiscard]] Value escape(const Value& value, Budget& budget);
/// The key by which filters compare: texts in lower case unless `case_sensitive`.
[[nodiscard]] Value sort_key(const Value& value, bool case_sensitive, Budget& budget);
void sort_by_key(Entries& entries, Budget& budget);
/// range(...), as the sandbox bounds it. @throws DataError for more than 100,000 numbers
[[nodiscard]] Value make_range(const Arguments& arguments, Budget& budget);
/// `date` (2024-07-26 or 26 Jul 2024) as strftime writes it. @throws DataError for what isn't a date
[[nodiscard]] std::string format_date(const std::string& date, const std::string& format);

}  // namespace tdrm::text::jinja
