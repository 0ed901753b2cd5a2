#include "added_tokens.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text {
namespace {

std::string for_message(std::string_view text) { return nlohmann::json(shortened(text)).dump(); }

}  // namespace

std::vector<AddedToken> read_added_tokens(const nlohmann::json& config) {
    std::vector<AddedToken> tokens;
    if (config.is_null()) return tokens;
    if (!config.is_array()) throw DataError("added_tokens isn't a list (no token can be read). Fix tokenizer.json.");
    constexpr std::size_t kMost = 1 << 18;
    if (config.size() > kMost)
        throw DataError(cat("there are ", config.size(), " added tokens (real files have some thousand, ", kMost,
                            " at most). Fix tokenizer.json."));
    std::unordered_map<std::int32_t, std::size_t> by_id;
    for (const auto& entry : config) {
        AddedToken token{entry.at("id").get<std::int32_t>(), entry.at("content").get<std::string>(),
                         entry.value("single_word", false),  entry.value("lstrip", false),
                         entry.value("rstrip", false),       entry.value("normalized", true),
                         entry.value("special", false)};
        if (token.content.empty()) continue;
        if (token.id < 0 || token.id > INT32_MAX / 2)
            throw DataError(cat("the added token ", for_message(token.content), " has the id ", token.id,
                                " (ids are small and not negative). Fix tokenizer.json."));
        const auto [other, is_new] = by_id.emplace(token.id, tokens.size());
        if (!is_new && tokens[other->second].content != token.content)
            throw DataError(cat("the added tokens ", for_message(tokens[other->second].content), " and ",
                                for_message(token.content), " have one id, ", token.id,
                                " (a model couldn't tell them). Fix tokenizer.json."));
        tokens.push_back(std::move(token));
    }
    return tokens;
}

std::vector<AddedToken> assign_ids(std::vector<AddedToken> in_file, const std::vector<AddedToken>& beside,
                                   const StringMap<std::int32_t>& vocabulary) {
    std::vector<AddedToken> tokens;
    StringMap<std::size_t> place;
    std::unordered_set<std::int32_t> taken;  // of the vocabulary
    for (const auto& [token, id] : vocabulary) taken.insert(id);
    const auto size = static_cast<std::int32_t>(vocabulary.size());
    std::int32_t next = size;
    const auto add = [&](AddedToken token) {
        const auto known = vocabulary.find(token.content);
        if (known != vocabulary.end() && token.id >= 0 && token.id != known->second)
            throw DataError(cat("the added token ", for_message(token.content), " has the id ", token.id,
                                ", the vocabulary gives it ", known->second,
                                " (one of them is wrong). Fix tokenizer.json."));
        if (const auto old = place.find(token.content); old != place.end()) {
            token.id = tokens[old->second].id;
            token.special = token.special || tokens[old->second].special;
            tokens[old->second] = std::move(token);
            return;
        }
        if (known == vocabulary.end() && (taken.contains(token.id) || taken.contains(next)))
            throw DataError(
                cat("the added token ", for_message(token.content), " has the id ",
                    taken.contains(token.id) ? token.id : next,
                    ", which is another token's of the vocabulary (a model couldn't tell them). Fix tokenizer.json."));
        token.only_named = token.only_named && known == vocabulary.end();
        token.id = known != vocabulary.end() ? known->second : next;
        next = std::max(next, std::max(token.id, size - 1) + 1);
        place.emplace(token.content, tokens.size());
        tokens.push_back(std::move(token));
    };
    for (AddedToken& token : in_file) add(std::move(token));
    for (const AddedToken& token : beside) {
        if (token.content.empty() || (token.id < 0 && place.contains(token.content))) continue;
        add(token);
    }
    return tokens;
}

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
    std::erase_if(tokens_, [](const AddedToken& token) { return token.content.empty(); });
    std::stable_sort(tokens_.begin(), tokens_.end(),
                     [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
    const auto same = [](const AddedToken& a, const AddedToken& b) { return a.content == b.content; };
    tokens_.erase(std::unique(tokens_.begin(), tokens_.end(), same), tokens_.end());
    for (std::size_t byte = 0; byte <= 256; ++byte) {
        const auto before = [&](const AddedToken& token) {
            return static_cast<unsigned char>(token.content[0]) < byte;
        };
        first_byte_[byte] =
            static_cast<std::size_t>(std::partition_point(tokens_.begin(), tokens_.end(), before) - tokens_.begin());
    }
}

/// Narrows the tokens that begin as the text does, byte by byte, and remembers the last whole one.
const AddedToken* AddedTokenFinder::match(std::string_view text, std::size_t at) const {
    const auto first = static_cast<unsigned char>(text[at]);
    auto begin = tokens_.begin() + static_cast<std::ptrdiff_t>(first_byte_[first]);
    auto end = tokens_.begin() + static_cast<std::ptrdiff_t>(first_byte_[first + 1u]);
    const AddedToken* found = nullptr;
    for (std::size_t depth = 1; begin != end; ++depth) {
        if (begin->content.size() == depth) found = &*begin++;
        if (begin == end || at + depth == text.size()) break;
        const auto byte = static_cast<unsigned char>(text[at + depth]);
        const auto byte_of = [&](const AddedToken& token) { return static_cast<unsigned char>(token.content[depth]); };
        begin = std::partition_point(begin, end, [&](const AddedToken& token) { return byte_of(token) < byte; });
        end = std::partition_point(begin, end, [&](const AddedToken& token) { return byte_of(token) == byte; });
    }
    return found;
}

std::vector<TextPart> AddedTokenFinder::split(std::string_view text) const {
    std::vector<TextPart> parts;
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.size() && !tokens_.empty();) {
        const AddedToken* token = match(text, at);
        if (token == nullptr) {
            ++at;
            continue;
        }
        std::size_t begin = at;
        std::size_t end = at + token->content.size();
        at = end;
        if (token->single_word) {
            const bool open_left = begin == 0 || !is_word_character(code_point_before(text, begin));
            const bool open_right = end == text.size() || !is_word_character(code_point_at(text, end));
            if (!open_left || !open_right) continue;
        }
        if (token->lstrip) {
            while (begin > done && is_space(code_point_before(text, begin))) {
                do --begin;
                while ((static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80);
            }
        }
        if (token->rstrip) {
            while (end < text.size() && is_space(code_point_at(text, end))) end += utf8_length(text[end]);
        }
        if (done < begin) parts.push_back({text.substr(done, begin - done), -1});
        parts.push_back({text.substr(begin, end - begin), token->id});
        done = end;
    }
    if (done < text.size()) parts.push_back({text.substr(done), -1});
    return parts;
}

}  // namespace tdrm::text
