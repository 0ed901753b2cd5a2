// Where in a solution its answer stands.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tdrm::math {

enum class AnswerPlace {
    none,      ///< no answer found
    tag,       ///< in the last <answer>...</answer>
    boxed,     ///< the last balanced \boxed{...}; several in a row ("\boxed{1} and \boxed{2}") are one list
    hashes,    ///< behind the last "####"
    phrase,    ///< behind the last "the answer is", "Final Answer:", "A:" and their Chinese forms
    whole,     ///< the text is itself an answer
    formula,   ///< the last $...$, \(...\) or \[...\]
    number,    ///< the last number
    sentence,  ///< what one short sentence without any of these says ("The right option is B")
};
[[nodiscard]] const char* to_string(AnswerPlace place);

struct Extraction {
    AnswerPlace place = AnswerPlace::none;
    std::string text;
    bool ambiguous = false;  ///< the last of several formulas in a short text
};

/// Places in the order in which they are tried; the first that is found wins.
struct ExtractOptions {
    std::vector<AnswerPlace> order = {AnswerPlace::tag,    AnswerPlace::boxed,   AnswerPlace::hashes,
                                      AnswerPlace::phrase, AnswerPlace::whole,   AnswerPlace::formula,
                                      AnswerPlace::number, AnswerPlace::sentence};
};

/// The answer of a solution (or of a short text that is one). Text before the last "</think>" counts only if nothing is
/// found behind it. Linear time, no regular expressions. Local.
[[nodiscard]] Extraction extract_answer(std::string_view text, const ExtractOptions& options = {});

}  // namespace tdrm::math
