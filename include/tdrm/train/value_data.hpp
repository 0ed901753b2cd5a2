// What a value model is trained on and chosen by: judged trajectories, cut into a training and a held-out part.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/reward/targets.hpp"
#include "tdrm/rollout/labels.hpp"
#include "tdrm/rollout/trajectories.hpp"

namespace tdrm::train {

/// Where the labels of states come from.
enum class LabelSource {
    truth,    ///< what labels.h5 says of states: the task's truth, or what was imported
    v_pi,     ///< exact values of the scripted policy
    sampled,  ///< share of right continuations, with their number
};
[[nodiscard]] constexpr auto enum_names(LabelSource) {
    using enum LabelSource;
    return std::array<std::pair<LabelSource, std::string_view>, 3>{
        {{truth, "truth"}, {v_pi, "v_pi"}, {sampled, "sampled"}}};
}
/// Labels of all states of a table that targets are made of, NaN where there is none; empty if there are none at all.
struct ValueLabels {
    std::vector<float> label;
    std::vector<float> tries = {};  ///< behind each label; empty = unknown
};
[[nodiscard]] ValueLabels value_labels(const rollout::StateLabels& labels, LabelSource source);

/// What the states of a table are judged by, NaN where it isn't known: the labels where they are trained towards
/// (step_label; of hazard with Errors::labels whether an error has happened), else the outcome, of hazard at the last
/// state alone, where survival says the same.
[[nodiscard]] std::vector<float> truth_of(const rollout::Trajectories& data, const rollout::StateLabels& labels,
                                          const reward::TargetOptions& target, std::span<const float> label_S);
/// Whether anything but NaN is among them.
[[nodiscard]] bool any_known(std::span<const float> truth);

/// Problems in the training part and in the held-out part, decided by identity: by (seed, problem id) alone.
struct Partition {
    std::vector<std::size_t> training_rows, held_rows;
    rollout::Trajectories held_out;
    std::vector<float> held_out_truth;  ///< of its states, as truth_of
};
/// @param truth of all states @param labelled_only trajectories without any label aren't trained on
/// @param holdout share of the problems, in [0, 1)
[[nodiscard]] Partition partition(const rollout::Trajectories& data, std::span<const float> truth, bool labelled_only,
                                  double holdout, std::uint64_t seed);
/// Leaves the rows of the first `problems` problems that have any, in the order of the table.
void keep_first_problems(std::vector<std::size_t>& rows, const rollout::Trajectories& data, std::int64_t problems);
/// The states of these rows, of `width` numbers for each state of a table.
[[nodiscard]] std::vector<float> states_of(const rollout::Trajectories& data, std::span<const float> numbers_SD,
                                           std::span<const std::size_t> rows, int width = 1);

}  // namespace tdrm::train
