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
    at::Tensor norm(const at::Tensor& x, const std::string& name) const {
        const double add = model_.spec().features().norms_add_one ? 1 : 0;
        return x * at::rsqrt(x.pow(2).mean(-1, true) + model_.spec().norm_eps) * (parameter(name + ".weight") + add);
    }
    /// The norm of that name behind `at`, if the family has it.
    at::Tensor norm_if(const at::Tensor& x, const std::string& at_layer, std::string_view name) const {
        return name.empty() ? x : norm(x, at_layer + std::string(name));
    }

    /// x is [T, heads, H]; the pairs of its first rotary_dim columns turn by position * frequency.
    at::Tensor rotate(const at::Tensor& x, int layer) const {
        const ModelSpec& s = model_.spec();
        if (!s.rotates(layer)) return x;
        const auto T = x.size(0);
        const auto R = static_cast<std::int64_t>(s.rotary_dim);
        const bool local = s.window_of(layer) > 0 && s.features().layer_ropes;
        const auto inverse = at::tensor(s.rotary_frequencies(0, local), at::kDouble);
        const auto angle = at::arange(T, at::kDouble).unsqueeze(1) * inverse.unsqueeze(0);
        const double magnitude = local ? 1 : s.rope_scaling.magnitude;
        const auto c = angle.cos().unsqueeze(1) * magnitude;
        const auto sine = angle.sin().unsqueeze(1) * magnitude;
        const auto turning = x.narrow(2, 0, R);
        const auto still = x.narrow(2, R, x.size(2) - R);
        if (s.features().interleaved_rotary) {
            const auto pairs = turning.reshape({T, x.size(1), R / 2, 2});
            const auto a = pairs.select(3, 0), b = pairs.select(3, 1);
            return at::cat({at::stack({a * c - b * sine, b * c + a * sine}, 3).reshape(turning.sizes()), still}, 2);
        }
        const auto a = turning.narrow(2, 0, R / 2), b = turning.narrow(2, R / 2, R / 2);
        return at::cat({a * c - b * sine, b * c + a * sine, still}, 2);
    }

    /// One of q, k, v as [T, heads, H]; `first` is its first row in a fused tensor.
    at::Tensor project(const at::Tensor& y, const std::string& at_layer, const char* which, int first,
                       int heads) const {
        const ModelSpec& s = model_.spec();
        const int width = heads * s.head_dim;
        const std::string name = at_layer + "self_attn." + which + "_proj";
        auto out =
            y.matmul((s.features().fused_qkv ? parameter(at_layer + "self_attn.qkv_proj.weight").narrow(0, first, width)
                                             : parameter(name + ".weight"))
                         .t());
        if (s.qkv_bias) out = out + parameter(name + ".bias");
        const QkNorm normed = std::string_view(which) == "v" ? QkNorm::none : s.features().qk_norm;
        const std::string norm_name = at_layer + "self_attn." + which + "_norm";
        if (normed == QkNorm::token) out = norm(out, norm_name);
        out = out.view({y.size(0), heads, s.head_dim});
        return normed == QkNorm::head ? norm(out, norm_name) : out;
    }

    /// Which keys each row sees.
    at::Tensor unseen(std::int64_t T, int window) const {
        auto hidden = at::ones({T, T}, at::kBool).triu(1);
        if (window > 0) hidden = hidden.logical_or(at::ones({T, T}, at::kBool).tril(-window));
        return hidden;
    }

    at::Tensor attention(const at::Tensor& y, const std::string& at_layer, int layer) const {
        const ModelSpec& s = model_.spec();
        const auto T = y.size(0);
        const auto repeat = s.heads / s.kv_heads;
        auto q = rotate(project(y, at_layer, "q", 0, s.heads), layer);
        const auto k =
            rotate(project(y, at_layer, "k", s.query_width(), s.kv_heads), layer).repeat_interleave(repeat, 1);
        const auto v =
            project(y, at_layer, "v", s.query_width() + s.kv_width(), s.kv_heads).repeat_interleave(repeat, 1);
        const auto turns = at::floor(at::arange(T, at::kDouble) / s.rope_scaling.original_positions);
        q = q * (1 + s.query_growth * at::log(1 + turns)).view({T, 1, 1});
        const double scale = s.attention_scale > 0 ? s.attention_scale : 1 / std::sqrt(static_cast<double>(s.head_dim));
        auto scores = at::einsum("tnh,snh->nts", {q, k}) * scale;
        scores = scores.masked_fill(unseen(T, s.window_of(layer)), -INFINITY);
        const auto mixed = at::einsum("nts,snh->tnh", {at::softmax(scores, -1), v}).reshape({T, s.query_width()});
        auto out = mixed.matmul(parameter(at_layer + "self_attn.o_proj.weight").t());
        return s.output_bias ? out + parameter(at_layer + "self_attn.o_proj.bias") : out;
    }

    at::Tensor feed_forward(const at::Tensor& z, const std::string& at_layer) const {
        const ModelSpec& s = model_.spec();
        const bool fused = s.features().fused_gate_up;
        const auto both = fused ? parameter(at_layer + "mlp.gate_up_proj.weight") : at::Tensor();
        const auto gate = fused ? both.narrow(0, 0, s.ffn) : parameter(at_layer + "mlp.gate_proj.weight");
        const auto up = fused ? both.narrow(0, s.ffn, s.ffn) : parameter(at_layer + "mlp.up_proj.weight");
        const auto x = z.matmul(gate.t());
        const auto active = s.features().activation == Activation::silu ? at::silu(x) : at::gelu(x, "tanh");
        return (active * z.matmul(up.t())).matmul(parameter(at_layer + "mlp.down_proj.weight").t());
    }

    at::Tensor sequence(const std::vector<std::int32_t>& tokens) const {
        const ModelSpec& s = model_.spec();
        const NormNames& norms = s.features().norms;
        const auto ids = at::tensor(std::vector<std::int64_t>(tokens.begin(), tokens.end()));
        auto x = at::embedding(parameter("model.embed_tokens.weight"), ids) * s.embedding_scale;
        for (int l = 0; l < s.layers; ++l) {
            const std::string at_layer = "model.layers." + std::to_string(l) + ".";
            const auto mixed = attention(norm_if(x, at_layer, norms.before_attention), at_layer, l);
            x = x + s.residual_scale * norm_if(mixed, at_layer, norms.after_attention);
            const auto fed = feed_forward(norm_if(x, at_layer, norms.before_ffn), at_layer);
            x = x + s.residual_scale * norm_if(fed, at_layer, norms.after_ffn);
        }
        return norm(x, "model.norm") / s.logit_divisor;
    }

    const Model& model_;
    at::Tensor flat_;
};

}  // namespace tdrm::model
