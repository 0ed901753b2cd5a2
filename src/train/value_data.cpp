#include "tdrm/train/value_data.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tdrm/base/random.hpp"

namespace tdrm::train {

std::vector<float> truth_of(const rollout::Trajectories& data, const rollout::StateLabels& labels,
                            reward::TargetKind kind) {
    if (kind == reward::TargetKind::step_label) return labels.truth;
    std::vector<float> truth;
    for (std::size_t row = 0; row < data.size(); ++row) {
        const bool known = labels.outcome_known.empty() || labels.outcome_known[row] != 0;
        truth.insert(truth.end(), data.step_ends(row).size() + 1,
                     known ? data.outcome[row] : std::numeric_limits<float>::quiet_NaN());
    }
    return truth;
}

bool any_known(std::span<const float> truth) {
    return std::any_of(truth.begin(), truth.end(), [](float x) { return !std::isnan(x); });
}

Partition partition(const rollout::Trajectories& data, std::span<const float> truth, bool labelled_only, double holdout,
                    std::uint64_t seed) {
    Partition result;
    const auto groups = data.groups();
    const auto offsets = rollout::state_offsets(data);
    for (std::size_t p = 0; p < groups.size(); ++p) {
        const auto [begin, end] = groups[p];
        const bool held =
            Random(random_key(seed, "holdout", static_cast<std::uint64_t>(data.problem_id[p]))).uniform(0) < holdout;
        if (held) {
            result.held_out.append_problem(data, p, begin, end);
            const auto of_problem = truth.subspan(offsets[begin], offsets[end] - offsets[begin]);
            result.held_out_truth.insert(result.held_out_truth.end(), of_problem.begin(), of_problem.end());
        }
        for (std::size_t row = begin; row < end && !held; ++row)
            if (!labelled_only || any_known(truth.subspan(offsets[row], offsets[row + 1] - offsets[row])))
                result.training_rows.push_back(row);
    }
    return result;
}

}  // namespace tdrm::train
