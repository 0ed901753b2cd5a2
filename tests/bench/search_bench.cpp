// Greedy search on cached segments against the same search that computes every path from its start in each round.
//
//   search_bench        prompts of 200 and 600 tokens, 8 steps of 16 tokens; ratio of processor times in one run
#include <cstdio>
#include <nlohmann/json.hpp>

#include "fixed_task.hpp"
#include "measure.hpp"
#include "tdrm/engine/load.hpp"
#include "tdrm/rollout/search.hpp"
#include "tdrm/text/step_splitter.hpp"

namespace {

using namespace tdrm;

constexpr int kStep = 16, kSteps = 8, kProblems = 8;

/// Texts of a real tokenizer; a step is 16 tokens long.
class SteppedTask final : public bench::FixedTask {
public:
    SteppedTask(const text::Tokenizer& tokenizer, int prompt)
        : FixedTask(tokenizer.vocab_size(), prompt, kStep * kSteps), tokenizer_(tokenizer) {}
    [[nodiscard]] std::vector<std::int32_t> step_ends(task::TokenSpan answer) const override {
        return text::split_steps(tokenizer_, answer, kOptions);
    }
    [[nodiscard]] std::unique_ptr<task::StepTracker> track_steps() const override {
        struct Steps final : task::StepTracker {
            explicit Steps(const text::Tokenizer& tokenizer) : splitter(tokenizer, kOptions) {}
            bool push(task::Token token) override { return splitter.push(token); }
            [[nodiscard]] std::unique_ptr<task::StepTracker> clone() const override {
                return std::make_unique<Steps>(*this);
            }
            text::StepSplitter splitter;
        };
        return std::make_unique<Steps>(tokenizer_);
    }

private:
    static constexpr text::StepOptions kOptions{text::StepDelimiter::blank_line, kStep, 0};
    const text::Tokenizer& tokenizer_;
};

/// Whether the last step of path and ids ends with them, found from the start.
bool ends_step(const SteppedTask& task, const task::Tokens& path, const task::Tokens& ids) {
    task::Tokens whole = path;
    whole.insert(whole.end(), ids.begin(), ids.end());
    const auto ends = task.step_ends(whole);
    return !ends.empty() && ends.back() == std::ssize(whole) && ends.back() > std::ssize(path);
}

/// The same search without caches: each round prefills and scores whole paths, each token looks at its whole path.
void from_the_start(const SteppedTask& task, rollout::Generator& generator, rollout::Scorer& scorer,
                    const std::vector<task::Problem>& problems, int branch) {
    std::vector<task::Tokens> paths(problems.size());
    for (int depth = 0; depth < kSteps; ++depth) {
        std::vector<rollout::Request> requests;
        std::vector<std::vector<task::Tokens>> drawn(problems.size(),
                                                     std::vector<task::Tokens>(static_cast<std::size_t>(branch)));
        for (std::size_t i = 0; i < problems.size(); ++i) {
            rollout::Request request;
            request.prompt = problems[i].prompt;
            request.prompt.insert(request.prompt.end(), paths[i].begin(), paths[i].end());
            request.max_tokens = kStep * kSteps - static_cast<int>(paths[i].size());
            request.stop = [&task, &path = paths[i], &ids = drawn[i]](std::size_t sample, std::int32_t token) {
                ids[sample].push_back(token);
                return ends_step(task, path, ids[sample]);
            };
            for (int b = 0; b < branch; ++b)
                request.keys.push_back(random_key(1, "bench", problems[i].id, static_cast<std::uint64_t>(depth),
                                                  static_cast<std::uint64_t>(b)));
            requests.push_back(std::move(request));
        }
        const auto children = generator.run(requests);
        for (std::size_t i = 0; i < problems.size(); ++i) {
            std::vector<rollout::ScoredAnswer> states;
            for (const auto& child : children[i])
                states.push_back({child.ids, {static_cast<std::int32_t>(child.ids.size())}});
            (void)scorer.score(requests[i].prompt, states);
            paths[i].insert(paths[i].end(), children[i][0].ids.begin(), children[i][0].ids.end());
        }
    }
}

void measure(const text::Tokenizer& tokenizer, int prompt) {
    const SteppedTask task(tokenizer, prompt);
    model::ModelSpec spec = bench::text_spec(tokenizer.vocab_size());
    const auto policy = engine::fresh_engine(spec, 1);
    spec.head = model::Head::value;
    const auto value = engine::fresh_engine(spec, 2);
    rollout::Generator cached(*policy, {}, task.end_tokens()), whole(*policy, {}, task.end_tokens());
    rollout::Scorer scorer(*value, task.probe(), rollout::kScoreTokens);
    std::vector<task::Problem> problems;
    for (int i = 0; i < kProblems; ++i) problems.push_back(task.problem("all", i));
    for (const int branch : {4, 8}) {
        rollout::SearchPlan plan;
        plan.task = &task;
        plan.branch = branch;
        plan.depth = kSteps;
        plan.seed = 1;
        std::vector<double> ours, theirs;
        for (int repeat = 0; repeat < 3; ++repeat) {
            ours.push_back(bench::seconds([&] { (void)rollout::search(plan, cached, scorer, problems); }));
            theirs.push_back(bench::seconds([&] { from_the_start(task, whole, scorer, problems, branch); }));
        }
        const double a = bench::least(ours), b = bench::least(theirs);
        const nlohmann::json line{{"prompt", prompt},
                                  {"branches", branch},
                                  {"cached_seconds", a},
                                  {"from_start_seconds", b},
                                  {"ratio", b / a}};
        std::printf("%s\n", line.dump().c_str());
    }
}

}  // namespace

int main() {
    const auto tokenizer = text::Tokenizer::load(TDRM_SOURCE_DIR "/tests/task_text/data/chatml");
    for (const int prompt : {200, 600}) measure(tokenizer, prompt);
}
