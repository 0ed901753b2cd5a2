#include "tdrm/reward/targets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/reward/loss.hpp"

namespace tdrm::reward {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

float logit(double p) { return static_cast<float>(std::log(p / (1 - p))); }

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
    [[nodiscard]] Solution solution(bool truncated = false) const { return {logits, outcome, truncated, lengths, {}}; }
    [[nodiscard]] double value(std::size_t t) const { return sigmoid(double{logits[t]}); }
    std::vector<float> logits;
    std::vector<std::int32_t> lengths;
    float outcome;
};

/// The definition of the n-step return, written out with explicit sums.
double n_step_twin(const Example& example, std::size_t t, std::size_t n, double gamma, Shaping shaping) {
    const std::size_t last = example.logits.size() - 1;
    double sum = 0;
    for (std::size_t k = 0; k < n && t + k < last; ++k) {
        double r = 0;
        if (shaping == Shaping::cosine) r = cosine_reward(example.lengths[t + k], double{example.outcome});
        if (shaping == Shaping::normalised) r = (1 - gamma) * double{example.outcome};
        sum += std::pow(gamma, static_cast<double>(k)) * r;
    }
    const std::size_t steps = std::min(n, last - t);
    const double end = t + steps == last ? double{example.outcome} : example.value(t + steps);
    return sum + std::pow(gamma, static_cast<double>(steps)) * end;
}

double clamped(double x) { return std::min(1.0, std::max(0.0, x)); }

}  // namespace

TEST(CosineReward, ReproducesThePublishedTable) {
    EXPECT_NEAR(cosine_reward(37, 1), 1.98717, 1e-5);
    EXPECT_NEAR(cosine_reward(37, 0), -9.87170, 1e-5);
    EXPECT_NEAR(cosine_reward(256, 0), -5, 1e-12);
    EXPECT_NEAR(cosine_reward(384, 0), -1.464466, 1e-6);
    EXPECT_NEAR(cosine_reward(0, 1), 2, 1e-12);
    EXPECT_NEAR(cosine_reward(0, 0), -10, 1e-12);
    EXPECT_NEAR(cosine_reward(512, 1), 1, 1e-12);
}

TEST(CosineReward, StaysAtItsEndBeyond512Tokens) {
    EXPECT_NEAR(cosine_reward(5000, 1), 1, 1e-12);
    EXPECT_NEAR(cosine_reward(5000, 0), 0, 1e-12);
}

TEST(Targets, ReproduceTheWorkedRowOfThePublishedData) {
    // r = -0.0046113613 is the shaping of some length near 512; 0.8 V' = 0.0234375; V = 0.0279541.
    std::int32_t length = 0;
    while (std::abs(cosine_reward(length, 0) + 0.0046113613) > 1e-7 && length < 512) ++length;
    ASSERT_LT(length, 512);
    const std::vector<float> logits{0, logit(0.0279541), logit(0.0234375 / 0.8), 0};
    const std::vector<std::int32_t> lengths{0, length, length, length};
    TargetOptions options{.kind = TargetKind::reference};
    const StateTargets result = targets(options, {logits, 0, false, lengths, {}});
    EXPECT_NEAR(result.target[1], 0.0188261, 1e-6);
    EXPECT_NEAR(double{result.target[1]} - sigmoid(double{logits[1]}), -0.009128, 1e-6);
}

TEST(Targets, OfLambdaOneAreTheOutcome) {
    for (const float y : {0.0F, 1.0F}) {
        const Example example(6, 1, y);
        const auto result = targets({.kind = TargetKind::td_lambda, .lambda = 1}, example.solution());
        for (const float target : result.target) EXPECT_EQ(target, y);
        for (const float weight : result.weight) EXPECT_EQ(weight, 1);
    }
}

TEST(Targets, OfLambdaZeroAreOneStepReturns) {
    for (const Shaping shaping : {Shaping::none, Shaping::cosine, Shaping::normalised}) {
        const Example example(6, 2);
        const TargetOptions lambda{.kind = TargetKind::td_lambda, .gamma = 0.7, .lambda = 0, .shaping = shaping};
        TargetOptions one_step = lambda;
        one_step.kind = TargetKind::td_n;
        const auto a = targets(lambda, example.solution()).target;
        const auto b = targets(one_step, example.solution()).target;
        for (std::size_t t = 0; t < a.size(); ++t) EXPECT_FLOAT_EQ(a[t], b[t]);
    }
}

TEST(Targets, OfManyStepsAreMonteCarlo) {
    const Example example(5, 3);
    for (const int n : {5, 6, 100}) {
        const auto result = targets({.kind = TargetKind::td_n, .n = n}, example.solution());
        EXPECT_EQ(result.target, std::vector<float>(6, 1.0F));
    }
    // With a discount, Monte Carlo is gamma^(T-t) y.
    const auto discounted = targets({.kind = TargetKind::td_n, .gamma = 0.5, .n = 9}, example.solution());
    EXPECT_FLOAT_EQ(discounted.target[2], 0.125F);
}

TEST(Targets, OfNStepsEqualTheWrittenOutDefinition) {
    for (const Shaping shaping : {Shaping::none, Shaping::cosine, Shaping::normalised}) {
        for (int n = 1; n <= 4; ++n) {
            const Example example(7, static_cast<std::uint64_t>(n), 0);
            const auto result =
                targets({.kind = TargetKind::td_n, .gamma = 0.9, .n = n, .shaping = shaping}, example.solution());
            for (std::size_t t = 0; t < 7; ++t) {
                const double twin = clamped(n_step_twin(example, t, static_cast<std::size_t>(n), 0.9, shaping));
                EXPECT_NEAR(result.target[t], twin, 1e-6) << "n " << n << " t " << t;
            }
        }
    }
}

TEST(Targets, OfLambdaAreTheWeightedMeanOfNStepReturns) {
    const Example example(6, 4);
    const double gamma = 0.9, lambda = 0.6;
    const auto result = targets({.kind = TargetKind::td_lambda, .gamma = gamma, .lambda = lambda}, example.solution());
    for (std::size_t t = 0; t < 6; ++t) {
        const std::size_t rest = 6 - t;
        double mean = std::pow(lambda, static_cast<double>(rest) - 1) * n_step_twin(example, t, rest, gamma, {});
        for (std::size_t n = 1; n < rest; ++n) {
            mean += (1 - lambda) * std::pow(lambda, static_cast<double>(n) - 1) *
                    n_step_twin(example, t, n, gamma, Shaping::none);
        }
        EXPECT_NEAR(result.target[t], mean, 1e-6);
    }
}

TEST(Targets, WithNormalisedShapingMixOutcomeAndBootstrapValue) {
    const Example example(8, 5);
    const double gamma = 0.8;
    for (int n = 1; n <= 3; ++n) {
        const auto result = targets({.kind = TargetKind::td_n, .gamma = gamma, .n = n, .shaping = Shaping::normalised},
                                    example.solution());
        for (std::size_t t = 0; t + static_cast<std::size_t>(n) < 8; ++t) {
            const double g = std::pow(gamma, n);
            EXPECT_NEAR(result.target[t], (1 - g) * 1 + g * example.value(t + static_cast<std::size_t>(n)), 1e-6);
        }
        EXPECT_FLOAT_EQ(result.target[7], 1);  // the fixed point is y for every gamma
    }
}

TEST(Targets, NeverUseTheValueOfTheTerminalState) {
    Example example(4, 6);
    for (const TargetKind kind : {TargetKind::td_n, TargetKind::td_lambda}) {
        const auto before = targets({.kind = kind, .n = 2}, example.solution());
        example.logits.back() += 5;
        EXPECT_EQ(targets({.kind = kind, .n = 2}, example.solution()).target, before.target);
    }
}

TEST(ReferenceTargets, UseTheValueOfTheTerminalStateAndMaskWhatLiesBeyond) {
    Example example(3, 7, 0);
    example.lengths = {0, 480, 500, 511};  // the only lengths at which wrong answers aren't saturated at 0
    example.logits = {0, 1, 2, 3};
    for (int n = 1; n <= 3; ++n) {
        const auto result = targets({.kind = TargetKind::reference, .n = n}, example.solution());
        const double r1 = cosine_reward(480, 0), r2 = cosine_reward(500, 0);
        const std::vector<double> from_1{r1 + 0.8 * example.value(2), r1 + 0.8 * r2 + 0.64 * example.value(3),
                                         r1 + 0.8 * r2};
        const std::vector<double> from_2{r2 + 0.8 * example.value(3), r2, r2};
        EXPECT_NEAR(result.target[1], clamped(from_1[static_cast<std::size_t>(n - 1)]), 1e-6);
        EXPECT_NEAR(result.target[2], clamped(from_2[static_cast<std::size_t>(n - 1)]), 1e-6);
        EXPECT_EQ(result.target[3], 0);
        EXPECT_EQ(result.weight, (std::vector<float>{0, 1, 1, 1}));
    }
}

TEST(ReferenceTargets, TakeNoRewardFromTheTerminalState) {
    Example example(2, 7, 0.5F);  // a soft outcome keeps the sum of rewards inside (0, 1)
    example.lengths = {0, 505, 511};
    const auto result = targets({.kind = TargetKind::reference, .n = 3}, example.solution());
    EXPECT_NEAR(result.target[1], cosine_reward(505, 0.5), 1e-6);
}

TEST(ReferenceTargets, SaturateAtTheOutcomeForShortSolutions) {
    for (const float y : {0.0F, 1.0F}) {
        const Example example(4, 8, y);  // at most 360 tokens
        const auto result = targets({.kind = TargetKind::reference, .n = 3}, example.solution());
        for (std::size_t t = 1; t < 5; ++t) EXPECT_EQ(result.target[t], y);
        EXPECT_EQ(statistics(example.logits, result).interior_share(), 0);
    }
}

TEST(Targets, OfTheOutcomeModelTrainTheLastStateAlone) {
    const Example example(3, 9);
    const auto result = targets({.kind = TargetKind::outcome_last, .terminal_weight = 2}, example.solution());
    EXPECT_EQ(result.weight, (std::vector<float>{0, 0, 0, 2}));
    EXPECT_EQ(result.target.back(), 1);
}

TEST(Targets, OfTheOutcomeTrainEveryState) {
    const Example example(3, 9, 0.25F);
    const auto result = targets({.kind = TargetKind::outcome}, example.solution());
    EXPECT_EQ(result.target, std::vector<float>(4, 0.25F));
    EXPECT_EQ(result.weight, std::vector<float>(4, 1.0F));
}

TEST(Targets, OfLabelsLeaveOutUnlabelledStates) {
    const Example example(3, 10);
    const std::vector<float> labels{kNone, 1, 0.5F, kNone};
    Solution solution = example.solution();
    solution.label_S = labels;
    const auto result = targets({.kind = TargetKind::step_label}, solution);
    EXPECT_EQ(result.weight, (std::vector<float>{0, 1, 1, 0}));
    EXPECT_EQ(result.target[1], 1);
    EXPECT_EQ(result.target[2], 0.5F);
}

TEST(TruncatedSolution, FailsBootstrapsOrIsDropped) {
    const Example example(2, 11, 1);
    TargetOptions options{.kind = TargetKind::td_n, .n = 9, .truncated = Truncated::fail};
    EXPECT_EQ(targets(options, example.solution(true)).target, std::vector<float>(3, 0.0F));
    options.truncated = Truncated::bootstrap;
    const auto bootstrapped = targets(options, example.solution(true));
    EXPECT_NEAR(bootstrapped.target[0], example.value(2), 1e-6);
    EXPECT_EQ(bootstrapped.weight, (std::vector<float>{1, 1, 0}));
    options.truncated = Truncated::drop;
    EXPECT_EQ(targets(options, example.solution(true)).weight, std::vector<float>(3, 0.0F));
    EXPECT_EQ(targets(options, example.solution(false)).weight, std::vector<float>(3, 1.0F));
}

TEST(Targets, OfASolutionWithoutStepsAreItsOutcome) {
    const std::vector<float> logits{0.3F};
    const std::vector<std::int32_t> lengths{0};
    for (const auto& [kind, name] : enum_names(TargetKind{})) {
        if (kind == TargetKind::step_label) continue;
        const auto result = targets({.kind = kind}, {logits, 1, false, lengths, {}});
        EXPECT_EQ(result.target, std::vector<float>{1}) << name;
        EXPECT_EQ(result.weight, std::vector<float>{1}) << name;
    }
}

TEST(Targets, RefuseUnusableInput) {
    Example example(2, 12);
    EXPECT_THROW((void)targets({.kind = TargetKind::step_label}, example.solution()), DataError);
    example.outcome = 2;
    EXPECT_THROW((void)targets({}, example.solution()), DataError);
    example.outcome = 1;
    example.logits[1] = std::numeric_limits<float>::infinity();
    EXPECT_THROW((void)targets({}, example.solution()), DataError);
}

TEST(TargetOptions, NameWhatDoesNotGoTogether) {
    EXPECT_TRUE(TargetOptions{}.validate().empty());
    EXPECT_EQ(
        (TargetOptions{.kind = TargetKind::reference, .gamma = 0.9, .shaping = Shaping::normalised}.validate().size()),
        2U);
    EXPECT_TRUE((TargetOptions{.kind = TargetKind::reference, .gamma = 0.8}.validate().empty()));
    EXPECT_THROW((void)targets({.n = 0}, Example(2, 1).solution()), BugError);
}

TEST(TargetStatistics, AreThoseCountedByHand) {
    const std::vector<float> logits{logit(0.5), logit(0.25), logit(0.75)};
    const StateTargets given{{0.5F, 0.75F, 1.0F}, {0, 1, 1}};
    TargetStatistics sums = statistics(logits, given);
    EXPECT_EQ(sums.states, 2);
    EXPECT_DOUBLE_EQ(sums.interior_share(), 0.5);
    EXPECT_NEAR(sums.mean_delta(), (0.5 + 0.25) / 2, 1e-7);
    EXPECT_NEAR(sums.mean_value_change(), 0.25, 1e-7);
    sums += sums;
    EXPECT_EQ(sums.states, 4);
    EXPECT_NEAR(sums.mean_value_change(), 0.25, 1e-7);
}

}  // namespace tdrm::reward
