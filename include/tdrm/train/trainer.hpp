// The one training loop: batch, units, exact sum, clip, AdamW, metrics, evaluation, commit. What is learnt is an
// Objective's business.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tdrm/base/options.hpp"
#include "tdrm/comm/communicator.hpp"
#include "tdrm/engine/engine.hpp"
#include "tdrm/train/metrics.hpp"
#include "tdrm/train/optimizer.hpp"
#include "tdrm/train/units.hpp"

namespace tdrm::train {

/// A model in training. A run of the loop has one or several, which learn from the same batches.
struct Trainee {
    std::string name;  ///< before its tensors in a commit and its figures in the log; "" for the stage's own model
    engine::Engine& engine;
    OptimizerOptions optimizer;
    PrecisionOptions precision;
    std::int64_t horizon = 0;  ///< of its schedule
    std::int64_t begins = 0;   ///< first update that changes it; its schedule counts from there
};

/// What is learnt: cuts each global batch into units and differentiates the loss of one unit.
class Objective {
public:
    virtual ~Objective() = default;

    /// Collective. Makes the global batch of an update (0-based), the same on every rank.
    virtual void prepare(std::int64_t update) = 0;
    /// Collective. Called when all units were differentiated: prepares further ones of the same update, which are made
    /// of what those found. False: there are none.
    virtual bool prepare_more() { return false; }
    /// Units of the prepared batch, cut from lengths alone.
    [[nodiscard]] virtual const Units& units() const = 0;
    /// The trainee that learns from a unit.
    [[nodiscard]] virtual std::size_t trainee_of(std::size_t) const { return 0; }
    /// Says which samples a unit holds, for error messages.
    [[nodiscard]] virtual std::string unit_name(std::size_t unit) const = 0;
    /// Names of the sums that `differentiate` returns.
    [[nodiscard]] virtual std::span<const std::string_view> sum_names() const = 0;
    /// Adds the unit's share of the gradient of the global loss to the open unit of its trainee's engine, by at most
    /// one backward pass; local but for that (engine::Engine::collect_behind).
    virtual Sums differentiate(std::size_t unit) = 0;
    /// Figures of the update from the sums over all units, added in canonical order. All are zero without units.
    virtual void metrics(const Sums& sums, Metrics& out) const = 0;
    /// Local. Brings companions up to date with their trainees: all are written next.
    virtual void before_commit() {}
    /// What a resumed training needs beside the parameters, the same on every rank. Of small size: it is part of
    /// commits.
    [[nodiscard]] virtual nlohmann::json state() const { return {}; }
    /// @param state as state() gave it, or null for a commit without one
    virtual void restore(const nlohmann::json&) {}
    /// Whether training may be resumed after `updates` updates without more state than the parameters.
    [[nodiscard]] virtual bool resumable_at(std::int64_t updates) const { return updates >= 0; }
};

enum class SumMode { automatic, exact, fast, dealt };
[[nodiscard]] constexpr auto enum_names(SumMode) {
    using enum SumMode;
    return std::array<std::pair<SumMode, std::string_view>, 4>{
        {{automatic, "auto"}, {exact, "exact"}, {fast, "fast"}, {dealt, "dealt"}}};
}

/// What `auto` stands for: exact.
[[nodiscard]] constexpr SumMode chosen(SumMode mode) { return mode == SumMode::automatic ? SumMode::exact : mode; }

/// How an engine is told so.
[[nodiscard]] constexpr engine::Sum engine_sum(SumMode mode) {
    if (mode == SumMode::dealt) return engine::Sum::dealt;
    return mode == SumMode::fast ? engine::Sum::fast : engine::Sum::exact;
}

/// When a training stage writes its state. None of this changes results.
struct CommitOptions {
    Seconds every{60};    ///< at most this much work is at risk
    std::int64_t at = 0;  ///< also after each multiple of this many updates, and keep those; 0 = never
    int keep = 2;         ///< newest commits kept while running, besides the best and the multiples of `at`
    void fields(Fields& f);
};

/// Evaluation during training.
struct Evaluation {
    std::int64_t every = 0;                               ///< updates; 0 = never. The last update is always evaluated
    std::function<Metrics(std::int64_t update)> measure;  ///< collective
    std::string by;                                       ///< figure that decides which update is the best
    bool higher_is_better = true;
    int patience = 0;              ///< stop after this many evaluations without a new best; 0 = never
    std::function<bool()> stop{};  ///< asked after each: whether to end training here, the same on every rank
};

struct TrainerOptions {
    std::string label;                ///< of the progress line
    std::filesystem::path directory;  ///< of the stage
    std::int64_t updates = 0;
    CommitOptions commit;
    SumMode sum = SumMode::exact;
    std::vector<std::string> headline;  ///< two figures for the progress line
    /// Models that an objective keeps beside the trainees: their weights are in every commit, under their names.
    std::vector<Trainee> companions{};
    nlohmann::json
        body{};  ///< of heads whose commits don't hold it: where it is (docs/formats/checkpoint.md); null otherwise
};

/// How training ended.
struct TrainingResult {
    std::int64_t updates = 0;  ///< done
    std::int64_t best = -1;    ///< update of the best evaluation; -1 without evaluation
    double best_figure = 0;
};

/// Collective. Trains in place until `updates`, from the newest whole commit in the directory if there is one. Writes
/// commits, metrics.jsonl and timing.jsonl. At the end there remain the last commit, the best one and those asked for
/// by `commit.at`.
/// @throws Preempted after a commit if a stop was requested
TrainingResult train(comm::Communicator& ranks, std::span<const Trainee> trainees, Objective& objective,
                     const Evaluation& evaluation, const TrainerOptions& options);

/// Collective. Figures of an update as metrics.jsonl has them, evaluations left out. Trains in place from a commit
/// (none: from the trainees as they are, at update 0) up to this update and differentiates it without making it; writes
/// nothing.
[[nodiscard]] Metrics figures_again(comm::Communicator& ranks, std::span<const Trainee> trainees, Objective& objective,
                                    const TrainerOptions& options, const std::optional<std::filesystem::path>& commit,
                                    std::int64_t update);

/// Folder of a commit: update-000200.
[[nodiscard]] std::string commit_name(std::int64_t update);

}  // namespace tdrm::train
