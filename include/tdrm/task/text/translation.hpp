// A value model with another tokenizer than the policy's: the one place where generated text is encoded again.
#pragma once

#include "tdrm/task/text/text_format.hpp"

namespace tdrm::task {

/// What a policy wrote with one tokenizer, in the ids of another format. Local.
class Translation {
public:
    /// @param from the policy's, must outlive the translation
    /// @param trims steps lose the white space around them: for models that were trained on steps with tags between
    /// them, which say themselves what stands between
    Translation(const text::Tokenizer& from, const TextFormatOptions& to, bool trims = false)
        : from_(&from), to_(to), trims_(trims) {}

    [[nodiscard]] const TextFormat& target() const { return to_; }
    /// The other format's prompt of a question (Task::question_of).
    [[nodiscard]] Tokens prompt(std::string_view question) const { return to_.prompt_ids(question); }
    /// State k of the result is the text of state k, the first ends[k] ids. What stands between two ends is encoded on
    /// its own, so that a state's ids don't depend on what follows (docs/adr/0030), all but the first as behind another
    /// text. Special tokens have no text, parts that aren't UTF-8 become U+FFFD, and nothing after the last end is
    /// read.
    /// @param ends not decreasing
    [[nodiscard]] AnswerIds answer(TokenSpan ids, std::span<const std::int32_t> ends) const;

private:
    const text::Tokenizer* from_;
    TextFormat to_;
    bool trims_;
};

}  // namespace tdrm::task
