// Benchmarks of process reward models: ProcessBench, PRMBench, BIG-Bench-Mistake; and predictions for them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tdrm::task::process {

enum class Benchmark { processbench, prmbench, bigbench_mistake };
inline constexpr std::array kBenchmarks{Benchmark::processbench, Benchmark::prmbench, Benchmark::bigbench_mistake};
/// "processbench", "prmbench", "bigbench_mistake"
[[nodiscard]] std::string_view name(Benchmark benchmark);

/// A solution whose wrong steps are to be found.
struct BenchmarkRow {
    std::string id;  ///< unique in the benchmark; ProcessBench: its own; PRMBench: class_idx; BIG-Bench-Mistake:
                     ///< task-row from 0
    std::string
        subset;  ///< ProcessBench and BIG-Bench-Mistake: name of the file; PRMBench: class of error, or "correct"
    std::string problem;
    std::vector<std::string> steps;  ///< trimmed; may be empty where the source is
    std::int64_t first_error = -1;   ///< index of the first wrong step from 0, -1 if there is none
    std::vector<std::int64_t>
        error_steps;  ///< PRMBench: indices of all wrong steps from 0, ascending, those past the end left out
};

struct BenchmarkRows {
    std::vector<BenchmarkRow> rows;
    std::map<std::string, std::int64_t> counts;  ///< rows a subset; "noticed: ..." for what was left out
};

/// Rows of a file, or of the .json, .jsonl, .json.gz and .jsonl.gz files of a folder in the order of their names.
/// PRMBench as its evaluation reads it: of rows with equal class and idx the first counts, and each original solution
/// behind a "redundency" row is a row of class "correct". Local.
/// @throws IoError if there is nothing to read; DataError, naming file and line, for a row that can't be understood: a
/// missing field, a label outside of the steps (PRMBench's error steps excepted, see above), no steps
[[nodiscard]] BenchmarkRows read_benchmark(Benchmark benchmark, const std::filesystem::path& path);

/// What somebody's model said about a row.
struct Prediction {
    std::vector<double> value;  ///< of each step, a probability that it is right; empty if only the place is known
    std::optional<std::int64_t> place;  ///< predicted first wrong step, -1 for none, where the file has it
};

/// Predictions by row id from JSON lines, each with "id" or "idx" and with one of
/// - "prediction": index of the first wrong step, -1 for none (as ProcessBench's programs write it),
/// - "values": a number for each step,
/// - "scores": {"step_level_validity_scores" or "step_level_validity_labels": [...]} (as PRMBench's programs write it).
/// The first line of an id counts. @throws as read_benchmark
[[nodiscard]] std::map<std::string, Prediction> read_predictions(const std::filesystem::path& path);

}  // namespace tdrm::task::process
