#include "tdrm/rollout/annotate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tdrm/base/hash.hpp"
#include "toy.hpp"
#include "toy_task.hpp"

namespace tdrm::rollout {
namespace {

class Annotate : public testing::Test {
protected:
    Annotate() {
        plan_.task = &task_;
        plan_.tries = 5;
        plan_.sampler.temperature = 0.9;
        plan_.seed = 3;
        RolloutPlan rollouts{&task_, "all", 4, plan_.sampler, 9, "rollout"};
        std::vector<task::Draw> draws;
        for (std::int64_t i = 0; i < 6; ++i) draws.push_back({i, 0});
        Generator generator(*policy_, plan_.sampler, task_.end_tokens(), 7);
        data_ = sample_answers(rollouts, generator, draws);
    }
    [[nodiscard]] Annotation annotation(const AnnotatePlan& plan, int slots = 7) const {
        Generator generator(*policy_, plan.sampler, task_.end_tokens(), slots);
        return annotate(plan, generator, data_, 0, data_.num_problems());
    }
    [[nodiscard]] task::Tokens state(std::size_t row, std::size_t t) const {
        const auto ids = data_.ids(row);
        const auto length = t == 0 ? 0 : data_.step_ends(row)[t - 1];
        return {ids.begin(), ids.begin() + length};
    }
    [[nodiscard]] bool is_over(const task::Tokens& state) const {
        const auto ends = task_.end_tokens();
        return std::ssize(state) == task_.max_answer_tokens() ||
               (!state.empty() && std::find(ends.begin(), ends.end(), state.back()) != ends.end());
    }
    /// One try of one state, from the beginning of its problem.
    [[nodiscard]] task::Tokens tried(const task::Problem& problem, const task::Tokens& state, int i) const {
        Request request;
        request.prompt = problem.prompt;
        request.prompt.insert(request.prompt.end(), state.begin(), state.end());
        const auto hash = hash64({reinterpret_cast<const char*>(state.data()), state.size() * sizeof(task::Token)});
        request.keys = {random_key(plan_.seed, "annotate", problem.id, hash, static_cast<std::uint64_t>(i))};
        request.first_counter = state.size();
        request.max_tokens = task_.max_answer_tokens() - static_cast<int>(state.size());
        return Generator(*policy_, plan_.sampler, task_.end_tokens(), 1).run(std::span(&request, 1))[0][0].ids;
    }
    [[nodiscard]] std::int32_t successes(std::size_t row, const task::Tokens& state, int tries) const {
        const auto problem = data_.problem_of(row);
        std::int32_t right = 0;
        for (int i = 0; i < tries; ++i) {
            auto answer = state;
            if (!is_over(state)) {
                const auto more = tried(problem, state, i);
                answer.insert(answer.end(), more.begin(), more.end());
            }
            right += task_.verdict(problem, answer).correct ? 1 : 0;
        }
        return right;
    }

    ToyTask task_{24};
    std::unique_ptr<engine::Engine> policy_ = toy_model();
    AnnotatePlan plan_;
    Trajectories data_;
};

TEST_F(Annotate, CountsWhatTheSameContinuationsDrawnOneByOneSay) {
    const auto found = annotation(plan_);
    const auto offsets = state_offsets(data_);
    ASSERT_EQ(found.tries.size(), offsets.back());
    std::size_t over = 0, mixed = 0;
    for (std::size_t row = 0; row < data_.size(); ++row)
        for (std::size_t s = offsets[row]; s < offsets[row + 1]; ++s) {
            const auto here = state(row, s - offsets[row]);
            EXPECT_EQ(found.tries[s], 5);
            EXPECT_EQ(found.successes[s], successes(row, here, 5)) << row << " " << s;
            over += is_over(here) ? 1 : 0;
            mixed += found.successes[s] > 0 && found.successes[s] < 5 ? 1 : 0;
        }
    EXPECT_GT(over, 0U);
    EXPECT_GT(mixed, 0U);
}

TEST_F(Annotate, EqualStatesAreContinuedOnce) {
    const auto found = annotation(plan_);
    std::map<std::pair<std::int32_t, task::Tokens>, std::int64_t> states;  // tokens of all tries of each open state
    const auto offsets = state_offsets(data_);
    for (std::size_t row = 0; row < data_.size(); ++row)
        for (std::size_t t = 0; t + offsets[row] < offsets[row + 1]; ++t) {
            const auto here = state(row, t);
            if (is_over(here)) continue;
            auto& tokens = states[{data_.problem[row], here}];
            if (tokens > 0) continue;
            for (int i = 0; i < 5; ++i) tokens += std::ssize(tried(data_.problem_of(row), here, i));
        }
    EXPECT_LT(states.size(), offsets.back());  // s_0, at least, is shared
    std::int64_t all = 0;
    for (const auto& [state, tokens] : states) all += tokens;
    EXPECT_EQ(found.generated, all);
}

TEST_F(Annotate, CompanyDoesntChangeAnything) {
    const auto few = annotation(plan_, 1), many = annotation(plan_, 100);
    EXPECT_EQ(few.successes, many.successes);
    Generator generator(*policy_, plan_.sampler, task_.end_tokens(), 7);
    Annotation apart;
    for (std::size_t p = 0; p < data_.num_problems(); ++p) apart.append(annotate(plan_, generator, data_, p, p + 1));
    EXPECT_EQ(apart.successes, many.successes);
    EXPECT_EQ(apart.tries, many.tries);
    EXPECT_EQ(apart.generated, many.generated);
}

TEST_F(Annotate, BudgetEndsTriesButGivesEveryStateTheFirst) {
    auto plan = plan_;
    plan.budget = 60;
    const auto all = annotation(plan_), some = annotation(plan);
    EXPECT_LT(some.generated, all.generated);
    std::set<std::int32_t> tries;
    const auto offsets = state_offsets(data_);
    for (std::size_t row = 0; row < data_.size(); ++row)
        for (std::size_t s = offsets[row]; s < offsets[row + 1]; ++s) {
            EXPECT_GE(some.tries[s], 1);
            tries.insert(some.tries[s]);
            EXPECT_EQ(some.successes[s], successes(row, state(row, s - offsets[row]), some.tries[s]));
        }
    EXPECT_GT(tries.size(), 1U);  // tries of open states ended early
}

}  // namespace
}  // namespace tdrm::rollout
