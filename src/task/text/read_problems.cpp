// Rows of a file as problems.
#include <charconv>
#include <cmath>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/json_rows.hpp"
#include "tdrm/base/text.hpp"
#include "tdrm/math/extract.hpp"
#include "tdrm/task/text/text_files.hpp"

namespace tdrm::task {
namespace {

using rows::Json;
using rows::Place;

/// A member of a row by name or dotted path.
const Json& member_at(const Json& row, const std::string& path, const Place& place) {
    if (row.is_object() && row.contains(path)) return row[path];
    const Json* at = &row;
    for (std::size_t begin = 0; begin <= path.size();) {
        const std::size_t end = std::min(path.find('.', begin), path.size());
        const std::string name = path.substr(begin, end - begin);
        begin = end + 1;
        const bool index = at->is_array() && !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
        if (index && std::stoul(name) < at->size()) {
            at = &(*at)[std::stoul(name)];
        } else if (at->is_object() && at->contains(name)) {
            at = &(*at)[name];
        } else {
            std::string known;
            if (row.is_object())
                for (const auto& [key, unused] : row.items()) known += cat(known.empty() ? "" : ", ", key);
            rows::broken(place,
                         cat("the field \"", path, "\" is missing (the row has ", known.empty() ? "none" : known, ")"));
        }
    }
    return *at;
}

/// Numbers as people write them: 27.0 is 27.
std::string text_of(const Json& value) {
    if (value.is_null()) return "";
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number_float()) {
        const double x = value.get<double>();
        if (x == std::floor(x) && std::abs(x) < 1e15) return std::to_string(static_cast<std::int64_t>(x));
    }
    return value.dump();
}

std::string filled(const std::string& pattern, const Json& row, const Place& place) {
    if (pattern.find('{') == std::string::npos) return rows::trimmed(text_of(member_at(row, pattern, place)));
    std::string text;
    for (std::size_t at = 0; at < pattern.size();) {
        const std::size_t open = std::min(pattern.find('{', at), pattern.size());
        text += pattern.substr(at, open - at);
        const std::size_t close = pattern.find('}', open);
        if (open < pattern.size()) text += text_of(member_at(row, pattern.substr(open + 1, close - open - 1), place));
        at = open < pattern.size() ? close + 1 : open;
    }
    return rows::trimmed(text);
}

std::string joined(const Json& value) {
    if (!value.is_array()) return rows::trimmed(text_of(value));
    std::string text;
    for (const Json& each : value) text += cat(text.empty() ? "" : ", ", rows::trimmed(text_of(each)));
    return text;
}

std::string gold_of(const TextFileOptions& options, const std::string& text, const Place& place) {
    using math::AnswerPlace;
    if (options.gold == GoldIn::field) return text;
    const bool boxed = options.gold == GoldIn::boxed;
    const auto found = math::extract_answer(text, {{boxed ? AnswerPlace::boxed : AnswerPlace::hashes}});
    if (found.place == AnswerPlace::none)
        rows::broken(place, cat("the field \"", options.answer, "\" has no ", boxed ? "\\boxed{...}" : "####",
                                " with an answer"));
    return rows::trimmed(found.text);
}

std::string without_notes(std::string text) {
    for (std::size_t at = 0; (at = text.find("<<", at)) != std::string::npos;) {
        const std::size_t end = text.find(">>", at);
        if (end == std::string::npos) break;
        text.erase(at, end + 2 - at);
    }
    return text;
}

std::optional<double> tolerance_of(const Json& value, const Place& place) {
    const Json& number = value.is_array() && value.size() == 1 ? value[0] : value;
    const std::string text = number.is_number() || number.is_string() || number.is_null()
                                 ? rows::trimmed(number.is_number() ? number.dump() : text_of(number))
                                 : "?";
    if (text.empty()) return std::nullopt;
    double tolerance = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), tolerance);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    if (whole && std::isnan(tolerance)) return std::nullopt;  // Python's way to say that there is none
    if (!whole || !(tolerance >= 0) || std::isinf(tolerance))
        rows::broken(place, cat("the tolerance ", shortened(number.dump()), " isn't a number that is at least 0"));
    return tolerance;
}

std::vector<text::ChatMessage> messages_of(const Json& value, const std::string& field, const Place& place) {
    if (!value.is_array() || value.empty())
        rows::broken(place, cat("the field \"", field, "\" isn't a list of messages"));
    std::vector<text::ChatMessage> messages;
    for (const Json& each : value) {
        messages.push_back({rows::text_member(each, "role", place), rows::text_member(each, "content", place)});
        Json more = each;
        more.erase("role");
        more.erase("content");
        if (!more.empty()) messages.back().more = more.dump();
        const std::string& role = messages.back().role;
        if (role != "system" && role != "user" && role != "assistant")
            rows::broken(place, cat("the role \"", role, "\" isn't system, user or assistant"));
    }
    if (messages.back().role != "assistant")
        rows::broken(place, "the last message isn't the assistant's (nothing to learn there)");
    return messages;
}

/// A row with an empty field; how it is met is the user's choice.
struct IncompleteRow : rows::BrokenRow {
    using BrokenRow::BrokenRow;
};
void require(const std::string& text, std::string_view what, const std::string& field, const Place& place) {
    if (text.empty())
        throw IncompleteRow(cat(place.text(), ": the ", what, " \"", field, "\" is empty (as null and NaN are)"));
}

TextProblem problem_of(const TextFileOptions& options, const Json& row, const Place& place) {
    if (row.is_discarded()) rows::broken(place, "this isn't JSON in UTF-8");
    TextProblem problem;
    if (!options.chat.empty()) {
        problem.conversation = messages_of(member_at(row, options.chat, place), options.chat, place);
        for (const auto& message : problem.conversation)
            if (message.role == "user" && problem.question.empty()) problem.question = message.content;
        return problem;
    }
    problem.question = filled(options.question, row, place);
    const std::string answer = joined(member_at(row, options.answer, place));
    require(problem.question, "question", options.question, place);
    require(answer, "answer", options.answer, place);
    problem.answer = gold_of(options, answer, place);
    if (!options.solution.empty()) {
        const Json& value = member_at(row, options.solution, place);
        problem.solution = rows::trimmed(text_of(value.is_array() && !value.empty() ? value[0] : value));
        if (options.strip_notes) problem.solution = without_notes(problem.solution);
        require(problem.solution, "solution", options.solution, place);
    }
    if (!options.tolerance.empty()) problem.tolerance = tolerance_of(member_at(row, options.tolerance, place), place);
    return problem;
}

}  // namespace

std::vector<std::string> TextFileOptions::validate() const {
    std::vector<std::string> problems;
    if (path.empty()) problems.emplace_back("path: it names no file (there are no problems to read).");
    for (std::size_t at = 0; (at = question.find('{', at)) != std::string::npos;) {
        at = question.find('}', at);
        if (at == std::string::npos) problems.emplace_back("question: a { isn't closed (the field can't be told).");
    }
    return problems;
}

std::vector<TextProblem> read_problems(const std::string& name, const TextFileOptions& options, const std::string& root,
                                       std::vector<std::string>& notes) {
    const std::filesystem::path path = std::filesystem::path(root) / options.path;
    const std::uint64_t first_id = hash64(name) << 32;
    std::vector<TextProblem> problems;
    std::int64_t left_out = 0;
    std::string example;
    try {
        rows::for_each_row(path, [&](const Json& row, const Place& place) {
            try {
                problems.push_back(problem_of(options, row, {path.string(), place.unit, place.number}));
            } catch (const IncompleteRow& error) {
                if (options.incomplete == Unusable::error) throw;
                if (left_out++ == 0) example = error.what();
                return;
            }
            problems.back().name = cat(path.string(), ' ', place.unit, ' ', place.number);
            problems.back().id = first_id | static_cast<std::uint64_t>(place.number);
        });
    } catch (const rows::BrokenRow& error) {
        throw DataError(
            cat(error.what(), " (task.files.", name, " describes the file). Correct the row or the entry."));
    }
    if (left_out > 0)
        notes.push_back(cat(left_out, " rows of task.files.", name, " are left out, ", example, " for one."));
    if (problems.empty())
        throw DataError(cat(path.string(), " is empty (task.files.", name, " has no problems). Fetch it again."));
    return problems;
}

}  // namespace tdrm::task
