// The training loop on several ranks, with sums that are exchanged while units are computed.
#include <gtest/gtest.h>

#include "../store/temporary_folder.hpp"
#include "fixture.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::train {
namespace {

constexpr int kBatch = 6;

/// An objective one of whose units fails, before or behind its backward pass.
class FailingObjective final : public Objective {
public:
    enum class When { before, behind };
    FailingObjective(std::unique_ptr<Objective> inner, std::size_t unit, When when)
        : inner_(std::move(inner)), unit_(unit), when_(when) {}
    void prepare(std::int64_t update) override { inner_->prepare(update); }
    [[nodiscard]] const Units& units() const override { return inner_->units(); }
    [[nodiscard]] std::string unit_name(std::size_t unit) const override { return inner_->unit_name(unit); }
    [[nodiscard]] std::span<const std::string_view> sum_names() const override { return inner_->sum_names(); }
    Sums differentiate(std::size_t unit) override {
        if (unit == unit_ && when_ == When::before) throw DataError("a unit without data");
        Sums sums = inner_->differentiate(unit);
        if (unit == unit_) throw DataError("a unit that came to nothing");
        return sums;
    }
    void metrics(const Sums& sums, Metrics& out) const override { inner_->metrics(sums, out); }

private:
    std::unique_ptr<Objective> inner_;
    std::size_t unit_;
    When when_;
};

using Case = std::tuple<engine::DeviceKind, SumMode>;
class Ranks : public testing::TestWithParam<Case> {
protected:
    Ranks() {
        options_.label = "test";
        options_.directory = ranks_.broadcast_text(folder_.path().string());
        options_.updates = options_.horizon = 3;
        options_.optimizer = {.lr = 0.01, .clip = 5};
        options_.commit.every = Seconds{1e9};
        options_.sum = std::get<1>(GetParam());
    }
    ~Ranks() override { ranks_.barrier(); }  // before rank 0's folder goes

    /// Weights of a model that learnt.
    std::vector<float> train_with(const std::function<std::unique_ptr<Objective>(std::unique_ptr<Objective>)>& around) {
        Learner learner(rollout::toy_model(model::Head::language, 1, std::get<0>(GetParam())));
        const auto objective = around(sft_objective(learner, task_, 5, kBatch, 1));
        trained(ranks_, learner, *objective, {}, options_);
        return learner.weights();
    }

    comm::Communicator ranks_;
    store::TemporaryFolder folder_;
    ToyTask task_;
    LoopOptions options_;
};
INSTANTIATE_TEST_SUITE_P(All, Ranks,
                         testing::Combine(testing::Values(engine::DeviceKind::cpu, engine::DeviceKind::emulated),
                                          testing::Values(SumMode::exact, SumMode::fast, SumMode::dealt)));

TEST_P(Ranks, LearnTogether) {
    const auto weights = train_with([](auto objective) { return objective; });
    const std::string_view bytes(reinterpret_cast<const char*>(weights.data()), weights.size() * sizeof(float));
    ranks_.require_equal("weights", bytes);
    EXPECT_NE(weights, Learner(rollout::toy_model(model::Head::language, 1, std::get<0>(GetParam()))).weights());
}

TEST_P(Ranks, TeachTwoModelsAsEachAlone) {
    const auto alone = train_with([](auto objective) { return objective; });
    const auto model = [](std::uint64_t seed) {
        return Learner(rollout::toy_model(model::Head::language, seed, std::get<0>(GetParam())));
    };
    Learner first = model(1), second = model(2);
    PairObjective objective(sft_objective(first, task_, 5, kBatch, 1), sft_objective(second, task_, 6, 2, 1));
    const std::vector<Trainee> trainees{{"", first.engine(), options_.optimizer, {}, options_.horizon},
                                        {"other", second.engine(), options_.optimizer, {}, options_.horizon}};
    options_.directory /= "both";
    if (ranks_.root()) std::filesystem::create_directories(options_.directory);
    ranks_.barrier();
    train(ranks_, trainees, objective, {}, options_);
    if (options_.sum != SumMode::fast) {  // whose sums depend on who computes which unit
        EXPECT_EQ(first.weights(), alone);
    }
    const auto weights = second.weights();
    ranks_.require_equal("weights", {reinterpret_cast<const char*>(weights.data()), weights.size() * sizeof(float)});
    EXPECT_NE(weights, model(2).weights());
}

TEST_P(Ranks, EndTogetherWhereAUnitFails) {
    for (const std::size_t unit : {0U, 3U, 5U})
        for (const auto when : {FailingObjective::When::before, FailingObjective::When::behind}) {
            std::string said;
            try {
                train_with([&](auto objective) {
                    return std::make_unique<FailingObjective>(std::move(objective), unit, when);
                });
            } catch (const Error& error) {
                said = error.what();
            }
            EXPECT_NE(said.find("a unit "), std::string::npos) << said;
        }
}

}  // namespace
}  // namespace tdrm::train
