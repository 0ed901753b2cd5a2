#include "tdrm/reward/targets.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "tdrm/base/errors.hpp"
#include "tdrm/reward/loss.hpp"

namespace tdrm::reward {
namespace {

bool in_unit_interval(double x) { return x >= 0 && x <= 1; }

void check(const TargetOptions& options, const Solution& solution) {
    const std::size_t states = solution.value_logit_S.size();
    ensure(states >= 1, "a solution has at least the state s_0");
    ensure(options.n >= 1, "n is at least 1");
    ensure(options.gamma > 0 && options.gamma <= 1, "gamma is in (0, 1]");
    ensure(in_unit_interval(options.lambda), "lambda is in [0, 1]");
    for (const float logit : solution.value_logit_S) {
        if (!std::isfinite(logit)) {
            throw DataError(
                "a state value isn't finite (no target can be formed from it). Lower the learning rate, or look for "
                "damaged weights.");
        }
    }
    if (!in_unit_interval(double{solution.outcome})) {
        throw DataError(cat("outcome ", solution.outcome,
                            " is outside [0, 1] (it is the target of a probability). Rescale the rewards."));
    }
    if (options.kind == TargetKind::step_label) {
        if (solution.label_S.empty()) {
            throw DataError(
                "there are no step labels (targets of kind step_label are these). Give data with labels, or choose "
                "another target kind.");
        }
        ensure(solution.label_S.size() == states, "step labels come one per state");
    }
}

/// Values, rewards and outcome of one solution in the form that the backups need.
class Backup {
public:
    Backup(const TargetOptions& options, const Solution& solution)
        : options_(options), last_(solution.value_logit_S.size() - 1) {
        for (const float logit : solution.value_logit_S) value_.push_back(sigmoid(double{logit}));
        outcome_ = double{solution.outcome};
        if (solution.truncated && options.truncated == Truncated::fail) outcome_ = 0;
        if (solution.truncated && options.truncated == Truncated::bootstrap) outcome_ = value_[last_];
        const bool reference = options.kind == TargetKind::reference;
        gamma_ = reference ? kReferenceGamma : options.gamma;
        const bool temporal = reference || options.kind == TargetKind::td_n || options.kind == TargetKind::td_lambda;
        if (temporal) set_rewards(reference ? Shaping::cosine : options.shaping, solution.prefix_tokens_S);
    }

    [[nodiscard]] double outcome() const { return outcome_; }

    [[nodiscard]] double td_n(std::size_t t) const {
        double target = 0;
        double discount = 1;
        const std::size_t end = std::min(t + static_cast<std::size_t>(options_.n), last_);
        for (; t < end; ++t, discount *= gamma_) target += discount * reward_[t];
        return target + discount * backed_up(end);
    }

    /// As published: a bootstrap state after s_T is masked out, and s_T counts with its own value.
    [[nodiscard]] double reference(std::size_t t) const {
        double target = 0;
        double discount = 1;
        const std::size_t end = t + static_cast<std::size_t>(options_.n);
        for (; t < end; ++t, discount *= gamma_) target += t < last_ ? discount * reward_[t] : 0;
        return end <= last_ ? target + discount * value_[end] : target;
    }

    /// All lambda-returns, from the last state backwards.
    [[nodiscard]] std::vector<double> td_lambda() const {
        std::vector<double> target(last_ + 1, outcome_);
        for (std::size_t t = last_; t-- > 0;) {
            const double mixed = (1 - options_.lambda) * backed_up(t + 1) + options_.lambda * target[t + 1];
            target[t] = reward_[t] + gamma_ * mixed;
        }
        return target;
    }

private:
    void set_rewards(Shaping shaping, std::span<const std::int32_t> prefix_tokens_S) {
        if (shaping == Shaping::cosine) {
            ensure(prefix_tokens_S.size() == last_ + 1, "cosine shaping gets the tokens of each prefix");
        }
        for (std::size_t t = 0; t < last_; ++t) {
            double reward = 0;
            if (shaping == Shaping::cosine) reward = cosine_reward(prefix_tokens_S[t], outcome_);
            if (shaping == Shaping::normalised) reward = (1 - gamma_) * outcome_;
            reward_.push_back(reward);
        }
    }

    /// U(s_t): the outcome in the last state, the value before.
    [[nodiscard]] double backed_up(std::size_t t) const { return t == last_ ? outcome_ : value_[t]; }

    const TargetOptions& options_;
    std::size_t last_;  // T
    double outcome_;    // y
    double gamma_;
    std::vector<double> value_;  // V(s_t), probabilities
    std::vector<double> reward_;
};

/// Targets of all states before clamping.
std::vector<double> raw_targets(const TargetOptions& options, const Solution& solution, const Backup& backup) {
    const std::size_t states = solution.value_logit_S.size();
    if (options.kind == TargetKind::td_lambda) return backup.td_lambda();
    std::vector<double> target(states, backup.outcome());
    if (options.kind == TargetKind::td_n) {
        for (std::size_t t = 0; t + 1 < states; ++t) target[t] = backup.td_n(t);
    } else if (options.kind == TargetKind::reference) {
        for (std::size_t t = 0; t + 1 < states; ++t) target[t] = backup.reference(t);
    }
    return target;
}

void set_labels(std::span<const float> label_S, StateTargets& result) {
    for (std::size_t t = 0; t < label_S.size(); ++t) {
        const bool labelled = !std::isnan(label_S[t]);
        if (labelled && !in_unit_interval(double{label_S[t]})) {
            throw DataError(cat("step label ", label_S[t],
                                " is outside [0, 1] (it is the target of a probability). Rescale the labels."));
        }
        result.target[t] = labelled ? label_S[t] : 0.0F;
        if (!labelled) result.weight[t] = 0;
    }
}

}  // namespace

std::vector<std::string> TargetOptions::validate() const {
    std::vector<std::string> problems;
    const auto require = [&](bool good, const std::string& problem) {
        if (!good) problems.push_back(problem);
    };
    if (kind == TargetKind::reference) {
        require(gamma == 1 || gamma == kReferenceGamma,
                cat("gamma is ", gamma, ", but kind reference always takes 0.8. Leave it out, or choose td_n."));
        require(shaping != Shaping::normalised,
                "shaping is normalised, but kind reference always takes cosine. Leave it out, or choose td_n.");
    }
    return problems;
}

double cosine_reward(std::int32_t prefix_tokens, double outcome) {
    const double t = std::clamp(prefix_tokens, 0, kShapingTokens);
    const double h = (1 + std::cos(std::numbers::pi * t / kShapingTokens)) / 2;
    return outcome * (1 + h) + (1 - outcome) * -10 * h;
}

StateTargets targets(const TargetOptions& options, const Solution& solution) {
    check(options, solution);
    const std::size_t states = solution.value_logit_S.size();
    const Backup backup(options, solution);
    StateTargets result{{}, std::vector<float>(states, 1.0F)};
    for (const double target : raw_targets(options, solution, backup)) {
        result.target.push_back(static_cast<float>(std::clamp(target, 0.0, 1.0)));
    }
    if (options.kind == TargetKind::outcome_last) std::fill(result.weight.begin(), result.weight.end(), 0.0F);
    if (options.kind == TargetKind::reference) result.weight.front() = 0;
    result.weight.back() = static_cast<float>(options.terminal_weight);
    if (options.kind == TargetKind::step_label) {
        set_labels(solution.label_S, result);
    } else if (solution.truncated && options.truncated == Truncated::bootstrap) {
        result.weight.back() = 0;  // its target would be its own value
    }
    if (solution.truncated && options.truncated == Truncated::drop) {
        std::fill(result.weight.begin(), result.weight.end(), 0.0F);
    }
    return result;
}

TargetStatistics& TargetStatistics::operator+=(const TargetStatistics& other) {
    states += other.states;
    interior += other.interior;
    delta += other.delta;
    transitions += other.transitions;
    value_change += other.value_change;
    return *this;
}

TargetStatistics statistics(std::span<const float> value_logit_S, const StateTargets& targets) {
    const std::size_t states = value_logit_S.size();
    ensure(targets.target.size() == states && targets.weight.size() == states, "targets come one per state");
    TargetStatistics sums;
    for (std::size_t t = 0; t < states; ++t) {
        const double value = sigmoid(double{value_logit_S[t]});
        if (targets.weight[t] > 0) {
            const double target{targets.target[t]};
            sums.states += 1;
            sums.interior += target > 0 && target < 1 ? 1 : 0;
            sums.delta += std::abs(target - value);
        }
        if (t + 2 < states) {
            sums.transitions += 1;
            sums.value_change += std::abs(sigmoid(double{value_logit_S[t + 1]}) - value);
        }
    }
    return sums;
}

}  // namespace tdrm::reward
