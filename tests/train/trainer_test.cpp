// The training loop around an objective: the step it makes, the best update, patience, and which commits remain.
#include "tdrm/train/trainer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "../store/temporary_folder.hpp"
#include "fixture.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/train/state.hpp"

namespace tdrm::train {
namespace {

using Updates = std::vector<std::int64_t>;

/// Different at every update, unit and parameter; multiples of 2^-20, so that their sum over units is exact.
float rule(std::int64_t update, std::size_t unit, std::size_t parameter) {
    const auto mixed = (parameter * 7919 + unit * 104'729 + static_cast<std::size_t>(update) * 1299) % 2048;
    return (static_cast<float>(mixed) - 1024) / 1024 * (update % 2 == 0 ? 1.0F : 1.0F / 1024);
}

class Trainer : public testing::Test {
protected:
    Trainer() {
        options_.label = "test";
        options_.directory = folder_.path();
        options_.updates = options_.horizon = 8;
        options_.optimizer = {.lr = 0.01, .clip = 5};
        options_.commit.every = Seconds{1e9};
    }

    /// An evaluation after each update that finds these figures.
    Evaluation scripted(std::vector<double> figures) {
        Evaluation evaluation;
        evaluation.every = 1;
        evaluation.by = "figure";
        evaluation.measure = [this, figures = std::move(figures)](std::int64_t update) {
            seen_.push_back(committed_updates(options_.directory));
            Metrics metrics;
            metrics.set("figure", figures.at(static_cast<std::size_t>(update) - 1));
            return metrics;
        };
        return evaluation;
    }
    TrainingResult run(const Evaluation& evaluation = {}) {
        Learner trainee;
        RuledObjective objective(3, trainee, rule);
        const auto result = trained(ranks_, trainee, objective, evaluation, options_);
        weights_ = trainee.weights();
        return result;
    }
    [[nodiscard]] Updates commits() const { return committed_updates(options_.directory); }
    [[nodiscard]] std::int64_t lines() const {
        const std::string text = store::bytes_of(folder_ / "metrics.jsonl");
        return std::count(text.begin(), text.end(), '\n');
    }

    comm::Communicator ranks_;
    store::TemporaryFolder folder_{"trainer"};
    LoopOptions options_;
    std::vector<float> weights_;
    std::vector<Updates> seen_;  ///< commits at each evaluation
};

TEST_F(Trainer, MakesTheClippedStepOfTheSummedGradient) {
    const Learner start;
    std::vector<std::vector<float>> gradients;
    int clipped = 0;
    for (std::int64_t u = 0; u < options_.updates; ++u) {
        gradients.emplace_back(start.size());
        for (std::size_t i = 0; i < start.size(); ++i)
            for (std::size_t unit = 0; unit < 3; ++unit) gradients.back()[i] += rule(u, unit, i);
        clipped += engine::squared_norm(gradients.back()) > 25 ? 1 : 0;
    }
    ASSERT_EQ(clipped, 4) << "every second gradient is above the bound";
    for (const auto format : {engine::WeightFormat::fp32, engine::WeightFormat::bf16}) {
        options_.precision.weights = format;
        run();
        EXPECT_EQ(weights_, stepped_by_hand(start, gradients, options_));
        store::remove_directory(options_.directory);
        std::filesystem::create_directories(options_.directory);
    }
}

TEST_F(Trainer, LogsTheNormBeforeClippingAndTheNoiseOfTheUnits) {
    options_.optimizer.schedule = Schedule::linear;
    options_.optimizer.warmup = 2;
    run();
    std::istringstream text(store::bytes_of(folder_ / "metrics.jsonl"));
    std::int64_t u = 0;
    for (std::string line; std::getline(text, line); ++u) {
        const auto logged = nlohmann::json::parse(line);
        std::vector<float> sum(weights_.size());
        double blocks = 0;  // mean squared norm of a unit's estimate of the gradient: three times its share
        for (std::size_t unit = 0; unit < 3; ++unit) {
            std::vector<float> alone(weights_.size());
            for (std::size_t i = 0; i < alone.size(); ++i) sum[i] += alone[i] = rule(u, unit, i);
            blocks += engine::squared_norm(alone) * 9 / 3;
        }
        const double whole = engine::squared_norm(sum);
        EXPECT_NEAR(logged.at("grad_norm"), std::sqrt(whole), 1e-8 * std::sqrt(whole));
        EXPECT_EQ(logged.at("learning_rate"), learning_rate(options_.optimizer, u, options_.horizon));
        // Of estimates from 1 and from 3 samples: E|g_1|^2 = |G|^2 + trace, E|g_3|^2 = |G|^2 + trace / 3.
        const double trace = (blocks - whole) / (1 - 1.0 / 3);
        EXPECT_NEAR(logged.at("noise/trace"), trace, 1e-6 * std::abs(trace));
        EXPECT_NEAR(logged.at("noise/gradient_squared"), (3 * whole - blocks) / 2, 1e-6 * std::abs(trace));
    }
    EXPECT_EQ(u, options_.updates);
}

TEST_F(Trainer, RemembersTheFirstUpdateOfTheBestFigure) {
    const auto result = run(scripted({0.1, 0.5, 0.3, 0.7, 0.7, NAN, 0.6, 0.2}));
    EXPECT_EQ(result.updates, 8);
    EXPECT_EQ(result.best, 4);
    EXPECT_EQ(result.best_figure, 0.7);
    EXPECT_EQ(commits(), (Updates{4, 8})) << "the best and the last remain";
    EXPECT_EQ(lines(), 8);
}

TEST_F(Trainer, RemembersTheSmallestWhereLowerIsBetter) {
    auto evaluation = scripted({0.1, 0.5, 0.3, 0.05, -2, NAN, 0.6, 0.2});
    evaluation.higher_is_better = false;
    EXPECT_EQ(run(evaluation).best, 5);
    EXPECT_EQ(commits(), (Updates{5, 8}));
}

TEST_F(Trainer, UndefinedFigureIsNoBest) {
    EXPECT_EQ(run(scripted(std::vector<double>(8, NAN))).best, -1);
    EXPECT_EQ(commits(), (Updates{8}));
}

TEST_F(Trainer, EvaluatesAtMultiplesAndAtTheEnd) {
    auto evaluation = scripted({9, 9, 1, 9, 9, 2, 9, 3});
    evaluation.every = 3;
    EXPECT_EQ(run(evaluation).best, 8);
    EXPECT_EQ(seen_.size(), 3U);
}

TEST_F(Trainer, StopsAfterSoManyEvaluationsWithoutANewBest) {
    auto evaluation = scripted({0.1, 0.5, 0.4, 0.6, 0.5, 0.6, NAN, 0.9});
    evaluation.patience = 3;
    for (int start = 0; start < 2; ++start) {  // it stays stopped when it is started again
        const auto result = run(evaluation);
        EXPECT_EQ(result.updates, 7);
        EXPECT_EQ(result.best, 4);
        EXPECT_EQ(commits(), (Updates{4, 7}));
        EXPECT_EQ(lines(), 7);
    }
    EXPECT_EQ(seen_.size(), 7U);
}

TEST_F(Trainer, KeepsTheNewestTheBestAndWhatIsAskedForWhileItRuns) {
    options_.commit.at = 3;
    options_.commit.keep = 1;
    run(scripted({0.1, 0.2, 0.1, 0.1, 0.3, 0.1, 0.1, 0.1}));
    EXPECT_EQ(seen_, (std::vector<Updates>{{}, {1}, {2}, {2, 3}, {2, 3}, {3, 5}, {3, 5, 6}, {3, 5, 6}}));
    EXPECT_EQ(commits(), (Updates{3, 5, 6, 8}));
}

TEST_F(Trainer, KeepsAsManyNewestAsAskedWhileItRuns) {
    options_.commit.keep = 3;
    run(scripted({0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}));
    EXPECT_EQ(seen_.back(), (Updates{5, 6, 7}));
    EXPECT_EQ(commits(), (Updates{8}));
}

TEST_F(Trainer, CommitsWhenTheTimeIsUpAndNotBefore) {
    const std::vector<double> worse{0.8, 0.7, 0.6, 0.5,
                                    0.4, 0.3, 0.2, 0.1};  // than the first: no commit for its own sake
    run(scripted(worse));
    EXPECT_EQ(seen_, (std::vector<Updates>{{}, {1}, {1}, {1}, {1}, {1}, {1}, {1}}));
    options_.directory = folder_ / "often";
    std::filesystem::create_directories(options_.directory);
    options_.commit.every = Seconds{0};
    seen_.clear();
    run(scripted(worse));
    EXPECT_EQ(seen_, (std::vector<Updates>{{}, {1}, {1, 2}, {1, 2, 3}, {1, 3, 4}, {1, 4, 5}, {1, 5, 6}, {1, 6, 7}}));
}

TEST_F(Trainer, GoesOnFromTheNewestWholeCommitToTheSameEnd) {
    options_.commit.at = 1;
    run();
    const auto unbroken = weights_;
    const std::string metrics = store::bytes_of(folder_ / "metrics.jsonl");
    for (const std::int64_t lost : {8, 7, 6}) {  // two removed, and one damaged
        const auto commit = options_.directory / commit_name(lost);
        if (lost > 6) {
            store::remove_directory(commit);
        } else {
            store::flip_bit(commit / "checkpoint.h5", 3000);
        }
    }
    run();
    EXPECT_EQ(weights_, unbroken);
    EXPECT_EQ(store::bytes_of(folder_ / "metrics.jsonl"), metrics);
    EXPECT_EQ(commits(), (Updates{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST_F(Trainer, DamagedCommitGoesOnceTrainingHasPassedIt) {
    options_.commit.at = 4;
    run();
    store::flip_bit(options_.directory / commit_name(8) / "checkpoint.h5", 3000);
    options_.commit.at = 3;
    options_.updates = 9;  // of the same schedule
    run();
    EXPECT_EQ(commits(), (Updates{6, 9})) << "4 isn't asked for any more, 8 is damaged";
}

TEST_F(Trainer, TwoTraineesLearnBesideEachOtherAndComeBackFromOneCommit) {
    run();
    const auto alone = weights_;
    options_.directory = folder_ / "pair";
    std::filesystem::create_directories(options_.directory);
    options_.commit.at = 3;
    const auto train_pair = [&](const Learner& policy, const Learner& critic) {
        const auto upside_down = [](std::int64_t update, std::size_t unit, std::size_t parameter) {
            return -rule(update, unit, parameter);
        };
        PairObjective objective(std::make_unique<RuledObjective>(3, policy, rule),
                                std::make_unique<RuledObjective>(3, critic, upside_down));
        OptimizerOptions slower = options_.optimizer;
        slower.lr /= 10;
        const std::vector<Trainee> trainees{
            {"", policy.engine(), options_.optimizer, {}, options_.horizon},
            {"critic", critic.engine(), slower, {engine::WeightFormat::bf16}, options_.horizon}};
        train(ranks_, trainees, objective, {}, options_);
    };
    Learner policy, critic(model::Head::value), policy_again, critic_again(model::Head::value);
    train_pair(policy, critic);
    EXPECT_EQ(policy.weights(), alone) << "a second trainee changes nothing for the first";
    const store::Checkpoint commit(options_.directory / commit_name(8));
    EXPECT_TRUE(commit.has("model") && commit.has("critic/model") && commit.has("critic/optimizer/master"));
    const std::string metrics = store::bytes_of(options_.directory / "metrics.jsonl");
    EXPECT_NE(metrics.find("critic/grad_norm"), std::string::npos);
    store::remove_directory(options_.directory / commit_name(8));  // resumes after 6
    train_pair(policy_again, critic_again);
    EXPECT_EQ(policy_again.weights(), policy.weights());
    EXPECT_EQ(critic_again.weights(), critic.weights());
    EXPECT_EQ(store::bytes_of(options_.directory / "metrics.jsonl"), metrics);
}

/// Two units, and when these were differentiated a third.
class RoundsObjective final : public Objective {
public:
    explicit RoundsObjective(const Learner& learner)
        : first_(2, learner, rule), then_(1, learner, [](std::int64_t update, std::size_t unit, std::size_t parameter) {
              return rule(update, unit + 2, parameter);
          }) {}
    void prepare(std::int64_t update) override {
        follows_ = false;
        first_.prepare(update);
        then_.prepare(update);
    }
    bool prepare_more() override { return !std::exchange(follows_, true); }
    [[nodiscard]] const Units& units() const override { return now().units(); }
    [[nodiscard]] std::string unit_name(std::size_t unit) const override { return now().unit_name(unit); }
    [[nodiscard]] std::span<const std::string_view> sum_names() const override { return first_.sum_names(); }
    Sums differentiate(std::size_t unit) override {
        return follows_ ? then_.differentiate(unit) : first_.differentiate(unit);
    }
    void metrics(const Sums& sums, Metrics& out) const override { first_.metrics(sums, out); }

private:
    [[nodiscard]] const Objective& now() const { return follows_ ? then_ : first_; }
    RuledObjective first_, then_;
    bool follows_ = false;
};

TEST_F(Trainer, UnitsThatFollowFromOthersArePartOfTheSameUpdate) {
    run();
    const auto at_once = weights_;
    const std::string metrics = store::bytes_of(options_.directory / "metrics.jsonl");
    options_.directory = folder_ / "rounds";
    std::filesystem::create_directories(options_.directory);
    Learner trainee;
    RoundsObjective objective(trainee);
    trained(ranks_, trainee, objective, {}, options_);
    EXPECT_EQ(trainee.weights(), at_once);
    EXPECT_EQ(store::bytes_of(options_.directory / "metrics.jsonl"), metrics);
}

/// Makes one trainee learn while a companion follows it, as an objective does.
class FollowedObjective final : public Objective {
public:
    FollowedObjective(const Learner& trainee, const Learner& companion)
        : inner_(3, trainee, rule), trainee_(trainee), companion_(companion) {}
    void prepare(std::int64_t u) override {
        auto weights = companion_.weights();
        const auto theirs = trainee_.weights();
        for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = 0.5F * weights[i] + 0.5F * theirs[i];
        companion_.engine().write(engine::Array::weights, 0, weights);
        inner_.prepare(u);
    }
    [[nodiscard]] const Units& units() const override { return inner_.units(); }
    [[nodiscard]] std::string unit_name(std::size_t unit) const override { return inner_.unit_name(unit); }
    [[nodiscard]] std::span<const std::string_view> sum_names() const override { return inner_.sum_names(); }
    Sums differentiate(std::size_t unit) override { return inner_.differentiate(unit); }
    void metrics(const Sums& sums, Metrics& out) const override { inner_.metrics(sums, out); }

private:
    RuledObjective inner_;
    const Learner& trainee_;
    const Learner& companion_;
};

TEST_F(Trainer, CompanionComesBackFromTheCommitWithTheTrainee) {
    options_.commit.at = 3;
    const auto train_followed = [&](const Learner& trainee, const Learner& companion) {
        FollowedObjective objective(trainee, companion);
        TrainerOptions options = options_;
        options.companions.push_back({"average", companion.engine(), {}, {}, 0});
        const Trainee one{"", trainee.engine(), options_.optimizer, {}, options_.horizon};
        train(ranks_, {&one, 1}, objective, {}, options);
    };
    Learner trainee, companion, trainee_again, companion_again(model::Head::language, 5);
    train_followed(trainee, companion);
    EXPECT_TRUE(store::Checkpoint(options_.directory / commit_name(8)).has("average/model"));
    store::remove_directory(options_.directory / commit_name(8));  // resumes after 6
    train_followed(trainee_again, companion_again);
    EXPECT_EQ(trainee_again.weights(), trainee.weights());
    EXPECT_EQ(companion_again.weights(), companion.weights());
}

}  // namespace
}  // namespace tdrm::train
