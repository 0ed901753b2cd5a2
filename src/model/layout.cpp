#include "tdrm/model/layout.hpp"

#include <cmath>

#include "tdrm/base/errors.hpp"

namespace tdrm::model {

std::int64_t TensorInfo::size() const {
    std::int64_t n = 1;
    for (const auto extent : shape) n *= extent;
    return n;
}

namespace {

/// Adds the tensors of a model one behind the other.
class Builder {
public:
    Builder(Layout& layout, const ModelSpec& spec) : layout_(layout), spec_(spec) {}

    std::int64_t add(std::string name, std::vector<std::int64_t> shape) {
        const std::int64_t offset = layout_.size;
        layout_.tensors.push_back({std::move(name), std::move(shape), offset});
        layout_.size += layout_.tensors.back().size();
        return offset;
    }

    /// A norm called `name` behind `at`; none if the name is empty.
    Norm norm(const std::string& at, std::string_view name, int width) {
        if (name.empty()) return {};
        return {add(cat(at, name, ".weight"), {width}), width, static_cast<float>(spec_.norm_eps),
                spec_.features().norms_add_one ? 1.0F : 0.0F};
    }

    void layer(int index);

private:
    void projections(Layer& layer, const std::string& at);

    Layout& layout_;
    const ModelSpec& spec_;
};

/// q, k and v.
void Builder::projections(Layer& layer, const std::string& at) {
    const ModelSpec& s = spec_;
    layer.qkv = {.outputs = s.qkv_width(), .inputs = s.width};
    if (s.features().fused_qkv) {
        layer.qkv.weight = add(at + "self_attn.qkv_proj.weight", {s.qkv_width(), s.width});
        return;
    }
    layer.qkv.weight = add(at + "self_attn.q_proj.weight", {s.query_width(), s.width});
    add(at + "self_attn.k_proj.weight", {s.kv_width(), s.width});
    add(at + "self_attn.v_proj.weight", {s.kv_width(), s.width});
    if (!s.qkv_bias) return;
    layer.qkv.bias = add(at + "self_attn.q_proj.bias", {s.query_width()});
    add(at + "self_attn.k_proj.bias", {s.kv_width()});
    add(at + "self_attn.v_proj.bias", {s.kv_width()});
}

void Builder::layer(int index) {
    const ModelSpec& s = spec_;
    const FamilyRow& family = s.features();
    const std::string at = cat("model.layers.", index, ".");
    Layer layer;
    layer.index = index;
    layer.before_attention = norm(at, family.norms.before_attention, s.width);
    projections(layer, at);
    if (family.qk_norm != QkNorm::none) {
        const bool whole = family.qk_norm == QkNorm::token;
        layer.query_norm = norm(at, "self_attn.q_norm", whole ? s.query_width() : s.head_dim);
        layer.key_norm = norm(at, "self_attn.k_norm", whole ? s.kv_width() : s.head_dim);
    }
    layer.output = {.outputs = s.width, .inputs = s.query_width()};
    layer.output.weight = add(at + "self_attn.o_proj.weight", {s.width, s.query_width()});
    if (s.output_bias) layer.output.bias = add(at + "self_attn.o_proj.bias", {s.width});
    layer.after_attention = norm(at, family.norms.after_attention, s.width);
    layer.before_ffn = norm(at, family.norms.before_ffn, s.width);
    layer.gate_up = {.outputs = 2 * s.ffn, .inputs = s.width};
    if (family.fused_gate_up) {
        layer.gate_up.weight = add(at + "mlp.gate_up_proj.weight", {2 * s.ffn, s.width});
    } else {
        layer.gate_up.weight = add(at + "mlp.gate_proj.weight", {s.ffn, s.width});
        add(at + "mlp.up_proj.weight", {s.ffn, s.width});
    }
    layer.down = {.outputs = s.width, .inputs = s.ffn};
    layer.down.weight = add(at + "mlp.down_proj.weight", {s.width, s.ffn});
    layer.after_ffn = norm(at, family.norms.after_ffn, s.width);
    const int window = s.window_of(index);
    layer.attention = {s.heads, s.kv_heads, s.head_dim, static_cast<float>(s.attention_scale), window};
    layer.turning = !s.rotates(index)                  ? Turning::none
                    : window > 0 && family.layer_ropes ? Turning::local
                                                       : Turning::global;
    layer.activation = family.activation;
    layer.residual_scale = static_cast<float>(s.residual_scale);
    layout_.layers.push_back(layer);
}

}  // namespace

Layout::Layout(const ModelSpec& s) {
    Builder build(*this, s);
    // Every block starts at a multiple of 16 floats (a cache line) where the sizes are multiples of 16.
    embedding = build.add("model.embed_tokens.weight", {s.vocab, s.width});
    for (int l = 0; l < s.layers; ++l) build.layer(l);
    final_norm = build.norm("model.", "norm", s.width);
    if (s.head == Head::value) {
        const ValueHead& h = s.value_head;
        if (h.hidden) {
            head_hidden = build.add(h.name + ".0.weight", {s.width, s.width});
            head_hidden_bias = build.add(h.name + ".0.bias", {s.width});
        }
        const std::string last = h.name + (h.hidden ? ".2." : ".");
        head = build.add(last + "weight", {h.labels, s.width});
        if (h.bias || h.hidden) head_bias = build.add(last + "bias", {h.labels});
    } else {
        head = s.tied ? embedding : build.add("lm_head.weight", {s.vocab, s.width});
    }
}

}  // namespace tdrm::model
