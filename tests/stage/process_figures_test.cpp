#include <gtest/gtest.h>

#include <fstream>

#include "tdrm/base/errors.hpp"
#include "tdrm/stage/process/figures.hpp"

namespace tdrm::stage {
namespace {

using nlohmann::json;
using namespace task::process;
namespace fs = std::filesystem;

const fs::path kFolder = fs::path(TDRM_SOURCE_DIR) / "tests/task_process/benchmarks";
const fs::path kReal = fs::path(TDRM_SOURCE_DIR) / "../shared/data";

json read_json(const fs::path& path) { return json::parse(std::ifstream(path)); }

/// Every number of `expected` is in `found`, to 12 digits.
void expect_holds(const json& expected, const json& found, const std::string& where) {
    if (expected.is_object()) {
        for (const auto& [key, value] : expected.items()) {
            ASSERT_TRUE(found.contains(key)) << where << "/" << key;
            expect_holds(value, found[key], where + "/" + key);
        }
    } else if (expected.is_null()) {
        EXPECT_TRUE(found.is_null()) << where;
    } else {
        ASSERT_TRUE(found.is_number()) << where;
        EXPECT_NEAR(expected.get<double>(), found.get<double>(), 1e-12) << where;
    }
}

/// Compares with the figures of tools/fixtures/make_process_scores.py.
void expect_figures(const json& expected, std::map<Benchmark, PredictedBenchmark>& scored) {
    const auto chosen = chosen_threshold(scored.at(Benchmark::processbench), "gsm8k");
    ASSERT_TRUE(chosen);
    EXPECT_DOUBLE_EQ(*chosen, expected["chosen_threshold"].get<double>());
    for (auto& [benchmark, each] : scored) {
        const std::string word(name(benchmark));
        const json found = figures(each, 0.5, chosen);
        for (const char* rule : {"fixed", "chosen"}) {
            json wanted = expected[word][rule];
            if (wanted.contains("mean")) {
                wanted[benchmark == Benchmark::processbench ? "mean_f1" : "mean_accuracy"] = wanted["mean"];
                wanted.erase("mean");
            }
            expect_holds(wanted, found[rule], word + "/" + rule);
            EXPECT_EQ(wanted["subsets"].size(), found[rule]["subsets"].size()) << word;
        }
    }
}

TEST(ProcessFigures, EqualThePublishedFormulasComputedByOtherCode) {
    std::map<Benchmark, PredictedBenchmark> scored;
    const auto predictions = read_predictions(kFolder / "predictions.jsonl");
    for (const Benchmark benchmark : kBenchmarks) {
        auto& each =
            scored[benchmark] = {benchmark, read_benchmark(benchmark, kFolder / std::string(name(benchmark))), {}};
        each.take(predictions);
    }
    expect_figures(read_json(kFolder / "expected.json"), scored);
}

TEST(ProcessFigures, EqualThemOnEveryRowOfTheRealBenchmarks) {
    if (!fs::exists(kReal / "prmbench")) GTEST_SKIP() << "no ../shared/data";
    std::map<Benchmark, PredictedBenchmark> scored;
    for (const Benchmark benchmark : kBenchmarks) {
        auto& each =
            scored[benchmark] = {benchmark, read_benchmark(benchmark, kReal / std::string(name(benchmark))), {}};
        std::map<std::string, std::int64_t> index;
        for (const auto& row : each.data.rows) {
            const std::int64_t i = index[row.subset]++;
            Prediction prediction;
            for (std::int64_t t = 0; t < static_cast<std::int64_t>(row.steps.size()); ++t)
                prediction.value.push_back(static_cast<double>((7919 * i + 104729 * t + 31 * i * t + 13) % 1000) /
                                           1000);
            each.predictions.push_back(prediction);
        }
    }
    expect_figures(read_json(kFolder / "expected_real.json"), scored);
}

TEST(ProcessFigures, OfAlwaysRightAreThoseOfTheLabelsAlone) {
    PredictedBenchmark scored{
        Benchmark::processbench, read_benchmark(Benchmark::processbench, kFolder / "processbench"), {}};
    for (const auto& row : scored.data.rows)
        scored.predictions.push_back({std::vector<double>(row.steps.size(), 1.0), -1});
    const json found = figures(scored, 0.5, std::nullopt);
    EXPECT_EQ(found["given"]["mean_f1"], 0);
    EXPECT_EQ(found["given"]["subsets"]["gsm8k"]["accuracy_correct"], 1);
    EXPECT_EQ(found["given"]["subsets"], found["fixed"]["subsets"]);
    EXPECT_FALSE(found.contains("chosen"));
    EXPECT_EQ(found["sweep"].size(), 101U);
}

TEST(ProcessFigures, PlacesAloneGiveTheOfficialFigureButNoThresholds) {
    PredictedBenchmark scored{
        Benchmark::processbench, read_benchmark(Benchmark::processbench, kFolder / "processbench"), {}};
    for (const auto& row : scored.data.rows) scored.predictions.push_back({{}, row.first_error});
    const json found = figures(scored, 0.5, chosen_threshold(scored, "gsm8k"));
    EXPECT_EQ(found["given"]["mean_f1"], 1);
    EXPECT_FALSE(found.contains("fixed"));
    scored.benchmark = Benchmark::prmbench;
    EXPECT_THROW((void)figures(scored, 0.5, std::nullopt), DataError) << "a place says nothing about later steps";
}

TEST(ProcessFigures, RefusePredictionsThatDontFitTheRows) {
    PredictedBenchmark scored{
        Benchmark::processbench, read_benchmark(Benchmark::processbench, kFolder / "processbench"), {}};
    auto predictions = read_predictions(kFolder / "predictions.jsonl");
    predictions.at("gsm8k-3").value.push_back(0.5);
    EXPECT_THROW(scored.take(predictions), DataError);
    predictions.erase("gsm8k-3");
    EXPECT_THROW(scored.take(predictions), DataError);
}

TEST(ProcessFigures, AChosenThresholdNeedsBothHalves) {
    PredictedBenchmark scored{
        Benchmark::processbench, read_benchmark(Benchmark::processbench, kFolder / "processbench"), {}};
    scored.take(read_predictions(kFolder / "predictions.jsonl"));
    EXPECT_TRUE(chosen_threshold(scored, "math"));
    EXPECT_FALSE(chosen_threshold(scored, "omnimath")) << "no such subset";
    for (auto& row : scored.data.rows) row.first_error = -1;
    EXPECT_FALSE(chosen_threshold(scored, "math"));
}

}  // namespace
}  // namespace tdrm::stage
