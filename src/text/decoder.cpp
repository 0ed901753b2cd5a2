#include "decoder.hpp"

#include <nlohmann/json.hpp>
#include <optional>

#include "pre_tokenizer.hpp"
#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text {
namespace {

using nlohmann::json;
using Tokens = std::vector<std::string>;

std::string same(std::string token) { return token; }

std::string join(const Tokens& tokens, std::string_view separator) {
    std::string text;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (i > 0) text += separator;
        text += tokens[i];
    }
    return text;
}

/// Bytes of a byte-level token; a token with a character that stands for no byte keeps its own.
std::string byte_level_bytes(std::string token) {
    std::string bytes;
    for (std::size_t at = 0; at < token.size(); at += utf8_length(token[at])) {
        const int byte = symbol_byte(code_point_at(token, at));
        if (byte < 0) return token;
        bytes.push_back(static_cast<char>(byte));
    }
    return bytes;
}

Decoder byte_level() {
    return {[](const Tokens& tokens) {
                std::string bytes;
                for (const std::string& token : tokens) bytes += byte_level_bytes(token);
                return Tokens{to_valid_utf8(bytes)};
            },
            byte_level_bytes};
}

/// The byte of "<0x..>".
std::optional<char> fallback_byte(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
    int byte = 0;
    for (const char c : token.substr(3, 2)) {
        const auto digit = std::string_view("0123456789abcdef").find(static_cast<char>(c | 0x20));
        if (digit == std::string_view::npos || c < '0') return std::nullopt;
        byte = byte * 16 + static_cast<int>(digit);
    }
    return static_cast<char>(byte);
}

/// Runs of bytes become text if they are valid UTF-8 as a whole, else one U+FFFD for each byte.
Tokens decode_fallback(const Tokens& tokens) {
    Tokens result;
    std::string run;
    const auto flush = [&] {
        if (run.empty()) return;
        if (!find_invalid_utf8(run)) {
            result.push_back(run);
        } else {
            result.insert(result.end(), run.size(), "\xEF\xBF\xBD");
        }
        run.clear();
    };
    for (const std::string& token : tokens) {
        if (const auto byte = fallback_byte(token)) {
            run.push_back(*byte);
        } else {
            flush();
            result.push_back(token);
        }
    }
    flush();
    return result;
}

Decoder byte_fallback() {
    return {decode_fallback, [](const std::string& token) {
                const auto byte = fallback_byte(token);
                return byte ? std::string(1, *byte) : token;
            }};
}

Decoder replace(const json& config) {
    const Normalizer normalizer = make_normalizer(config);
    return {[normalizer](Tokens tokens) {
                for (std::string& token : tokens) token = normalizer(std::move(token));
                return tokens;
            },
            normalizer};
}

/// Takes up to `start` leading and `stop` trailing characters `content` off each token.
Decoder strip(const json& config) {
    const auto content = config.at("content").get<std::string>();
    const auto start = config.at("start").get<std::size_t>();
    const auto stop = config.at("stop").get<std::size_t>();
    return {[=](Tokens tokens) {
                for (std::string& token : tokens) {
                    for (std::size_t i = 0; i < start && token.starts_with(content); ++i)
                        token.erase(0, content.size());
                    for (std::size_t i = 0; i < stop && token.ends_with(content); ++i) {
                        token.resize(token.size() - content.size());
                    }
                }
                return tokens;
            },
            same};
}

Decoder metaspace(const json& config) {
    const auto mark = config.value("replacement", std::string("\xE2\x96\x81"));
    const bool prepended =
        config.value("prepend_scheme", std::string("always")) != "never" && config.value("add_prefix_space", true);
    const auto bytes = [mark](const std::string& token, std::string_view space) {
        std::string text;
        for (std::size_t at = 0; at < token.size(); at += utf8_length(token[at])) {
            const std::string_view character = std::string_view(token).substr(at, utf8_length(token[at]));
            text += character == mark ? space : character;
        }
        return text;
    };
    return {[=](Tokens tokens) {
                for (std::size_t i = 0; i < tokens.size(); ++i) {
                    tokens[i] = bytes(tokens[i], i == 0 && prepended ? "" : " ");
                }
                return tokens;
            },
            [=](const std::string& token) { return bytes(token, " "); }};
}

Decoder sequence(const json& config, int depth) {
    std::vector<Decoder> steps;
    for (const json& step : config.at("decoders")) steps.push_back(make_decoder(step, depth + 1));
    return {[steps](Tokens tokens) {
                for (const Decoder& step : steps) tokens = step.decode(std::move(tokens));
                return tokens;
            },
            [steps](std::string token) {
                for (const Decoder& step : steps) token = step.bytes(std::move(token));
                return token;
            }};
}

}  // namespace

Decoder make_decoder(const json& config, int depth) {
    check_sequence_depth(depth);
    if (config.is_null()) return {[](const Tokens& tokens) { return Tokens{join(tokens, " ")}; }, same};
    const auto type = config.at("type").get<std::string>();
    if (type == "Sequence") return sequence(config, depth);
    if (type == "ByteLevel") return byte_level();
    if (type == "ByteFallback") return byte_fallback();
    if (type == "Metaspace") return metaspace(config);
    if (type == "Replace") return replace(config);
    if (type == "Strip") return strip(config);
    if (type == "Fuse") return {[](const Tokens& tokens) { return Tokens{join(tokens, "")}; }, same};
    throw_unsupported("decoder", type);
}

}  // namespace tdrm::text
