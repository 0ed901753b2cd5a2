#include "stored_answers.hpp"

#include <algorithm>

#include "tdrm/base/errors.hpp"

namespace tdrm::app {
namespace {

[[noreturn]] void damaged(const std::string& what) {
    throw DataError(cat(what, " don't fit together (made by another program, or damaged). Make the stage again."));
}

/// Offsets of `rows` rows into a dataset of `total` elements.
void check_offsets(const std::string& what, std::span<const std::int64_t> offset, std::size_t rows,
                   std::int64_t total) {
    const bool fits = offset.size() == rows + 1 && offset.front() == 0 && offset.back() == total &&
                      std::is_sorted(offset.begin(), offset.end());
    if (!fits) damaged(what);
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
        end = text.find(separator, begin);
        parts.push_back(text.substr(begin, end == std::string::npos ? end : end - begin));
    }
    return parts;
}

std::vector<std::int32_t> tokens(const store::FileReader& file, const char* name, std::int64_t begin,
                                 std::int64_t end) {
    return file.read_range<std::int32_t>(name, begin, end - begin);
}

}  // namespace

StoredWords::StoredWords(const store::FileReader& file) {
    if (!file.has("vocabulary")) return;
    id_ = file.read<std::int32_t>("vocabulary/id");
    offset_ = file.read<std::int64_t>("vocabulary/text_offset");
    text_ = file.read<std::uint8_t>("vocabulary/text");
    check_offsets("the words of the file", offset_, id_.size(), std::ssize(text_));
}

std::string StoredWords::text(std::span<const std::int32_t> ids) const {
    std::string result;
    for (const std::int32_t id : ids) {
        const auto found = std::lower_bound(id_.begin(), id_.end(), id);
        if (found == id_.end() || *found != id) {
            result += cat(" <", id, ">");
            continue;
        }
        const auto word = static_cast<std::size_t>(found - id_.begin());
        result.append(text_.begin() + offset_[word], text_.begin() + offset_[word + 1]);
    }
    return result;
}

StoredAnswers::StoredAnswers(const std::filesystem::path& path) : file_(path), words_(file_) {
    const auto schema = file_.attribute<std::string>("/", "schema");
    if (schema != "tdrm-trajectories-1" && schema != "tdrm-rollouts-1")
        throw DataError(cat(path.string(), " has the schema ", schema,
                            ", not that of answers (another version wrote it?). Use the program of that version."));
    id_ = file_.read<std::int64_t>("problem/id");
    index_ = file_.read<std::int64_t>("problem/index");
    wanted_ = file_.read_strings("problem/answer");
    prompt_offset_ = file_.read<std::int64_t>("problem/prompt_offset");
    const auto problem = file_.read<std::int32_t>("trajectory/problem");
    outcome_ = file_.read<float>("trajectory/outcome");
    finish_ = file_.read<std::uint8_t>("trajectory/finish");
    reason_ = file_.read<std::uint8_t>("trajectory/verdict_reason");
    given_ = file_.read_strings("trajectory/answer");
    token_offset_ = file_.read<std::int64_t>("trajectory/token_offset");
    step_offset_ = file_.read<std::int64_t>("trajectory/step_offset");
    reasons_ = split(file_.attribute<std::string>("/", "verdict_reasons"), ',');

    const std::size_t problems = id_.size(), answers = problem.size();
    const bool known = problem.empty() || (std::is_sorted(problem.begin(), problem.end()) && problem.front() >= 0 &&
                                           static_cast<std::size_t>(problem.back()) < problems);
    if (!known || index_.size() != problems || wanted_.size() != problems || outcome_.size() != answers ||
        finish_.size() != answers || reason_.size() != answers || given_.size() != answers)
        damaged("the arrays of " + path.string());
    check_offsets("the prompts of " + path.string(), prompt_offset_, problems, file_.size("problem/prompt_token"));
    check_offsets("the tokens of " + path.string(), token_offset_, answers, file_.size("token/id"));
    check_offsets("the steps of " + path.string(), step_offset_, answers, file_.size("step/end"));
    for (std::size_t row = 0; row <= answers; ++row)
        states_.push_back(static_cast<std::size_t>(step_offset_[row]) + row);
    for (std::size_t p = 0, row = 0; p < problems; ++p) {
        const std::size_t begin = row;
        while (row < answers && static_cast<std::size_t>(problem[row]) == p) ++row;
        rows_.emplace_back(begin, row);
    }
}

std::string StoredAnswers::prompt(std::size_t problem) const {
    return words_.text(tokens(file_, "problem/prompt_token", prompt_offset_[problem], prompt_offset_[problem + 1]));
}

std::string StoredAnswers::reason(std::size_t row) const {
    const std::size_t code = reason_[row];
    if (code >= reasons_.size() || reasons_[code].empty()) return cat("reason ", code);
    std::string words = reasons_[code];
    std::replace(words.begin(), words.end(), '_', ' ');
    return words;
}

StoredAnswers::Steps StoredAnswers::steps(std::size_t row) const {
    const auto ids = tokens(file_, "token/id", token_offset_[row], token_offset_[row + 1]);
    const auto ends = tokens(file_, "step/end", step_offset_[row], step_offset_[row + 1]);
    Steps result;
    std::size_t begin = 0;
    for (const std::int32_t end : ends) {
        if (end < static_cast<std::int64_t>(begin) || end > std::ssize(ids)) damaged(cat("the steps of answer ", row));
        const auto next = static_cast<std::size_t>(end);
        result.text.push_back(words_.text(std::span(ids).subspan(begin, next - begin)));
        result.end.push_back(static_cast<std::size_t>(token_offset_[row]) + next);
        begin = next;
    }
    const std::size_t end_token = finish_[row] == 0 && ids.size() > begin ? 1 : 0;
    result.tail = words_.text(std::span(ids).subspan(begin, ids.size() - end_token - begin));
    return result;
}

}  // namespace tdrm::app
