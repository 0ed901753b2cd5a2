// labels.h5: what is known about the states and steps of a table of trajectories (docs/formats/trajectories.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tdrm/rollout/trajectories.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::rollout {

/// What is known about the states of a table (as state_offsets) and its steps.
struct StateLabels {
    std::vector<float> truth;                 ///< in [0, 1], NaN where it isn't known; empty if nothing is
    std::vector<std::uint8_t> step_right;     ///< 1 right, 0 wrong, 255 not known
    std::vector<std::uint8_t> outcome_known;  ///< of each trajectory; empty = of all
    std::string kind;                         ///< what truth means: "reachable", "no_error_so_far" or "local"
    std::string source;                       ///< who says so: a task or a published format

    std::vector<float> v_pi;  ///< exact values of states under `v_pi_policy`, NaN where unknown; empty = none is known
    std::string v_pi_policy;  ///< the policy that wrote the answers, in words
    std::vector<std::int32_t> successes, tries;  ///< of continuations of each state; empty = none were made
    std::vector<std::uint8_t> true_outcome;      ///< of each trajectory whose verdict may be flipped; empty = none is

    [[nodiscard]] bool empty() const { return kind.empty() && v_pi.empty() && tries.empty() && true_outcome.empty(); }
};

/// What a kind of truth says about a state, in words.
[[nodiscard]] std::string meaning_of(const std::string& kind);

/// Something that the values of states may be compared with. Figures are named by it.
struct Estimand {
    std::string name;            ///< as figures are named: outcome, true_outcome, reachable, v_pi, ...
    std::string meaning;         ///< for people
    std::vector<float> truth_S;  ///< of each state of a table, NaN where it isn't known
};
/// Everything that is known about the states of a table, the verdict first. Only what is known of some state is listed.
/// @param hazards values are chances of no error so far: verdicts are compared at the last state alone, V^pi not at all
[[nodiscard]] std::vector<Estimand> estimands(const Trajectories& data, const StateLabels& labels,
                                              bool hazards = false);

/// successes / tries of each state, NaN where there was no try.
[[nodiscard]] std::vector<float> success_rates(const StateLabels& labels);

/// Flips each verdict with the given chance, decided by (seed, problem, visit, sample) alone, and keeps the true ones
/// in `labels`. Reasons stay those of the true verdict.
void flip_verdicts(Trajectories& data, StateLabels& labels, double rate, std::uint64_t seed);

/// The exact truth that a task knows about its answers; empty if it knows none. Local.
/// @param scripted the answers are the scripted policy's, so that its exact values are theirs
[[nodiscard]] StateLabels state_labels(const task::Task& task, const Trajectories& data, bool scripted = false);

/// Local. @throws IoError
void write_labels(const std::filesystem::path& path, const Trajectories& data, const StateLabels& labels);
/// Local. @throws DataError if they belong to other trajectories
[[nodiscard]] StateLabels read_labels(const std::filesystem::path& path, const Trajectories& data);
/// Labels of the trajectories in a folder: those of its labels.h5 if it has one, else the task's own truth. Local.
/// @throws DataError as read_labels
[[nodiscard]] StateLabels load_labels(const std::filesystem::path& directory, const task::Task& task,
                                      const Trajectories& data);

}  // namespace tdrm::rollout
