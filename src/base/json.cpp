#include "tdrm/base/json.hpp"

#include <algorithm>
#include <optional>

#include "tdrm/base/errors.hpp"

namespace tdrm {
namespace {

using nlohmann::json;

/// Position behind a string that begins at `at`.
std::size_t behind_string(std::string_view text, std::size_t at) {
    for (++at; at < text.size() && text[at] != '"'; ++at)
        if (text[at] == '\\') ++at;
    return at + 1;
}

/// What the parser itself doesn't see to, in one pass over the marks outside of strings.
struct Survey {
    std::optional<std::size_t> too_deep;  ///< where the first level too many begins
    bool has_words = false;               ///< NaN or Infinity may be there
};

Survey survey(std::string_view text) {
    Survey found;
    int depth = 0;
    for (std::size_t at = 0; at < text.size();) {
        const char c = text[at];
        if (c == '"') {
            at = behind_string(text, at);
            continue;
        }
        depth += c == '[' || c == '{' ? 1 : c == ']' || c == '}' ? -1 : 0;
        if (depth > kMaxJsonDepth) {
            found.too_deep = at;
            return found;
        }
        found.has_words = found.has_words || c == 'N' || c == 'I';
        ++at;
    }
    return found;
}

/// The text with NaN, Infinity and -Infinity outside of strings replaced by null.
std::string without_nan(std::string_view text) {
    std::string plain;
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = at + 1;
        std::string_view written;
        if (text[at] == '"') {
            end = std::min(behind_string(text, at), text.size());
        } else {
            for (const std::string_view word : {"NaN", "Infinity", "-Infinity"})
                if (text.substr(at).starts_with(word)) {
                    end = at + word.size();
                    written = "null";
                }
        }
        plain += written.empty() ? text.substr(at, end - at) : written;
        at = end;
    }
    return plain;
}

/// "line 3, column 7" of a byte.
std::string place_of(std::string_view text, std::size_t at) {
    const std::string_view before = text.substr(0, std::min(at, text.size()));
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const auto begin = before.rfind('\n');
    return cat("line ", line, ", column ", before.size() - (begin == std::string_view::npos ? 0 : begin + 1) + 1);
}

[[noreturn]] void fail(std::string_view origin, std::string_view text, std::size_t at, std::string_view problem) {
    throw DataError(cat(origin, ": ", place_of(text, at), ": ", problem));
}

template <class Json>
Json parse(std::string_view text, std::string_view origin) {
    const Survey seen = survey(text);
    if (seen.too_deep)
        fail(origin, text, *seen.too_deep,
             cat("JSON of more than ", kMaxJsonDepth,
                 " levels (a walk over it could overflow the stack). Write it flatter."));
    const std::string plain = seen.has_words ? without_nan(text) : std::string();
    if (seen.has_words) text = plain;
    try {
        return Json::parse(text);
    } catch (const json::parse_error& error) {  // its own text may quote half a character
        fail(origin, text, error.byte > 0 ? error.byte - 1 : 0,
             text.empty() ? "the text is empty, which is no JSON. Fetch or write it again."
                          : "this is no JSON (or no UTF-8). Fetch or write it again.");
    } catch (const json::out_of_range&) {
        throw DataError(cat(origin, ": a number is too large for JSON's 64-bit numbers. Correct it."));
    }
}

}  // namespace

json parse_json(std::string_view text, std::string_view origin) { return parse<json>(text, origin); }

nlohmann::ordered_json parse_ordered_json(std::string_view text, std::string_view origin) {
    return parse<nlohmann::ordered_json>(text, origin);
}

json parse_json_or_discard(std::string_view text) {
    try {
        return parse_json(text, "");
    } catch (const DataError&) {
        return json(json::value_t::discarded);
    }
}

json read_json(const std::filesystem::path& path, std::string_view why, std::uint64_t limit) {
    return parse_json(read_file(path, why, limit), path.string());
}

json read_json_if_there(const std::filesystem::path& path, std::string_view why, std::uint64_t limit) {
    return is_there(path) ? read_json(path, why, limit) : json();
}

}  // namespace tdrm
