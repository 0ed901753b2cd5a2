// Cuts an answer into reasoning steps, on token ids and while it is being generated.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tdrm/text/tokenizer.hpp"

namespace tdrm::text {

/// What separates two steps.
enum class StepDelimiter {
    blank_line,  ///< "\n\n" (the published choice)
    newline,     ///< "\n"
    numbered,    ///< a line that begins with "2. ", "2) ", "2: " or "Step 2: ", also after # or * of Markdown
};

/// "blank_line", "newline", "numbered". @throws ConfigError for other names.
[[nodiscard]] StepDelimiter parse_step_delimiter(std::string_view name);

struct StepOptions {
    StepDelimiter delimiter = StepDelimiter::blank_line;
    std::int32_t max_step_tokens = 0;  ///< a longer step is ended there; 0: no bound
    std::int32_t max_steps = 0;        ///< later tokens belong to no step; 0: no bound
};

/// Finds step ends in the bytes of the tokens, so that it doesn't matter how the tokenizer fuses delimiters:
/// - a step ends with the token that completes the delimiter (".\n\n" as one token ends the step);
///   numbered: with the token that holds the newline before the marker, known only when the marker is complete;
/// - a delimiter after nothing but white space ends no step: an empty step belongs to the step that follows;
/// - special tokens count as tokens and have no bytes.
/// What follows the last end is no step. Ends grow strictly; each counts tokens from the start of the answer.
class StepSplitter {
public:
    /// `tokenizer` must outlive the splitter.
    StepSplitter(const Tokenizer& tokenizer, const StepOptions& options);

    /// Takes the answer's next token. True if `ends()` grew.
    bool push(std::int32_t id);
    [[nodiscard]] const std::vector<std::int32_t>& ends() const { return ends_; }
    /// Tokens taken so far.
    [[nodiscard]] std::int32_t position() const { return position_; }

private:
    void take_byte(char byte);
    void take_line_byte(char byte);
    void end_step(std::int32_t end);
    [[nodiscard]] std::int32_t last_end() const { return ends_.empty() ? 0 : ends_.back(); }

    const Tokenizer* tokenizer_;
    StepOptions options_;
    std::vector<std::int32_t> ends_;
    std::int32_t position_ = 0;
    std::int32_t content_ = 0;  ///< position of the last byte that isn't white space
    char previous_ = 0;         ///< byte
    // numbered: the current line
    bool may_be_marker_ = false;
    std::string line_;
    std::int32_t line_position_ = 0;  ///< of the newline before it
    std::int32_t line_content_ = 0;   ///< content_ at that newline
};

/// Ends of all steps of a whole answer.
[[nodiscard]] std::vector<std::int32_t> split_steps(const Tokenizer& tokenizer, std::span<const std::int32_t> ids,
                                                    const StepOptions& options);

}  // namespace tdrm::text
