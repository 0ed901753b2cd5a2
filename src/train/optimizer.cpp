#include "tdrm/train/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tdrm/base/options.hpp"

namespace tdrm::train {

void OptimizerOptions::fields(Fields& f) {
    f("lr", lr, "peak learning rate", at_least(0));
    f("schedule", schedule, "constant, or down to zero at the horizon: linear, cosine");
    f("warmup", warmup, "share of the horizon over which the rate grows to its peak", between(0, 1));
    f("horizon", horizon, "updates until the rate is zero; 0 = the stage's updates", between(0, 1e9));
    f("beta1", beta1, "decay of the first moment", between(0, 1));
    f("beta2", beta2, "decay of the second moment", between(0, 1));
    f("eps", eps, "added to the root of the second moment", at_least(0));
    f("weight_decay", weight_decay, "decoupled decay of matrices", at_least(0));
    f("clip", clip, "bound on the norm of the gradient; 0 = none", at_least(0));
}

void PrecisionOptions::fields(Fields& f) {
    f("weights", weights,
      "of the model: fp32, or bf16 (rounded after every update, stored in half the size; the optimiser keeps fp32)");
    f("moments", moments,
      "of AdamW: fp32, or bf16 (half the memory; rounded up or down by chance, so that they are right on average)");
    f("recompute", recompute,
      "what backward passes of a device compute again instead of keeping it: none, ffn (its inner width), block (all "
      "but "
      "what a layer gets); the same bits")
        .not_identity();
}

std::int64_t schedule_horizon(const OptimizerOptions& options, std::int64_t updates) {
    if (options.schedule == Schedule::constant && options.warmup == 0) return 0;
    return options.horizon > 0 ? options.horizon : updates;
}

double learning_rate(const OptimizerOptions& options, std::int64_t update, std::int64_t horizon) {
    const double warmup = options.warmup * static_cast<double>(horizon);
    const double done = static_cast<double>(update) + 1;
    if (done < warmup) return options.lr * done / warmup;
    if (options.schedule == Schedule::constant) return options.lr;
    const double rest = std::max(1.0, static_cast<double>(horizon) - warmup);
    const double progress = std::clamp((done - warmup) / rest, 0.0, 1.0);
    if (options.schedule == Schedule::linear) return options.lr * (1 - progress);
    return options.lr * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

engine::AdamWStep adamw_step(const OptimizerOptions& options, std::int64_t update, std::int64_t horizon, double norm) {
    return {learning_rate(options, update, horizon),
            options.beta1,
            options.beta2,
            options.eps,
            options.weight_decay,
            options.clip > 0 && norm > options.clip ? options.clip / norm : 1.0,
            update};
}

}  // namespace tdrm::train
