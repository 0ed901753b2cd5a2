#include "added_tokens.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "unicode.hpp"

namespace tdrm::text {

std::vector<AddedToken> read_added_tokens(const nlohmann::json& config) {
    std::vector<AddedToken> tokens;
    if (config.is_null()) return tokens;
    for (const auto& entry : config) {
        AddedToken token{entry.at("id").get<std::int32_t>(), entry.at("content").get<std::string>(),
                         entry.value("single_word", false),  entry.value("lstrip", false),
                         entry.value("rstrip", false),       entry.value("normalized", true),
                         entry.value("special", false)};
        if (!token.content.empty()) tokens.push_back(std::move(token));
    }
    return tokens;
}

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
    std::erase_if(tokens_, [](const AddedToken& token) { return token.content.empty(); });
    std::stable_sort(tokens_.begin(), tokens_.end(),
                     [](const AddedToken& a, const AddedToken& b) { return a.content.size() > b.content.size(); });
    for (std::uint32_t i = 0; i < tokens_.size(); ++i) {
        by_first_byte_[static_cast<unsigned char>(tokens_[i].content[0])].push_back(i);
    }
}

const AddedToken* AddedTokenFinder::match(std::string_view text, std::size_t at) const {
    for (const std::uint32_t i : by_first_byte_[static_cast<unsigned char>(text[at])]) {
        if (text.substr(at).starts_with(tokens_[i].content)) return &tokens_[i];
    }
    return nullptr;
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
