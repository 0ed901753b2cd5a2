#include "tdrm/task/text/translation.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json_rows.hpp"

namespace tdrm::task {
namespace {

constexpr std::string_view kQuestion = "{question}";
constexpr std::string_view kTurn = "{question} ";  ///< as RLHFlow's prm_evaluate.py joins question and first step
constexpr std::string_view kStep = "TDRMSTEP", kVerdict = "TDRMVERDICT";

/// Takes the spaces at the end of a prompt off it.
std::string take_lead(std::string& prompt) {
    const std::size_t end = prompt.find_last_not_of(' ');
    std::string lead = end == std::string::npos ? "" : prompt.substr(end + 1);
    prompt.resize(prompt.size() - lead.size());
    return lead;
}

/// Turns are written by the chat template, so the format has no plain prompt then.
TextFormatOptions format_of(const TranslationOptions& options) {
    TextFormatOptions format = options.format;
    if (options.steps == StepForm::turns) format.prompt.clear();
    if (options.pieces == Pieces::joined) take_lead(format.prompt);
    return format;
}

}  // namespace

Translation::Translation(const text::Tokenizer& from, const TranslationOptions& to)
    : from_(&from), options_(to), to_(format_of(to)) {
    std::string& prompt = options_.format.prompt;
    if (options_.steps == StepForm::turns && prompt.empty()) prompt = kTurn;
    if (options_.pieces == Pieces::joined) lead_ = take_lead(prompt);
    if (options_.steps == StepForm::turns) find_turns();
}

/// The conversation of two steps and their verdicts, whose first turn begins so.
std::string Translation::turns(std::string_view first) const {
    std::vector<text::ChatMessage> messages;
    if (!options_.format.system.empty()) messages.push_back({"system", options_.format.system});
    messages.push_back({"user", cat(first, kStep)});
    messages.push_back({"assistant", std::string(kVerdict)});
    messages.push_back({"user", std::string(kStep)});
    messages.push_back({"assistant", std::string(kVerdict)});
    return to_.chat()->render(messages, false);
}

void Translation::find_turns() {
    const std::string text = turns("");
    const std::size_t step = text.find(kStep), verdict = text.find(kVerdict, step);
    const std::size_t next = text.find(kStep, verdict), last = text.find(kVerdict, next);
    const bool good = last != std::string::npos && text.find(kStep, last) == std::string::npos;
    if (good) {
        before_verdict_ = text.substr(step + kStep.size(), verdict - step - kStep.size());
        behind_verdict_ = text.substr(verdict + kVerdict.size(), next - verdict - kVerdict.size());
    }
    if (!good || text.substr(next + kStep.size(), last - next - kStep.size()) != before_verdict_)
        throw ConfigError(cat("the chat template of ", options_.format.tokenizer,
                              " doesn't write steps as turns of the user and verdicts as turns of the assistant alike "
                              "(values are read between them). Give prompt, tag and tail as texts."));
}

Tokens Translation::prompt(std::string_view question) const {
    if (options_.steps == StepForm::text) return to_.prompt_ids(question);
    std::string first = options_.format.prompt;
    for (std::size_t at = 0; (at = first.find(kQuestion, at)) != std::string::npos; at += question.size())
        first.replace(at, kQuestion.size(), question);
    std::string text = turns(first);
    // The question may hold the mark, but behind it stands the step's.
    for (int marks = 0; marks < 2; ++marks) text.resize(text.rfind(kStep));
    return to_.tokenizer().encode(text);
}

Tokens Translation::between(std::string_view text) const {
    const text::Tokenizer& to = to_.tokenizer();
    return options_.pieces == Pieces::alone ? to.encode(text) : to.encode_behind(text);
}

AnswerIds Translation::answer(TokenSpan ids, std::span<const std::int32_t> ends) const {
    const text::Tokenizer& to = to_.tokenizer();
    AnswerIds result;
    std::int32_t begin = 0;
    for (const std::int32_t end : ends) {
        const TokenSpan piece = ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
        std::string text = begin == 0 ? from_->decode(piece, true) : from_->decode_behind(piece);
        if (options_.trims) text = rows::trimmed(text);
        const bool first = begin == 0 && end > 0;
        if (first) text.insert(0, lead_);
        const bool alone = options_.pieces == Pieces::alone || (first && lead_.empty());
        const Tokens again = alone ? to.encode(text) : to.encode_behind(text);
        result.ids.insert(result.ids.end(), again.begin(), again.end());
        result.ends.push_back(static_cast<std::int32_t>(result.ids.size()));
        begin = end;
    }
    return result;
}

}  // namespace tdrm::task
