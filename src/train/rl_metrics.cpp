// The figures of an update, and what a guard sees of it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "tdrm/eval/moments.hpp"
#include "tdrm/reward/loss.hpp"
#include "tdrm/train/rl.hpp"

namespace tdrm::train {

std::vector<double> right_by_problem(const rollout::Trajectories& answers) {
    std::vector<double> right_P;
    for (const auto& [begin, end] : answers.groups()) {
        double right = 0;
        for (std::size_t row = begin; row < end; ++row) right += static_cast<double>(answers.outcome[row]);
        right_P.push_back(right / static_cast<double>(end - begin));
    }
    return right_P;
}

Look RlObjective::look(std::int64_t update, std::vector<double> right_P) {
    Look now{update, 0, 0, std::move(right_P)};
    const auto [count, sum, squares] = std::exchange(rewards_since_, {});
    if (count > 0) now.reward = sum / count;
    if (count > 1) now.reward_error = std::sqrt(std::max(0.0, squares - sum * now.reward) / (count - 1) / count);
    return now;
}

void RlObjective::metrics(const Sums& sums, Metrics& out) const {
    const auto& answers = batch_.answers;
    const auto whole = eval::moments(batch_.reward);
    double group_std = 0, even = 0;
    for (const auto& [begin, end] : answers.groups()) {
        const auto group = std::span(batch_.reward).subspan(begin, end - begin);
        group_std += eval::moments(group).deviation() / static_cast<double>(answers.num_problems());
        const bool equal = std::ranges::all_of(group, [&](double reward) { return reward == group[0]; });
        even += equal ? 1.0 / static_cast<double>(answers.num_problems()) : 0;
    }
    double tokens = 0, shortest = std::numeric_limits<double>::infinity(), longest = 0, cut_answers = 0,
           ended_tokens = 0;
    for (std::size_t row = 0; row < answers.size(); ++row) {
        const auto n = static_cast<double>(answers.ids(row).size());
        tokens += n;
        shortest = std::min(shortest, n);
        longest = std::max(longest, n);
        if (batch_.truncated(row)) {
            cut_answers += 1;
        } else {
            ended_tokens += n;
        }
    }
    const auto count = static_cast<double>(answers.size());
    out.set("reward", whole.mean);
    out.set("reward_std", group_std);
    out.set("frac_reward_zero_std", even);
    for (const PartScores& part : batch_.parts) {
        std::vector<double> known = part.score;
        std::erase_if(known, [](double score) { return std::isnan(score); });
        const auto scores = eval::moments(known);
        out.set("rewards/" + part.name + "/mean", scores.mean);
        out.set("rewards/" + part.name + "/std", scores.deviation());
    }
    if (!batch_.values.empty()) {
        double value = 0;
        for (const float logit : batch_.values) value += reward::sigmoid(static_cast<double>(logit));
        out.set("value/mean", value / static_cast<double>(batch_.values.size()));
        out.set("value/explained_variance", explained_);
        out.set("rewards/mixed/std", whole.deviation());
    }
    if (!batch_.truth.empty()) {
        double right = 0;
        for (const std::uint8_t t : batch_.truth) right += t;
        out.set("rewards/rule/true_mean", right / count);
    }
    if (policy_.body() != nullptr) out.set("sampling/weights_hash", sampling_hash_);
    if (options_.batch.refill > 0) out.set("batch/offered_problems", static_cast<double>(offered_));
    if (!batch_.forks.empty()) out.set("batch/answers", static_cast<double>(answers.size()));
    if (options_.loss.importance.reject)
        out.set("sampling/rejected_ratio",
                static_cast<double>(std::count(batch_.counts.begin(), batch_.counts.end(), 0)) /
                    static_cast<double>(answers.size()));
    out.set("completions/mean_length", tokens / count);
    out.set("completions/min_length", shortest);
    out.set("completions/max_length", longest);
    out.set("completions/mean_terminated_length", ended_tokens / (count - cut_answers));
    out.set("completions/clipped_ratio", cut_answers / count);
    const double rows = sums["rows"];
    const auto mean = [&](const char* sum, double otherwise) { return rows > 0 ? sums[sum] / rows : otherwise; };
    out.set("loss", sums["loss"]);
    out.set("entropy", mean("entropy", std::numeric_limits<double>::quiet_NaN()));
    if (loss_.beta > 0) out.set("kl", mean("kl", 0));
    out.set("clip_ratio/low_mean", mean("clipped_low", 0));
    out.set("clip_ratio/high_mean", mean("clipped_high", 0));
    out.set("clip_ratio/region_mean", rows > 0 ? (sums["clipped_low"] + sums["clipped_high"]) / rows : 0);
    out.set("sampling/sampling_logp_difference/mean", mean("logp_change", 0));
    out.set("sampling/importance_sampling_ratio/mean", mean("ratio", 1));
    out.set("num_tokens", sums["tokens"]);
    out.set("completions/tokens", static_cast<double>(generated_));
    if (!critic_) return;
    Sums own(critic_objective_->sum_names());
    for (const std::string_view name : critic_objective_->sum_names()) own[name] = sums[cat("critic/", name)];
    Metrics figures;
    critic_objective_->metrics(own, figures);
    out.append(figures, "critic/");
}

}  // namespace tdrm::train
