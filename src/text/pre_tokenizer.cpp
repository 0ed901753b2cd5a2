#include "pre_tokenizer.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "regex.hpp"
#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text {
namespace {

using nlohmann::json;
using Span = Words::Span;

constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// What becomes of a delimiter (SplitDelimiterBehavior of the tokenizers library).
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Behavior parse_behavior(const std::string& name) {
    if (name == "Removed") return Behavior::removed;
    if (name == "Isolated") return Behavior::isolated;
    if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
    if (name == "MergedWithNext") return Behavior::merged_with_next;
    if (name == "Contiguous") return Behavior::contiguous;
    throw_unsupported("split behavior", name);
}

/// Collects parts of one word, delimiters and gaps in order, into words.
class Splitter {
public:
    Splitter(Behavior behavior, std::vector<Span>& out) : behavior_(behavior), out_(out) {}

    void add(Span span, bool delimiter) {
        const bool after = any_ && previous_;
        switch (behavior_) {
            case Behavior::removed:
                if (!delimiter) push(span);
                break;
            case Behavior::isolated:
                push(span);
                break;
            case Behavior::contiguous:
                if (any_ && delimiter == previous_) {
                    out_.back().end = span.end;
                } else {
                    push(span);
                }
                break;
            case Behavior::merged_with_previous:
                if (delimiter && any_ && !after) {
                    out_.back().end = span.end;
                } else {
                    push(span);
                }
                break;
            case Behavior::merged_with_next:
                // A delimiter opens a word and takes what follows, unless another delimiter follows.
                if (!delimiter && after) {
                    out_.back().end = span.end;
                } else {
                    push(span);
                }
                break;
        }
        any_ = true;
        previous_ = delimiter;
    }

private:
    void push(Span span) { out_.push_back(span); }

    Behavior behavior_;
    std::vector<Span>& out_;
    bool any_ = false;
    bool previous_ = false;
};

void drop_empty(std::vector<Span>& spans) {
    std::erase_if(spans, [](const Span& span) { return span.begin == span.end; });
}

/// Replaces every word by the parts that `cut(word, splitter, offset)` reports.
template <class Cut>
void split_words(Words& words, Behavior behavior, Cut&& cut) {
    std::vector<Span> parts;
    parts.reserve(words.spans.size() * 4 + words.text.size() / 4);
    for (const Span& span : words.spans) {
        Splitter splitter(behavior, parts);
        cut(words.word(span), splitter, span.begin);
    }
    drop_empty(parts);
    words.spans = std::move(parts);
}

void split_by_regex(Words& words, const Regex& regex, Behavior behavior, bool invert) {
    split_words(words, behavior, [&](std::string_view word, Splitter& splitter, std::size_t offset) {
        for_each_match(regex, word, [&](std::size_t begin, std::size_t end, bool match) {
            splitter.add({offset + begin, offset + end}, match != invert);
        });
    });
}

/// Each character with `is_delimiter` is a delimiter of its own.
template <class Predicate>
void split_by_character(Words& words, Behavior behavior, Predicate&& is_delimiter) {
    split_words(words, behavior, [&](std::string_view word, Splitter& splitter, std::size_t offset) {
        std::size_t gap = 0;
        for (std::size_t at = 0; at < word.size();) {
            const std::size_t next = at + utf8_length(word[at]);
            if (is_delimiter(code_point_at(word, at))) {
                if (gap != at) splitter.add({offset + gap, offset + at}, false);
                splitter.add({offset + at, offset + next}, true);
                gap = next;
            }
            at = next;
        }
        if (gap != word.size()) splitter.add({offset + gap, offset + word.size()}, false);
    });
}

/// Rewrites each word by `append(word, text, first)`, which appends the new word to a new text.
template <class Append>
void rewrite_words(Words& words, Append&& append) {
    std::string text;
    text.reserve(words.text.size() * 3 / 2 + 8);
    for (Span& span : words.spans) {
        const std::size_t begin = text.size();
        append(words.word(span), text, words.at_start && span.begin == 0);
        span = {begin, text.size()};
    }
    words.text = std::move(text);
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    if (from.empty()) return;
    std::string result;
    std::size_t at = 0;
    for (std::size_t hit; (hit = text.find(from, at)) != std::string::npos; at = hit + from.size()) {
        result.append(text, at, hit - at).append(to);
    }
    if (at == 0) return;
    text = std::move(result.append(text, at));
}

std::shared_ptr<Regex> parse_pattern(const json& pattern) {
    if (pattern.contains("Regex")) return std::make_shared<Regex>(pattern.at("Regex").get<std::string>());
    if (pattern.contains("String")) {
        return std::make_shared<Regex>(Regex::literal(pattern.at("String").get<std::string>()));
    }
    throw_unsupported("pattern", pattern.type_name());
}

std::array<std::string, 256> make_byte_symbols() {
    std::array<std::string, 256> symbols;
    char32_t next = 256;
    for (unsigned byte = 0; byte < 256; ++byte) {
        const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
        append_utf8(symbols[byte], printable ? byte : next++);
    }
    return symbols;
}
const std::array<std::string, 256> kByteSymbols = make_byte_symbols();

std::array<std::int16_t, 512> make_symbol_bytes() {
    std::array<std::int16_t, 512> bytes;
    bytes.fill(-1);
    for (unsigned byte = 0; byte < 256; ++byte) {
        bytes[code_point_at(kByteSymbols[byte], 0)] = static_cast<std::int16_t>(byte);
    }
    return bytes;
}
const std::array<std::int16_t, 512> kSymbolBytes = make_symbol_bytes();

PreTokenizer make_byte_level(const json& config) {
    const bool prefix = config.value("add_prefix_space", true);
    const auto regex = config.value("use_regex", true) ? std::make_shared<Regex>(kGpt2Pattern) : nullptr;
    return [prefix, regex](Words& words) {
        if (prefix) {
            rewrite_words(words, [](std::string_view word, std::string& text, bool) {
                if (!word.starts_with(' ')) text += ' ';
                text += word;
            });
        }
        if (regex) split_by_regex(words, *regex, Behavior::isolated, false);
        rewrite_words(words, [](std::string_view word, std::string& text, bool) {
            for (const char c : word) text += byte_symbol(static_cast<unsigned char>(c));
        });
    };
}

PreTokenizer make_metaspace(const json& config) {
    const auto replacement = config.value("replacement", std::string("\xE2\x96\x81"));
    auto scheme =
        config.value("prepend_scheme", std::string(config.value("add_prefix_space", true) ? "always" : "never"));
    if (scheme != "always" && scheme != "first" && scheme != "never") throw_unsupported("prepend_scheme", scheme);
    const bool split = config.value("split", true);
    const char32_t delimiter = code_point_at(replacement, 0);
    return [=](Words& words) {
        rewrite_words(words, [&](std::string_view word, std::string& text, bool first) {
            std::string replaced(word);
            replace_all(replaced, " ", replacement);
            if ((scheme == "always" || (scheme == "first" && first)) && !replaced.starts_with(replacement)) {
                text += replacement;
            }
            text += replaced;
        });
        if (split) {
            split_by_character(words, Behavior::merged_with_next, [=](char32_t code) { return code == delimiter; });
        }
    };
}

/// \w+|[^\w\s]+
void split_words_and_symbols(Words& words) {
    const auto kind = [](char32_t code) { return is_word_character(code) ? 0 : is_space(code) ? 1 : 2; };
    std::vector<Span> parts;
    for (const Span& span : words.spans) {
        int previous = 1;
        for (std::size_t at = span.begin; at < span.end;) {
            const std::size_t next = at + utf8_length(words.text[at]);
            const int current = kind(code_point_at(words.text, at));
            if (current != 1 && current == previous) {
                parts.back().end = next;
            } else if (current != 1) {
                parts.push_back({at, next});
            }
            previous = current;
            at = next;
        }
    }
    words.spans = std::move(parts);
}

PreTokenizer make_sequence(const json& config, int depth) {
    std::vector<PreTokenizer> steps;
    for (const json& step : config.at("pretokenizers")) steps.push_back(make_pre_tokenizer(step, depth + 1));
    return [steps = std::move(steps)](Words& words) {
        for (const PreTokenizer& step : steps) step(words);
    };
}

Normalizer make_replace(const json& config) {
    const auto content = config.at("content").get<std::string>();
    const json& pattern = config.at("pattern");
    if (pattern.contains("String")) {
        return [from = pattern.at("String").get<std::string>(), content](std::string text) {
            replace_all(text, from, content);
            return text;
        };
    }
    return [regex = parse_pattern(pattern), content](const std::string& text) {
        std::string result;
        for_each_match(*regex, text, [&](std::size_t begin, std::size_t end, bool match) {
            result += match ? content : text.substr(begin, end - begin);
        });
        return result;
    };
}

Normalizer make_normalizer_sequence(const json& config, int depth) {
    std::vector<Normalizer> steps;
    for (const json& step : config.at("normalizers")) steps.push_back(make_normalizer(step, depth + 1));
    return [steps = std::move(steps)](std::string text) {
        for (const Normalizer& step : steps) text = step(std::move(text));
        return text;
    };
}

Normalizer make_form(NormalForm form) {
    return [form](const std::string& text) { return normalize(text, form); };
}

}  // namespace

void check_sequence_depth(int depth) {
    constexpr int kMost = 16;
    if (depth > kMost)
        throw DataError(cat("tokenizer.json nests sequences more than ", kMost,
                            " deep (no real file does). Use the tokenizer.json of the model."));
}

void throw_unsupported(std::string_view stage, std::string_view component) {
    throw DataError(cat("tokenizer.json uses the ", stage, " \"", shortened(component),
                        "\", which tdrm doesn't know (the token ids would differ). "
                        "docs/tokenizers.md lists the supported components."));
}

std::string_view byte_symbol(unsigned char byte) { return kByteSymbols[byte]; }
int symbol_byte(char32_t code) { return code < kSymbolBytes.size() ? kSymbolBytes[code] : -1; }

Normalizer make_normalizer(const json& config, int depth) {
    check_sequence_depth(depth);
    if (config.is_null()) return [](std::string text) { return text; };
    const auto type = config.at("type").get<std::string>();
    if (type == "Sequence") return make_normalizer_sequence(config, depth);
    if (type == "NFC") return make_form(NormalForm::nfc);
    if (type == "NFD") return make_form(NormalForm::nfd);
    if (type == "NFKC") return make_form(NormalForm::nfkc);
    if (type == "NFKD") return make_form(NormalForm::nfkd);
    if (type == "Replace") return make_replace(config);
    if (type == "Prepend") {
        return [prefix = config.at("prepend").get<std::string>()](const std::string& text) {
            return text.empty() ? text : prefix + text;
        };
    }
    throw_unsupported("normalizer", type);
}

PreTokenizer make_pre_tokenizer(const json& config, int depth) {
    check_sequence_depth(depth);
    if (config.is_null()) return [](Words&) {};
    const auto type = config.at("type").get<std::string>();
    if (type == "Sequence") return make_sequence(config, depth);
    if (type == "ByteLevel") return make_byte_level(config);
    if (type == "Metaspace") return make_metaspace(config);
    if (type == "Whitespace") return split_words_and_symbols;
    if (type == "Split") {
        return
            [regex = parse_pattern(config.at("pattern")), behavior = parse_behavior(config.at("behavior")),
             invert = config.value("invert", false)](Words& words) { split_by_regex(words, *regex, behavior, invert); };
    }
    if (type == "WhitespaceSplit") {
        return [](Words& words) { split_by_character(words, Behavior::removed, is_space); };
    }
    if (type == "Punctuation") {
        return [behavior = parse_behavior(config.value("behavior", std::string("Isolated")))](Words& words) {
            split_by_character(words, behavior, is_punctuation);
        };
    }
    if (type == "Digits") {
        const bool each = config.value("individual_digits", false);
        return [behavior = each ? Behavior::isolated : Behavior::contiguous](Words& words) {
            split_by_character(words, behavior, is_digit);
        };
    }
    throw_unsupported("pre-tokenizer", type);
}

}  // namespace tdrm::text
