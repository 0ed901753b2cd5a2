#include "tdrm/train/rl.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/reward/loss.hpp"

namespace tdrm::train {
namespace {

/// Of the policy, then of the critic: those of ValueObjective.
constexpr std::array<std::string_view, 16> kSums{"rows",
                                                 "loss",
                                                 "entropy",
                                                 "kl",
                                                 "clipped_low",
                                                 "clipped_high",
                                                 "logp_change",
                                                 "ratio",
                                                 "tokens",
                                                 "critic/loss",
                                                 "critic/states",
                                                 "critic/interior",
                                                 "critic/delta",
                                                 "critic/transitions",
                                                 "critic/value_change",
                                                 "critic/tokens"};
constexpr std::size_t kPolicySums = 9;

}  // namespace

void BatchOptions::fields(Fields& f) {
    f("problems", problems, "problems per batch of answers", between(1, 1e5));
    f("samples", samples, "answers per problem: the group; with a tree its trunks", between(1, 1e4));
    f("refill", refill,
      "rounds in which further problems take the place of those whose answers are all right or all wrong (DAPO)",
      between(0, 100));
    f("tree", tree, "branches that leave answers on the way");
}

void KlOptions::fields(Fields& f) {
    f("beta", beta, "weight of the divergence from the reference", at_least(0));
    f("form", form, "how it is estimated from a token: k1, k2 or k3");
    f("in", in, "part of the loss, or of the rewards of tokens");
}

void LossOptions::fields(Fields& f) {
    f("mean", mean, "over tokens of the batch; over answers; or by a constant (Dr. GRPO)");
    f("kind", kind, "clip (PPO, GRPO), gspo (one ratio an answer), cispo (clipped weights)");
    f("low", low, "ratios are clipped below 1 - low", between(0, 1));
    f("high", high, "ratios are clipped above 1 + high", at_least(0));
    f("old", old, "log-probs that ratios compare with: of the sampler, or of the trainer before the first update");
    f("truncate", importance.truncate,
      "tokens weigh min(trainer / sampler probability, this), with old: trainer; 0 = all 1", at_least(0));
    f("reject", importance.reject,
      "answers whose mean difference of the two log-probs is larger don't train; none = all do", above(0));
}

std::pair<std::size_t, std::size_t> RlOptions::minibatch(std::int64_t update, std::size_t num_problems) const {
    const auto part = static_cast<std::size_t>(update % minibatches);
    const auto parts = static_cast<std::size_t>(minibatches);
    return {num_problems * part / parts, num_problems * (part + 1) / parts};
}

RlObjective::RlObjective(comm::Communicator& ranks, const task::Task& task, std::string split, engine::Engine& policy,
                         std::optional<rollout::Scorer> scorer, engine::Engine* reference, const RlOptions& options,
                         std::uint64_t seed, std::optional<Critic> critic)
    : ranks_(ranks),
      task_(task),
      split_(std::move(split)),
      policy_(policy),
      options_(options),
      loss_{options.loss.kind, options.loss.low, options.loss.high, options.kl.beta, options.kl.form},
      seed_(seed),
      generator_(policy, options.sampler, task.end_tokens(), options.slots),
      scorer_(std::move(scorer)),
      reference_(reference),
      critic_(std::move(critic)),
      shuffle_(seed, task.split_size(split_)) {
    ensure(options.kl.beta == 0 || reference_ != nullptr, "a KL penalty needs a reference policy");
    ensure(!critic_ || scorer_, "a critic is read by the scorer");
    if (options_.kl.in == KlPlace::loss || options_.kl.beta == 0) return;
    options_.credit.rewards.push_back(kl_reward(options_.kl.beta));
    kl_form_ = options_.kl.form;
    loss_.beta = 0;
}

nlohmann::json RlObjective::state() const {
    nlohmann::json state{{"drawn", drawn_}, {"explained_variance", explained_}};
    if (guard_ != nullptr) {
        state["guard"] = guard_->state();
        state["rewards_since"] = rewards_since_;
    }
    return state;
}

void RlObjective::restore(const nlohmann::json& state) {
    if (taken_) return;  // the batch that was given stands
    drawn_ = state.at("drawn");
    explained_ = state.at("explained_variance");
    if (guard_ == nullptr || !state.contains("guard")) return;
    guard_->restore(state.at("guard"));
    rewards_since_ = state.at("rewards_since");
}

void RlObjective::prepare(std::int64_t update) {
    const bool begins = update % options_.updates_per_batch() == 0;
    ensure(begins || batch_.answers.size() > 0, "a batch of answers can't be made again in the middle of its epochs");
    update_ = update;
    values_follow_ = false;
    if (begins && taken_ != update) {
        // Without refills the problems follow from the update; with them from what was drawn so far.
        if (options_.batch.refill == 0) drawn_ = update / options_.updates_per_batch() * options_.batch.problems;
        if (policy_.body() != nullptr) sampling_hash_ = sampling_hash();
        answer();
        values_follow_ = critic_looks();
        look();
        if (!values_follow_) judge_batch();
    }
    problems_ = options_.minibatch(update, batch_.answers.num_problems());
    if (critic_) cut_critic();
    if (values_follow_) {
        units_ = critic_objective_->units();
        return;
    }
    cut_policy();
    units_ = policy_units_;
    if (critic_) units_.append(critic_objective_->units());
}

bool RlObjective::prepare_more() {
    if (!values_follow_) return false;
    values_follow_ = false;
    const auto offset = rollout::state_offsets(batch_.answers);
    batch_.values.assign(offset.back(), 0.0F);
    for (const auto& theirs : ranks_.all_gather(std::span<const double>(found_)))
        for (std::size_t at = 0; at < theirs.size();) {
            const auto row = static_cast<std::size_t>(theirs[at++]);
            for (std::size_t state = offset[row]; state < offset[row + 1]; ++state)
                batch_.values[state] = static_cast<float>(theirs[at++]);
        }
    judge_batch();
    cut_policy();
    units_ = policy_units_;
    return true;
}

void RlObjective::judge_batch() {
    value_answers(explained_);
    for (const double reward : batch_.reward) {
        rewards_since_[0] += 1;
        rewards_since_[1] += reward;
        rewards_since_[2] += reward * reward;
    }
    if (on_batch_) on_batch_(update_, batch_);
}

void RlObjective::take(std::int64_t update, RlBatch batch, double explained_before) {
    taken_ = update;
    batch_ = std::move(batch);
    offered_ = static_cast<std::int64_t>(batch_.answers.num_problems());
    generated_ = static_cast<std::int64_t>(batch_.answers.token.size());
    if (loss_.beta > 0) ask_reference();
    value_answers(explained_before);
}

/// Rewards and advantages, and which answers train.
void RlObjective::value_answers(double explained_before) {
    explained_before_ = explained_before;
    explained_ = batch_.values.empty() ? 0 : explained_variance(batch_);
    assign_credit(batch_, options_.credit, explained_before_);
    choose();
}

bool RlObjective::is_of_update(std::size_t row) const {
    const auto problem = static_cast<std::size_t>(batch_.answers.problem[row]);
    return problem >= problems_.first && problem < problems_.second;
}

std::vector<TokenAccount> RlObjective::account(std::size_t row) {
    RlBatch& batch = batch_;
    rollout::Trajectories alone;
    const auto problem = static_cast<std::size_t>(batch.answers.problem[row]);
    alone.append_problem(batch.answers, problem, row, row + 1);
    const auto part = rollout::answer_forest(alone, {}, std::array<std::size_t, 1>{0});
    const auto logprobs = [&](engine::Engine& model) {
        std::vector<float> logp(part.rows.size()), entropy(part.rows.size());
        model.token_logprobs(model.forward(part.forest, part.rows, engine::Keep::nothing), part.targets,
                             options_.sampler.logprob_temperature(), logp, entropy);
        return logp;
    };
    const auto now = logprobs(policy_);
    const auto reference =
        reference_ == nullptr ? std::vector<float>(now.size(), std::nanf("")) : logprobs(*reference_);
    const auto old = batch.old_of(row), advantage = batch.advantage_of(row), sampled = batch.answers.logprobs(row);
    const auto weight = weights_of(row);
    const double ratio = reward::answer_ratio(now, old);
    std::vector<TokenAccount> tokens;
    for (std::size_t t = 0; t < now.size(); ++t) {
        const reward::TokenLogProbs logp{static_cast<double>(now[t]), static_cast<double>(old[t]),
                                         static_cast<double>(reference[t])};
        const auto a = static_cast<double>(advantage[t]);
        tokens.push_back(
            {now[t], old[t], sampled[t], reference[t], a, weight[t], reward::policy_loss(logp, a, loss_, ratio)});
    }
    return tokens;
}

/// Which answers count, and which of them have a gradient.
void RlObjective::choose() {
    const auto& answers = batch_.answers;
    batch_.counts.assign(answers.size(), 0);
    batch_.trains.assign(answers.size(), 0);
    for (std::size_t row = 0; row < answers.size(); ++row) {
        const bool masked = options_.mask_truncated && batch_.truncated(row);
        if (masked || reward::is_rejected(batch_.old_of(row), answers.logprobs(row), options_.loss.importance))
            continue;
        batch_.counts[row] = 1;
        const auto advantage = batch_.advantage_of(row);
        const bool pulls =
            loss_.beta > 0 || std::any_of(advantage.begin(), advantage.end(), [](float a) { return a != 0; });
        batch_.trains[row] = pulls ? 1 : 0;
    }
}

void RlObjective::cut_policy() {
    const auto& answers = batch_.answers;
    const auto groups = answers.groups();
    samples_.clear();
    std::vector<std::size_t> lengths;
    denominator_ = 0;
    for (std::size_t p = problems_.first; p < problems_.second; ++p) {
        for (std::size_t row = groups[p].first; row < groups[p].second; ++row) {
            const std::size_t tokens = answers.ids(row).size();
            if (batch_.counts[row] != 0)
                denominator_ += options_.loss.mean == LossMean::token ? static_cast<double>(tokens) : 1;
            const bool branch = !batch_.forks.empty() && batch_.forks[row].parent >= 0;
            if (branch) {  // of the tree before it
                samples_.back().push_back(row);
                lengths.back() += tokens - static_cast<std::size_t>(batch_.forks[row].tokens);
                continue;
            }
            if (batch_.forks.empty() && batch_.trains[row] == 0) continue;
            // The first answer of a problem brings the prompt along.
            const bool opens = samples_.empty() || answers.problem[samples_.back()[0]] != answers.problem[row];
            samples_.push_back({row});
            lengths.push_back(tokens + (opens ? answers.prompt(p).size() : 0));
        }
    }
    drop_idle_trees(lengths);
    policy_units_ = samples_.empty() || !policy_learns()
                        ? Units()
                        : Units(std::move(lengths), static_cast<std::size_t>(options_.unit_tokens));
}

void RlObjective::cut_critic() {
    const auto groups = batch_.answers.groups();
    std::vector<std::size_t> rows;
    for (std::size_t p = problems_.first; p < problems_.second; ++p)
        for (std::size_t row = groups[p].first; row < groups[p].second; ++row) rows.push_back(row);
    critic_objective_ = std::make_unique<ValueObjective>(batch_.answers, rows, ValueLabels{}, task_, critic_->engine,
                                                         critic_->options.target, seed_, 1, options_.unit_tokens);
    critic_objective_->take_all_in_order();
    critic_objective_->prepare(update_);
    found_.clear();
    if (values_follow_)
        critic_objective_->on_values([this](std::size_t row, std::span<const float> logit_S) {
            found_.push_back(static_cast<double>(row));
            found_.insert(found_.end(), logit_S.begin(), logit_S.end());
        });
}

/// Trees none of whose answers trains.
void RlObjective::drop_idle_trees(std::vector<std::size_t>& lengths) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < samples_.size(); ++i) {
        const auto trains = [&](std::size_t row) { return batch_.trains[row] != 0; };
        if (std::none_of(samples_[i].begin(), samples_[i].end(), trains)) continue;
        lengths[kept] = lengths[i];
        if (kept != i) samples_[kept] = std::move(samples_[i]);
        ++kept;
    }
    samples_.resize(kept);
    lengths.resize(kept);
}

std::size_t RlObjective::trainee_of(std::size_t unit) const { return of_policy(unit) ? 0 : 1; }

std::span<const std::string_view> RlObjective::sum_names() const {
    return std::span<const std::string_view>(kSums).first(critic_ ? kSums.size() : kPolicySums);
}

std::string RlObjective::unit_name(std::size_t unit) const {
    if (!of_policy(unit)) return critic_objective_->unit_name(unit - first_of_critic());
    const auto problem = static_cast<std::size_t>(batch_.answers.problem[samples_[units_.begin(unit)][0]]);
    return cat("unit ", unit, " (", split_, " problems from ", batch_.answers.problem_index[problem], ")");
}

Sums RlObjective::differentiate(std::size_t unit) {
    Sums sums(sum_names());
    if (of_policy(unit)) {
        const Sums own = differentiate_policy(unit);
        for (const std::string_view name : std::span(kSums).first(kPolicySums)) sums[name] = own[name];
        return sums;
    }
    const Sums own = critic_objective_->differentiate(unit - first_of_critic());
    for (const std::string_view name : critic_objective_->sum_names()) sums[cat("critic/", name)] = own[name];
    return sums;
}

/// Weights of an answer's tokens in the loss.
std::vector<double> RlObjective::weights_of(std::size_t row) const {
    const auto old = batch_.old_of(row), sampled = batch_.answers.logprobs(row);
    const auto n = static_cast<double>(old.size());
    double base = 1 / denominator_;
    if (options_.loss.mean == LossMean::sequence) base = 1 / (denominator_ * n);
    if (options_.loss.mean == LossMean::constant) base = 1 / (denominator_ * task_.max_answer_tokens());
    std::vector<double> weights(old.size(), batch_.trains[row] == 0 ? 0 : base);
    if (options_.loss.importance.truncate > 0)
        for (std::size_t t = 0; t < weights.size(); ++t)
            weights[t] *= reward::importance_weight(static_cast<double>(old[t]), static_cast<double>(sampled[t]),
                                                    options_.loss.importance);
    return weights;
}

Sums RlObjective::differentiate_policy(std::size_t unit) {
    const auto& answers = batch_.answers;
    std::vector<std::size_t> members;  // rows of the table
    for (std::size_t i = units_.begin(unit); i < units_.end(unit); ++i)
        members.insert(members.end(), samples_[i].begin(), samples_[i].end());
    const auto part = rollout::answer_forest(answers, batch_.forks, members);
    const float temperature = options_.sampler.logprob_temperature();
    // By token of the table, from the first that the unit has.
    const auto first = static_cast<std::size_t>(answers.token_offset[members.front()]);
    std::vector<double> weight(static_cast<std::size_t>(answers.token_offset[members.back() + 1]) - first);
    for (const std::size_t row : members) {
        const auto weights = weights_of(row);
        std::copy(weights.begin(), weights.end(),
                  weight.begin() + (answers.token_offset[row] - static_cast<std::int64_t>(first)));
    }
    const auto states = policy_.forward(part.forest, part.rows, engine::Keep::activations);
    std::vector<double> ratio_of_answer(weight.size(), 1.0);
    if (loss_.kind == reward::PolicyLossKind::gspo) {
        std::vector<float> logp(part.rows.size()), entropy(part.rows.size()), now(weight.size());
        policy_.token_logprobs(states, part.targets, temperature, logp, entropy);
        for (std::size_t r = 0; r < part.rows.size(); ++r)
            for (std::size_t i = part.first[r]; i < part.first[r + 1]; ++i) now[part.tokens[i] - first] = logp[r];
        for (const std::size_t row : members) {
            const auto begin = static_cast<std::size_t>(answers.token_offset[row]) - first;
            const std::size_t n = answers.ids(row).size();
            std::fill_n(ratio_of_answer.begin() + static_cast<std::ptrdiff_t>(begin), n,
                        reward::answer_ratio(std::span(now).subspan(begin, n), batch_.old_of(row)));
        }
    }
    const auto& old = batch_.old.empty() ? answers.logprob : batch_.old;
    Sums sums(std::span<const std::string_view>(kSums).first(kPolicySums));
    double loss = 0, entropies = 0, kl = 0, low = 0, high = 0, gap = 0, ratio = 0, trained = 0;
    policy_.token_loss(states, part.targets, temperature, [&](int r, float logp, float entropy) {
        const auto row = static_cast<std::size_t>(r);
        double slope = 0;
        for (std::size_t i = part.first[row]; i < part.first[row + 1]; ++i) {
            const std::size_t t = part.tokens[i];
            if (weight[t - first] == 0) continue;
            const reward::TokenLogProbs logprobs{
                static_cast<double>(logp), static_cast<double>(old[t]),
                static_cast<double>(batch_.reference.empty() ? logp : batch_.reference[t])};
            const auto token = reward::policy_loss(logprobs, static_cast<double>(batch_.advantage[t]), loss_,
                                                   ratio_of_answer[t - first]);
            loss += token.loss * weight[t - first];
            entropies += static_cast<double>(entropy);
            kl += token.kl;
            low += token.clipped_low ? 1 : 0;
            high += token.clipped_high ? 1 : 0;
            gap += std::abs(logprobs.now - logprobs.old);
            ratio += token.ratio;
            trained += 1;
            slope += token.dloss_dlogp * weight[t - first];
        }
        return static_cast<float>(slope);
    });
    policy_.backward(part.forest);
    ledger::count(ledger::Work::trained, part.forest.num_tokens());
    const std::array values{
        trained, loss, entropies, kl, low, high, gap, ratio, static_cast<double>(part.forest.num_tokens())};
    for (std::size_t i = 0; i < values.size(); ++i) sums[kSums[i]] = values[i];
    return sums;
}

}  // namespace tdrm::train
