#include "tdrm/reward/targets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "example.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/options.hpp"

namespace tdrm::reward {
namespace {

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
        EXPECT_EQ(result.target, std::vector<float>{kind == TargetKind::hazard ? 0.0F : 1.0F}) << name;  // no error
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

TEST(TerminalValue, StandsInTheLastBackupAndItsStateLearnsTheOutcome) {
    Example example(3, 20, 0);  // T = 3
    example.logits = {logit(0.5), logit(0.2), logit(0.6), logit(0.9)};
    // lambda 0: each state takes the next one's value, the last but one V(s_T).
    const auto one_step =
        targets({.kind = TargetKind::td_lambda, .lambda = 0, .terminal = Terminal::value}, example.solution());
    for (const auto& [t, expected] : {std::pair{0, 0.2}, {1, 0.6}, {2, 0.9}, {3, 0.0}})
        EXPECT_NEAR(one_step.target[static_cast<std::size_t>(t)], expected, 1e-6) << t;
    // lambda 1: every state learns the model's own verdict.
    const auto monte_carlo =
        targets({.kind = TargetKind::td_lambda, .lambda = 1, .terminal = Terminal::value}, example.solution());
    for (std::size_t t = 0; t < 3; ++t) EXPECT_NEAR(monte_carlo.target[t], 0.9, 1e-6);
    EXPECT_EQ(monte_carlo.target[3], 0);
    // lambda 1/2, worked out by hand: L_2 = .9, L_1 = .5 * .6 + .5 * .9, L_0 = .5 * .2 + .5 * .75.
    const auto half =
        targets({.kind = TargetKind::td_lambda, .lambda = 0.5, .terminal = Terminal::value}, example.solution());
    EXPECT_NEAR(half.target[1], 0.75, 1e-6);
    EXPECT_NEAR(half.target[0], 0.475, 1e-6);
    // Two steps with a discount: gamma^2 V(s_T) at s_1, gamma V(s_T) at s_2.
    const auto two =
        targets({.kind = TargetKind::td_n, .gamma = 0.5, .n = 2, .terminal = Terminal::value}, example.solution());
    EXPECT_NEAR(two.target[0], 0.25 * 0.6, 1e-6);
    EXPECT_NEAR(two.target[1], 0.25 * 0.9, 1e-6);
    EXPECT_NEAR(two.target[2], 0.5 * 0.9, 1e-6);
    EXPECT_EQ(two.target[3], 0);
}

TEST(MovingAverage, IsWhatIsBackedUpAndDeltasAreOfTheModelItself) {
    Example example(2, 21);
    example.logits = {logit(0.5), logit(0.5), logit(0.5)};
    example.averaged = {logit(0.1), logit(0.3), logit(0.7)};
    TargetOptions options{.kind = TargetKind::td_n, .terminal = Terminal::value, .bootstrap = Bootstrap::ema};
    const auto result = targets(options, example.solution());
    EXPECT_NEAR(result.target[0], 0.3, 1e-6);
    EXPECT_NEAR(result.target[1], 0.7, 1e-6);
    EXPECT_EQ(result.target[2], 1);
    options.truncated = Truncated::bootstrap;
    EXPECT_NEAR(targets(options, example.solution(true)).target[1], 0.7, 1e-6);
    example.averaged.pop_back();
    EXPECT_THROW((void)targets(options, example.solution()), BugError);
}

TEST(Labels, MayBeSoftAndMayCountAsOftenAsTheyWereTried) {
    Example example(3, 22);
    example.labels = {kNone, 0.25F, 1, 0};
    example.tries = {0, 8, 4, 2};
    const TargetOptions options{.kind = TargetKind::step_label, .label_weight = LabelWeight::tries};
    const auto result = targets(options, example.solution());
    EXPECT_EQ(result.target, (std::vector<float>{0, 0.25F, 1, 0}));
    EXPECT_EQ(result.weight, (std::vector<float>{0, 8, 4, 2}));
    // That is the binomial log-likelihood of the successes: 2 of 8, 4 of 4, 0 of 2.
    std::vector<float> derivative(4);
    double likelihood = 0;
    const std::vector<double> successes{0, 2, 4, 0};
    for (std::size_t t = 1; t < 4; ++t)
        likelihood -= successes[t] * std::log(example.value(t)) +
                      (double{example.tries[t]} - successes[t]) * std::log(1 - example.value(t));
    EXPECT_NEAR(value_loss(example.logits, result.target, result.weight, derivative), likelihood, 1e-5);
    example.tries.clear();
    EXPECT_THROW((void)targets(options, example.solution()), DataError);
}

TEST(Labels, TakeTheirShareOfTheTargetBeforeTheLastState) {
    Example example(3, 23, 1);
    example.logits = {logit(0.5), logit(0.2), logit(0.6), logit(0.9)};
    example.labels = {kNone, 1, 0, 0};
    const auto result = targets({.kind = TargetKind::td_lambda, .lambda = 0, .label_mix = 0.25}, example.solution());
    EXPECT_NEAR(result.target[0], 0.2, 1e-6);  // no label: the TD target alone
    EXPECT_NEAR(result.target[1], 0.75 * 0.6 + 0.25 * 1, 1e-6);
    EXPECT_NEAR(result.target[2], 0.75 * 1 + 0.25 * 0, 1e-6);
    EXPECT_EQ(result.target[3], 1);  // the outcome
    EXPECT_EQ(result.weight, std::vector<float>(4, 1.0F));
    example.labels.clear();
    EXPECT_THROW((void)targets({.label_mix = 0.5}, example.solution()), DataError);
}

TEST(Weights, AreThoseOfTheClassOfTheAnswerOrOfTheLabel) {
    for (const float y : {0.0F, 1.0F, 0.25F}) {
        const Example example(2, 24, y);
        const auto result =
            targets({.kind = TargetKind::outcome, .terminal_weight = 2, .class_weight = {3, 0.5}}, example.solution());
        const float w = y * 3 + (1 - y) * 0.5F;
        EXPECT_EQ(result.weight, (std::vector<float>{w, w, 2 * w})) << y;
    }
    Example example(2, 24);
    example.labels = {1, 0, 0.5F};
    EXPECT_EQ(targets({.kind = TargetKind::step_label, .class_weight = {3, 0.5}}, example.solution()).weight,
              (std::vector<float>{3, 0.5F, 1.75F}));
}

TEST(Weights, OfATrajectoryAddUpToOneIfTrajectoriesAreAveraged) {
    for (const int steps : {0, 1, 7}) {
        const Example example(steps, 25);
        const auto result = targets(
            {.kind = TargetKind::td_lambda, .terminal_weight = 3, .average = Average::trajectory}, example.solution());
        for (std::size_t t = 0; t + 1 < result.weight.size(); ++t)
            EXPECT_NEAR(result.weight[t], 1.0 / (steps + 3), 1e-7);
        EXPECT_NEAR(result.weight.back(), 3.0 / (steps + 3), 1e-7);
        // Of an answer that isn't trained there is nothing to average.
        const auto dropped =
            targets({.truncated = Truncated::drop, .average = Average::trajectory}, example.solution(true));
        EXPECT_EQ(dropped.weight, std::vector<float>(example.logits.size(), 0.0F));
    }
}

/// Every option at once, written as the definitions read: recursion forwards, no arrays of intermediate results.
struct SlowTargets {
    const TargetOptions& o;
    const Example& e;
    bool truncated;

    [[nodiscard]] std::size_t T() const { return e.logits.size() - 1; }
    [[nodiscard]] double V(std::size_t t) const {
        return o.bootstrap == Bootstrap::ema ? sigmoid(double{e.averaged[t]}) : e.value(t);
    }
    [[nodiscard]] double y() const {
        if (!truncated || o.truncated == Truncated::drop) return double{e.outcome};
        return o.truncated == Truncated::fail ? 0 : V(T());
    }
    [[nodiscard]] double U(std::size_t t) const { return t < T() || o.terminal == Terminal::value ? V(t) : y(); }
    [[nodiscard]] double r() const { return o.shaping == Shaping::normalised ? (1 - o.gamma) * U(T()) : 0; }
    [[nodiscard]] double n_step(std::size_t t, int n) const {
        return t == T() || n == 0 ? U(t) : r() + o.gamma * n_step(t + 1, n - 1);
    }
    [[nodiscard]] double lambda_return(std::size_t t) const {
        if (t == T()) return U(t);
        return r() + o.gamma * ((1 - o.lambda) * U(t + 1) + o.lambda * lambda_return(t + 1));
    }
    [[nodiscard]] double target(std::size_t t) const {
        if (t == T()) return y();
        const double g = o.kind == TargetKind::td_n        ? n_step(t, o.n)
                         : o.kind == TargetKind::td_lambda ? lambda_return(t)
                                                           : y();
        const bool mixed = o.label_mix > 0 && !std::isnan(e.labels[t]);
        return mixed ? (1 - o.label_mix) * clamped(g) + o.label_mix * double{e.labels[t]} : clamped(g);
    }
    [[nodiscard]] double raw_weight(std::size_t t) const {
        if (truncated && o.truncated == Truncated::drop) return 0;
        if (truncated && o.truncated == Truncated::bootstrap && t == T()) return 0;
        const double w = t == T() ? o.terminal_weight : 1;
        if (truncated && o.truncated == Truncated::bootstrap) return w;  // of no class
        return w * (y() * o.class_weight.right + (1 - y()) * o.class_weight.wrong);
    }
    [[nodiscard]] double weight(std::size_t t) const {
        if (o.average == Average::state) return raw_weight(t);
        double sum = 0;
        for (std::size_t k = 0; k <= T(); ++k) sum += raw_weight(k);
        return sum > 0 ? raw_weight(t) / sum : 0;
    }
};

TEST(Targets, OfAnyOptionsEqualTheSlowTwin) {
    Random random(random_key(5, "options"));
    const auto coin = [&] { return random.next_uniform() < 0.5; };
    for (std::uint64_t i = 0; i < 2000; ++i) {
        TargetOptions o;
        o.kind = std::array{TargetKind::outcome, TargetKind::td_n, TargetKind::td_lambda}[random.next_below(3)];
        const bool temporal = o.kind != TargetKind::outcome;
        o.gamma = coin() ? 1 : 0.3 + 0.7 * random.next_uniform();
        o.n = 1 + static_cast<int>(random.next_below(4));
        o.lambda = std::array{0.0, 1.0, random.next_uniform()}[random.next_below(3)];
        o.shaping = temporal && coin() ? Shaping::normalised : Shaping::none;
        o.truncated = std::array{Truncated::fail, Truncated::bootstrap, Truncated::drop}[random.next_below(3)];
        o.terminal_weight = std::array{0.0, 1.0, 4.0}[random.next_below(3)];
        if (temporal && coin()) o.terminal = Terminal::value;
        if (temporal && coin()) o.bootstrap = Bootstrap::ema;
        if (coin()) o.label_mix = random.next_uniform();
        if (coin()) o.average = Average::trajectory;
        if (coin()) o.class_weight = {random.next_uniform(), 2 * random.next_uniform()};
        ASSERT_TRUE(o.validate().empty());
        Example example(static_cast<int>(random.next_below(7)), i, std::array{0.0F, 1.0F, 0.3F}[random.next_below(3)]);
        for (std::size_t t = 0; t < example.logits.size(); ++t) {
            example.labels.push_back(coin() ? static_cast<float>(random.next_uniform()) : kNone);
            if (o.bootstrap == Bootstrap::ema) example.averaged.push_back(static_cast<float>(random.next_normal()));
        }
        const bool truncated = coin();
        const auto result = targets(o, example.solution(truncated));
        const SlowTargets twin{o, example, truncated};
        for (std::size_t t = 0; t < example.logits.size(); ++t) {
            ASSERT_NEAR(result.target[t], twin.target(t), 1e-6) << dump(o) << " t " << t;
            ASSERT_NEAR(result.weight[t], twin.weight(t), 1e-6) << dump(o) << " t " << t;
        }
    }
}

TEST(TargetOptions, AreRefusedWhereTheyMeanNothing) {
    const auto problem = [](const TargetOptions& options) {
        const auto problems = options.validate();
        return problems.size() == 1 ? problems[0] : cat(problems.size(), " problems");
    };
    using enum TargetKind;
    EXPECT_NE(problem({.kind = outcome, .terminal = Terminal::value}).find("terminal has no meaning for kind outcome"),
              std::string::npos);
    EXPECT_NE(problem({.kind = step_label, .bootstrap = Bootstrap::ema}).find("bootstrap"), std::string::npos);
    EXPECT_NE(problem({.kind = hazard, .label_mix = 0.5}).find("label_mix"), std::string::npos);
    EXPECT_NE(problem({.kind = td_n, .label_weight = LabelWeight::tries}).find("label_weight"), std::string::npos);
    EXPECT_NE(problem({.kind = td_n, .errors = Errors::labels}).find("errors"), std::string::npos);
    EXPECT_NE(problem({.kind = hazard, .terminal_weight = 4}).find("terminal_weight"), std::string::npos);
    EXPECT_TRUE((TargetOptions{.kind = reference, .bootstrap = Bootstrap::ema}.validate().empty()));
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
