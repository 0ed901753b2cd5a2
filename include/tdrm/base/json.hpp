// The only way in which JSON is read: bounded in depth, so that whoever walks, copies or prints a value may recur.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tdrm/base/files.hpp"

namespace tdrm {

/// Levels of lists and objects in one text; files of models have some 20.
constexpr int kMaxJsonDepth = 128;

/// One JSON value. A byte order mark before it is skipped; NaN and Infinity, which Python's json writes, are null.
/// @param origin  names the text in messages
/// @throws DataError with line and column if it isn't JSON, or has more than kMaxJsonDepth levels
[[nodiscard]] nlohmann::json parse_json(std::string_view text, std::string_view origin);

/// The same with the members of objects in the order of the text, for files whose order means something.
[[nodiscard]] nlohmann::ordered_json parse_ordered_json(std::string_view text, std::string_view origin);

/// As parse_json, with a discarded value (`is_discarded()`) in the place of an error: for lines that the caller counts
/// or skips.
[[nodiscard]] nlohmann::json parse_json_or_discard(std::string_view text);

/// The JSON of a regular file. @throws as read_file and parse_json
[[nodiscard]] nlohmann::json read_json(const std::filesystem::path& path, std::string_view why = "",
                                       std::uint64_t limit = kMaxTextBytes);

/// The same for a file that may be missing: null if there is none of this name.
[[nodiscard]] nlohmann::json read_json_if_there(const std::filesystem::path& path, std::string_view why = "",
                                                std::uint64_t limit = kMaxTextBytes);

}  // namespace tdrm
