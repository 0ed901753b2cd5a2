// Reinforcement learning of the policy: answers of the policy itself, rewards as named parts, a value model as critic.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tdrm/reward/policy_loss.hpp"
#include "tdrm/reward/targets.hpp"
#include "tdrm/rollout/answers.hpp"
#include "tdrm/rollout/tree_answers.hpp"
#include "tdrm/train/credit.hpp"
#include "tdrm/train/guard.hpp"
#include "tdrm/train/shuffle.hpp"
#include "tdrm/train/trainer.hpp"
#include "tdrm/train/value.hpp"

namespace tdrm::train {

/// What the per-token losses are divided by.
enum class LossMean {
    token,     ///< all answer tokens of the global batch (DAPO; published)
    sequence,  ///< each answer by its own length, then answers (original GRPO)
    constant,  ///< answers times the longest that an answer may be (Dr. GRPO, arXiv 2503.20783)
};
[[nodiscard]] constexpr auto enum_names(LossMean) {
    using enum LossMean;
    return std::array<std::pair<LossMean, std::string_view>, 3>{
        {{token, "token"}, {sequence, "sequence"}, {constant, "constant"}}};
}

/// Whose log-probs the ratios compare with.
enum class OldLogProbs {
    sampler,  ///< those that the answers were drawn with
    trainer,  ///< of a forward pass over the finished answers, before their first update
};
[[nodiscard]] constexpr auto enum_names(OldLogProbs) {
    return std::array<std::pair<OldLogProbs, std::string_view>, 2>{
        {{OldLogProbs::sampler, "sampler"}, {OldLogProbs::trainer, "trainer"}}};
}

/// Where the divergence from a reference counts.
enum class KlPlace { loss, reward };
[[nodiscard]] constexpr auto enum_names(KlPlace) {
    return std::array<std::pair<KlPlace, std::string_view>, 2>{{{KlPlace::loss, "loss"}, {KlPlace::reward, "reward"}}};
}

/// A value model that learns beside the policy, from the answers of each batch.
struct CriticOptions {
    reward::TargetOptions target;
    std::int64_t warmup = 0;  ///< updates of the critic alone before the policy's first
};

/// The answers that a batch is made of.
struct BatchOptions {
    int problems = 32;  ///< per batch
    int samples = 8;    ///< answers per problem: the group; of trees the trunks
    int refill = 0;     ///< rounds of further problems in the place of those whose answers are all worth the same
    rollout::TreeOptions tree;
    /// Answers of a problem at most.
    [[nodiscard]] std::int64_t answers_per_problem() const { return samples * tree.leaves(); }
    void fields(Fields& f);
};

/// The penalty for leaving a reference policy.
struct KlOptions {
    double beta = 0;  ///< weight of the divergence; 0 needs no reference
    reward::KlForm form = reward::KlForm::k3;
    KlPlace in = KlPlace::loss;
    void fields(Fields& f);
};

/// What advantages pull at, and how tokens are averaged.
struct LossOptions {
    static constexpr const char* kShorthand = "mean";
    LossMean mean = LossMean::token;
    reward::PolicyLossKind kind = reward::PolicyLossKind::clip;
    double low = 0.2, high = 0.2;  ///< ratios are clipped below 1 - low and above 1 + high
    OldLogProbs old = OldLogProbs::sampler;
    reward::ImportanceOptions importance{};
    void fields(Fields& f);
};

struct RlOptions {
    BatchOptions batch;
    double verdict_noise =
        0;  ///< chance that a verdict is flipped before anybody sees it, as an unreliable judge would
    CreditOptions credit;
    KlOptions kl;
    LossOptions loss;
    bool mask_truncated = false;  ///< cut answers don't train (otherwise their reward is 0)
    int inner_epochs = 1;         ///< passes over a batch of answers
    int minibatches = 1;          ///< updates that a pass is made of, each of an even share of the problems
    engine::SamplerOptions sampler;
    int unit_tokens = 512;
    int slots = 256;
    bool paged = false;  ///< frozen models rest until they are asked, and the policy's passes meanwhile (Engine::rest)

    [[nodiscard]] std::int64_t updates_per_batch() const { return std::int64_t{inner_epochs} * minibatches; }
    /// Of an update, whose answers are rows of these problems of the batch, [begin, end).
    [[nodiscard]] std::pair<std::size_t, std::size_t> minibatch(std::int64_t update, std::size_t num_problems) const;
};

/// What the loss makes of a token.
struct TokenAccount {
    float now = 0, old = 0, sampled = 0, reference = 0;  ///< log-probs; reference is NaN where there is none
    double advantage = 0;
    double weight = 0;  ///< in the loss of the update
    reward::PolicyToken result;
};

/// The critic's engine and how it learns; the scorer reads the same engine.
struct Critic {
    engine::Engine& engine;
    CriticOptions options;
};

/// Share of right answers to each problem.
[[nodiscard]] std::vector<double> right_by_problem(const rollout::Trajectories& answers);

class RlObjective final : public Objective {
public:
    /// Trainee 0 is the policy, trainee 1 the critic if there is one.
    /// @param scorer of the value model, frozen or the critic, or none
    /// @param reference frozen policy for kl.beta > 0, or null
    RlObjective(comm::Communicator& ranks, const task::Task& task, std::string split, engine::Engine& policy,
                std::optional<rollout::Scorer> scorer, engine::Engine* reference, const RlOptions& options,
                std::uint64_t seed, std::optional<Critic> critic = {});

    /// From now on the reward takes the values of another model than the advantage.
    void judge_by(const rollout::Scorer& scorer) { judge_ = scorer; }

    void prepare(std::int64_t update) override;
    bool prepare_more() override;
    [[nodiscard]] const Units& units() const override { return units_; }
    [[nodiscard]] std::size_t trainee_of(std::size_t unit) const override;
    [[nodiscard]] std::string unit_name(std::size_t unit) const override;
    [[nodiscard]] std::span<const std::string_view> sum_names() const override;
    Sums differentiate(std::size_t unit) override;
    void metrics(const Sums& sums, Metrics& out) const override;
    [[nodiscard]] bool resumable_at(std::int64_t updates) const override {
        return updates % options_.updates_per_batch() == 0;
    }
    [[nodiscard]] nlohmann::json state() const override;
    void restore(const nlohmann::json& state) override;

    [[nodiscard]] const RlBatch& batch() const { return batch_; }
    [[nodiscard]] double explained_before() const { return explained_before_; }
    /// Collective. Takes the batch that was answered after `update` updates, with what models said of it, and makes
    /// rewards and advantages anew; `prepare` won't answer it again.
    void take(std::int64_t update, RlBatch batch, double explained_before);
    /// Whether an answer of the batch is part of the prepared update.
    [[nodiscard]] bool is_of_update(std::size_t row) const;
    /// Local. What the loss makes of the tokens of an answer with the policy as it is.
    [[nodiscard]] std::vector<TokenAccount> account(std::size_t row);
    /// Local. What a guard sees: right_by_problem of held-out answers, and the rewards of all batches since the look
    /// before.
    [[nodiscard]] Look look(std::int64_t update, std::vector<double> right_P);
    /// Its state is part of commits from now on. It must outlive the objective.
    void keep(Guard& guard) { guard_ = &guard; }
    /// Collective. Is told of each new batch, with the number of updates that had been made when it was answered.
    void on_batch(std::function<void(std::int64_t update, const RlBatch& batch)> listener) {
        on_batch_ = std::move(listener);
    }

private:
    void answer();
    /// Collective. Of the batch's tokens.
    [[nodiscard]] std::vector<float> logprobs(engine::Engine& model);
    void ask_reference();
    /// Collective. Answers of further problems of the shuffle.
    [[nodiscard]] rollout::TreeAnswers next_answers(std::int64_t problems);
    /// Problems that a batch still lacks.
    [[nodiscard]] std::size_t missing(const rollout::Trajectories& answers) const;
    /// Of the weights that draw answers, where adapters learn: 48 bits, as a figure.
    [[nodiscard]] double sampling_hash() const;
    void look();
    [[nodiscard]] bool policy_learns() const { return !critic_ || update_ >= critic_->options.warmup; }
    /// Whether the values of the prepared batch are those that the critic finds while it learns, which saves a pass:
    /// then its units come first, and the policy's are made of what they found (prepare_more).
    [[nodiscard]] bool critic_looks() const { return critic_ && options_.updates_per_batch() == 1; }
    void value_answers(double explained_before);
    /// Everything about a new batch that depends on its values.
    void judge_batch();
    void choose();
    void cut_policy();
    void cut_critic();
    void drop_idle_trees(std::vector<std::size_t>& lengths);
    /// The critic's units come behind the policy's, or alone.
    [[nodiscard]] std::size_t first_of_critic() const { return values_follow_ ? 0 : policy_units_.size(); }
    [[nodiscard]] bool of_policy(std::size_t unit) const { return unit < first_of_critic(); }
    Sums differentiate_policy(std::size_t unit);
    [[nodiscard]] std::vector<double> weights_of(std::size_t row) const;

    comm::Communicator& ranks_;
    const task::Task& task_;
    std::string split_;
    engine::Engine& policy_;
    RlOptions options_;
    reward::PolicyLossOptions loss_;  ///< beta is 0 where the divergence is in the reward
    std::uint64_t seed_;
    rollout::Generator generator_;
    std::optional<rollout::Scorer> scorer_, judge_;
    engine::Engine* reference_;
    std::optional<reward::KlForm> kl_form_;  ///< of a divergence in the reward
    std::optional<Critic> critic_;
    Shuffle shuffle_;
    std::int64_t drawn_ = 0;       ///< problems of the shuffle so far
    double explained_before_ = 0;  ///< explained_variance of the batch before
    double explained_ = 0;         ///< of this one
    /// Number, sum and squares of the rewards since a guard's last look.
    std::array<double, 3> rewards_since_{};
    Guard* guard_ = nullptr;
    double sampling_hash_ = 0;
    std::int64_t generated_ = 0;  ///< tokens that were drawn for this batch
    std::int64_t offered_ = 0;    ///< problems that were answered for this batch
    RlBatch batch_;
    std::function<void(std::int64_t, const RlBatch&)> on_batch_;
    std::vector<std::vector<std::size_t>> samples_;  ///< of the minibatch: rows that are computed together
    Units policy_units_, units_;
    std::unique_ptr<ValueObjective> critic_objective_;
    std::int64_t update_ = 0;                       ///< that is prepared
    bool values_follow_ = false;                    ///< the units are the critic's, which finds the values
    std::vector<double> found_;                     ///< by this rank: rows, each with the logits of its states
    std::pair<std::size_t, std::size_t> problems_;  ///< of the batch that are the prepared update's, [begin, end)
    std::optional<std::int64_t> taken_;             ///< update whose batch was given
    double denominator_ = 1;
};

}  // namespace tdrm::train
