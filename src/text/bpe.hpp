// The byte-pair-encoding model of tokenizer.json.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tdrm/base/hash.hpp"

namespace tdrm::text {

struct StringHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <class Value>
using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

/// What two neighbouring tokens become, and how early.
struct Merge {
    std::uint32_t rank;
    std::int32_t id;
};

/// (left id, right id) -> Merge: open addressing, because this look-up is the inner loop of encoding.
class MergeTable {
public:
    void reserve(std::size_t count);
    void insert(std::int32_t left, std::int32_t right, Merge merge);
    [[nodiscard]] const Merge* find(std::int32_t left, std::int32_t right) const {
        for (std::size_t at = slot(key(left, right));; at = (at + 1) & mask_) {
            if (slots_[at].key == key(left, right)) return &slots_[at].merge;
            if (slots_[at].key == kEmpty) return nullptr;
        }
    }

private:
    static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
    struct Slot {
        std::uint64_t key = kEmpty;
        Merge merge{};
    };
    static std::uint64_t key(std::int32_t left, std::int32_t right) {
        return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
    }
    [[nodiscard]] std::size_t slot(std::uint64_t k) const {
        return static_cast<std::size_t>((k * 0x9E3779B97F4A7C15ull) >> 32) & mask_;
    }
    std::vector<Slot> slots_{1};
    std::size_t mask_ = 0;
};

/// BPE as the tokenizers library does it: merges by (rank, position) from a heap. Encoding changes the word cache,
/// so calls must take turns.
class Bpe {
public:
    /// From the `model` entry. @throws DataError if it is broken or not supported.
    explicit Bpe(const nlohmann::json& config);

    /// Appends the ids of one word.
    void encode(std::string_view word, std::vector<std::int32_t>& ids);
    [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const;
    [[nodiscard]] const StringMap<std::int32_t>& vocabulary() const { return vocabulary_; }
    /// Adds everything that decides ids.
    void hash_into(Hasher& hasher) const;

private:
    struct Symbol {
        std::int32_t id;
        std::int32_t previous, next;  ///< -1 at the ends
        bool merged_away;
    };
    struct Candidate {
        std::uint32_t rank;
        std::int32_t position;
        std::int32_t id;
    };
    struct CachedWord {
        std::uint32_t begin, size;  ///< in cached_ids_
    };

    void read_vocabulary(const nlohmann::json& vocabulary);
    void read_merges(const nlohmann::json& merges);
    void encode_cached(std::string_view word, std::vector<std::int32_t>& ids);
    void encode_word(std::string_view word, std::vector<std::int32_t>& ids);
    void start_symbols(std::string_view word);
    bool add_bytes(std::string_view character);
    void add_symbol(std::int32_t id);
    void push_candidate(std::int32_t position);
    void merge_symbols();

    StringMap<std::int32_t> vocabulary_;
    MergeTable merges_;
    std::vector<std::int64_t> merge_log_;  ///< ids of all merges in order, for the hash
    std::vector<std::int32_t> byte_ids_;   ///< of <0x00> ... <0xFF>, -1 if absent
    std::vector<std::int32_t> ascii_ids_;
    std::optional<std::int32_t> unknown_;
    bool fuse_unknown_ = false;
    bool byte_fallback_ = false;
    bool ignore_merges_ = false;
    bool cut_at_spaces_ = false;  ///< no merge goes over the start of a "\u2581", so words may be cut there

    std::vector<Symbol> symbols_;
    std::vector<Candidate> heap_;
    StringMap<CachedWord> cache_;
    std::vector<std::int32_t> cached_ids_;
};

}  // namespace tdrm::text
