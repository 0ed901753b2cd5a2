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

    /// x is [T, heads, H]; pairs (i, i + H/2) turn by position * theta^(-2i/H).
    at::Tensor rotate(const at::Tensor& x) const {
        const auto T = x.size(0);
        const auto H = x.size(2);
        const auto inverse = at::pow(model_.spec().rope_theta, -at::arange(0, H, 2, at::kDouble) / static_cast<double>(H));
        const auto angle = at::arange(T, at::kDouble).unsqueeze(1) * inverse.unsqueeze(0);
        const auto cosine = at::cat({angle.cos(), angle.cos()}, 1).unsqueeze(1);
        const auto sine = at::cat({angle.sin(), angle.sin()}, 1).unsqueeze(1);
        const auto half = at::cat({-x.narrow(2, H / 2, H / 2), x.narrow(2, 0, H / 2)}, 2);
        return x * cosine + half * sine;
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
            const auto q = rotate(y.matmul(weight("self_attn.q_proj").t()).view({T, s.heads, s.head_dim}));
            const auto repeat = s.heads / s.kv_heads;
            const auto k = rotate(y.matmul(weight("self_attn.k_proj").t()).view({T, s.kv_heads, s.head_dim}))
                               .repeat_interleave(repeat, 1);
            const auto v =
                y.matmul(weight("self_attn.v_proj").t()).view({T, s.kv_heads, s.head_dim}).repeat_interleave(repeat, 1);
            auto scores = at::einsum("tnh,snh->nts", {q, k}) / std::sqrt(static_cast<double>(s.head_dim));
            scores = scores.masked_fill(at::ones({T, T}, at::kBool).triu(1), -INFINITY);
            const auto mixed = at::einsum("nts,snh->tnh", {at::softmax(scores, -1), v}).reshape({T, s.query_width()});
            x = x + mixed.matmul(weight("self_attn.o_proj").t());
            const auto z = norm(x, weight("post_attention_layernorm"));
            const auto inner = at::silu(z.matmul(weight("mlp.gate_proj").t())) * z.matmul(weight("mlp.up_proj").t());
            x = x + inner.matmul(weight("mlp.down_proj").t());
        }
        return norm(x, parameter("model.norm.weight"));
    }

    const Model& model_;
    at::Tensor flat_;
};

}  // namespace tdrm::model
