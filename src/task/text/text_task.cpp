#include "tdrm/task/text/text_task.hpp"

#include <algorithm>
#include <unordered_set>

#include "normal_text.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/spelling.hpp"
#include "tdrm/math/verify.hpp"

namespace tdrm::task {

TextTask::TextTask(const TextTaskOptions& options, std::vector<TextSplit> splits, std::vector<std::string> notes)
    : options_(options), format_(options.format), notes_(std::move(notes)) {
    for (TextSplit& split : splits) add(std::move(split));
    for (const Split& split : splits_)
        for (const TextProblem& problem : split.problems)
            if (!by_id_.emplace(problem.id, &problem).second)
                throw DataError(
                    cat(problem.name, " and ", by_id_[problem.id]->name,
                        " have the same problem id (their random numbers would be equal). Rename a file's entry under "
                        "task.files."));
    Hasher hasher;
    hasher.update(cat("text\n", format_.fingerprint(), '\n', static_cast<int>(options_.steps.delimiter), ' ',
                      options_.steps.max_step_tokens, ' ', options_.steps.max_steps, ' ', options_.max_answer_tokens,
                      '\n'));
    for (const Split& split : splits_) {
        hasher.update(cat("split ", split.name, '\n'));
        for (const TextProblem& p : split.problems) {
            hasher.update(
                cat(p.id, '\n', p.question, '\n', p.answer, '\n', p.solution, '\n', p.tolerance.value_or(-1), '\n'));
            for (const auto& message : p.conversation)
                hasher.update(cat(message.role, '\n', message.content, '\n', message.more));
        }
    }
    fingerprint_ = hasher.hex();
}

Tokens TextTask::prompt_of(const TextProblem& problem) const {
    if (problem.conversation.empty()) return prompt_ids(problem.question);
    const Conversation all = format_.conversation(problem.conversation);
    const auto first = std::find(all.learnt.begin(), all.learnt.end(), 1) - all.learnt.begin();
    return {all.ids.begin(), all.ids.begin() + first};
}

void TextTask::add(TextSplit&& from) {
    Split split{std::move(from.name), {}, {}};
    std::int64_t dropped = 0;
    for (TextProblem& problem : from.problems) {
        Tokens prompt = prompt_of(problem);
        const int length = static_cast<int>(prompt.size());
        if (length > options_.max_prompt_tokens) {
            if (options_.too_long == Unusable::drop) {
                ++dropped;
                continue;
            }
            throw DataError(cat(problem.name, " has a prompt of ", length,
                                " tokens, more than max_prompt_tokens = ", options_.max_prompt_tokens,
                                " (it may not fit the model). Raise the limit, or set too_long: drop."));
        }
        longest_prompt_ = std::max(longest_prompt_, length);
        split.prompts.push_back(std::move(prompt));
        split.problems.push_back(std::move(problem));
    }
    if (dropped > 0)
        notes_.push_back(cat(dropped, " of ", from.problems.size(), " problems of the split ", split.name,
                             " have prompts of more than ", options_.max_prompt_tokens, " tokens and are dropped."));
    if (split.problems.empty())
        throw DataError(cat("the split ", split.name,
                            " has no problems left (stages that use it would do nothing). Check its file, "
                            "rows and limits."));
    splits_.push_back(std::move(split));
}

std::string TextTask::token_text(Token token) const {
    if (token < 0) throw DataError(cat("token ", token, " is none (ids begin at 0). The file of tokens is damaged."));
    if (token >= vocab_size()) return "\xEF\xBF\xBD";
    return format_.tokenizer().decode(std::span(&token, 1));
}

std::string TextTask::text(TokenSpan tokens) const {
    for (const Token token : tokens)
        if (token < 0) (void)token_text(token);
    return format_.tokenizer().decode(tokens);
}

std::string TextTask::prompt_form() const {
    return format_.chat() != nullptr ? "chat:" + format_.chat()->fingerprint() : "plain";
}

std::vector<std::string> TextTask::split_names() const {
    std::vector<std::string> names;
    for (const Split& split : splits_) names.push_back(split.name);
    return names;
}

const TextTask::Split& TextTask::find(std::string_view name) const {
    for (const Split& split : splits_)
        if (split.name == name) return split;
    throw ConfigError(
        cat("there is no split \"", name, "\" (a stage names it). ", did_you_mean(std::string(name), split_names())));
}

std::int64_t TextTask::split_size(std::string_view split) const {
    return static_cast<std::int64_t>(find(split).problems.size());
}

std::int64_t TextTask::distinct_problems(std::string_view split) const {
    std::unordered_set<std::string> seen;
    for (const TextProblem& problem : find(split).problems) seen.insert(normal_text(problem.question));
    return static_cast<std::int64_t>(seen.size());
}

Problem TextTask::problem(std::string_view name, std::int64_t index) const {
    const Split& split = find(name);
    if (index < 0 || index >= static_cast<std::int64_t>(split.problems.size()))
        throw DataError(cat("problem ", index, " isn't in the split ", name, " (it has ", split.problems.size(), ")."));
    const auto i = static_cast<std::size_t>(index);
    return {split.problems[i].id, split.prompts[i], split.problems[i].answer};
}

const TextProblem* TextTask::source(std::uint64_t id) const {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
}

Tokens TextTask::demonstration(const Problem& problem, std::uint64_t, std::uint64_t) const {
    const TextProblem* source = this->source(problem.id);
    ensure(source != nullptr, "a demonstration of a problem of this task");
    if (!source->conversation.empty()) {
        const Tokens ids = format_.conversation(source->conversation).ids;
        return {ids.begin() + static_cast<std::ptrdiff_t>(problem.prompt.size()), ids.end()};
    }
    if (source->solution.empty())
        throw DataError(cat(source->name,
                            " has no solution (there is nothing to learn). Name the file's solution field under "
                            "task.files, or use a file that has one."));
    Tokens ids = encode_answer(source->solution);
    ids.push_back(end_token());
    return ids;
}

std::vector<std::uint8_t> TextTask::learnt_tokens(const Problem& problem, std::uint64_t, std::uint64_t) const {
    const TextProblem* source = this->source(problem.id);
    if (source == nullptr || source->conversation.empty()) return {};
    const auto learnt = format_.conversation(source->conversation).learnt;
    return {learnt.begin() + static_cast<std::ptrdiff_t>(problem.prompt.size()), learnt.end()};
}

Verdict TextTask::verdict(const Problem& problem, TokenSpan answer) const {
    const bool ended = !answer.empty() && ends(answer.back());
    const TokenSpan content = ended ? answer.first(answer.size() - 1) : answer;
    Verdict verdict;
    if (std::any_of(content.begin(), content.end(), [this](Token id) { return ends(id); })) {
        verdict.reason = Reason::trailing_tokens;
        return verdict;
    }
    math::VerifyOptions options;
    if (const TextProblem* source = this->source(problem.id)) options.compare.abs_tolerance = source->tolerance;
    const math::Verdict found = math::verify(problem.answer, format_.tokenizer().decode(content, true), options);
    if (ended)
        verdict.answer = found.answer;  // what a cut answer names is a guess, and would vote for what it can't win
    verdict.correct = ended && found.equal;
    verdict.reason = !ended                        ? Reason::truncated
                     : found.equal                 ? Reason::correct
                     : found.reason == "no answer" ? Reason::no_answer
                                                   : Reason::wrong_answer;
    return verdict;
}

bool TextTask::same_answer(std::string_view a, std::string_view b) const { return a == b || math::verify(a, b).equal; }

bool TextTask::ends(Token token) const {
    const Tokens& ends = format_.end_tokens();
    return std::find(ends.begin(), ends.end(), token) != ends.end();
}

std::vector<std::int32_t> TextTask::step_ends(TokenSpan answer) const {
    const auto is_end = [this](Token id) { return ends(id); };
    const auto end = static_cast<std::size_t>(std::find_if(answer.begin(), answer.end(), is_end) - answer.begin());
    const TokenSpan content = answer.first(end);
    auto steps = text::split_steps(format_.tokenizer(), content, options_.steps);
    if (end == answer.size()) return steps;  // cut for length: what follows the last delimiter is no step
    const auto last = static_cast<std::size_t>(steps.empty() ? 0 : steps.back());
    const std::string tail = format_.tokenizer().decode(content.subspan(last), true);
    if (tail.find_first_not_of(" \t\r\n") == std::string::npos) return steps;
    const bool full =
        options_.steps.max_steps > 0 && static_cast<std::int32_t>(steps.size()) >= options_.steps.max_steps;
    if (full) steps.pop_back();
    steps.push_back(static_cast<std::int32_t>(end));
    return steps;
}

namespace {

class TextSteps final : public StepTracker {
public:
    TextSteps(const text::Tokenizer& tokenizer, const text::StepOptions& options) : splitter_(tokenizer, options) {}
    bool push(Token token) override {
        // A numbered step's end is known some tokens late.
        return splitter_.push(token) && splitter_.ends().back() == splitter_.position();
    }
    [[nodiscard]] std::unique_ptr<StepTracker> clone() const override { return std::make_unique<TextSteps>(*this); }

private:
    text::StepSplitter splitter_;
};

}  // namespace

std::unique_ptr<StepTracker> TextTask::track_steps() const {
    return std::make_unique<TextSteps>(*tokenizer(), options_.steps);
}

std::int64_t TextTask::penultimate(TokenSpan answer, std::span<const std::int32_t> step_ends) const {
    const auto steps = static_cast<std::int64_t>(step_ends.size());
    std::int32_t begin = 0;
    for (std::int64_t t = 0; t < steps && steps > 1; ++t) {
        const std::int32_t end = step_ends[static_cast<std::size_t>(t)];
        const std::string step = format_.tokenizer().decode(
            answer.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)), true);
        begin = end;
        for (const std::string_view marker : {"\\boxed", "####", "The answer is"})
            if (step.find(marker) != std::string::npos) return std::max<std::int64_t>(t, 1);
    }
    return steps;
}

}  // namespace tdrm::task
