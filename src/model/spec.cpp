#include "tdrm/model/spec.hpp"

#include <algorithm>

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

void RopeScaling::fields(Fields& f) {
    f("kind", kind, "how the frequencies are stretched");
    f("factor", factor, "slow frequencies are divided by it");
    f("low_freq_factor", low_freq_factor, "llama3: wavelengths above original_positions / this are slow");
    f("high_freq_factor", high_freq_factor, "llama3: wavelengths below original_positions / this stay");
    f("original_positions", original_positions, "length that the frequencies were made for");
    f("beta_fast", beta_fast, "yarn: pairs that turn more often within that length stay");
    f("beta_slow", beta_slow, "yarn: pairs that turn less often are slow");
    f("truncate", truncate, "yarn: the two bounds are whole pairs");
    f("magnitude", magnitude, "of cosines and sines");
    f("short_factors", short_factors, "longrope: divisors of the frequencies up to original_positions");
    f("long_factors", long_factors, "longrope: beyond");
}

void ModelSpec::all_fields(Fields& f) {
    fields(f);
    f("vocab", vocab, "tokens", at_least(1));
    f("head", head, "what is read off the last hidden state");
    f("family", family, "model_type of transformers");
    f("qkv_bias", qkv_bias, "bias of the q, k and v projections");
    f("output_bias", output_bias, "bias of the attention's output projection");
    f("rotary_dim", rotary_dim, "leading part of a head that turns");
    f("rope_scaling", rope_scaling, "how the rotary frequencies are stretched");
    f("local_rope_theta", local_rope_theta, "base of the rotary frequencies in windowed layers; 0 = as in the others");
    f("unrotated_layers", unrotated_layers, "layers without rotation");
    f("max_positions", max_positions, "that the model was made for");
    f("window", window, "tokens that windowed layers look back on; 0 = all");
    f("global_layers", global_layers, "layers that look back on all tokens although there is a window");
    f("attention_scale", attention_scale, "of the scores; 0 = 1 / sqrt(head_dim)");
    f("embedding_scale", embedding_scale, "of token vectors");
    f("residual_scale", residual_scale, "of what each block adds");
    f("logit_divisor", logit_divisor, "of the language head's logits");
    f("query_growth", query_growth, "growth of queries with the logarithm of their position");
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

int ModelSpec::window_of(int layer) const { return std::ranges::binary_search(global_layers, layer) ? 0 : window; }

bool ModelSpec::rotates(int layer) const { return !std::ranges::binary_search(unrotated_layers, layer); }

}  // namespace tdrm::model
