// Values of all states of a solution in one pass against a row of its own for each state.
//
//   prefix_bench        n steps of 16 tokens behind a prompt of 16; ratio of processor times in one run
//
// Rows of their own compute (n + 1) / 2 times the answer's tokens.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "measure.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/engine/load.hpp"
#include "tdrm/rollout/scorer.hpp"

int main() {
    using namespace tdrm;
    constexpr int kStep = 16, kVocab = 512, kSolutions = 16;
    constexpr std::int32_t kProbe[] = {2};
    model::ModelSpec spec = bench::text_spec(kVocab);
    spec.head = model::Head::value;
    const auto engine = engine::fresh_engine(spec, 1);
    rollout::Scorer scorer(*engine, kProbe, rollout::kScoreTokens);
    Random random(random_key(1, "bench"));
    const auto tokens = [&](int n) {
        task::Tokens ids;
        for (int i = 0; i < n; ++i) ids.push_back(3 + static_cast<std::int32_t>(random.next_below(kVocab - 3)));
        return ids;
    };
    for (const int n : {4, 8, 16}) {
        std::vector<task::Tokens> prompts, answers;
        for (int i = 0; i < kSolutions; ++i) prompts.push_back(tokens(kStep)), answers.push_back(tokens(n * kStep));
        std::vector<std::int32_t> ends;
        for (int t = 1; t <= n; ++t) ends.push_back(t * kStep);
        const auto together = [&] {
            for (std::size_t i = 0; i < prompts.size(); ++i)
                (void)scorer.score(prompts[i], std::vector<rollout::ScoredAnswer>{{answers[i], ends}});
        };
        const auto one_by_one = [&] {
            for (std::size_t i = 0; i < prompts.size(); ++i)
                for (const std::int32_t end : ends) {
                    task::Tokens row = prompts[i];
                    row.insert(row.end(), answers[i].begin(), answers[i].begin() + end);
                    (void)scorer.score(row, std::vector<rollout::ScoredAnswer>{{{}, {0}}});
                }
        };
        std::vector<double> ours, theirs;
        for (int repeat = 0; repeat < 3; ++repeat) {
            ours.push_back(bench::seconds(together));
            theirs.push_back(bench::seconds(one_by_one));
        }
        const double a = bench::least(ours), b = bench::least(theirs);
        const nlohmann::json line{{"steps", n},
                                  {"together_seconds", a},
                                  {"a_row_each_seconds", b},
                                  {"ratio", b / a},
                                  {"computed_too_much", (n + 1) / 2.0}};
        std::printf("%s\n", line.dump().c_str());
    }
}
