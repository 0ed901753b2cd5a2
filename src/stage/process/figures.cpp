#include "tdrm/stage/process/figures.hpp"

#include <cmath>

#include "tdrm/base/errors.hpp"
#include "tdrm/eval/first_error.hpp"
#include "tdrm/eval/prm_score.hpp"

namespace tdrm::stage {
namespace {

using nlohmann::json;
using task::process::Benchmark;
using task::process::Prediction;

constexpr int kSweepPoints = 101;  ///< thresholds 0, 0.01, ..., 1

json number(double x) { return std::isfinite(x) ? json(x) : json(); }

/// Rows of a subset, by index.
using Subsets = std::map<std::string, std::vector<std::size_t>>;
Subsets subsets_of(const PredictedBenchmark& scored) {
    Subsets subsets;
    for (std::size_t i = 0; i < scored.data.rows.size(); ++i) subsets[scored.data.rows[i].subset].push_back(i);
    return subsets;
}
std::vector<std::size_t> all_rows(const PredictedBenchmark& scored) {
    std::vector<std::size_t> rows(scored.data.rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i;
    return rows;
}

bool have_values(const PredictedBenchmark& scored) {
    for (std::size_t i = 0; i < scored.predictions.size(); ++i)
        if (scored.predictions[i].value.size() != scored.data.rows[i].steps.size()) return false;
    return true;
}
bool have_places(const PredictedBenchmark& scored) {
    for (const Prediction& each : scored.predictions)
        if (!each.place) return false;
    return true;
}

/// The place that a rule predicts for a row: the file's own, or the first value below a threshold.
std::int64_t place_of(const Prediction& prediction, std::optional<double> threshold) {
    return threshold ? eval::first_error(prediction.value, *threshold) : *prediction.place;
}

eval::FirstErrorScore place_score(const PredictedBenchmark& scored, const std::vector<std::size_t>& rows,
                                  std::optional<double> threshold) {
    std::vector<std::int64_t> predicted, label;
    for (const std::size_t i : rows) {
        predicted.push_back(place_of(scored.predictions[i], threshold));
        label.push_back(scored.data.rows[i].first_error);
    }
    return eval::first_error_score(predicted, label);
}

/// Accuracy over all rows, which have `score.erroneous` and `score.correct` of each sort.
double accuracy(const eval::FirstErrorScore& score) {
    const auto part = [](double share, std::int64_t n) { return n == 0 ? 0 : share * static_cast<double>(n); };
    return (part(score.accuracy_erroneous, score.erroneous) + part(score.accuracy_correct, score.correct)) /
           static_cast<double>(score.erroneous + score.correct);
}

json place_json(const eval::FirstErrorScore& score) {
    return {{"erroneous", score.erroneous},
            {"correct", score.correct},
            {"accuracy_erroneous", number(score.accuracy_erroneous)},
            {"accuracy_correct", number(score.accuracy_correct)},
            {"accuracy", number(accuracy(score))},
            {"f1", number(score.f1)}};
}

/// ProcessBench and BIG-Bench-Mistake under one rule: each subset, all rows, and the mean over subsets.
json places(const PredictedBenchmark& scored, std::optional<double> threshold) {
    json result{{"subsets", json::object()}};
    double f1 = 0, accuracies = 0;
    const Subsets subsets = subsets_of(scored);
    for (const auto& [name, rows] : subsets) {
        const auto score = place_score(scored, rows, threshold);
        result["subsets"][name] = place_json(score);
        f1 += score.f1;
        accuracies += accuracy(score);
    }
    const auto n = static_cast<double>(subsets.size());
    result["all"] = place_json(place_score(scored, all_rows(scored), threshold));
    result["mean_f1"] = number(f1 / n);
    result["mean_accuracy"] = number(accuracies / n);
    if (threshold) result["threshold"] = *threshold;
    return result;
}

json sweep(const PredictedBenchmark& scored) {
    json points = json::array();
    for (int i = 0; i < kSweepPoints; ++i) {
        const double threshold = static_cast<double>(i) / (kSweepPoints - 1);
        json point{{"threshold", threshold}, {"f1", json::object()}};
        for (const auto& [name, rows] : subsets_of(scored))
            point["f1"][name] = number(place_score(scored, rows, threshold).f1);
        points.push_back(point);
    }
    return points;
}

json place_figures(const PredictedBenchmark& scored, double fixed, std::optional<double> chosen) {
    json result = json::object();
    if (have_places(scored)) result["given"] = places(scored, std::nullopt);
    if (!have_values(scored)) return result;
    result["fixed"] = places(scored, fixed);
    if (chosen) result["chosen"] = places(scored, *chosen);
    result["sweep"] = sweep(scored);
    return result;
}

json step_json(const eval::StepCounts& counts) {
    const auto score = eval::prm_score(counts);
    return {{"prm_score", score.prm_score},
            {"f1", score.f1},
            {"negative_f1", score.negative_f1},
            {"accuracy", score.accuracy},
            {"accuracy_right", score.accuracy_right},
            {"accuracy_wrong", score.accuracy_wrong},
            {"counts", {{"tp", counts.tp}, {"fp", counts.fp}, {"tn", counts.tn}, {"fn", counts.fn}}}};
}

/// PRMBench at a threshold: each class, and all of them without the original solutions ("correct").
json step_scores(const PredictedBenchmark& scored, double threshold) {
    json result{{"subsets", json::object()}, {"threshold", threshold}};
    eval::StepCounts total;
    std::int64_t first_right = 0, first_all = 0;
    for (const auto& [name, rows] : subsets_of(scored)) {
        eval::StepCounts counts;
        std::int64_t right = 0, all = 0;
        for (const std::size_t i : rows) {
            const auto& row = scored.data.rows[i];
            const auto& value = scored.predictions[i].value;
            counts += eval::count_steps(value, row.error_steps, threshold);
            if (row.first_error < 0) continue;
            ++all;
            right += value[static_cast<std::size_t>(row.first_error)] > threshold ? 0 : 1;
        }
        json figures = step_json(counts);
        figures["rows"] = rows.size();
        figures["first_error_accuracy"] = all == 0 ? -1.0 : static_cast<double>(right) / static_cast<double>(all);
        result["subsets"][name] = figures;
        if (name == "correct") continue;
        total += counts;
        first_right += right;
        first_all += all;
    }
    result["all"] = step_json(total);
    result["all"]["first_error_accuracy"] =
        first_all == 0 ? -1.0 : static_cast<double>(first_right) / static_cast<double>(first_all);
    return result;
}

json step_figures(const PredictedBenchmark& scored, double fixed, std::optional<double> chosen) {
    if (!have_values(scored))
        throw DataError(
            "PRMBench asks about every step, but the predictions have no values (a place says nothing about the steps "
            "behind it). Give \"values\" or \"scores\" for each row.");
    json result{{"fixed", step_scores(scored, fixed)}};
    if (chosen) result["chosen"] = step_scores(scored, *chosen);
    json points = json::array();
    for (int i = 0; i < kSweepPoints; ++i) {
        const double threshold = static_cast<double>(i) / (kSweepPoints - 1);
        eval::StepCounts total;
        for (std::size_t r = 0; r < scored.data.rows.size(); ++r)
            if (scored.data.rows[r].subset != "correct")
                total += eval::count_steps(scored.predictions[r].value, scored.data.rows[r].error_steps, threshold);
        points.push_back({{"threshold", threshold}, {"prm_score", eval::prm_score(total).prm_score}});
    }
    result["sweep"] = points;
    return result;
}

}  // namespace

void PredictedBenchmark::take(const std::map<std::string, Prediction>& by_id) {
    predictions.clear();
    for (const auto& row : data.rows) {
        const auto found = by_id.find(row.id);
        if (found == by_id.end())
            throw DataError(cat("there is no prediction for row ", row.id, " of ", task::process::name(benchmark),
                                " (figures of some rows aren't comparable). Add it, or leave the benchmark out."));
        const auto values = found->second.value.size();
        if (values != 0 && values != row.steps.size())
            throw DataError(cat("row ", row.id, " has ", values, " values for ", row.steps.size(),
                                " steps (they don't belong to each other). Predict every step."));
        predictions.push_back(found->second);
    }
}

std::optional<double> chosen_threshold(const PredictedBenchmark& processbench, const std::string& subset) {
    if (!have_values(processbench)) return std::nullopt;
    std::vector<eval::FirstErrorRow> rows;
    std::int64_t correct = 0;
    for (std::size_t i = 0; i < processbench.data.rows.size(); ++i) {
        const auto& row = processbench.data.rows[i];
        if (row.subset != subset) continue;
        rows.push_back({processbench.predictions[i].value, row.first_error});
        correct += row.first_error < 0 ? 1 : 0;
    }
    if (correct == 0 || correct == static_cast<std::int64_t>(rows.size())) return std::nullopt;
    return eval::best_threshold(rows).threshold;
}

json figures(const PredictedBenchmark& scored, double fixed, std::optional<double> chosen) {
    json result = scored.benchmark == Benchmark::prmbench ? step_figures(scored, fixed, chosen)
                                                          : place_figures(scored, fixed, chosen);
    result["rows"] = scored.data.rows.size();
    result["counts"] = scored.data.counts;
    return result;
}

json headline(Benchmark benchmark, const json& figures) {
    json line = json::object();
    for (const char* rule : {"given", "fixed", "chosen"}) {
        if (!figures.contains(rule)) continue;
        const json& part = figures[rule];
        if (benchmark == Benchmark::processbench) line[cat("processbench f1 ", rule)] = part["mean_f1"];
        if (benchmark == Benchmark::prmbench) line[cat("prmbench score ", rule)] = part["all"]["prm_score"];
        if (benchmark == Benchmark::bigbench_mistake)
            line[cat("bigbench_mistake accuracy ", rule)] = part["mean_accuracy"];
    }
    return line;
}

}  // namespace tdrm::stage
