// The published figures of the process benchmarks, from rows and what a model said about them.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tdrm/task/process/benchmark.hpp"

namespace tdrm::stage {

/// Where a value is low enough to call a step wrong.
struct ThresholdOptions {
    double fixed = 0.5;               ///< ProcessBench: wrong below it; PRMBench: right above it
    std::string choose_on = "gsm8k";  ///< ProcessBench subset on which another one is chosen by F1; empty = none
};

/// A benchmark with a prediction for each of its rows, in their order.
struct PredictedBenchmark {
    task::process::Benchmark benchmark = task::process::Benchmark::processbench;
    task::process::BenchmarkRows data;
    std::vector<task::process::Prediction> predictions;

    /// Takes each row's prediction by its id. @throws DataError if a row has none, or another number of values than
    /// steps
    void take(const std::map<std::string, task::process::Prediction>& by_id);
};

/// The threshold with the highest F1 on a subset of ProcessBench (the lowest such; eval::best_threshold); empty if the
/// subset isn't there, has no values, or lacks one of the halves.
[[nodiscard]] std::optional<double> chosen_threshold(const PredictedBenchmark& processbench, const std::string& subset);

/// Figures of one benchmark, for each subset and over all. docs/process-benchmarks.md names them. What can't be
/// computed is null. @param chosen a threshold beside the fixed one
/// @throws DataError where PRMBench has no values
[[nodiscard]] nlohmann::json figures(const PredictedBenchmark& scored, double fixed, std::optional<double> chosen);

/// The headline figures of a benchmark in a line, for the console.
[[nodiscard]] nlohmann::json headline(task::process::Benchmark benchmark, const nlohmann::json& figures);

}  // namespace tdrm::stage
