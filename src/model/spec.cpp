#include "tdrm/model/spec.hpp"

#include <cmath>
#include <numbers>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/options.hpp"

namespace tdrm::model {
namespace {

constexpr double kMostLayers = 10'000, kWidest = 1 << 20;  // far beyond any model, so that products of sizes fit

}  // namespace

void ModelSpec::fields(Fields& f) {
    f("layers", layers, "decoder layers", between(1, kMostLayers));
    f("width", width, "hidden width", between(1, kWidest));
    f("heads", heads, "query heads", between(1, kWidest));
    f("kv_heads", kv_heads, "key/value heads (grouped-query attention); 0 = heads", between(0, kWidest));
    f("head_dim", head_dim, "width of a head; 0 = width / heads", between(0, kWidest));
    f("ffn", ffn, "inner width of SwiGLU; 0 = 8/3 width, rounded up to a multiple of 64", between(0, kWidest));
    f("rope_theta", rope_theta, "base of the rotary frequencies", at_least(1));
    f("norm_eps", norm_eps, "epsilon of RMSNorm", at_least(0));
    f("tied", tied, "the language head is the embedding");
}

ModelSpec ModelSpec::resolved() const {
    ModelSpec spec = *this;
    if (spec.kv_heads == 0) spec.kv_heads = spec.heads;
    if (spec.head_dim == 0) spec.head_dim = spec.width / spec.heads;
    if (spec.ffn == 0) spec.ffn = (spec.width * 8 / 3 + 63) / 64 * 64;
    std::string problems;
    if (head_dim == 0 && width % heads != 0)
        problems += cat(" width ", width, " isn't a multiple of heads ", heads, ";");
    if (spec.heads % spec.kv_heads != 0)
        problems += cat(" heads ", heads, " isn't a multiple of kv_heads ", spec.kv_heads, ";");
    if (spec.rotary_dim == 0) spec.rotary_dim = spec.head_dim;
    if (spec.head_dim % 4 != 0)
        problems += cat(" head_dim ", spec.head_dim, " is no multiple of 4 (attention takes four numbers at a time);");
    if (spec.rotary_dim % 2 != 0 || spec.rotary_dim < 2 || spec.rotary_dim > spec.head_dim)
        problems += cat(" rotary_dim ", spec.rotary_dim, " isn't an even part of head_dim ", spec.head_dim, ";");
    if (spec.vocab < 1) problems += " the vocabulary is empty;";
    if (!problems.empty()) throw ConfigError("the model's sizes don't fit together:" + problems + " change `model`.");
    return spec;
}

std::vector<double> ModelSpec::rotary_frequencies() const {
    std::vector<double> frequencies;
    for (int i = 0; i < rotary_dim / 2; ++i) {
        double frequency = std::pow(rope_theta, -2.0 * i / rotary_dim);
        const RopeScaling& s = rope_scaling;
        if (s.factor != 1) {
            // Llama 3: fast frequencies stay, slow ones are divided, those between are blended.
            const double turns = s.original_positions * frequency / (2 * std::numbers::pi);
            const double blend = (turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
            if (turns < s.low_freq_factor) {
                frequency /= s.factor;
            } else if (turns <= s.high_freq_factor) {
                frequency = (1 - blend) * frequency / s.factor + blend * frequency;
            }
        }
        frequencies.push_back(frequency);
    }
    return frequencies;
}

std::int64_t TensorInfo::size() const {
    std::int64_t n = 1;
    for (const auto extent : shape) n *= extent;
    return n;
}

Layout::Layout(const ModelSpec& s) {
    const auto add = [this](std::string name, std::vector<std::int64_t> shape) {
        const std::int64_t offset = size;
        tensors.push_back({std::move(name), std::move(shape), offset});
        size += tensors.back().size();
        return offset;
    };
    // Every block starts at a multiple of 16 floats (a cache line) where the sizes are multiples of 16.
    embedding = add("model.embed_tokens.weight", {s.vocab, s.width});
    for (int l = 0; l < s.layers; ++l) {
        const std::string at = cat("model.layers.", l, ".");
        LayerLayout layer{};
        layer.qkv_bias = layer.output_bias = layer.attention_norm = layer.ffn_norm = -1;
        layer.input_norm = add(at + "input_layernorm.weight", {s.width});
        layer.qkv = add(at + "self_attn.q_proj.weight", {s.query_width(), s.width});
        add(at + "self_attn.k_proj.weight", {s.kv_width(), s.width});
        add(at + "self_attn.v_proj.weight", {s.kv_width(), s.width});
        if (s.qkv_bias) {
            layer.qkv_bias = add(at + "self_attn.q_proj.bias", {s.query_width()});
            add(at + "self_attn.k_proj.bias", {s.kv_width()});
            add(at + "self_attn.v_proj.bias", {s.kv_width()});
        }
        layer.output = add(at + "self_attn.o_proj.weight", {s.width, s.query_width()});
        if (s.output_bias) layer.output_bias = add(at + "self_attn.o_proj.bias", {s.width});
        if (s.sandwich_norms()) layer.attention_norm = add(at + "post_self_attn_layernorm.weight", {s.width});
        layer.post_norm = add(at + "post_attention_layernorm.weight", {s.width});
        if (s.family == Family::glm4) {
            layer.gate_up = add(at + "mlp.gate_up_proj.weight", {2 * s.ffn, s.width});
        } else {
            layer.gate_up = add(at + "mlp.gate_proj.weight", {s.ffn, s.width});
            add(at + "mlp.up_proj.weight", {s.ffn, s.width});
        }
        layer.down = add(at + "mlp.down_proj.weight", {s.width, s.ffn});
        if (s.sandwich_norms()) layer.ffn_norm = add(at + "post_mlp_layernorm.weight", {s.width});
        layers.push_back(layer);
    }
    final_norm = add("model.norm.weight", {s.width});
    if (s.head == Head::value) {
        const ValueHead& h = s.value_head;
        if (h.hidden) {
            head_hidden = add(h.name + ".0.weight", {s.width, s.width});
            head_hidden_bias = add(h.name + ".0.bias", {s.width});
        }
        const std::string last = h.name + (h.hidden ? ".2." : ".");
        head = add(last + "weight", {h.labels, s.width});
        if (h.bias || h.hidden) head_bias = add(last + "bias", {h.labels});
    } else {
        head = s.tied ? embedding : add("lm_head.weight", {s.vocab, s.width});
    }
}

}  // namespace tdrm::model
