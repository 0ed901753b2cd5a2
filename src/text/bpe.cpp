#include "bpe.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <nlohmann/json.hpp>

#include "pre_tokenizer.hpp"
#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text {
namespace {

using nlohmann::json;

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space
constexpr std::size_t kLongestCachedWord = 64;
constexpr std::size_t kMostCachedIds = 1 << 20;

/// Whether a space mark follows something else inside the token.
bool has_inner_space(std::string_view token) {
    std::size_t at = 0;
    while (token.substr(at).starts_with(kSpaceMark)) at += kSpaceMark.size();
    return token.find(kSpaceMark, at) != std::string_view::npos;
}

void require_absent(const json& config, const char* key) {
    const auto entry = config.find(key);
    if (entry == config.end() || entry->is_null() || *entry == 0.0) return;
    if (entry->is_string() && entry->get_ref<const std::string&>().empty()) return;
    throw_unsupported("model option", cat(key, " = ", entry->dump()));
}

}  // namespace

void MergeTable::reserve(std::size_t count) {
    slots_.assign(std::bit_ceil(count * 2 + 2), Slot{});
    mask_ = slots_.size() - 1;
}

void MergeTable::insert(std::int32_t left, std::int32_t right, Merge merge) {
    std::size_t at = slot(key(left, right));
    while (slots_[at].key != kEmpty && slots_[at].key != key(left, right)) at = (at + 1) & mask_;
    slots_[at] = {key(left, right), merge};
}

Bpe::Bpe(const json& config) {
    const auto type = config.value("type", std::string("BPE"));
    if (type != "BPE") throw_unsupported("model", type);
    for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) require_absent(config, key);
    fuse_unknown_ = config.value("fuse_unk", false);
    byte_fallback_ = config.value("byte_fallback", false);
    ignore_merges_ = config.value("ignore_merges", false);
    read_vocabulary(config.at("vocab"));
    read_merges(config.at("merges"));
    const auto unknown = config.find("unk_token");
    if (unknown != config.end() && unknown->is_string()) {
        unknown_ = id_of(unknown->get_ref<const std::string&>());
        if (!unknown_)
            throw DataError(cat("the unk_token ", unknown->dump(), " isn't in the vocabulary. Fix tokenizer.json."));
    }
    byte_ids_.resize(256);
    constexpr std::string_view kHex = "0123456789ABCDEF";
    for (unsigned byte = 0; byte < 256; ++byte) {
        byte_ids_[byte] = id_of(std::string{'<', '0', 'x', kHex[byte / 16], kHex[byte % 16], '>'}).value_or(-1);
    }
    ascii_ids_.resize(128);
    for (unsigned code = 0; code < 128; ++code) {
        const char c = static_cast<char>(code);
        ascii_ids_[code] = id_of({&c, 1}).value_or(-1);
    }
}

void Bpe::read_vocabulary(const json& vocabulary) {
    vocabulary_.reserve(vocabulary.size());
    for (const auto& [token, id] : vocabulary.items()) {
        const auto value = id.get<std::int64_t>();
        if (value < 0 || value > INT32_MAX / 2) {
            throw DataError(cat("the vocabulary gives token ", json(token).dump(), " the id ", value,
                                " (ids are small and not negative). Fix tokenizer.json."));
        }
        vocabulary_.emplace(token, static_cast<std::int32_t>(value));
    }
}

void Bpe::read_merges(const json& merges) {
    merges_.reserve(merges.size());
    merge_log_.reserve(merges.size() * 2);
    cut_at_spaces_ = id_of(kSpaceMark).has_value() && !ignore_merges_;
    std::uint32_t rank = 0;
    std::string merged;
    for (const json& merge : merges) {
        std::string_view left;
        std::string_view right;
        if (merge.is_string()) {
            const std::string_view line = merge.get_ref<const std::string&>();
            if (line.starts_with("#version")) continue;
            const std::size_t space = line.find(' ');
            if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
                throw DataError(cat("merge ", rank, " is ", merge.dump(), ", not two tokens. Fix tokenizer.json."));
            }
            left = line.substr(0, space);
            right = line.substr(space + 1);
        } else {
            left = merge.at(0).get_ref<const std::string&>();
            right = merge.at(1).get_ref<const std::string&>();
        }
        merged.assign(left).append(right);
        const auto left_id = id_of(left);
        const auto right_id = id_of(right);
        const auto id = id_of(merged);
        if (!left_id || !right_id || !id) {
            throw DataError(cat("merge ", rank, " (", merge.dump(), ") has a part or a result that isn't in the ",
                                "vocabulary. Fix tokenizer.json."));
        }
        merges_.insert(*left_id, *right_id, {rank++, *id});
        merge_log_.push_back(static_cast<std::int64_t>(*left_id) << 32 | *right_id);
        cut_at_spaces_ = cut_at_spaces_ && !has_inner_space(merged);
    }
}

std::optional<std::int32_t> Bpe::id_of(std::string_view token) const {
    const auto entry = vocabulary_.find(token);
    if (entry == vocabulary_.end()) return std::nullopt;
    return entry->second;
}

void Bpe::hash_into(Hasher& hasher) const {
    std::vector<std::pair<std::int32_t, std::string_view>> tokens;
    for (const auto& [token, id] : vocabulary_) tokens.emplace_back(id, token);
    std::sort(tokens.begin(), tokens.end());
    for (const auto& [id, token] : tokens) {
        hasher.update(cat(id, ' ', token.size(), ' '));
        hasher.update(token);
    }
    hasher.update(merge_log_.data(), merge_log_.size() * sizeof merge_log_[0]);
    hasher.update(cat(unknown_.value_or(-1), fuse_unknown_, byte_fallback_, ignore_merges_));
}

void Bpe::encode(std::string_view word, std::vector<std::int32_t>& ids) {
    if (!cut_at_spaces_) return encode_cached(word, ids);
    while (!word.empty()) {
        std::size_t marks = 0;
        while (word.substr(marks).starts_with(kSpaceMark)) marks += kSpaceMark.size();
        const std::size_t end = std::min(word.find(kSpaceMark, marks), word.size());
        encode_cached(word.substr(0, end), ids);
        word.remove_prefix(end);
    }
}

void Bpe::encode_cached(std::string_view word, std::vector<std::int32_t>& ids) {
    if (word.size() > kLongestCachedWord) return encode_word(word, ids);
    auto entry = cache_.find(word);
    if (entry == cache_.end()) {
        if (cached_ids_.size() > kMostCachedIds) {
            cache_.clear();
            cached_ids_.clear();
        }
        const std::size_t begin = cached_ids_.size();
        encode_word(word, cached_ids_);
        entry = cache_
                    .emplace(word, CachedWord{static_cast<std::uint32_t>(begin),
                                              static_cast<std::uint32_t>(cached_ids_.size() - begin)})
                    .first;
    }
    const auto begin = cached_ids_.begin() + entry->second.begin;
    ids.insert(ids.end(), begin, begin + entry->second.size);
}

void Bpe::encode_word(std::string_view word, std::vector<std::int32_t>& ids) {
    if (word.empty()) return;
    if (ignore_merges_) {
        if (const auto id = id_of(word)) {
            ids.push_back(*id);
            return;
        }
    }
    start_symbols(word);
    merge_symbols();
    for (const Symbol& symbol : symbols_) {
        if (!symbol.merged_away) ids.push_back(symbol.id);
    }
}

/// One symbol per character. A pending unknown symbol is written before the next known character, but after the bytes
/// of characters in between: so does the library.
void Bpe::start_symbols(std::string_view word) {
    symbols_.clear();
    bool pending = false;
    for (std::size_t at = 0; at < word.size();) {
        const std::size_t length = utf8_length(word[at]);
        const std::string_view character = word.substr(at, length);
        at += length;
        const std::int32_t id =
            length == 1 ? ascii_ids_[static_cast<unsigned char>(character[0])] : id_of(character).value_or(-1);
        if (id >= 0) {
            if (std::exchange(pending, false)) add_symbol(*unknown_);
            add_symbol(id);
        } else if (!(byte_fallback_ && add_bytes(character)) && unknown_) {
            if (pending && !fuse_unknown_) add_symbol(*unknown_);
            pending = true;
        }
    }
    if (pending) add_symbol(*unknown_);
}

bool Bpe::add_bytes(std::string_view character) {
    const auto id = [this](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
    if (std::any_of(character.begin(), character.end(), [&](char c) { return id(c) < 0; })) return false;
    for (const char c : character) add_symbol(id(c));
    return true;
}

void Bpe::add_symbol(std::int32_t id) {
    const auto position = static_cast<std::int32_t>(symbols_.size());
    if (position > 0) symbols_.back().next = position;
    symbols_.push_back({id, position - 1, -1, false});
}

namespace {
constexpr auto kLater = [](const auto& a, const auto& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
};
}  // namespace

void Bpe::push_candidate(std::int32_t position) {
    const Symbol& left = symbols_[static_cast<std::size_t>(position)];
    const Merge* merge = merges_.find(left.id, symbols_[static_cast<std::size_t>(left.next)].id);
    if (merge == nullptr) return;
    heap_.push_back({merge->rank, position, merge->id});
    std::push_heap(heap_.begin(), heap_.end(), kLater);
}

/// Merges by (rank, position). A stale candidate is dropped unless the pair that is there now gives the same token.
void Bpe::merge_symbols() {
    heap_.clear();
    for (std::size_t i = 0; i + 1 < symbols_.size(); ++i) {
        const Merge* merge = merges_.find(symbols_[i].id, symbols_[i + 1].id);
        if (merge != nullptr) heap_.push_back({merge->rank, static_cast<std::int32_t>(i), merge->id});
    }
    std::make_heap(heap_.begin(), heap_.end(), kLater);
    while (!heap_.empty()) {
        const Candidate top = heap_.front();
        std::pop_heap(heap_.begin(), heap_.end(), kLater);
        heap_.pop_back();
        Symbol& left = symbols_[static_cast<std::size_t>(top.position)];
        if (left.merged_away || left.next < 0) continue;
        Symbol& right = symbols_[static_cast<std::size_t>(left.next)];
        const Merge* merge = merges_.find(left.id, right.id);
        if (merge == nullptr || merge->id != top.id) continue;
        left.id = top.id;
        left.next = right.next;
        right.merged_away = true;
        if (right.next >= 0) symbols_[static_cast<std::size_t>(right.next)].previous = top.position;
        if (left.previous >= 0) push_candidate(left.previous);
        if (left.next >= 0) push_candidate(top.position);
    }
}

}  // namespace tdrm::text
