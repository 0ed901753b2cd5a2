#include "tdrm/train/value_data.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::train {

namespace {

constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();

/// Labels of one answer as "no error so far": 0 from the first label below 1/2 on, NaN for s_0 and where nobody knows.
void append_no_error(std::span<const float> label_S, std::vector<float>& truth) {
    bool wrong = false;
    truth.push_back(kUnknown);
    for (const float label : label_S.subspan(1)) {
        wrong = wrong || label < 0.5F;
        truth.push_back(wrong ? 0.0F : std::isnan(label) ? kUnknown : 1.0F);
    }
}

}  // namespace

ValueLabels value_labels(const rollout::StateLabels& labels, LabelSource source) {
    if (source == LabelSource::truth) return {labels.truth};
    if (source == LabelSource::v_pi) return {labels.v_pi};
    return {rollout::success_rates(labels), {labels.tries.begin(), labels.tries.end()}};
}

std::vector<float> truth_of(const rollout::Trajectories& data, const rollout::StateLabels& labels,
                            const reward::TargetOptions& target, std::span<const float> label_S) {
    if (target.kind == reward::TargetKind::step_label) return {label_S.begin(), label_S.end()};
    const bool hazard = target.kind == reward::TargetKind::hazard;
    std::vector<float> truth;
    for (std::size_t row = 0; row < data.size(); ++row) {
        const std::size_t states = data.step_ends(row).size() + 1;
        if (hazard && target.errors == reward::Errors::labels) {
            append_no_error(label_S.subspan(truth.size(), states), truth);
            continue;
        }
        const bool known = labels.outcome_known.empty() || labels.outcome_known[row] != 0;
        const float outcome = known ? data.outcome[row] : kUnknown;
        truth.insert(truth.end(), states, hazard ? kUnknown : outcome);
        truth.back() = outcome;
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
        for (std::size_t row = begin; row < end && held; ++row) result.held_rows.push_back(row);
        for (std::size_t row = begin; row < end && !held; ++row)
            if (!labelled_only || any_known(truth.subspan(offsets[row], offsets[row + 1] - offsets[row])))
                result.training_rows.push_back(row);
    }
    return result;
}

void keep_first_problems(std::vector<std::size_t>& rows, const rollout::Trajectories& data, std::int64_t problems) {
    std::int64_t seen = 0;
    std::int32_t last = -1;
    std::erase_if(rows, [&](std::size_t row) {
        if (data.problem[row] != last) last = data.problem[row], ++seen;
        return seen > problems;
    });
}

std::vector<float> states_of(const rollout::Trajectories& data, std::span<const float> numbers_SD,
                             std::span<const std::size_t> rows, int width) {
    const auto offsets = rollout::state_offsets(data);
    const auto each = static_cast<std::size_t>(width);
    ensure(numbers_SD.size() == offsets.back() * each, "numbers come for each state");
    std::vector<float> result;
    for (const std::size_t row : rows) {
        const auto of_row = numbers_SD.subspan(offsets[row] * each, (offsets[row + 1] - offsets[row]) * each);
        result.insert(result.end(), of_row.begin(), of_row.end());
    }
    return result;
}

}  // namespace tdrm::train
