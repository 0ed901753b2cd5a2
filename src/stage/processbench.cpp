// Stage `processbench`: how well a value model, or stored predictions, find the wrong steps of published benchmarks.
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/reward/loss.hpp"
#include "tdrm/rollout/scorer.hpp"
#include "tdrm/stage/map.hpp"
#include "tdrm/stage/models.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/process/figures.hpp"
#include "tdrm/stage/process/solution_ids.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::stage {
namespace {

using namespace task::process;
namespace fs = std::filesystem;

constexpr std::int64_t kBlockRows = 64;  ///< rows of a part

struct ProcessbenchOptions {
    std::string value, predictions;
    std::string processbench, prmbench, bigbench_mistake;
    ThresholdOptions threshold;
    std::string separator = "\n\n";
    rollout::ReadOutOptions read_out;
    std::int64_t limit = 0;

    void fields(Fields& f) {
        f("value", value, "value model that scores the steps");
        f("predictions", predictions,
          "instead of a model: a JSONL file (or a folder of them) with what another program predicted")
            .not_identity();
        f("processbench", processbench, "folder or file of ProcessBench; empty = leave it out").not_identity();
        f("prmbench", prmbench, "folder or file of PRMBench").not_identity();
        f("bigbench_mistake", bigbench_mistake, "folder or file of BIG-Bench-Mistake").not_identity();
        f("threshold", threshold.fixed, "value below which a step is called wrong", between(0, 1));
        f("choose_on", threshold.choose_on,
          "ProcessBench subset on which another threshold is chosen by F1; empty = none");
        f("separator", separator, "text behind each step but the last");
        f("read_out", read_out, "how a value model named hf:DIR is read");
        f("limit", limit, "use the first rows of each subset only; 0 = all", between(0, 1e9));
    }
    [[nodiscard]] const std::string& path(Benchmark benchmark) const {
        return benchmark == Benchmark::processbench ? processbench
               : benchmark == Benchmark::prmbench   ? prmbench
                                                    : bigbench_mistake;
    }
};

/// Hash of a file, or of the files of a folder in the order of their names.
std::string content_hash(const fs::path& path) {
    if (!fs::is_directory(path)) return hash_file(path);
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(path))
        if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::string text;
    for (const auto& file : files) text += cat(file.filename().string(), " ", hash_file(file), "\n");
    return hash_hex(text);
}

void keep_first_rows(BenchmarkRows& data, std::int64_t limit) {
    std::map<std::string, std::int64_t> seen;
    if (limit > 0) std::erase_if(data.rows, [&](const BenchmarkRow& row) { return ++seen[row.subset] > limit; });
}

class ProcessbenchStage final : public Stage {
public:
    explicit ProcessbenchStage(ProcessbenchOptions options) : options_(std::move(options)) {}

    /// The files count by what they hold, not by where they lie.
    [[nodiscard]] std::string identity() const override {
        std::string text = tdrm::identity(options_);
        if (!text.empty() && text.back() != '\n') text += "\n";
        for (const Benchmark benchmark : kBenchmarks)
            if (!options_.path(benchmark).empty())
                text += cat(name(benchmark), ": ", content_hash(options_.path(benchmark)), "\n");
        if (!options_.predictions.empty()) text += cat("predictions: ", content_hash(options_.predictions), "\n");
        return text;
    }

    void check(const task::Task& task, const std::string& path, Problems& problems) const override {
        rollout::check_read_out(options_.read_out, task, path + ".read_out", problems);
        if (options_.value.empty() == options_.predictions.empty())
            problems.push_back({"", path + ".value",
                                "exactly one of value and predictions is needed (one of them says which steps are "
                                "wrong). Name a value model, or a file of predictions."});
        bool any = false;
        for (const auto& [key, file] : {std::pair("processbench", options_.processbench),
                                        {"prmbench", options_.prmbench},
                                        {"bigbench_mistake", options_.bigbench_mistake},
                                        {"predictions", options_.predictions}}) {
            any = any || (!file.empty() && std::string_view(key) != "predictions");
            if (!file.empty() && !fs::exists(file))
                problems.push_back(
                    {"", cat(path, ".", key), cat(file, " isn't there (it holds the rows). Check the path."), true});
        }
        if (!any)
            problems.push_back({"", path,
                                "no benchmark is named (there is nothing to score). Give processbench, prmbench or "
                                "bigbench_mistake a folder."});
    }

    StageOutcome run(StageContext& context) override {
        auto scored = context.ranks.agree("reading the benchmarks", [&] { return read(); });
        if (options_.predictions.empty()) {
            const auto logits = score(context, scored);
            std::size_t at = 0;
            for (auto& each : scored)
                for (const BenchmarkRow& row : each.data.rows) {
                    Prediction prediction;
                    for (std::size_t t = 0; t < row.steps.size(); ++t)
                        prediction.value.push_back(reward::sigmoid(static_cast<double>(logits[at++])));
                    each.predictions.push_back(std::move(prediction));
                }
        }
        nlohmann::json results{
            {"kind", "processbench"},
            {"of", options_.predictions.empty() ? context.input("value").label : options_.predictions}};
        nlohmann::json line = nlohmann::json::object();
        context.ranks.agree("figures of the benchmarks", [&] {
            std::optional<double> chosen;
            for (const auto& each : scored)
                if (each.benchmark == Benchmark::processbench)
                    chosen = chosen_threshold(each, options_.threshold.choose_on);
            for (const auto& each : scored) {
                auto& of_benchmark = results["benchmarks"][std::string(name(each.benchmark))] =
                    figures(each, options_.threshold.fixed, chosen);
                line.update(headline(each.benchmark, of_benchmark));
            }
            if (!context.ranks.root()) return;
            if (options_.predictions.empty()) write_predictions(context.directory, scored);
            write_results(context.directory, results);
        });
        return {0, -1, line};
    }

    [[nodiscard]] std::string plan(const task::Task&) const override {
        std::string words;
        for (const Benchmark benchmark : kBenchmarks)
            if (!options_.path(benchmark).empty()) words += cat(words.empty() ? "" : ", ", name(benchmark));
        return cat(words, options_.predictions.empty() ? " scored by " : " predicted by ",
                   options_.predictions.empty() ? options_.value : options_.predictions);
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        if (options_.value.empty()) return Memory();
        const auto value = planned.model("value");
        if (!value) return std::nullopt;
        return frozen_memory("the value model", *value).add(scoring_memory(*value, rollout::kScoreTokens));
    }

private:
    /// Local. The benchmarks that are asked for, with predictions if a file holds them.
    [[nodiscard]] std::vector<PredictedBenchmark> read() const {
        std::map<std::string, Prediction> predictions;
        if (!options_.predictions.empty()) predictions = read_predictions(options_.predictions);
        std::vector<PredictedBenchmark> scored;
        for (const Benchmark benchmark : kBenchmarks) {
            if (options_.path(benchmark).empty()) continue;
            scored.push_back({benchmark, read_benchmark(benchmark, options_.path(benchmark)), {}});
            keep_first_rows(scored.back().data, options_.limit);
            if (!options_.predictions.empty()) scored.back().take(predictions);
        }
        return scored;
    }

    /// Collective. Value logits of the states after each step of all rows, one behind the other.
    [[nodiscard]] std::vector<float> score(StageContext& context, const std::vector<PredictedBenchmark>& scored) const {
        std::vector<const BenchmarkRow*> rows;
        for (const auto& each : scored)
            for (const BenchmarkRow& row : each.data.rows) rows.push_back(&row);
        if (!map_is_done(context, context.directory)) {
            const Input& value = context.input("value");
            refuse_hazards(context, value, "processbench");
            const auto model = load_value_model(context, value, options_.read_out);
            rollout::Scorer scorer = value_scorer(context, *model, value, options_.read_out, rollout::kScoreTokens);
            MapWork work;
            work.label = context.node.name;
            work.units = static_cast<std::int64_t>(rows.size());
            work.block = block_size(work.units, kBlockRows);
            work.directory = context.directory;
            work.work = [&](std::int64_t begin, std::int64_t end, store::FileWriter& part) {
                std::vector<float> logits;
                for (std::int64_t i = begin; i < end; ++i) {
                    const BenchmarkRow& row = *rows[static_cast<std::size_t>(i)];
                    const auto more = step_logits(context.task, scorer, row);
                    logits.insert(logits.end(), more.begin(), more.end());
                    context.watchdog.unit(cat(context.node.name, ", row ", row.id));
                }
                part.write("step/value", logits);
            };
            work.merge = [&](const auto& parts) { merge(context, rows, parts); };
            warn_if_idle(context, (work.units + work.block - 1) / work.block);
            run_map(context, work);
        }
        return context.ranks.agree("reading values", [&] {
            return store::FileReader(context.directory / "values.h5").read<float>("step/value");
        });
    }

    /// All steps of a solution in one pass.
    [[nodiscard]] std::vector<float> step_logits(const task::Task& task, rollout::Scorer& scorer,
                                                 const BenchmarkRow& row) const {
        const auto prompt = task.question_ids(row.problem);
        const auto solution = solution_ids(task, row.steps, options_.separator, true);
        const rollout::ScoredAnswer answer{solution.ids, solution.step_ends};
        return scorer.score(prompt, std::span(&answer, 1)).front();
    }

    void merge(StageContext& context, const std::vector<const BenchmarkRow*>& rows,
               const std::vector<fs::path>& parts) const {
        std::vector<float> logits;
        for (const auto& part : parts) {
            const auto more = store::FileReader(part).read<float>("step/value");
            logits.insert(logits.end(), more.begin(), more.end());
        }
        std::vector<std::string> ids, subsets;
        std::vector<std::int64_t> label, offsets{0};
        for (const BenchmarkRow* row : rows) {
            ids.push_back(row->id);
            subsets.push_back(row->subset);
            label.push_back(row->first_error);
            offsets.push_back(offsets.back() + static_cast<std::int64_t>(row->steps.size()));
        }
        store::FileWriter file(context.directory / "values.h5");
        file.attribute("schema", std::string("tdrm-step-values-1"));
        file.attribute("model", context.input("value").label);
        file.attribute("model_hash", context.input("value").identity);
        file.write_strings("row/id", ids);
        file.write_strings("row/subset", subsets);
        file.write("row/first_error", label);
        file.write("row/step_offset", offsets);
        file.write("step/value", logits);
        store::write_manifest(context.directory, std::vector{file.close()});
    }

    /// predictions.jsonl: what `predictions` reads, and other people's programs.
    void write_predictions(const fs::path& directory, const std::vector<PredictedBenchmark>& scored) const {
        std::string text;
        for (const auto& each : scored)
            for (std::size_t i = 0; i < each.data.rows.size(); ++i) {
                const BenchmarkRow& row = each.data.rows[i];
                text += nlohmann::json{{"id", row.id},
                                       {"subset", row.subset},
                                       {"label", row.first_error},
                                       {"values", each.predictions[i].value}}
                            .dump() +
                        "\n";
            }
        store::write_text_atomic(directory / "predictions.jsonl", text);
    }

    ProcessbenchOptions options_;
};

}  // namespace

StageKind processbench_kind() {
    return kind_of<ProcessbenchOptions, ProcessbenchStage>(
        "finding wrong steps: ProcessBench, PRMBench, BIG-Bench-Mistake", kNothing, {{"value", kValues}});
}

}  // namespace tdrm::stage
