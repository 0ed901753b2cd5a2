#include "tdrm/reward/targets.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <optional>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/words.hpp"
#include "tdrm/reward/loss.hpp"

namespace tdrm::reward {
namespace {

bool in_unit_interval(double x) { return x >= 0 && x <= 1; }

bool is_temporal(TargetKind kind) { return kind == TargetKind::td_n || kind == TargetKind::td_lambda; }

void check_finite(std::span<const float> logits) {
    for (const float logit : logits) {
        if (!std::isfinite(logit)) {
            throw DataError(
                "a state value isn't finite (no target can be formed from it). Lower the learning rate, or look for "
                "damaged weights.");
        }
    }
}

void check_labels(const TargetOptions& options, const Solution& solution) {
    const std::size_t states = solution.value_logit_S.size();
    if (solution.label_S.empty())
        throw DataError(
            "there are no step labels (the targets are made of them). Give data with labels, or choose another target "
            "kind.");
    ensure(solution.label_S.size() == states, "step labels come one per state");
    for (const float label : solution.label_S)
        if (!std::isnan(label) && !in_unit_interval(double{label}))
            throw DataError(cat("step label ", label,
                                " is outside [0, 1] (it is the target of a probability). Rescale the labels."));
    if (options.label_weight == LabelWeight::equal) return;
    if (solution.tries_S.empty())
        throw DataError(
            "it isn't known how often labels were tried (label_weight: tries counts them so often). Give Monte Carlo "
            "labels, or leave label_weight out.");
    ensure(solution.tries_S.size() == states, "tries come one per state");
}

void check(const TargetOptions& options, const Solution& solution) {
    const std::size_t states = solution.value_logit_S.size();
    ensure(states >= 1, "a solution has at least the state s_0");
    ensure(options.n >= 1, "n is at least 1");
    ensure(options.gamma > 0 && options.gamma <= 1, "gamma is in (0, 1]");
    ensure(in_unit_interval(options.lambda), "lambda is in [0, 1]");
    ensure(in_unit_interval(options.label_mix), "label_mix is in [0, 1]");
    ensure(options.class_weight.right >= 0 && options.class_weight.wrong >= 0, "class weights are at least 0");
    check_finite(solution.value_logit_S);
    check_finite(solution.bootstrap_logit_S);
    ensure(solution.bootstrap_logit_S.empty() || solution.bootstrap_logit_S.size() == states,
           "values that are backed up come one per state");
    if (!in_unit_interval(double{solution.outcome})) {
        throw DataError(cat("outcome ", solution.outcome,
                            " is outside [0, 1] (it is the target of a probability). Rescale the rewards."));
    }
    if (options.needs_labels()) check_labels(options, solution);
}

/// Values, rewards and outcome of one solution in the form that the backups need.
class Backup {
public:
    Backup(const TargetOptions& options, const Solution& solution)
        : options_(options), last_(solution.value_logit_S.size() - 1) {
        const bool same = solution.bootstrap_logit_S.empty();
        for (const float logit : same ? solution.value_logit_S : solution.bootstrap_logit_S)
            value_.push_back(sigmoid(double{logit}));
        outcome_ = double{solution.outcome};
        if (solution.truncated && options.truncated == Truncated::fail) outcome_ = 0;
        if (solution.truncated && options.truncated == Truncated::bootstrap) outcome_ = value_[last_];
        terminal_ = options.terminal == Terminal::value ? value_[last_] : outcome_;
        const bool reference = options.kind == TargetKind::reference;
        gamma_ = reference ? kReferenceGamma : options.gamma;
        if (reference || is_temporal(options.kind))
            set_rewards(reference ? Shaping::cosine : options.shaping, solution.prefix_tokens_S);
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
        std::vector<double> target(last_ + 1, terminal_);
        for (std::size_t t = last_; t-- > 0;) {
            const double mixed = (1 - options_.lambda) * backed_up(t + 1) + options_.lambda * target[t + 1];
            target[t] = reward_[t] + gamma_ * mixed;
        }
        target.back() = outcome_;
        return target;
    }

private:
    void set_rewards(Shaping shaping, std::span<const std::int32_t> prefix_tokens_S) {
        if (shaping == Shaping::cosine) {
            ensure(prefix_tokens_S.size() == last_ + 1, "cosine shaping gets the tokens of each prefix");
        }
        for (std::size_t t = 0; t < last_; ++t) {
            double reward = 0;
            if (shaping == Shaping::cosine) reward = cosine_reward(prefix_tokens_S[t], terminal_);
            if (shaping == Shaping::normalised) reward = (1 - gamma_) * terminal_;
            reward_.push_back(reward);
        }
    }

    /// U(s_t)
    [[nodiscard]] double backed_up(std::size_t t) const { return t == last_ ? terminal_ : value_[t]; }

    const TargetOptions& options_;
    std::size_t last_;  // T
    double outcome_;    // y
    double terminal_;   // U(s_T)
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

double label_weight(const TargetOptions& options, const Solution& solution, std::size_t t) {
    return options.label_weight == LabelWeight::tries ? double{solution.tries_S[t]} : 1;
}

/// Targets of kind step_label: the labels; states without one aren't trained.
void set_labels(const TargetOptions& options, const Solution& solution, StateTargets& result) {
    for (std::size_t t = 0; t < solution.label_S.size(); ++t) {
        const float label = solution.label_S[t];
        const bool labelled = !std::isnan(label);
        result.target[t] = labelled ? label : 0.0F;
        if (!labelled) result.weight[t] = 0;
        result.weight[t] *= static_cast<float>(labelled ? label_weight(options, solution, t) : 1);
    }
}

/// The label takes its share of the targets before s_T.
void mix_labels(const TargetOptions& options, const Solution& solution, std::vector<double>& target) {
    for (std::size_t t = 0; t + 1 < target.size(); ++t) {
        if (std::isnan(solution.label_S[t])) continue;
        target[t] =
            (1 - options.label_mix) * std::clamp(target[t], 0.0, 1.0) + options.label_mix * double{solution.label_S[t]};
    }
}

/// What is known about the first error of a solution: none up to state `good`, one at `bad` (0: none is known).
struct FirstError {
    std::size_t good = 0, bad = 0;
};

FirstError first_error(const TargetOptions& options, const Solution& solution, double outcome) {
    const std::size_t last = solution.value_logit_S.size() - 1;
    const bool unknown = solution.truncated && options.truncated == Truncated::bootstrap;
    FirstError known;
    if (options.errors == Errors::labels) {
        for (std::size_t t = 1; t <= last && known.bad == 0; ++t) {
            if (std::isnan(solution.label_S[t])) continue;
            (solution.label_S[t] < 0.5F ? known.bad : known.good) = t;
        }
        // What the labels leave open, the outcome says.
        if (known.bad > 0 || known.good == last || unknown) return known;
    }
    if (!unknown) (outcome < 0.5 ? known.bad : known.good) = last;
    return known;
}

/// -log P(no error in these steps)
double minus_log_no_error(std::span<const float> logits) {
    double sum = 0;
    for (const float logit : logits) sum += softplus(double{logit});
    return sum;
}

StateTargets hazard_targets(const TargetOptions& options, const Solution& solution, double outcome) {
    const std::size_t states = solution.value_logit_S.size();
    StateTargets result{std::vector<float>(states, 0.0F), std::vector<float>(states, 0.0F)};
    if (states == 1) {  // one step, read at s_0
        const bool unknown = solution.truncated && options.truncated == Truncated::bootstrap;
        result.target[0] = outcome < 0.5 ? 1.0F : 0.0F;
        result.weight[0] = unknown ? 0.0F : 1.0F;
        return result;
    }
    const auto [good, bad] = first_error(options, solution, outcome);
    for (std::size_t t = 1; t <= std::max(good, bad); ++t) result.weight[t] = 1;
    const auto open = solution.value_logit_S.subspan(good + 1, bad > good ? bad - good : 0);
    const double error = -std::expm1(-minus_log_no_error(open));  // P(an error among the open steps)
    for (std::size_t i = 0; i < open.size(); ++i)
        result.target[good + 1 + i] = static_cast<float>(error > 0 ? std::min(1.0, sigmoid(double{open[i]}) / error)
                                                                   : 1 / static_cast<double>(open.size()));
    return result;
}

/// Applies class weights and the average to the weights of one solution. @param outcome none where it isn't known: then
/// no class weighs
void weigh(const TargetOptions& options, std::optional<double> outcome, StateTargets& result) {
    const auto& [right, wrong] = options.class_weight;
    const bool by_label = options.kind == TargetKind::step_label;
    if ((right != 1 || wrong != 1) && (by_label || outcome)) {
        for (std::size_t t = 0; t < result.weight.size(); ++t) {
            const double y = by_label ? double{result.target[t]} : *outcome;
            result.weight[t] = static_cast<float>(double{result.weight[t]} * (y * right + (1 - y) * wrong));
        }
    }
    if (options.average == Average::state) return;
    double sum = 0;
    for (const float w : result.weight) sum += double{w};
    if (sum == 0) return;
    for (float& w : result.weight) w = static_cast<float>(double{w} / sum);
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
    const auto word = word_of(kind);
    const auto is_default = [&](bool is, std::string_view option, std::string_view kinds) {
        require(is, cat(option, " has no meaning for kind ", word, " (it changes the targets of ", kinds,
                        "). Leave it out, or choose such a kind."));
    };
    const bool temporal = is_temporal(kind);
    is_default(temporal || terminal == Terminal::outcome, "terminal", "td_n and td_lambda");
    is_default(temporal || kind == TargetKind::reference || bootstrap == Bootstrap::same, "bootstrap",
               "td_n, td_lambda and reference");
    is_default(temporal || kind == TargetKind::outcome || label_mix == 0, "label_mix", "outcome, td_n and td_lambda");
    is_default(kind == TargetKind::step_label || label_weight == LabelWeight::equal, "label_weight", "step_label");
    is_default(kind == TargetKind::hazard || errors == Errors::outcome, "errors", "hazard");
    is_default(kind != TargetKind::hazard || terminal_weight == 1, "terminal_weight", "all others");
    return problems;
}

bool TargetOptions::bootstraps() const {
    return is_temporal(kind) || kind == TargetKind::reference || truncated == Truncated::bootstrap;
}

bool TargetOptions::needs_labels() const {
    return kind == TargetKind::step_label || label_mix > 0 || (kind == TargetKind::hazard && errors == Errors::labels);
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
    if (options.kind == TargetKind::hazard) {
        result = hazard_targets(options, solution, backup.outcome());
    } else {
        auto target = raw_targets(options, solution, backup);
        if (options.label_mix > 0) mix_labels(options, solution, target);
        for (const double t : target) result.target.push_back(static_cast<float>(std::clamp(t, 0.0, 1.0)));
        if (options.kind == TargetKind::outcome_last) std::fill(result.weight.begin(), result.weight.end(), 0.0F);
        if (options.kind == TargetKind::reference) result.weight.front() = 0;
        result.weight.back() = static_cast<float>(options.terminal_weight);
        if (options.kind == TargetKind::step_label) {
            set_labels(options, solution, result);
        } else if (solution.truncated && options.truncated == Truncated::bootstrap) {
            result.weight.back() = 0;  // its target would be its own value
        }
    }
    if (solution.truncated && options.truncated == Truncated::drop) {
        std::fill(result.weight.begin(), result.weight.end(), 0.0F);
    }
    const bool known = !solution.truncated || options.truncated != Truncated::bootstrap;
    weigh(options, known ? std::optional(backup.outcome()) : std::nullopt, result);
    return result;
}

double hazard_loss(std::span<const float> hazard_logit_S, const StateTargets& targets) {
    const std::size_t states = hazard_logit_S.size();
    ensure(targets.target.size() == states && targets.weight.size() == states, "targets come one per state");
    double loss = 0, open = 0, weight = 0;  // `open`: -log P(no error in the steps that share one)
    for (std::size_t t = 0; t < states; ++t) {
        if (targets.weight[t] == 0) continue;
        weight = double{targets.weight[t]};
        const double minus_log = softplus(double{hazard_logit_S[t]});
        if (targets.target[t] > 0) {
            open += minus_log;
        } else {
            loss += weight * minus_log;
        }
    }
    return open > 0 ? loss - weight * std::log(-std::expm1(-open)) : loss;
}

std::vector<double> log_survival(std::span<const float> hazard_logit_S) {
    std::vector<double> result(hazard_logit_S.size(), 0.0);
    if (result.size() == 1) result[0] = -softplus(double{hazard_logit_S[0]});
    for (std::size_t t = 1; t < result.size(); ++t) result[t] = result[t - 1] - softplus(double{hazard_logit_S[t]});
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
