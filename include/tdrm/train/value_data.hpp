// What a value model is trained on and chosen by: judged trajectories, cut into a training and a held-out part.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tdrm/reward/targets.hpp"
#include "tdrm/rollout/labels.hpp"
#include "tdrm/rollout/trajectories.hpp"

namespace tdrm::train {

/// What the states of a table are judged by: the labels where they are trained towards, else the outcome; NaN where it
/// isn't known.
[[nodiscard]] std::vector<float> truth_of(const rollout::Trajectories& data, const rollout::StateLabels& labels,
                                          reward::TargetKind kind);
/// Whether anything but NaN is among them.
[[nodiscard]] bool any_known(std::span<const float> truth);

/// Problems in the training part and in the held-out part, decided by identity: by (seed, problem id) alone.
struct Partition {
    std::vector<std::size_t> training_rows;
    rollout::Trajectories held_out;
    std::vector<float> held_out_truth;  ///< of its states, as truth_of
};
/// @param truth of all states @param labelled_only trajectories without any label aren't trained on
/// @param holdout share of the problems, in [0, 1)
[[nodiscard]] Partition partition(const rollout::Trajectories& data, std::span<const float> truth, bool labelled_only,
                                  double holdout, std::uint64_t seed);

}  // namespace tdrm::train
