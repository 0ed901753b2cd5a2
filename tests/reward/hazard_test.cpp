#include <gtest/gtest.h>

#include <cmath>

#include "example.hpp"

namespace tdrm::reward {
namespace {

/// -log P(what is known about the first error), by the chances of all places where it may be.
double first_error_twin(const Example& example, std::size_t good, std::size_t bad) {
    const auto survives = [&](std::size_t t) {
        double p = 1;
        for (std::size_t k = 1; k <= t; ++k) p *= 1 - example.value(k);
        return p;
    };
    if (bad == 0) return -std::log(survives(good));
    double p = 0;
    for (std::size_t z = good + 1; z <= bad; ++z) p += survives(z - 1) * example.value(z);
    return -std::log(p);
}

/// Loss and derivative of hazard targets against the twin's, whose derivative is a difference quotient.
void expect_hazard_twin(const TargetOptions& options, Example example, std::size_t good, std::size_t bad) {
    const auto result = targets(options, example.solution());
    EXPECT_NEAR(hazard_loss(example.logits, result), first_error_twin(example, good, bad), 1e-5);
    std::vector<float> derivative(example.logits.size());
    (void)value_loss(example.logits, result.target, result.weight, derivative);
    for (std::size_t t = 0; t < example.logits.size(); ++t) {
        Example up = example, down = example;
        up.logits[t] += 0.01F;
        down.logits[t] -= 0.01F;
        const double quotient = (first_error_twin(up, good, bad) - first_error_twin(down, good, bad)) /
                                double{up.logits[t] - down.logits[t]};
        EXPECT_NEAR(derivative[t], t == 0 ? 0 : quotient, 2e-4) << t;
    }
}

}  // namespace

TEST(Hazard, OfARightAnswerIsZeroEverywhereAndAWrongOneHasOneErrorSomewhere) {
    const TargetOptions options{.kind = TargetKind::hazard};
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        expect_hazard_twin(options, Example(5, seed, 1), 5, 0);
        expect_hazard_twin(options, Example(5, seed, 0), 0, 5);
        expect_hazard_twin(options, Example(1, seed, 0), 0, 1);
    }
    // By hand: two steps with h = 1/2 each. P(error) = 3/4, so each has the share (1/2) / (3/4).
    Example example(2, 1, 0);
    example.logits = {9, 0, 0};
    const auto result = targets(options, example.solution());
    EXPECT_EQ(result.weight, (std::vector<float>{0, 1, 1}));
    EXPECT_NEAR(result.target[1], 2.0 / 3, 1e-6);
    EXPECT_NEAR(hazard_loss(example.logits, result), -std::log(0.75), 1e-7);
}

TEST(Hazard, OfAKnownFirstErrorTrainsUpToIt) {
    const TargetOptions options{.kind = TargetKind::hazard, .errors = Errors::labels};
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
        Example example(5, seed, 0);
        example.labels = {kNone, 1, 1, 0, 1, 0};
        expect_hazard_twin(options, example, 2, 3);
        const auto result = targets(options, example.solution());
        EXPECT_EQ(result.target, (std::vector<float>{0, 0, 0, 1, 0, 0}));
        EXPECT_EQ(result.weight, (std::vector<float>{0, 1, 1, 1, 0, 0}));
        example.labels = {1, 1, kNone, kNone, 0, kNone};  // the error lies in step 2, 3 or 4
        expect_hazard_twin(options, example, 1, 4);
        example.labels = {kNone, 0.9F, 0.6F, kNone, kNone, kNone};  // the labels end, and the answer is wrong
        expect_hazard_twin(options, example, 2, 5);
        example.outcome = 1;
        expect_hazard_twin(options, example, 5, 0);
        example.labels = std::vector<float>(6, 1.0F);
        example.outcome = 0;  // all steps are right: the labels know better than the verdict
        expect_hazard_twin(options, example, 5, 0);
    }
}

TEST(Hazard, TreatsCutAnswersAsTheOptionSays) {
    Example example(3, 3, 1);
    TargetOptions options{.kind = TargetKind::hazard};
    expect_hazard_twin(options, Example(3, 3, 0), 0, 3);
    EXPECT_EQ(targets(options, example.solution(true)).target, targets(options, Example(3, 3, 0).solution()).target);
    for (const auto truncated : {Truncated::bootstrap, Truncated::drop}) {
        options.truncated = truncated;
        EXPECT_EQ(targets(options, example.solution(true)).weight, std::vector<float>(4, 0.0F));
    }
    options = {.kind = TargetKind::hazard, .truncated = Truncated::bootstrap, .errors = Errors::labels};
    example.labels = {kNone, 1, kNone, kNone};  // what is known holds, the rest is open
    EXPECT_EQ(targets(options, example.solution(true)).weight, (std::vector<float>{0, 1, 0, 0}));
}

TEST(Hazard, StaysFiniteWhereNoStepCanBeWrong) {
    Example example(3, 3, 0);
    example.logits = {0, -800, -800, -800};
    const auto result = targets({.kind = TargetKind::hazard}, example.solution());
    for (std::size_t t = 1; t < 4; ++t) EXPECT_NEAR(result.target[t], 1.0 / 3, 1e-6);
    example.logits = {0, -60, -60, -60};
    EXPECT_NEAR(hazard_loss(example.logits, targets({.kind = TargetKind::hazard}, example.solution())),
                60 - std::log(3), 1e-5);
}

TEST(LogSurvival, FallsFromStepToStep) {
    const std::vector<float> logits{3, 0, logit(0.25)};
    const auto survival = log_survival(logits);
    EXPECT_EQ(survival[0], 0);
    EXPECT_NEAR(survival[1], std::log(0.5), 1e-7);
    EXPECT_NEAR(survival[2], std::log(0.5 * 0.75), 1e-7);
    EXPECT_NEAR(log_survival(std::vector<float>{0.0F})[0], std::log(0.5), 1e-12);
}

}  // namespace tdrm::reward
