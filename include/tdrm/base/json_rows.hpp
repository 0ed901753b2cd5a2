// Rows of JSON in a file: JSON lines or one JSON array, plain or gzipped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tdrm::rows {

using Json = nlohmann::json;

/// Where a row stands, for messages: "prm800k.jsonl line 7"; of an array "gsm8k.json row 7", counted from 1.
struct Place {
    std::string file;
    std::string unit = "line";
    std::int64_t number = 0;

    [[nodiscard]] std::string text() const;
};

/// A row that can't be understood. Its message names the place. Callers may count it instead of stopping.
struct BrokenRow : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The bytes of a file, decompressed if it is gzipped.
/// @throws IoError if it can't be read; DataError if the compressed data are damaged or cut, or there is more than 1
/// GiB
[[nodiscard]] std::string read_text(const std::filesystem::path& path);

/// Calls `take` for each line of a file, without its end; `whole` is false for a last one that has none.
/// @throws as read_text; DataError if a line has more than 256 MiB
void for_each_line(const std::filesystem::path& path,
                   const std::function<void(std::string_view line, bool whole)>& take);

/// Calls `row` for each row of a file whose first character is `[` (an array) or not (one JSON value a line; empty
/// lines are skipped). A line that isn't JSON is handed on as a discarded value, so that the caller decides.
/// @throws as read_text and for_each_line; DataError if an array isn't JSON, or the file is Parquet or of another
/// format that isn't text. Lines are read one by one: a file of any length needs the memory of its longest.
void for_each_row(const std::filesystem::path& path,
                  const std::function<void(const Json& row, const Place& place)>& row);

// Members of a row. @throws BrokenRow if one is missing or of another type
[[nodiscard]] const Json& member(const Json& row, const char* name, const Place& place);
[[nodiscard]] std::string text_member(const Json& row, const char* name, const Place& place);
[[nodiscard]] std::vector<std::string> texts_member(const Json& row, const char* name, const Place& place);
/// @throws BrokenRow saying where and what
[[noreturn]] void broken(const Place& place, const std::string& problem);

/// Without white space at both ends.
[[nodiscard]] std::string trimmed(std::string_view text);

}  // namespace tdrm::rows
