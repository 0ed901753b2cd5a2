#include "tdrm/train/rl.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/reward/loss.hpp"

namespace tdrm::train {
namespace {

constexpr std::array<std::string_view, 9> kSums{"rows",         "loss",        "entropy", "kl",    "clipped_low",
                                                "clipped_high", "logp_change", "ratio",   "tokens"};

bool truncated(const rollout::Trajectories& data, std::size_t row) {
    return data.finish[row] == static_cast<std::uint8_t>(task::Finish::length);
}

/// Mean and standard deviation (ddof 1).
std::pair<double, double> mean_and_std(std::span<const double> values) {
    double sum = 0;
    double squares = 0;
    for (const double v : values) sum += v;
    const double n = static_cast<double>(values.size());
    const double mean = sum / n;
    for (const double v : values) squares += (v - mean) * (v - mean);
    return {mean, n > 1 ? std::sqrt(squares / (n - 1)) : 0.0};
}

std::vector<double> step_advantages_of(const RlBatch& batch, std::size_t row, std::span<const float> logits,
                                       const RlOptions& options) {
    std::vector<double> values;
    for (const float logit : logits) values.push_back(reward::sigmoid(static_cast<double>(logit)));
    return reward::step_advantages(values, batch.reward[row], options.gamma, options.lambda);
}

}  // namespace

void assign_credit(RlBatch& batch, const RlOptions& options) {
    const auto& answers = batch.answers;
    const auto states = rollout::state_offsets(answers);
    const auto logits_of = [&](std::size_t row) {
        return batch.values.empty()
                   ? std::span<const float>{}
                   : std::span<const float>(batch.values).subspan(states[row], states[row + 1] - states[row]);
    };
    batch.parts.clear();
    batch.reward.assign(answers.size(), 0.0);
    for (const RewardPart& part : options.rewards) {
        batch.parts.push_back({part.name, part.weight, part.score(batch)});
        ensure(batch.parts.back().score.size() == answers.size(), "a part of the reward scores every answer");
        for (std::size_t row = 0; row < answers.size(); ++row) batch.reward[row] += batch.parts.back().weighted(row);
    }
    batch.advantage.assign(answers.token.size(), 0.0F);
    const auto set = [&](std::size_t row, std::span<const float> advantage) {
        std::copy(advantage.begin(), advantage.end(), batch.advantage.begin() + answers.token_offset[row]);
    };
    if (options.advantage == AdvantageKind::group) {
        for (const auto& [begin, end] : answers.groups()) {
            const auto advantages =
                reward::group_advantages(std::span(batch.reward).subspan(begin, end - begin), options.group);
            for (std::size_t row = begin; row < end; ++row)
                set(row, std::vector<float>(answers.ids(row).size(), static_cast<float>(advantages[row - begin])));
        }
    } else {
        for (std::size_t row = 0; row < answers.size(); ++row)
            set(row,
                reward::token_advantages(step_advantages_of(batch, row, logits_of(row), options),
                                         answers.step_ends(row), static_cast<std::int64_t>(answers.ids(row).size())));
    }
    if (options.whiten) {
        std::vector<double> all(batch.advantage.begin(), batch.advantage.end());
        reward::whiten(all, std::vector<double>(all.size(), 1.0));
        std::copy(all.begin(), all.end(), batch.advantage.begin());
    }
    batch.trains.assign(answers.size(), 0);
    for (std::size_t row = 0; row < answers.size(); ++row) {
        const auto begin = batch.advantage.begin() + answers.token_offset[row];
        const auto end = batch.advantage.begin() + answers.token_offset[row + 1];
        const bool pulls = options.grpo.beta > 0 || std::any_of(begin, end, [](float a) { return a != 0; });
        batch.trains[row] = pulls && !(options.mask_truncated && truncated(answers, row)) ? 1 : 0;
    }
}

RlObjective::RlObjective(comm::Communicator& ranks, const task::Task& task, std::string split, engine::Engine& policy,
                         std::optional<rollout::Scorer> scorer, engine::Engine* reference, const RlOptions& options,
                         std::uint64_t seed)
    : ranks_(ranks),
      task_(task),
      split_(std::move(split)),
      policy_(policy),
      options_(options),
      seed_(seed),
      generator_(policy, options.sampler, task.end_tokens(), options.slots),
      scorer_(std::move(scorer)),
      reference_(reference),
      shuffle_(seed, task.split_size(split_)) {
    ensure(options.grpo.beta == 0 || reference_ != nullptr, "a KL penalty needs a reference policy");
}

void RlObjective::prepare(std::int64_t update) {
    if (update % options_.epochs == 0 || batch_.answers.size() == 0) {
        ensure(update % options_.epochs == 0, "a batch of answers can't be made again in the middle of its epochs");
        std::vector<task::Draw> draws;
        const std::int64_t first = update / options_.epochs * options_.problems;
        for (std::int64_t i = 0; i < options_.problems; ++i) draws.push_back(shuffle_(first + i));
        const rollout::RolloutPlan plan{&task_, split_, options_.samples, options_.sampler, seed_, "rl"};
        {
            const ledger::In section(ledger::Section::generate);
            batch_.answers = rollout::sample_answers_together(ranks_, plan, generator_, draws);
        }
        batch_.values.clear();
        if (scorer_) {
            const ledger::In section(ledger::Section::score);
            batch_.values = rollout::score_together(ranks_, *scorer_, batch_.answers);
        }
        assign_credit(batch_, options_);
        if (on_batch_) on_batch_(update, batch_);
    }
    cut();
}

void RlObjective::cut() {
    const auto& answers = batch_.answers;
    rows_.clear();
    std::vector<std::size_t> lengths;
    denominator_ = 0;
    for (std::size_t row = 0; row < answers.size(); ++row) {
        const std::size_t tokens = answers.ids(row).size();
        if (!(options_.mask_truncated && truncated(answers, row)))
            denominator_ += options_.mean == LossMean::token ? static_cast<double>(tokens) : 1;
        if (batch_.trains[row] == 0) continue;
        // The first answer of a problem brings the prompt along.
        const bool opens = rows_.empty() || answers.problem[rows_.back()] != answers.problem[row];
        rows_.push_back(row);
        lengths.push_back(tokens + (opens ? answers.prompt(static_cast<std::size_t>(answers.problem[row])).size() : 0));
    }
    units_ = rows_.empty() ? Units() : Units(std::move(lengths), static_cast<std::size_t>(options_.unit_tokens));
}

std::span<const std::string_view> RlObjective::sum_names() const { return kSums; }

std::string RlObjective::unit_name(std::size_t unit) const {
    const auto problem = static_cast<std::size_t>(batch_.answers.problem[rows_[units_.begin(unit)]]);
    return cat("unit ", unit, " (", split_, " problems from ", batch_.answers.problem_index[problem], ")");
}

std::vector<float> RlObjective::reference_logprobs(const model::Forest& forest, std::span<const std::int32_t> rows,
                                                   std::span<const std::int32_t> targets) {
    std::vector<float> logp(rows.size()), entropy(rows.size());
    reference_->token_logprobs(reference_->forward(forest, rows, engine::Keep::nothing), targets,
                               options_.sampler.logprob_temperature(), logp, entropy);
    return logp;
}

Sums RlObjective::differentiate(std::size_t unit) {
    const auto& answers = batch_.answers;
    model::Forest forest;
    std::vector<std::int32_t> rows, targets;
    std::vector<std::size_t> tokens;  // index of each row's token in the flat token arrays
    std::vector<double> weight;       // of each row in the loss
    int prompt = -1;
    for (std::size_t i = units_.begin(unit); i < units_.end(unit); ++i) {
        const std::size_t row = rows_[i];
        const auto ids = answers.ids(row);
        const auto prompt_ids = answers.prompt(static_cast<std::size_t>(answers.problem[row]));
        if (i == units_.begin(unit) || answers.problem[row] != answers.problem[rows_[i - 1]])
            prompt = forest.add(prompt_ids);
        // The last token is predicted, but predicts nothing.
        const int answer = ids.size() > 1 ? forest.add(ids.first(ids.size() - 1), prompt) : -1;
        for (std::size_t t = 0; t < ids.size(); ++t) {
            rows.push_back(t == 0 ? forest.token_index(prompt, static_cast<int>(prompt_ids.size()) - 1)
                                  : forest.token_index(answer, static_cast<int>(t) - 1));
            targets.push_back(ids[t]);
            tokens.push_back(static_cast<std::size_t>(answers.token_offset[row]) + t);
            weight.push_back(options_.mean == LossMean::token ? 1 / denominator_
                                                              : 1 / (denominator_ * static_cast<double>(ids.size())));
        }
    }
    std::vector<float> reference;
    if (options_.grpo.beta > 0) reference = reference_logprobs(forest, rows, targets);
    const auto states = policy_.forward(forest, rows, engine::Keep::activations);
    double loss = 0, entropies = 0, kl = 0, low = 0, high = 0, gap = 0, ratio = 0;
    policy_.token_loss(states, targets, options_.sampler.logprob_temperature(), [&](int r, float logp, float entropy) {
        const auto i = static_cast<std::size_t>(r);
        const auto old = static_cast<double>(answers.logprob[tokens[i]]);
        const auto now = static_cast<double>(logp);
        const auto token = reward::grpo_token(now, old, reference.empty() ? now : static_cast<double>(reference[i]),
                                              static_cast<double>(batch_.advantage[tokens[i]]), options_.grpo);
        loss += token.loss * weight[i];
        entropies += static_cast<double>(entropy);
        kl += token.kl;
        low += token.clipped_low ? 1 : 0;
        high += token.clipped_high ? 1 : 0;
        gap += std::abs(now - old);
        ratio += token.ratio;
        return static_cast<float>(token.dloss_dlogp * weight[i]);
    });
    policy_.backward(forest);
    ledger::count(ledger::Work::trained, forest.num_tokens());
    return {kSums,
            {static_cast<double>(rows.size()), loss, entropies, kl, low, high, gap, ratio,
             static_cast<double>(forest.num_tokens())}};
}

void RlObjective::metrics(const Sums& sums, Metrics& out) const {
    const auto& answers = batch_.answers;
    const auto [reward_mean, reward_std] = mean_and_std(batch_.reward);
    double group_std = 0, even = 0;
    for (const auto& [begin, end] : answers.groups()) {
        const double deviation = mean_and_std(std::span(batch_.reward).subspan(begin, end - begin)).second;
        group_std += deviation / static_cast<double>(answers.num_problems());
        even += deviation == 0 ? 1.0 / static_cast<double>(answers.num_problems()) : 0;
    }
    double tokens = 0, shortest = std::numeric_limits<double>::infinity(), longest = 0, cut_answers = 0,
           ended_tokens = 0;
    for (std::size_t row = 0; row < answers.size(); ++row) {
        const auto n = static_cast<double>(answers.ids(row).size());
        tokens += n;
        shortest = std::min(shortest, n);
        longest = std::max(longest, n);
        if (truncated(answers, row)) {
            cut_answers += 1;
        } else {
            ended_tokens += n;
        }
    }
    const auto count = static_cast<double>(answers.size());
    out.set("reward", reward_mean);
    out.set("reward_std", group_std);
    out.set("frac_reward_zero_std", even);
    for (const PartScores& part : batch_.parts) {
        const auto [mean, deviation] = mean_and_std(part.score);
        out.set("rewards/" + part.name + "/mean", mean);
        out.set("rewards/" + part.name + "/std", deviation);
    }
    if (!batch_.values.empty()) {
        double value = 0;
        for (const float logit : batch_.values) value += reward::sigmoid(static_cast<double>(logit));
        out.set("value/mean", value / static_cast<double>(batch_.values.size()));
        out.set("rewards/mixed/std", reward_std);
    }
    out.set("completions/mean_length", tokens / count);
    out.set("completions/min_length", shortest);
    out.set("completions/max_length", longest);
    out.set("completions/mean_terminated_length", ended_tokens / (count - cut_answers));
    out.set("completions/clipped_ratio", cut_answers / count);
    const double rows = sums["rows"];
    const auto mean = [&](const char* sum, double otherwise) { return rows > 0 ? sums[sum] / rows : otherwise; };
    out.set("loss", sums["loss"]);
    out.set("entropy", mean("entropy", std::numeric_limits<double>::quiet_NaN()));
    if (options_.grpo.beta > 0) out.set("kl", mean("kl", 0));
    out.set("clip_ratio/low_mean", mean("clipped_low", 0));
    out.set("clip_ratio/high_mean", mean("clipped_high", 0));
    out.set("clip_ratio/region_mean", rows > 0 ? (sums["clipped_low"] + sums["clipped_high"]) / rows : 0);
    out.set("sampling/sampling_logp_difference/mean", mean("logp_change", 0));
    out.set("sampling/importance_sampling_ratio/mean", mean("ratio", 1));
    out.set("num_tokens", sums["tokens"]);
    out.set("completions/tokens", tokens);
}

}  // namespace tdrm::train
