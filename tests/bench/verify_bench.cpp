// Verdicts per second on one core.
#include <benchmark/benchmark.h>

#include "../math/helpers.hpp"

namespace tdrm::math::test {
namespace {

struct Pair {
    std::string gold, answer;
    VerifyOptions options;
};

/// The cases of the tests, hard ones included: mostly not the same text, so that most need the whole way.
std::vector<Pair> pairs() {
    std::vector<Pair> result;
    for (const Json& row : read_jsonl(std::filesystem::path(TDRM_SOURCE_DIR) / "tests/math/cases.jsonl"))
        result.push_back({row.at("gold"), row.at("answer"), options_of(row)});
    return result;
}

void verify_cases(benchmark::State& state) {
    const std::vector<Pair> cases = pairs();
    std::size_t i = 0;
    for (auto _ : state) {
        const Pair& pair = cases[i++ % cases.size()];
        benchmark::DoNotOptimize(verify(pair.gold, pair.answer, pair.options));
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(verify_cases);

/// A solution of about 2,000 characters that ends in its boxed answer.
void verify_solutions(benchmark::State& state) {
    std::string solution;
    for (int i = 0; i < 40; ++i) solution += "We add $x_{" + std::to_string(i) + "} = \\frac{1}{2}$ to both sides.\n";
    solution += "Therefore the sum is $\\boxed{\\frac{40}{2}}$.";
    for (auto _ : state) benchmark::DoNotOptimize(verify("20", solution));
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(verify_solutions);

}  // namespace
}  // namespace tdrm::math::test

BENCHMARK_MAIN();
