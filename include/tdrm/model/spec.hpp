// What a model is: its sizes and features.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/model/families.hpp"

namespace tdrm {
class Fields;
}

namespace tdrm::model {

/// Formats of stored numbers. The engine computes in f32.
enum class Dtype { f32, bf16, f16 };
/// Their names in options, in transformers' config.json and in safetensors files.
struct DtypeNames {
    Dtype dtype;
    std::string_view option, config, safetensors;
};
inline constexpr std::array kDtypes{DtypeNames{Dtype::f32, "fp32", "float32", "F32"},
                                    DtypeNames{Dtype::bf16, "bf16", "bfloat16", "BF16"},
                                    DtypeNames{Dtype::f16, "fp16", "float16", "F16"}};
[[nodiscard]] constexpr const DtypeNames& names_of(Dtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)]; }

/// What is read off the last hidden state.
enum class Head { language, value };
[[nodiscard]] constexpr auto enum_names(Head) {
    return std::array<std::pair<Head, std::string_view>, 2>{{{Head::language, "language"}, {Head::value, "value"}}};
}

/// How the rotary frequencies are stretched beyond the length that a model was first trained on.
enum class RopeKind { plain, linear, dynamic, llama3, yarn, longrope };
[[nodiscard]] constexpr auto enum_names(RopeKind) {
    return std::array<std::pair<RopeKind, std::string_view>, 6>{{{RopeKind::plain, "default"},
                                                                 {RopeKind::linear, "linear"},
                                                                 {RopeKind::dynamic, "dynamic"},
                                                                 {RopeKind::llama3, "llama3"},
                                                                 {RopeKind::yarn, "yarn"},
                                                                 {RopeKind::longrope, "longrope"}}};
}

/// Numbers of such a stretch; each kind reads its own (formulas: src/model/rotary.cpp).
struct RopeScaling {
    RopeKind kind = RopeKind::plain;
    double factor = 1;              ///< slow frequencies are divided by it
    double low_freq_factor = 1;     ///< llama3: wavelengths above original_positions / low_freq_factor are slow
    double high_freq_factor = 4;    ///< llama3: wavelengths below original_positions / high_freq_factor stay
    int original_positions = 8192;  ///< length that the frequencies were made for
    double beta_fast = 32;          ///< yarn: pairs that turn more often within that length stay
    double beta_slow = 1;           ///< yarn: pairs that turn less often are slow
    bool truncate = true;           ///< yarn: the two bounds are whole pairs
    double magnitude = 1;           ///< yarn, longrope: cosines and sines are multiplied by it
    std::vector<double> short_factors = {};  ///< longrope: divisors of the frequencies up to original_positions
    std::vector<double> long_factors = {};   ///< longrope: beyond

    /// The frequencies depend on a sequence's length if it is above original_positions.
    [[nodiscard]] bool depends_on_length() const { return kind == RopeKind::dynamic || kind == RopeKind::longrope; }
    void fields(Fields& f);
    bool operator==(const RopeScaling&) const = default;
};

/// Shape of a value head. Those that tdrm trains are one row without bias; the others come with models of others.
struct ValueHead {
    std::string name = "score";  ///< its tensors are name.weight and name.bias
    int labels = 1;              ///< rows of the last matrix; how several become one logit: head_logit (read_out.hpp)
    bool bias = false;           ///< of a head of one matrix
    bool hidden = false;         ///< name.0 (D x D, bias), ReLU, name.2 (labels x D, bias)
    std::vector<double> bins;    ///< value in [0, 1] of each of several labels; empty: the folder doesn't say
    double mean = 0, std = 1;    ///< one label: the logit is (z - mean) / std
    bool operator==(const ValueHead&) const = default;
};

/// A decoder.
struct ModelSpec {
    int vocab = 0;              ///< V, set by the task or tokenizer
    int layers = 4;             ///< L
    int width = 128;            ///< D
    int heads = 4;              ///< N query heads
    int kv_heads = 0;           ///< K key/value heads; 0 = heads
    int head_dim = 0;           ///< H; 0 = width / heads
    int ffn = 0;                ///< F inner width of the feed-forward block; 0 = 8/3 width rounded up to 64
    double rope_theta = 10000;  ///< base of the rotary frequencies
    double norm_eps = 1e-5;     ///< epsilon of RMSNorm
    bool tied = false;          ///< the language head is the embedding
    Head head = Head::language;
    ValueHead value_head;  ///< if head is `value`
    Family family = Family::llama;
    bool qkv_bias = false;     ///< of the q, k and v projections
    bool output_bias = false;  ///< of the attention's output projection
    int rotary_dim = 0;        ///< leading part of a head that turns; 0 = head_dim
    RopeScaling rope_scaling;
    double local_rope_theta = 0;        ///< base in windowed layers, unscaled; 0 = as in the others
    std::vector<int> unrotated_layers;  ///< ascending
    int max_positions = 0;              ///< that the model was made for; 0 = not known. Not a bound of the engine.
    int window = 0;                     ///< tokens that windowed layers look back on, the token's own too; 0 = all
    std::vector<int> global_layers;     ///< that look back on all tokens although there is a window; ascending
    double attention_scale = 0;         ///< of the scores; 0 = 1 / sqrt(head_dim)
    double embedding_scale = 1;         ///< of token vectors
    double residual_scale = 1;          ///< of what each block adds
    double logit_divisor = 1;           ///< of the language head's logits
    double query_growth = 0;            ///< queries times 1 + query_growth ln(1 + floor(position / original_positions))

    /// The options that a user writes under `model:` (sizes; `vocab` and `head` follow from the stage).
    void fields(Fields& f);
    /// All that says what the model is: these, and what its folder said. What a commit keeps.
    void all_fields(Fields& f);

    /// Replaces zeros by their defaults and checks that the sizes fit together.
    /// @throws ConfigError naming every size that doesn't fit
    [[nodiscard]] ModelSpec resolved() const;

    [[nodiscard]] int query_width() const { return heads * head_dim; }
    [[nodiscard]] int kv_width() const { return kv_heads * head_dim; }
    [[nodiscard]] int qkv_width() const { return query_width() + 2 * kv_width(); }
    /// Parameters of the matrices that every token is multiplied with; a head's, which reads some rows only, aside.
    [[nodiscard]] double product_parameters() const {
        return static_cast<double>(layers) * width * (qkv_width() + query_width() + 3.0 * ffn);
    }
    [[nodiscard]] const FamilyRow& features() const { return row_of(family); }
    /// Tokens that a layer looks back on; 0 = all.
    [[nodiscard]] int window_of(int layer) const;
    [[nodiscard]] bool rotates(int layer) const;
    /// Angle per position of each rotary pair, rotary_dim / 2 numbers.
    /// @param length of the sequence; what is up to original_positions is one length @param local in windowed layers
    [[nodiscard]] std::vector<double> rotary_frequencies(int length = 0, bool local = false) const;
    bool operator==(const ModelSpec&) const = default;
};

/// A spec as JSON, by `all_fields`: what commits keep of it. A value head is always of one row there.
[[nodiscard]] nlohmann::json json_of_spec(const ModelSpec& spec);
/// Its inverse, also of what earlier versions wrote. @throws DataError naming what it can't read
[[nodiscard]] ModelSpec spec_of_json(const nlohmann::json& spec);

}  // namespace tdrm::model
