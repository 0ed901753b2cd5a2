// Greedy search on cached segments against the same search that computes every path from its start in each round.
//
//   search_bench        prompts of 200 tokens, 8 steps of 16 tokens, 8 branches; ratio of processor times in one run
#include <cstdio>
#include <nlohmann/json.hpp>

#include "fixed_task.hpp"
#include "measure.hpp"
#include "tdrm/engine/load.hpp"
#include "tdrm/rollout/search.hpp"

namespace {

using namespace tdrm;

constexpr int kStep = 16, kSteps = 8, kPrompt = 200, kBranch = 8, kProblems = 32;

/// A step is 16 tokens long.
class SteppedTask final : public bench::FixedTask {
public:
    SteppedTask() : FixedTask(1024, kPrompt, kStep * kSteps) {}
    [[nodiscard]] std::vector<std::int32_t> step_ends(task::TokenSpan answer) const override {
        std::vector<std::int32_t> ends;
        for (int end = kStep; end <= std::ssize(answer); end += kStep) ends.push_back(end);
        return ends;
    }
    [[nodiscard]] std::unique_ptr<task::StepTracker> track_steps() const override {
        struct Count final : task::StepTracker {
            int tokens = 0;
            bool push(task::Token) override { return ++tokens % kStep == 0; }
            [[nodiscard]] std::unique_ptr<task::StepTracker> clone() const override {
                return std::make_unique<Count>(*this);
            }
        };
        return std::make_unique<Count>();
    }
};

/// What the search would cost without its caches: each round prefills and scores whole paths.
void from_the_start(const SteppedTask& task, rollout::Generator& generator, rollout::Scorer& scorer,
                    const std::vector<task::Problem>& problems) {
    std::vector<task::Tokens> paths(problems.size());
    for (int depth = 0; depth < kSteps; ++depth) {
        std::vector<rollout::Request> requests;
        for (std::size_t i = 0; i < problems.size(); ++i) {
            rollout::Request request;
            request.prompt = problems[i].prompt;
            request.prompt.insert(request.prompt.end(), paths[i].begin(), paths[i].end());
            request.max_tokens = kStep;
            for (std::uint64_t b = 0; b < kBranch; ++b)
                request.keys.push_back(random_key(1, "bench", problems[i].id, static_cast<std::uint64_t>(depth), b));
            requests.push_back(std::move(request));
        }
        const auto children = generator.run(requests);
        for (std::size_t i = 0; i < problems.size(); ++i) {
            std::vector<rollout::ScoredAnswer> states;
            for (const auto& child : children[i]) states.push_back({child.ids, {kStep}});
            (void)scorer.score(requests[i].prompt, states);
            paths[i].insert(paths[i].end(), children[i][0].ids.begin(), children[i][0].ids.end());
        }
    }
    (void)task;
}

}  // namespace

int main() {
    const SteppedTask task;
    const auto policy = engine::fresh_engine(bench::small_spec(1024), 1);
    model::ModelSpec spec = bench::small_spec(1024);
    spec.head = model::Head::value;
    const auto value = engine::fresh_engine(spec, 2);
    rollout::Generator cached(*policy, {}, task.end_tokens()), whole(*policy, {}, task.end_tokens());
    rollout::Scorer scorer(*value, task.probe(), rollout::kScoreTokens);
    std::vector<task::Problem> problems;
    for (int i = 0; i < kProblems; ++i) problems.push_back(task.problem("all", i));
    const rollout::SearchPlan plan{&task, kBranch, kSteps, {}, 1};
    std::vector<double> ours, theirs;
    for (int repeat = 0; repeat < 3; ++repeat) {
        ours.push_back(bench::seconds([&] { (void)rollout::greedy_search(plan, cached, scorer, problems); }));
        theirs.push_back(bench::seconds([&] { from_the_start(task, whole, scorer, problems); }));
    }
    const double a = bench::least(ours), b = bench::least(theirs);
    std::printf("%s\n",
                nlohmann::json{{"search", "greedy"}, {"cached_seconds", a}, {"from_start_seconds", b}, {"ratio", b / a}}
                    .dump()
                    .c_str());
}
