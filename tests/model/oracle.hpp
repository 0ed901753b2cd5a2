// The slow readable twin of the engine: each segment's whole path as a plain causal sequence, in libtorch's autograd.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "tdrm/model/forest.hpp"
#include "tdrm/model/transformer.hpp"

namespace tdrm::model {

class Oracle {
public:
    explicit Oracle(const Model& model) : model_(model) {
        flat_ = at::from_blob(const_cast<float*>(model.values().data()), {model.num_parameters()}, at::kFloat)
                    .to(at::kDouble)
                    .clone();
        flat_.set_requires_grad(true);
    }

    at::Tensor parameter(const std::string& name) const {
        for (const TensorInfo& info : model_.layout().tensors)
            if (info.name == name) return flat_.narrow(0, info.offset, info.size()).view(info.shape);
        throw std::runtime_error("no parameter " + name);
    }
    at::Tensor gradient() const { return flat_.grad(); }

    /// Normed hidden states of all tokens of the forest, TD.
    at::Tensor forward(const Forest& forest) const {
        std::vector<at::Tensor> rows;
        for (std::size_t s = 0; s < forest.segments().size(); ++s) {
            const auto path = path_tokens(forest, static_cast<int>(s));
            const auto length = forest.segments()[s].length;
            rows.push_back(sequence(path).narrow(0, static_cast<std::int64_t>(path.size()) - length, length));
        }
        return at::cat(rows, 0);
    }

    static std::vector<std::int32_t> path_tokens(const Forest& forest, int s) {
        const Segment& segment = forest.segments()[static_cast<std::size_t>(s)];
        std::vector<std::int32_t> path;
        if (segment.parent >= 0) {
            path = path_tokens(forest, segment.parent);
            const auto parent_length = forest.segments()[static_cast<std::size_t>(segment.parent)].length;
            path.resize(path.size() - static_cast<std::size_t>(parent_length - segment.cut));
        }
        for (int i = 0; i < segment.length; ++i)
            path.push_back(forest.tokens()[static_cast<std::size_t>(segment.begin + i)]);
        return path;
    }

private:
    at::Tensor norm(const at::Tensor& x, const at::Tensor& w) const {
        return x * at::rsqrt(x.pow(2).mean(-1, true) + model_.spec().norm_eps) * w;
    }

    /// x is [T, heads, H]; the pairs of its first rotary_dim columns turn by position * frequency.
    at::Tensor rotate(const at::Tensor& x) const {
        const auto T = x.size(0);
        const auto R = static_cast<std::int64_t>(model_.spec().rotary_dim);
        const auto inverse = at::tensor(model_.spec().rotary_frequencies(), at::kDouble);
        const auto angle = at::arange(T, at::kDouble).unsqueeze(1) * inverse.unsqueeze(0);
        const auto c = angle.cos().unsqueeze(1);
        const auto s = angle.sin().unsqueeze(1);
        const auto turning = x.narrow(2, 0, R);
        const auto still = x.narrow(2, R, x.size(2) - R);
        if (model_.spec().features().interleaved_rotary) {
            const auto pairs = turning.reshape({T, x.size(1), R / 2, 2});
            const auto a = pairs.select(3, 0), b = pairs.select(3, 1);
            return at::cat({at::stack({a * c - b * s, b * c + a * s}, 3).reshape(turning.sizes()), still}, 2);
        }
        const auto a = turning.narrow(2, 0, R / 2), b = turning.narrow(2, R / 2, R / 2);
        return at::cat({a * c - b * s, b * c + a * s, still}, 2);
    }

    at::Tensor sequence(const std::vector<std::int32_t>& tokens) const {
        const ModelSpec& s = model_.spec();
        const auto T = static_cast<std::int64_t>(tokens.size());
        const auto ids = at::tensor(std::vector<std::int64_t>(tokens.begin(), tokens.end()));
        auto x = at::embedding(parameter("model.embed_tokens.weight"), ids);
        for (int l = 0; l < s.layers; ++l) {
            const std::string at_layer = "model.layers." + std::to_string(l) + ".";
            const auto weight = [&](const std::string& name) { return parameter(at_layer + name + ".weight"); };
            const auto y = norm(x, weight("input_layernorm"));
            const auto project = [&](const at::Tensor& in, const std::string& name, bool bias) {
                const auto out = in.matmul(weight(name).t());
                return bias ? out + parameter(at_layer + name + ".bias") : out;
            };
            const auto block = [&](const at::Tensor& added, const std::string& name) {
                return (s.family == Family::glm4) ? norm(added, weight(name)) : added;
            };
            const auto q = rotate(project(y, "self_attn.q_proj", s.qkv_bias).view({T, s.heads, s.head_dim}));
            const auto repeat = s.heads / s.kv_heads;
            const auto k = rotate(project(y, "self_attn.k_proj", s.qkv_bias).view({T, s.kv_heads, s.head_dim}))
                               .repeat_interleave(repeat, 1);
            const auto v = project(y, "self_attn.v_proj", s.qkv_bias)
                               .view({T, s.kv_heads, s.head_dim})
                               .repeat_interleave(repeat, 1);
            auto scores = at::einsum("tnh,snh->nts", {q, k}) / std::sqrt(static_cast<double>(s.head_dim));
            scores = scores.masked_fill(at::ones({T, T}, at::kBool).triu(1), -INFINITY);
            const auto mixed = at::einsum("nts,snh->tnh", {at::softmax(scores, -1), v}).reshape({T, s.query_width()});
            x = x + block(project(mixed, "self_attn.o_proj", s.output_bias), "post_self_attn_layernorm");
            const auto z = norm(x, weight("post_attention_layernorm"));
            const bool fused = s.family == Family::glm4;
            const auto gate = fused ? weight("mlp.gate_up_proj").narrow(0, 0, s.ffn) : weight("mlp.gate_proj");
            const auto up = fused ? weight("mlp.gate_up_proj").narrow(0, s.ffn, s.ffn) : weight("mlp.up_proj");
            const auto inner = at::silu(z.matmul(gate.t())) * z.matmul(up.t());
            x = x + block(inner.matmul(weight("mlp.down_proj").t()), "post_mlp_layernorm");
        }
        return norm(x, parameter("model.norm.weight"));
    }

    const Model& model_;
    at::Tensor flat_;
};

}  // namespace tdrm::model
