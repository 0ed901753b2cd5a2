#include "tdrm/train/value.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/eval/calibration.hpp"
#include "tdrm/eval/value_report.hpp"
#include "tdrm/reward/loss.hpp"
#include "tdrm/rollout/answers.hpp"

namespace tdrm::train {
namespace {

constexpr std::array<std::string_view, 7> kSums{"loss",        "states",       "interior", "delta",
                                                "transitions", "value_change", "tokens"};
/// Leaves of value heads that are trained.
const model::ReadOut kValueHead{};

}  // namespace

ValueObjective::ValueObjective(const rollout::Trajectories& data, std::vector<std::size_t> rows, ValueLabels labels,
                               const task::Task& task, engine::Engine& value, const reward::TargetOptions& target,
                               std::uint64_t seed, int batch, int unit_tokens, engine::Engine* average)
    : data_(data),
      rows_(std::move(rows)),
      labels_(std::move(labels)),
      state_offset_(rollout::state_offsets(data)),
      task_(task),
      probe_(task.probe()),
      value_(value),
      average_(average),
      target_(target),
      shuffle_(seed, static_cast<std::int64_t>(rows_.size())),
      batch_(batch),
      unit_tokens_(static_cast<std::size_t>(unit_tokens)) {
    ensure((average != nullptr) == (target.bootstrap == reward::Bootstrap::ema), "ema has a model to average in");
}

task::Tokens ValueObjective::prompt_of(std::size_t row) const {
    return task_.value_prompt(data_.prompt(static_cast<std::size_t>(data_.problem[row])));
}

reward::StateTargets ValueObjective::targets_of(std::size_t row, std::span<const float> logits,
                                                std::span<const float> backed_up) const {
    std::vector<std::int32_t> prefix{0};
    const auto ends = data_.step_ends(row);
    prefix.insert(prefix.end(), ends.begin(), ends.end());
    reward::Solution solution;
    solution.value_logit_S = logits;
    solution.outcome = data_.outcome[row];
    solution.truncated = data_.finish[row] == static_cast<std::uint8_t>(task::Finish::length);
    solution.prefix_tokens_S = prefix;
    solution.bootstrap_logit_S = backed_up;
    const auto of_row = [&](const std::vector<float>& numbers) {
        return numbers.empty() ? std::span<const float>()
                               : std::span(numbers).subspan(state_offset_[row], prefix.size());
    };
    solution.label_S = of_row(labels_.label);
    solution.tries_S = of_row(labels_.tries);
    return reward::targets(target_, solution);
}

void ValueObjective::follow(std::int64_t update) {
    constexpr std::int64_t kPiece = 1 << 20;
    const auto keep = static_cast<float>(update == 0 ? 0 : target_.ema_decay);
    std::vector<float> ours, theirs;
    for (std::int64_t first = 0; first < value_.num_parameters(); first += kPiece) {
        const auto size = static_cast<std::size_t>(std::min(kPiece, value_.num_parameters() - first));
        ours.resize(size);
        theirs.resize(size);
        value_.read(engine::Array::weights, first, theirs);
        average_->read(engine::Array::weights, first, ours);
        for (std::size_t i = 0; i < size; ++i) ours[i] = keep * ours[i] + (1 - keep) * theirs[i];
        average_->write(engine::Array::weights, first, ours);
    }
}

void ValueObjective::prepare(std::int64_t update) {
    if (average_ != nullptr) follow(update);
    batch_rows_.clear();
    std::vector<std::size_t> lengths;
    weight_ = 0;
    for (int i = 0; i < batch_; ++i) {
        const auto drawn = in_order_ ? i : shuffle_(update * batch_ + i).index;
        const std::size_t row = rows_[static_cast<std::size_t>(drawn)];
        batch_rows_.push_back(row);
        const auto answer = rollout::all_states(data_, row);
        const std::size_t prompt = shares_prompt(batch_rows_.size() - 1, 0) ? 0 : prompt_of(row).size();
        lengths.push_back(prompt + rollout::forest_tokens(answer, probe_.size()));
        const std::vector<float> unknown(answer.ends.size(), 0.0F);  // weights don't depend on values
        for (const float w : targets_of(row, unknown).weight) weight_ += static_cast<double>(w);
    }
    if (weight_ == 0) weight_ = 1;  // nothing in it is trained
    units_ = Units(std::move(lengths), unit_tokens_);
}

std::span<const std::string_view> ValueObjective::sum_names() const { return kSums; }

std::string ValueObjective::unit_name(std::size_t unit) const {
    return cat("unit ", unit, " (trajectories from row ", batch_rows_[units_.begin(unit)], ")");
}

Sums ValueObjective::differentiate(std::size_t unit) {
    model::Forest forest;
    std::vector<std::int32_t> probes;
    std::vector<float> features;
    const bool head_alone = !features_.empty();
    const auto width = static_cast<std::size_t>(value_.spec().width);
    for (std::size_t i = units_.begin(unit); i < units_.end(unit); ++i) {
        const std::size_t row = batch_rows_[i];
        if (head_alone) {
            const auto of_row =
                features_.subspan(state_offset_[row] * width, (state_offset_[row + 1] - state_offset_[row]) * width);
            features.insert(features.end(), of_row.begin(), of_row.end());
            continue;
        }
        std::vector<rollout::ScoredAnswer> together{rollout::all_states(data_, row)};
        while (i + 1 < units_.end(unit) && shares_prompt(i + 1, units_.begin(unit)))
            together.push_back(rollout::all_states(data_, batch_rows_[++i]));
        rollout::add_states(forest, prompt_of(row), together, probe_, probes);
    }
    const std::size_t num_states = head_alone ? features.size() / width : probes.size();
    const auto pass = [&](engine::Engine& engine, engine::Keep keep) {
        return head_alone ? engine.with_features(features) : engine.forward(forest, probes, keep);
    };
    if (average_ != nullptr) {
        averaged_.resize(num_states);
        average_->values(pass(*average_, engine::Keep::nothing), kValueHead, averaged_);
    }
    const auto states = pass(value_, engine::Keep::activations);
    logits_.resize(num_states);
    d_logits_.resize(num_states);
    value_.values(states, kValueHead, logits_);
    double loss = 0;
    reward::TargetStatistics statistics;
    std::size_t at = 0;
    for (std::size_t i = units_.begin(unit); i < units_.end(unit); ++i) {
        const std::size_t row = batch_rows_[i];
        const auto logits = std::span(logits_).subspan(at, state_offset_[row + 1] - state_offset_[row]);
        const auto backed_up =
            average_ == nullptr ? std::span<const float>() : std::span(averaged_).subspan(at, logits.size());
        if (on_values_) on_values_(row, logits);
        const auto goals = targets_of(row, logits, backed_up);
        const double cross_entropy =
            reward::value_loss(logits, goals.target, goals.weight, std::span(d_logits_).subspan(at, logits.size()));
        // Of hazards the cross-entropy has the right derivative, but isn't the likelihood itself.
        loss += target_.kind == reward::TargetKind::hazard ? reward::hazard_loss(logits, goals) : cross_entropy;
        statistics += reward::statistics(logits, goals);
        at += logits.size();
    }
    for (float& d : d_logits_) d = static_cast<float>(static_cast<double>(d) / weight_);
    value_.value_loss(states, d_logits_);
    if (!head_alone) value_.backward(forest);
    ledger::count(ledger::Work::trained, forest.num_tokens());
    return {kSums,
            {loss, statistics.states, statistics.interior, statistics.delta, statistics.transitions,
             statistics.value_change, static_cast<double>(forest.num_tokens())}};
}

namespace {

/// @param weight of the batch, of all members
void set_metrics(const Sums& sums, double weight, Metrics& out) {
    const reward::TargetStatistics statistics{sums["states"], sums["interior"], sums["delta"], sums["transitions"],
                                              sums["value_change"]};
    out.set("loss", sums["loss"] / weight);
    out.set("target/interior_share", statistics.interior_share());
    out.set("target/mean_delta", statistics.mean_delta());
    out.set("value/mean_change", statistics.mean_value_change());
    out.set("num_tokens", sums["tokens"]);
}

}  // namespace

void ValueObjective::metrics(const Sums& sums, Metrics& out) const { set_metrics(sums, weight_, out); }

model::ModelSpec head_spec(const model::ModelSpec& value_model) {
    model::ModelSpec head = value_model;
    head.layers = 0;
    head.vocab = 1;
    return head;
}

void copy_head(const engine::Engine& from, engine::Engine& to) {
    ensure(from.spec().width == to.spec().width, "heads of equal width");
    std::vector<float> weights(static_cast<std::size_t>(from.spec().width));
    from.read(engine::Array::weights, from.layout().head, weights);
    to.write(engine::Array::weights, to.layout().head, weights);
}

void EnsembleObjective::prepare(std::int64_t update) {
    units_ = Units();
    for (const auto& member : members_) {
        member->prepare(update);
        units_.append(member->units());
    }
}

std::pair<std::size_t, std::size_t> EnsembleObjective::place(std::size_t unit) const {
    std::size_t member = 0;
    for (; unit >= members_[member]->units().size(); ++member) unit -= members_[member]->units().size();
    return {member, unit};
}

std::string EnsembleObjective::unit_name(std::size_t unit) const {
    const auto [member, own] = place(unit);
    return cat(members_[member]->unit_name(own), members_.size() > 1 ? cat(" of member ", member) : "");
}

Sums EnsembleObjective::differentiate(std::size_t unit) {
    const auto [member, own] = place(unit);
    return members_[member]->differentiate(own);
}

void EnsembleObjective::metrics(const Sums& sums, Metrics& out) const {
    double weight = 0;
    for (const auto& member : members_) weight += member->weight();
    set_metrics(sums, weight, out);
}

std::vector<std::vector<std::size_t>> member_rows(const rollout::Trajectories& data, std::span<const std::size_t> rows,
                                                  std::size_t members, std::uint64_t seed) {
    std::vector<std::vector<std::size_t>> result(members);
    for (const std::size_t row : rows) {
        const auto id = static_cast<std::uint64_t>(data.problem_id[static_cast<std::size_t>(data.problem[row])]);
        result[members == 1 ? 0 : Random(random_key(seed, "member", id)).next_below(members)].push_back(row);
    }
    return result;
}

ValueQuality value_quality(std::span<const double> value_S, std::span<const float> truth_S) {
    ensure(value_S.size() == truth_S.size(), "states and their truth come in pairs");
    std::vector<double> probability, known;
    for (std::size_t s = 0; s < value_S.size(); ++s) {
        if (std::isnan(truth_S[s])) continue;
        probability.push_back(value_S[s]);
        known.push_back(static_cast<double>(truth_S[s]));
    }
    double right = 0;
    for (std::size_t i = 0; i < known.size(); ++i) right += (probability[i] > 0.5) == (known[i] > 0.5) ? 1 : 0;
    return {eval::log_loss(probability, known), eval::brier_score(probability, known),
            eval::roc_auc(probability, known), right / static_cast<double>(known.size())};
}

std::vector<double> state_values(const rollout::Trajectories& data, std::span<const float> logits, bool hazards) {
    std::vector<double> values;
    if (!hazards) {
        for (const float logit : logits) values.push_back(reward::sigmoid(static_cast<double>(logit)));
        return values;
    }
    for (std::size_t row = 0; row < data.size(); ++row) {
        const auto states = logits.subspan(values.size(), data.step_ends(row).size() + 1);
        for (const double log_survival : reward::log_survival(states)) values.push_back(std::exp(log_survival));
    }
    return values;
}

std::vector<std::size_t> problem_states(const rollout::Trajectories& data) {
    const auto offsets = rollout::state_offsets(data);
    std::vector<std::size_t> begin;
    for (const auto& group : data.groups()) begin.push_back(offsets[group.first]);
    begin.push_back(offsets.back());
    return begin;
}

void add_value_figures(const rollout::Trajectories& data, std::span<const double> value_S,
                       std::span<const rollout::Estimand> estimands, Metrics& out) {
    for (const auto& [name, meaning, truth_S] : estimands) {
        const auto figures =
            eval::calibrate(value_S, std::vector<double>(truth_S.begin(), truth_S.end()), problem_states(data));
        if (!figures) continue;
        out.set(name + "/mse", figures->brier);
        out.set(name + "/ece", figures->ece);
        out.set(name + "/explained_variance", figures->explained_variance);
        out.set(name + "/auc", figures->auc);
        out.set(name + "/auc_within", figures->auc_within);
    }
}

}  // namespace tdrm::train
