// The stages that come before the model: normalizers change a text, pre-tokenizers cut it into words.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tdrm::text {

/// A text and the words it is cut into: consecutive, never empty, not always covering the text.
struct Words {
    struct Span {
        std::size_t begin, end;
    };
    std::string text;
    std::vector<Span> spans;
    bool at_start = false;  ///< the text begins where the user's text begins

    [[nodiscard]] std::string_view word(const Span& span) const {
        return std::string_view(text).substr(span.begin, span.end - span.begin);
    }
};

using Normalizer = std::function<std::string(std::string)>;
using PreTokenizer = std::function<void(Words&)>;

/// @throws DataError for sequences in sequences, `depth` of them, that no real file has
void check_sequence_depth(int depth);

/// From the `normalizer` entry of tokenizer.json; null gives the identity. @throws DataError if it isn't supported.
[[nodiscard]] Normalizer make_normalizer(const nlohmann::json& config, int depth = 0);
/// From the `pre_tokenizer` entry; null leaves the text as one word. @throws DataError if it isn't supported.
[[nodiscard]] PreTokenizer make_pre_tokenizer(const nlohmann::json& config, int depth = 0);

/// The error for a component that isn't supported.
[[noreturn]] void throw_unsupported(std::string_view stage, std::string_view component);

/// GPT-2's printable stand-in of each byte, and back (-1 for other characters).
[[nodiscard]] std::string_view byte_symbol(unsigned char byte);
[[nodiscard]] int symbol_byte(char32_t code);

}  // namespace tdrm::text
