// Tokenizers from tokenizer.json: the same ids as the Hugging Face tokenizers library gives, or an error at loading.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tdrm::text {

struct TokenizerFiles;

/// A byte-pair-encoding tokenizer with all stages of its file: added tokens, normalizer, pre-tokenizer, BPE model,
/// post-processor, decoder. docs/tokenizers.md lists the components. Local; calls from several threads are safe but
/// take turns (a cache of words is shared).
class Tokenizer {
public:
    /// Reads `path`, a tokenizer.json or a folder that holds one; of a folder also the special and added tokens that
    /// stand only in tokenizer_config.json, special_tokens_map.json or added_tokens.json. Truncation and padding
    /// settings of the file are ignored, as transformers does.
    /// @throws IoError if the file can't be read; DataError if it is broken or names an unsupported component.
    [[nodiscard]] static Tokenizer load(const std::filesystem::path& path);
    /// The same from the text of a tokenizer.json; `origin` names it in messages.
    [[nodiscard]] static Tokenizer parse(std::string_view text, std::string_view origin);

    Tokenizer(Tokenizer&&) noexcept;
    Tokenizer& operator=(Tokenizer&&) noexcept;
    ~Tokenizer();

    /// Ids of `text` (UTF-8); with `add_special` also those that the post-processor's template adds (BOS, say).
    /// Added tokens are found in the text itself, special ones too. @throws DataError if `text` isn't valid UTF-8.
    [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text, bool add_special = false) const;

    /// Ids of a text that stands behind a line end, where no tokenizer puts a space in front: those of "\n" + text
    /// without those of "\n". If a token spans the two, encode(text). @throws DataError likewise
    [[nodiscard]] std::vector<std::int32_t> encode_behind(std::string_view text) const;

    /// Text of `ids`, valid UTF-8: each maximal invalid part becomes U+FFFD. Unknown ids are left out, and with
    /// `skip_special` special tokens too.
    [[nodiscard]] std::string decode(std::span<const std::int32_t> ids, bool skip_special = false) const;

    /// What `ids` add to a text behind other tokens, special tokens left out: unlike decode, no space at the begin is
    /// taken away. Valid UTF-8 likewise.
    [[nodiscard]] std::string decode_behind(std::span<const std::int32_t> ids) const;

    /// Id of a token as it is written in the file, e.g. "<|im_end|>".
    [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const;
    /// The bytes that `id` adds to a text when it isn't the first token; "" if unknown. Not always valid UTF-8.
    [[nodiscard]] std::string_view bytes_of(std::int32_t id) const;
    /// Whether a file gives the token an id. If not, it is only named as a special token beside tokenizer.json: the
    /// library gives it the next id, which the model needn't know.
    [[nodiscard]] bool is_given(std::int32_t id) const;
    /// The text of the folder's "eos_token", say; "" if it names none.
    [[nodiscard]] std::string named_token(std::string_view name) const;
    /// Whether decode with `skip_special` leaves `id` out.
    [[nodiscard]] bool is_special(std::int32_t id) const;
    /// One more than the largest id, added tokens included.
    [[nodiscard]] std::int32_t vocab_size() const;
    /// Hash of everything that decides ids and texts; the same for files that differ in layout only.
    [[nodiscard]] const std::string& fingerprint() const;

private:
    struct Impl;
    [[nodiscard]] static Tokenizer make(std::string_view text, std::string_view origin, const TokenizerFiles& files);
    explicit Tokenizer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// What check_tokenizer found.
struct TokenizerReport {
    struct Mismatch {
        std::int64_t line;     ///< 1-based line of the file
        std::string what;      ///< the field: "ids", "decoded" ...
        std::string text;      ///< the line's text
        std::string expected;  ///< ids or text of the file, as JSON
        std::string found;     ///< ids or text of this tokenizer, as JSON
    };
    std::int64_t checked = 0;
    std::vector<Mismatch> mismatches;
};

/// Compares `tokenizer` with the lines {"ids", "text", "decoded", "ids_with_special", "decoded_skip_special"} of a
/// JSONL file: encode(text) must give `ids`, decode(ids) must give `decoded`, and likewise with special tokens added or
/// left out. All but "ids" may be absent, but not both "text" and "decoded". Empty lines are skipped.
/// @throws IoError if the file can't be read; DataError (with the line number) if a line is broken.
[[nodiscard]] TokenizerReport check_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& jsonl);

}  // namespace tdrm::text
