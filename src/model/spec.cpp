#include "tdrm/model/spec.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/base/options.hpp"

namespace tdrm::model {

void ModelSpec::fields(Fields& f) {
    f("layers", layers, "decoder layers", at_least(1));
    f("width", width, "hidden width", at_least(1));
    f("heads", heads, "query heads", at_least(1));
    f("kv_heads", kv_heads, "key/value heads (grouped-query attention); 0 = heads", at_least(0));
    f("head_dim", head_dim, "width of a head; 0 = width / heads", at_least(0));
    f("ffn", ffn, "inner width of SwiGLU; 0 = 8/3 width, rounded up to a multiple of 64", at_least(0));
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
    if (head_dim == 0 && width % heads != 0) problems += cat(" width ", width, " isn't a multiple of heads ", heads, ";");
    if (spec.heads % spec.kv_heads != 0)
        problems += cat(" heads ", heads, " isn't a multiple of kv_heads ", spec.kv_heads, ";");
    if (spec.head_dim % 2 != 0) problems += cat(" head_dim ", spec.head_dim, " is odd (rotary positions need pairs);");
    if (spec.vocab < 1) problems += " the vocabulary is empty;";
    if (!problems.empty()) throw ConfigError("the model's sizes don't fit together:" + problems + " change `model`.");
    return spec;
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
        layer.input_norm = add(at + "input_layernorm.weight", {s.width});
        layer.qkv = add(at + "self_attn.q_proj.weight", {s.query_width(), s.width});
        add(at + "self_attn.k_proj.weight", {s.kv_width(), s.width});
        add(at + "self_attn.v_proj.weight", {s.kv_width(), s.width});
        layer.output = add(at + "self_attn.o_proj.weight", {s.width, s.query_width()});
        layer.post_norm = add(at + "post_attention_layernorm.weight", {s.width});
        layer.gate_up = add(at + "mlp.gate_proj.weight", {s.ffn, s.width});
        add(at + "mlp.up_proj.weight", {s.ffn, s.width});
        layer.down = add(at + "mlp.down_proj.weight", {s.width, s.ffn});
        layers.push_back(layer);
    }
    final_norm = add("model.norm.weight", {s.width});
    if (s.head == Head::value) {
        head = add("score.weight", {1, s.width});
    } else {
        head = s.tied ? embedding : add("lm_head.weight", {s.vocab, s.width});
    }
}

}  // namespace tdrm::model
