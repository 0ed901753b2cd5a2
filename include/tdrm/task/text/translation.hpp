// A value model with another tokenizer than the policy's: the one place where generated text is encoded again.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "tdrm/task/text/text_format.hpp"

namespace tdrm::task {

/// What a step of a solution is to a value model.
enum class StepForm {
    text,   ///< text behind the prompt
    turns,  ///< a turn of the user, which the assistant answers with a verdict (RLHFlow)
};
[[nodiscard]] constexpr auto enum_names(StepForm) {
    return std::array<std::pair<StepForm, std::string_view>, 2>{{{StepForm::text, "text"}, {StepForm::turns, "turns"}}};
}
/// How the pieces of a text become ids: prompt, steps, tags and tails.
enum class Pieces {
    joined,  ///< as in one text
    alone,   ///< each by itself: TRL's PRMTrainer and Skywork
};
[[nodiscard]] constexpr auto enum_names(Pieces) {
    return std::array<std::pair<Pieces, std::string_view>, 2>{{{Pieces::joined, "joined"}, {Pieces::alone, "alone"}}};
}

struct TranslationOptions {
    TextFormatOptions format;  ///< with StepForm::turns, `prompt` is what stands in the user's first turn before the
                               ///< first step; empty = the question and a space
    StepForm steps = StepForm::text;
    Pieces pieces = Pieces::joined;
    bool trims = false;  ///< steps lose the white space around them: for models that were trained on steps with tags
                         ///< between them, which say themselves what stands between
};

/// What a policy wrote with one tokenizer, in the ids of another format. Local.
class Translation {
public:
    /// @param from the policy's, must outlive the translation
    /// @throws as TextFormat; ConfigError for turns without a chat template, or one that doesn't write contents as they
    /// are
    Translation(const text::Tokenizer& from, const TranslationOptions& to);

    [[nodiscard]] const TextFormat& target() const { return to_; }
    /// The other format's prompt of a question (Task::question_of). Spaces at the end of a prompt belong to the first
    /// step's ids if pieces are joined, as in the ids of one text.
    [[nodiscard]] Tokens prompt(std::string_view question) const;
    /// State k of the result is the text of state k, the first ends[k] ids. What stands between two ends is encoded on
    /// its own, so that a state's ids don't depend on what follows (docs/adr/0030), all but the first as behind another
    /// text. Special tokens have no text, parts that aren't UTF-8 become U+FFFD, and nothing after the last end is
    /// read.
    /// @param ends not decreasing
    [[nodiscard]] AnswerIds answer(TokenSpan ids, std::span<const std::int32_t> ends) const;
    /// Ids of a tag or tail.
    [[nodiscard]] Tokens between(std::string_view text) const;
    /// With StepForm::turns: what stands between a step and the verdict behind it, and between that and the next step,
    /// as the chat template has it.
    [[nodiscard]] const std::string& before_verdict() const { return before_verdict_; }
    [[nodiscard]] const std::string& behind_verdict() const { return behind_verdict_; }

private:
    void find_turns();
    [[nodiscard]] std::string turns(std::string_view first) const;

    const text::Tokenizer* from_;
    TranslationOptions options_;
    std::string lead_;  ///< spaces of the prompt's end
    TextFormat to_;
    std::string before_verdict_, behind_verdict_;
};

}  // namespace tdrm::task
