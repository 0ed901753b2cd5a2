// Problems from files, and which of them belong to which split.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/task/text/text_task.hpp"

namespace tdrm::task {

/// What part of the answer's field is the gold answer.
enum class GoldIn { field, boxed, hashes };
[[nodiscard]] constexpr auto enum_names(GoldIn) {
    using enum GoldIn;
    return std::array<std::pair<GoldIn, std::string_view>, 3>{{{field, "field"}, {boxed, "boxed"}, {hashes, "hashes"}}};
}

/// A file of problems: JSON lines or one JSON array, plain or gzipped. A "field" is a name, or a path such as
/// messages.0.content; a text with {field} in it is filled with fields (an empty one for null).
struct TextFileOptions {
    std::string path;
    std::string question = "question";  ///< field, or a text with {field}
    std::string answer = "answer";      ///< field; a list is joined by ", "
    GoldIn gold = GoldIn::field;  ///< all of the answer's field, its last \boxed{...}, or what follows its last ####
    std::string solution;         ///< field; of a list the first; empty = no solutions
    std::string tolerance;        ///< field with the absolute tolerance of the answer; empty or null = none
    std::string chat;             ///< field with messages; then there is neither question nor answer
    Unusable incomplete = Unusable::error;  ///< rows with an empty question, answer or solution
    bool strip_notes = false;               ///< removes GSM8K's <<calculator notes>> from solutions

    /// All problems with these options, one sentence each.
    [[nodiscard]] std::vector<std::string> validate() const;
};

/// Which rows of a file a split has. Splits of one file are disjoint: first come those that name their `rows`, then in
/// their order those with a number of `problems`, drawn at random, and those with neither get what is left.
struct TextSplitOptions {
    std::string file;           ///< name of the file's entry
    std::string rows;           ///< "0-99": from, to (included), counted from 0; empty = any
    std::int64_t problems = 0;  ///< how many; 0 = all
};

/// What happens if a problem is in two splits, compared without white space, punctuation and case.
enum class Overlap { warn, drop, error };
[[nodiscard]] constexpr auto enum_names(Overlap) {
    using enum Overlap;
    return std::array<std::pair<Overlap, std::string_view>, 3>{{{warn, "warn"}, {drop, "drop"}, {error, "error"}}};
}

struct TextFilesOptions {
    std::string root = ".";  ///< folder in which relative paths begin
    std::vector<std::pair<std::string, TextFileOptions>> files;
    std::vector<std::pair<std::string, TextSplitOptions>> splits;
    Overlap overlap = Overlap::warn;
};

/// All problems of a file, in its order; ids are made of `name` and the row's number. Local.
/// @param notes appended: how many rows were left out
/// @throws IoError if the file can't be read; DataError, naming the line, for a row that can't be understood: not JSON,
/// a missing or empty field, no gold answer in its place, an empty file
[[nodiscard]] std::vector<TextProblem> read_problems(const std::string& name, const TextFileOptions& options,
                                                     const std::string& root, std::vector<std::string>& notes);

/// Problems that a split asks for by number or rows; nothing if it takes what there is. @throws ConfigError for rows
/// that are no range
[[nodiscard]] std::optional<std::int64_t> asked_size(const std::string& name, const TextSplitOptions& options);

/// The splits, a function of the files, the options and the seed.
/// @param notes appended: what a user should know (problems in two splits)
/// @throws as read_problems; ConfigError for unknown files, rows that aren't there or are in two splits, and more
/// problems than a file has left; DataError for overlaps if they are errors
[[nodiscard]] std::vector<TextSplit> read_splits(const TextFilesOptions& options, std::uint64_t seed,
                                                 std::vector<std::string>& notes);

}  // namespace tdrm::task
