#include "tdrm/train/value.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/eval/calibration.hpp"
#include "tdrm/reward/loss.hpp"
#include "tdrm/rollout/answers.hpp"

namespace tdrm::train {
namespace {

constexpr std::array<std::string_view, 7> kSums{"loss",        "states",       "interior", "delta",
                                                "transitions", "value_change", "tokens"};
/// Leaves of value heads that are trained.
const model::ReadOut kValueHead{};

}  // namespace

ValueObjective::ValueObjective(const rollout::Trajectories& data, std::vector<std::size_t> rows,
                               std::vector<float> labels, const task::Task& task, engine::Engine& value,
                               const reward::TargetOptions& target, std::uint64_t seed, int batch, int unit_tokens)
    : data_(data),
      rows_(std::move(rows)),
      labels_(std::move(labels)),
      state_offset_(rollout::state_offsets(data)),
      task_(task),
      probe_(task.probe()),
      value_(value),
      target_(target),
      shuffle_(seed, static_cast<std::int64_t>(rows_.size())),
      batch_(batch),
      unit_tokens_(static_cast<std::size_t>(unit_tokens)) {}

task::Tokens ValueObjective::prompt_of(std::size_t row) const {
    return task_.value_prompt(data_.prompt(static_cast<std::size_t>(data_.problem[row])));
}

reward::StateTargets ValueObjective::targets_of(std::size_t row, std::span<const float> logits) const {
    std::vector<std::int32_t> prefix{0};
    const auto ends = data_.step_ends(row);
    prefix.insert(prefix.end(), ends.begin(), ends.end());
    reward::Solution solution;
    solution.value_logit_S = logits;
    solution.outcome = data_.outcome[row];
    solution.truncated = data_.finish[row] == static_cast<std::uint8_t>(task::Finish::length);
    solution.prefix_tokens_S = prefix;
    if (!labels_.empty()) solution.label_S = std::span(labels_).subspan(state_offset_[row], prefix.size());
    return reward::targets(target_, solution);
}

void ValueObjective::prepare(std::int64_t update) {
    batch_rows_.clear();
    std::vector<std::size_t> lengths;
    weight_ = 0;
    for (int i = 0; i < batch_; ++i) {
        const std::size_t row = rows_[static_cast<std::size_t>(shuffle_(update * batch_ + i).index)];
        batch_rows_.push_back(row);
        const auto answer = rollout::all_states(data_, row);
        lengths.push_back(prompt_of(row).size() + rollout::forest_tokens(answer, probe_.size()));
        const std::vector<float> unknown(answer.ends.size(), 0.0F);  // weights don't depend on values
        for (const float w : targets_of(row, unknown).weight) weight_ += static_cast<double>(w);
    }
    units_ = Units(std::move(lengths), unit_tokens_);
}

std::span<const std::string_view> ValueObjective::sum_names() const { return kSums; }

std::string ValueObjective::unit_name(std::size_t unit) const {
    return cat("unit ", unit, " (trajectories from row ", batch_rows_[units_.begin(unit)], ")");
}

Sums ValueObjective::differentiate(std::size_t unit) {
    model::Forest forest;
    std::vector<std::int32_t> probes;
    for (std::size_t i = units_.begin(unit); i < units_.end(unit); ++i) {
        const std::size_t row = batch_rows_[i];
        const auto answer = rollout::all_states(data_, row);
        rollout::add_states(forest, prompt_of(row), std::span(&answer, 1), probe_, probes);
    }
    const auto states = value_.forward(forest, probes, engine::Keep::activations);
    logits_.resize(probes.size());
    d_logits_.resize(probes.size());
    value_.values(states, kValueHead, logits_);
    double loss = 0;
    reward::TargetStatistics statistics;
    std::size_t at = 0;
    for (std::size_t i = units_.begin(unit); i < units_.end(unit); ++i) {
        const std::size_t row = batch_rows_[i];
        const auto logits = std::span(logits_).subspan(at, state_offset_[row + 1] - state_offset_[row]);
        const auto goals = targets_of(row, logits);
        loss += reward::value_loss(logits, goals.target, goals.weight, std::span(d_logits_).subspan(at, logits.size()));
        statistics += reward::statistics(logits, goals);
        at += logits.size();
    }
    for (float& d : d_logits_) d = static_cast<float>(static_cast<double>(d) / weight_);
    value_.value_loss(states, d_logits_);
    value_.backward(forest);
    ledger::count(ledger::Work::trained, forest.num_tokens());
    return {kSums,
            {loss, statistics.states, statistics.interior, statistics.delta, statistics.transitions,
             statistics.value_change, static_cast<double>(forest.num_tokens())}};
}

void ValueObjective::metrics(const Sums& sums, Metrics& out) const {
    const reward::TargetStatistics statistics{sums["states"], sums["interior"], sums["delta"], sums["transitions"],
                                              sums["value_change"]};
    out.set("loss", sums["loss"] / weight_);
    out.set("target/interior_share", statistics.interior_share());
    out.set("target/mean_delta", statistics.mean_delta());
    out.set("value/mean_change", statistics.mean_value_change());
    out.set("num_tokens", sums["tokens"]);
}

ValueQuality value_quality(std::span<const float> logits, std::span<const float> truth) {
    ensure(logits.size() == truth.size(), "states and their truth come in pairs");
    std::vector<double> probability, known;
    for (std::size_t s = 0; s < logits.size(); ++s) {
        if (std::isnan(truth[s])) continue;
        probability.push_back(reward::sigmoid(static_cast<double>(logits[s])));
        known.push_back(static_cast<double>(truth[s]));
    }
    double right = 0;
    for (std::size_t i = 0; i < known.size(); ++i) right += (probability[i] > 0.5) == (known[i] > 0.5) ? 1 : 0;
    return {eval::log_loss(probability, known), eval::brier_score(probability, known),
            eval::roc_auc(probability, known), right / static_cast<double>(known.size())};
}

}  // namespace tdrm::train
