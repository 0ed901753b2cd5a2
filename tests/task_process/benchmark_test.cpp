#include "tdrm/task/process/benchmark.hpp"

#include "helpers.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::task::process {
namespace {

TEST(ReadBenchmark, GivesPlacesFromZeroAndKeepsTheFirstOfEqualIds) {
    const auto data = read_benchmark(Benchmark::prmbench, kBenchmarkFolder / "prmbench");
    EXPECT_EQ(data.rows.size(), 32U) << "8 a class, and 8 original solutions";
    EXPECT_EQ(data.counts.at("correct"), 8);
    EXPECT_EQ(data.counts.at("noticed: row with an id that was there"), 4) << "one a class, and its original solution";
    EXPECT_EQ(data.counts.at("noticed: error step past the end"), 1);
    for (const auto& row : data.rows) {
        EXPECT_TRUE(row.id.starts_with(row.subset + "_made_up_")) << row.id;
        EXPECT_EQ(row.first_error, row.error_steps.empty() ? -1 : row.error_steps.front());
    }
    const auto mistakes = read_benchmark(Benchmark::bigbench_mistake, kBenchmarkFolder / "bigbench_mistake");
    EXPECT_EQ(mistakes.rows.front().id, "dyck_languages-0");
    EXPECT_EQ(mistakes.rows.back().id, "word_sorting-9");
}

TEST(ReadBenchmark, ReadsEveryRowOfTheRealOnes) {
    if (!std::filesystem::exists(kReal / "processbench")) GTEST_SKIP() << "no ../shared/data";
    const auto processbench = read_benchmark(Benchmark::processbench, kReal / "processbench");
    EXPECT_EQ(processbench.rows.size(), 3400U);
    std::map<std::string, int> right;
    for (const auto& row : processbench.rows) right[row.subset] += row.first_error < 0 ? 1 : 0;
    EXPECT_EQ(right,
              (std::map<std::string, int>{{"gsm8k", 193}, {"math", 406}, {"olympiadbench", 339}, {"omnimath", 241}}));
    const auto mistakes = read_benchmark(Benchmark::bigbench_mistake, kReal / "bigbench_mistake");
    EXPECT_EQ(mistakes.rows.size(), 2186U);
    EXPECT_EQ(mistakes.counts.at("noticed: step without text"), 1);
    const auto prmbench = read_benchmark(Benchmark::prmbench, kReal / "prmbench");
    EXPECT_EQ(prmbench.counts.at("multi_solutions"), 160) << "of 165 rows and 10 of subset400";
    EXPECT_EQ(prmbench.counts.at("correct"), prmbench.counts.at("redundency"));
}

TEST(ReadBenchmark, RefusesRowsThatCantBeScored) {
    const struct {
        Benchmark benchmark;
        std::string row, says;
    } cases[] = {
        {Benchmark::processbench, R"({"id": "a", "problem": "q", "steps": [], "label": -1})", "no steps"},
        {Benchmark::processbench, R"({"id": "a", "problem": "q", "steps": ["s"], "label": 1})", "outside"},
        {Benchmark::processbench, R"({"id": "a", "problem": "q", "steps": ["s"], "label": null})", "no index"},
        {Benchmark::bigbench_mistake, R"({"input": "q", "steps": ["s"]})", "mistake_index"},
        {Benchmark::prmbench,
         R"({"classification": "c", "idx": "1", "modified_question": "q", "modified_process": ["s"], "error_steps": [0]})",
         "below 1"},
    };
    for (const auto& each : cases) {
        TextFile file(each.row);
        const auto message = message_of<DataError>([&] { (void)read_benchmark(each.benchmark, file.path()); });
        EXPECT_NE(message.find(each.says), std::string::npos) << each.row << "\n" << message;
        EXPECT_NE(message.find("line 1"), std::string::npos);
    }
    EXPECT_THROW((void)read_benchmark(Benchmark::processbench, kReal / "nowhere"), IoError);
    EXPECT_THROW((void)read_benchmark(Benchmark::processbench, kSamples / ".."), IoError) << "a folder without rows";
}

TEST(ReadPredictions, TakesPlacesValuesAndScores) {
    TextFile file(R"({"id": "a", "label": 2, "prediction": 1, "match": false}
{"id": "b", "values": [0.5, 1, true]}
{"idx": "c", "scores": {"step_level_validity_labels": [true, false]}}
{"idx": "d", "scores": {"step_level_validity_labels": [true], "step_level_validity_scores": [0.25]}})");
    const auto predictions = read_predictions(file.path());
    EXPECT_EQ(predictions.at("a").place, 1);
    EXPECT_EQ(predictions.at("b").value, (std::vector<double>{0.5, 1, 1}));
    EXPECT_EQ(predictions.at("c").value, (std::vector<double>{1, 0}));
    EXPECT_EQ(predictions.at("d").value, (std::vector<double>{0.25}));
    TextFile nothing(R"({"id": "a", "label": 2})", "nothing.jsonl");
    EXPECT_THROW((void)read_predictions(nothing.path()), DataError);
    TextFile broken(R"({"id": "a", "values": ["x"]})", "broken.jsonl");
    EXPECT_THROW((void)read_predictions(broken.path()), DataError);
}

}  // namespace
}  // namespace tdrm::task::process
