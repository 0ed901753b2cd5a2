// The kinds of stages that a run file may name.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tdrm/plan/plan.hpp"
#include "tdrm/stage/context.hpp"
#include "tdrm/stage/memory.hpp"

namespace tdrm::stage {

/// Which update of a training stage is computed again, and which of its answers is told of.
struct ReplayRequest {
    std::int64_t update = 0;             ///< updates that had been made when the answers were drawn
    std::optional<std::int64_t> answer;  ///< row of the batch; none = the first that trains
};

/// A stage with its options bound.
class Stage {
public:
    virtual ~Stage() = default;
    /// Canonical text of what decides the result (without inputs and seed).
    [[nodiscard]] virtual std::string identity() const = 0;
    /// Problems that need the task: unknown splits, empty ones, a group of one.
    virtual void check(const task::Task& task, const std::string& path, Problems& problems) const = 0;
    /// Updates that a training stage is asked for; 0 for the others.
    [[nodiscard]] virtual std::int64_t updates(const task::Task&) const { return 0; }
    /// Collective. Does the work, going on from what the folder holds.
    virtual StageOutcome run(StageContext& context) = 0;
    /// Computes an update again from what the stage kept, and tells of it. Local: one rank.
    /// @throws ConfigError if it can't: stages of other kinds, nothing kept, no such answer
    virtual std::string replay(StageContext& context, const ReplayRequest& request);
    /// A line for --dry-run.
    [[nodiscard]] virtual std::string plan(const task::Task& task) const = 0;
    /// Sizes of the model that a training stage makes, if they are known before it runs.
    [[nodiscard]] virtual std::optional<model::ModelSpec> makes(const Planned&) const { return std::nullopt; }
    /// Memory of a rank at the peak, if it is known before the stage runs; nothing at all for stages without a model.
    [[nodiscard]] virtual std::optional<Memory> memory(const Planned&) const { return Memory(); }
};

/// What stages leave for each other, as flags.
enum Leaves : unsigned { kNothing = 0, kPolicy = 1, kValues = 2, kAnswers = 4, kFeatures = 8 };

/// An option that names another stage, and what that may have left. "values[]" is a list.
struct ReferenceKey {
    std::string key;
    unsigned takes;
};

/// A kind of stage.
struct StageKind {
    std::string summary;  ///< one line of help
    unsigned leaves = kNothing;
    std::vector<ReferenceKey> references;
    bool trains = false;  ///< has commits and a best one
    std::function<std::unique_ptr<Stage>(const Yaml& options, const std::string& path, Problems& problems)> make;
    std::function<std::string(std::string_view key)> explain;
    std::function<std::vector<std::string>()> keys;  ///< that `explain` knows
};

/// All kinds, by the word behind `do:`.
[[nodiscard]] const std::map<std::string, StageKind>& stage_kinds();

[[nodiscard]] StageKind sft_kind();
[[nodiscard]] StageKind rollout_kind();
[[nodiscard]] StageKind features_kind();
[[nodiscard]] StageKind value_kind();
[[nodiscard]] StageKind best_of_n_kind();
[[nodiscard]] StageKind search_kind();
[[nodiscard]] StageKind annotate_kind();
[[nodiscard]] StageKind score_kind();
[[nodiscard]] StageKind rl_kind();
[[nodiscard]] StageKind evaluate_kind();
[[nodiscard]] StageKind import_kind();
[[nodiscard]] StageKind processbench_kind();

/// Fills the functions of a kind from its options struct and its stage class.
template <class Options, class StageClass>
StageKind kind_of(std::string summary, unsigned leaves, std::vector<ReferenceKey> references, bool trains = false) {
    StageKind kind{std::move(summary), leaves, std::move(references), trains, {}, {}, {}};
    kind.make = [](const Yaml& yaml, const std::string& path, Problems& problems) -> std::unique_ptr<Stage> {
        Options options;
        parse(yaml, options, problems, path);
        return std::make_unique<StageClass>(std::move(options));
    };
    kind.explain = [](std::string_view key) { return explain(Options{}, key); };
    kind.keys = [] { return option_keys(Options{}); };
    return kind;
}

/// A split name in options: notes a problem if the task has no such split or it is empty. @return its size, 0 then
std::int64_t check_split(const task::Task& task, const std::string& split, const std::string& path, Problems& problems);

}  // namespace tdrm::stage
