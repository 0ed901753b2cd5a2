// Solutions for tests of targets.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "tdrm/base/random.hpp"
#include "tdrm/reward/loss.hpp"
#include "tdrm/reward/targets.hpp"

namespace tdrm::reward {

inline constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

inline float logit(double p) { return static_cast<float>(std::log(p / (1 - p))); }

/// A solution with T random values and ascending prefix lengths.
struct Example {
    Example(int steps, std::uint64_t seed, float y = 1) : outcome(y) {
        Random random(random_key(seed, "example"));
        std::int32_t length = 0;
        for (int t = 0; t <= steps; ++t) {
            logits.push_back(static_cast<float>(3 * random.next_normal()));
            lengths.push_back(length);
            length += 1 + static_cast<std::int32_t>(random.next_below(90));
        }
    }
    [[nodiscard]] Solution solution(bool truncated = false) const {
        Solution result{logits, outcome, truncated, lengths, {}};
        if (!labels.empty()) result.label_S = labels;
        if (!tries.empty()) result.tries_S = tries;
        if (!averaged.empty()) result.bootstrap_logit_S = averaged;
        return result;
    }
    [[nodiscard]] double value(std::size_t t) const { return sigmoid(double{logits[t]}); }
    std::vector<float> logits;
    std::vector<std::int32_t> lengths;
    float outcome;
    std::vector<float> labels, tries, averaged;
};

}  // namespace tdrm::reward
