// Operations of a device on what the last hidden states say: tokens and values. Logits are fp32.
#pragma once

#include <cstdint>

#include "tdrm/gpu/types.hpp"

namespace tdrm::gpu {

/// log softmax(logits / temperature)[target] of each row, and the entropy in nats.
struct LogSoftmax {
    float* logp;
    float* entropy;
    const float* logits;
    const std::int32_t* targets;
    int rows, vocab, pitch;
    float temperature;
};
/// Replaces each row of logits by coefficient / temperature (onehot - softmax), in bf16: row r begins where its logits
/// began, 2 pitch numbers behind the one before.
struct LogSoftmaxBackward {
    float* logits;
    const float* logp;
    const float* coefficient;
    const std::int32_t* targets;
    int rows, vocab, pitch;
    float temperature;
};

/// A drawn token, as engine::Choice.
struct SampledToken {
    std::int32_t token;
    float logprob, logprob_sampled;
};
/// Draws from each row at its number in [0, 1): as engine::choose, which has the rules.
struct Sample {
    SampledToken* out;
    const float* logits;
    const double* uniform;
    int rows, vocab, pitch;
    float temperature;  ///< 0: greedy
    int top_k;          ///< 0: all
    double top_p;
    float min_p;
};

/// values_R = x . plus - x . minus + plus_bias - minus_bias, in fp32; null: none.
struct ReadValues {
    float* values;
    const bf16* x;
    const bf16* plus;
    const bf16* minus;
    const bf16* plus_bias;
    const bf16* minus_bias;
    int rows, width;
};
/// Of values = x . w: dx = d_values w, dw += sum over rows of d_values x.
struct ReadValuesBackward {
    bf16* dx;
    float* dw;
    const bf16* x;
    const bf16* w;
    const float* d_values;
    int rows, width;
};

}  // namespace tdrm::gpu
