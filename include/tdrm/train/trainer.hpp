// The one training loop: batch, units, exact sum, clip, AdamW, metrics, evaluation, commit. What is learnt is an
// Objective's business.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tdrm/base/options.hpp"
#include "tdrm/comm/communicator.hpp"
#include "tdrm/model/transformer.hpp"
#include "tdrm/train/metrics.hpp"
#include "tdrm/train/optimizer.hpp"

namespace tdrm::train {

/// What is learnt: cuts each global batch into units and differentiates the loss of one unit.
class Objective {
public:
    virtual ~Objective() = default;

    /// Collective. Makes the global batch of an update (0-based), the same on every rank.
    virtual void prepare(std::int64_t update) = 0;
    /// Units of the prepared batch, cut from lengths alone.
    [[nodiscard]] virtual std::size_t num_units() const = 0;
    /// Relative cost of a unit (tokens), and the number of samples in it.
    [[nodiscard]] virtual double unit_cost(std::size_t unit) const = 0;
    [[nodiscard]] virtual double unit_samples(std::size_t unit) const = 0;
    /// Says which samples a unit holds, for error messages.
    [[nodiscard]] virtual std::string unit_name(std::size_t unit) const = 0;
    /// Local. Adds the unit's share of the gradient of the global loss, and returns sums that metrics() understands.
    virtual std::vector<double> differentiate(std::size_t unit, float* gradient) = 0;
    /// Figures of the update from the sums over all units, added in canonical order.
    virtual void metrics(const std::vector<double>& sums, Metrics& out) const = 0;
    /// Whether training may be resumed after `updates` updates without more state than the parameters.
    [[nodiscard]] virtual bool resumable_at(std::int64_t updates) const { return updates >= 0; }
};

/// Cuts consecutive samples into units that are about equally long. ceil(total / unit_tokens) units are aimed at, each
/// of an even share of the tokens (at most unit_tokens); a unit ends where it comes closest to the end of its share. So
/// - a unit of several samples has at most share + first / 2 + last / 2 tokens (of its first and last sample), rounded:
///   always fewer than unit_tokens + the longest sample;
/// - there are as many units as are aimed at if no sample is longer than the share, else perhaps fewer, never more.
/// @param unit_tokens at least 1
/// @return index of the first sample of each unit, and the number of samples at the end
[[nodiscard]] std::vector<std::size_t> cut_units(const std::vector<std::size_t>& sample_tokens,
                                                 std::size_t unit_tokens);

/// Which rank computes which unit: longest first to the least loaded. Doesn't influence results.
[[nodiscard]] std::vector<int> assign_units(const std::vector<double>& costs, int ranks);

enum class SumMode { automatic, exact, fast };
[[nodiscard]] constexpr auto enum_names(SumMode) {
    using enum SumMode;
    return std::array<std::pair<SumMode, std::string_view>, 3>{{{automatic, "auto"}, {exact, "exact"}, {fast, "fast"}}};
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
    int patience = 0;  ///< stop after this many evaluations without a new best; 0 = never
};

struct TrainerOptions {
    std::string label;                ///< of the progress line
    std::filesystem::path directory;  ///< of the stage
    std::int64_t updates = 0;
    std::int64_t horizon = 0;  ///< of the schedule
    OptimizerOptions optimizer;
    PrecisionOptions precision;
    CommitOptions commit;
    SumMode sum = SumMode::exact;
    std::vector<std::string> headline;  ///< two figures for the progress line
};

/// How training ended.
struct TrainingResult {
    std::int64_t updates = 0;  ///< done
    std::int64_t best = -1;    ///< update of the best evaluation; -1 without evaluation
    double best_figure = 0;
};

/// Collective. Trains `model` in place until `updates`, from the newest whole commit in the directory if there is one.
/// Writes commits, metrics.jsonl and timing.jsonl. At the end there remain the last commit, the best one and those
/// asked for by `commit.at`.
/// @throws Preempted after a commit if a stop was requested
TrainingResult train(comm::Communicator& ranks, model::Model& model, Objective& objective, const Evaluation& evaluation,
                     const TrainerOptions& options);

/// Folder of a commit: update-000200.
[[nodiscard]] std::string commit_name(std::int64_t update);

}  // namespace tdrm::train
