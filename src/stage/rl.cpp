// Stage `rl`: reinforcement learning of a policy, rewards as named parts, a value model in the reward or as critic.
#include "tdrm/train/rl.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "replay_page.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/engine/memory.hpp"
#include "tdrm/stage/models.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/stage/training.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/train/rl_batch_file.hpp"

namespace tdrm::stage {
namespace {

struct BatchFields {
    int problems = 32, samples = 8, refill = 0;
    rollout::TreeOptions tree;
    void fields(Fields& f) {
        f("problems", problems, "problems per batch of answers", between(1, 1e5));
        f("samples", samples, "answers per problem: the group; with a tree its trunks", between(1, 1e4));
        f("refill", refill,
          "rounds in which further problems take the place of those whose answers are all right or all wrong (DAPO)",
          between(0, 100));
        f("tree", tree, "branches that leave answers on the way");
    }
};

/// What every part of the reward has. `reward: {length: 0.1}` is short for `reward: {length: {weight: 0.1}}`.
struct PartFields {
    static constexpr const char* kShorthand = "weight";
    double weight = 0;
    train::Normalise normalise = train::Normalise::none;
    double floor = 1e-4;
    void fields(Fields& f) {
        f("weight", weight, "weight in the sum; 0 = is not there");
        f("normalise", normalise,
          "brought to mean 0 and deviation 1 over its group or over the batch, before it is weighted");
        f("floor", floor, "smallest deviation that normalising divides by", above(0));
    }
    [[nodiscard]] train::RewardPart with(train::RewardPart part) const {
        part.normalisation = {normalise, floor};
        return part;
    }
};

struct RuleRewardFields : PartFields {
    double noise = 0;
    RuleRewardFields() { weight = 1; }
    void fields(Fields& f) {
        PartFields::fields(f);
        f("noise", noise,
          "chance that a verdict is flipped, as an unreliable judge would; evaluations see the true ones",
          from_to_below(0, 0.5));
    }
};

struct ValueRewardFields : PartFields {
    std::string model;
    train::ValueRewardOptions form;
    ValueRewardFields() { weight = 0.2; }
    void fields(Fields& f) {
        f("model", model, "value model; none = no value in the reward");
        PartFields::fields(f);
        f("form", form.form, "of one state; of steps: difference (progress), minimum (PURE), hazard; or tie_break");
        f("at", form.at, "state whose value counts, for state and tie_break: penultimate or last");
        f("scale", form.scale, "logit (published) or probability");
        f("temperature", form.temperature, "of minimum: how much the worst step outweighs the others", above(0));
    }
    [[nodiscard]] std::vector<std::string> validate() const {
        if (reward::is_one_state(form.at)) return {};
        return {"at names all steps, but a reward takes the value of one state. Choose penultimate or last."};
    }
};

struct OverlongFields : PartFields {
    int buffer = 0;
    void fields(Fields& f) {
        PartFields::fields(f);
        f("buffer", buffer, "tokens before the longest answer over which the reward falls from 0 to -1",
          between(1, 1e8));
    }
};

struct RepetitionFields : PartFields {
    int tokens = 4;
    void fields(Fields& f) {
        PartFields::fields(f);
        f("tokens", tokens, "length of the runs that are looked for again", between(1, 1e4));
    }
};

enum class JudgedBy { answer, steps };
constexpr auto enum_names(JudgedBy) {
    return std::array<std::pair<JudgedBy, std::string_view>, 2>{
        {{JudgedBy::answer, "answer"}, {JudgedBy::steps, "steps"}}};
}
struct CommandRewardFields : PartFields {
    CommandOptions command;
    JudgedBy of = JudgedBy::answer;
    CommandRewardFields() { weight = 1; }
    void fields(Fields& f) {
        PartFields::fields(f);
        command.fields(f);
        f("of", of, "what it scores: the answer, or each of its steps");
    }
    [[nodiscard]] std::vector<std::string> validate() const {
        return command.run.empty() ? std::vector<std::string>{} : command.validate();
    }
};

struct RewardFields {
    RuleRewardFields rule;
    ValueRewardFields value;
    PartFields length;
    OverlongFields overlong;
    RepetitionFields repetition;
    CommandRewardFields command;
    void fields(Fields& f) {
        f("rule", rule, "the rule's verdict, 0 or 1");
        f("value", value, "a value model's share of the reward");
        f("length", length, "minus the share of the longest answer that it has");
        f("overlong", overlong, "0, and down to -1 for answers that come close to the longest");
        f("repetition", repetition, "minus the share of runs of tokens that occurred before");
        f("command", command, "what a program of yours says: JSON lines in, JSON lines out (docs/rl.md)");
    }
    [[nodiscard]] std::vector<std::string> validate() const {
        if (overlong.weight == 0 || overlong.buffer > 0) return {};
        return {"overlong has a weight, but no buffer. Say over how many tokens it falls, as buffer: 50."};
    }
};

struct AdvantageFields {
    train::AdvantageKind kind = train::AdvantageKind::group;
    std::string value;
    double gamma = 1, lambda = 1;
    std::optional<double> adaptive;
    bool divide_by_std = true, leave_one_out = false, whiten = false;
    void fields(Fields& f) {
        f("kind", kind,
          "group = against the problem's other answers; gae = one a step, against the value of the state before it; "
          "shrinkage = against a mean of the two; gated = gae where values explained the last batch, else group; tree "
          "= "
          "of the pieces that answers share");
        f("value", value, "value model of gae, shrinkage and gated; or have a critic");
        f("gamma", gamma, "discount of a step in gae", above_up_to(0, 1));
        f("lambda", lambda, "of gae; 1 = reward minus value", between(0, 1));
        f("adaptive", adaptive, "lambda = 1 - 1 / max(1, this x steps of the answer) instead; none = lambda",
          above_up_to(0, 1e3));
        f("divide_by_std", divide_by_std, "group advantages by the group's deviation (false: Dr. GRPO)");
        f("leave_one_out", leave_one_out, "group baseline from the other answers (RLOO)");
        f("whiten", whiten, "advantages of the whole batch to mean 0 and deviation 1");
    }
    [[nodiscard]] bool needs_value() const {
        using enum train::AdvantageKind;
        return kind == gae || kind == shrinkage || kind == gated;
    }
};

struct CriticFields {
    std::string init;
    train::CriticOptions learning;
    train::OptimizerOptions optimizer{.lr = 1e-3, .schedule = train::Schedule::constant, .weight_decay = 0};
    void fields(Fields& f) {
        f("init", init, "model that it begins as: a value model, or a policy that gets a fresh head; none = no critic");
        f("target", learning.target, "what its values are trained towards");
        f("warmup", learning.warmup, "updates of the critic alone before the policy's first", between(0, 1e9));
        f("optimizer", optimizer, "AdamW of the critic, and its schedule");
    }
};

enum class KlPlace { loss, reward };
constexpr auto enum_names(KlPlace) {
    return std::array<std::pair<KlPlace, std::string_view>, 2>{{{KlPlace::loss, "loss"}, {KlPlace::reward, "reward"}}};
}
struct KlFields {
    double beta = 0;
    reward::KlForm form = reward::KlForm::k3;
    KlPlace in = KlPlace::loss;
    std::string reference;
    void fields(Fields& f) {
        f("beta", beta, "weight of the divergence from the reference", at_least(0));
        f("form", form, "how it is estimated from a token: k1, k2 or k3");
        f("in", in, "part of the loss, or of the rewards of tokens");
        f("reference", reference, "frozen policy; none = the one that training starts from");
    }
};

struct LossFields {
    static constexpr const char* kShorthand = "mean";
    train::LossMean mean = train::LossMean::token;
    reward::PolicyLossKind kind = reward::PolicyLossKind::clip;
    double low = 0.2, high = 0.2;
    train::OldLogProbs old = train::OldLogProbs::sampler;
    reward::ImportanceOptions importance;
    void fields(Fields& f) {
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
};

enum class GuardAction { none, warn, stop };
constexpr auto enum_names(GuardAction) {
    using enum GuardAction;
    return std::array<std::pair<GuardAction, std::string_view>, 3>{{{none, "none"}, {warn, "warn"}, {stop, "stop"}}};
}
struct GuardFields {
    static constexpr const char* kShorthand = "action";
    GuardAction action = GuardAction::none;
    double deviations = 2.5;
    void fields(Fields& f) {
        f("action", action,
          "when the reward rises while answers to eval.problems get worse: nothing, a warning, or the end "
          "of training");
        f("deviations", deviations, "standard errors that answers must get worse by", above(0));
    }
};

struct RlStageOptions {
    std::string policy, problems;
    BatchFields batch;
    std::int64_t updates = 100;
    int inner_epochs = 1, minibatches = 1;
    RewardFields reward;
    AdvantageFields advantage;
    CriticFields critic;
    KlFields kl;
    LossFields loss;
    bool mask_truncated = false;
    rollout::ReadOutOptions read_out;
    engine::SamplerOptions sampler;
    int unit_tokens = 512, slots = 256;
    std::int64_t save_rollouts = 0;
    bool save_evals = false;
    TrainFields train{.optimizer = {.lr = 3e-4, .schedule = train::Schedule::constant, .weight_decay = 0},
                      .precision = {},
                      .commit = {}};
    EvalOptions eval;
    GuardFields guard;

    void fields(Fields& f) {
        f("policy", policy, "model to start from").required();
        f("problems", problems, "split to learn from").required();
        f("batch", batch, "the global batch, whatever the number of ranks");
        f("updates", updates, "optimiser updates", between(1, 1e9)).not_identity();
        f("inner_epochs", inner_epochs, "passes over a batch of answers", between(1, 1e6));
        f("minibatches", minibatches, "updates that a pass is made of, each of an even share of the problems",
          between(1, 1e5));
        f("reward", reward, "what an answer is worth: named parts");
        f("advantage", advantage, "how rewards become advantages of tokens");
        f("critic", critic, "a value model that learns beside the policy, in the place of advantage.value");
        f("kl", kl, "penalty for leaving a reference policy");
        f("loss", loss, "what advantages pull at, and how tokens are averaged");
        f("mask_truncated", mask_truncated, "answers that were cut don't train (otherwise they count as wrong)");
        f("read_out", read_out, "how a value model named hf:DIR is read");
        f("sampler", sampler, "how answers are drawn");
        f("unit_tokens", unit_tokens, "tokens of a unit, the piece that one rank computes at once", between(1, 1e8));
        f("slots", slots, "sequences decoded together", between(1, 1e6)).not_identity();
        f("save_rollouts", save_rollouts,
          "keep the answers, rewards and advantages of every N-th batch in rollouts/; 0 = none", between(0, 1e9))
            .not_identity();
        f("save_evals", save_evals, "keep each evaluation's share of right answers by problem in evals/")
            .not_identity();
        train.fields(f);
        f("eval", eval, "evaluation while training").not_identity();
        f("guard", guard, "alarm before the policy games its reward").not_identity();
    }

    [[nodiscard]] std::int64_t updates_per_batch() const { return std::int64_t{inner_epochs} * minibatches; }
    [[nodiscard]] bool has_critic() const { return !critic.init.empty(); }
    /// Option that names the value model of the advantage, or "" without one.
    [[nodiscard]] const char* value_key() const {
        return has_critic() ? "critic.init" : advantage.value.empty() ? "" : "advantage.value";
    }
    /// Answers of a problem at most.
    [[nodiscard]] std::int64_t answers_per_problem() const { return batch.samples * batch.tree.leaves(); }

    [[nodiscard]] train::RlOptions bound() const {
        train::RlOptions o;
        o.problems = batch.problems;
        o.samples = batch.samples;
        o.refill = batch.refill;
        o.tree = batch.tree;
        o.verdict_noise = reward.rule.noise;
        o.credit.advantage = advantage.kind;
        o.credit.group.divide_by_std = advantage.divide_by_std;
        o.credit.group.leave_one_out = advantage.leave_one_out;
        o.credit.gamma = advantage.gamma;
        o.credit.lambda = advantage.lambda;
        o.credit.adaptive = advantage.adaptive;
        o.credit.whiten = advantage.whiten;
        o.loss = {loss.kind, loss.low, loss.high, kl.beta, kl.form};
        o.kl_in_reward = kl.in == KlPlace::reward;
        o.mean = loss.mean;
        o.old = loss.old;
        o.importance = loss.importance;
        o.mask_truncated = mask_truncated;
        o.inner_epochs = inner_epochs;
        o.minibatches = minibatches;
        o.sampler = sampler;
        o.unit_tokens = unit_tokens;
        o.slots = slots;
        return o;
    }

    /// What doesn't go together, by key.
    void check(const std::string& path, Problems& found) const {
        const auto wrong = [&](const char* key, const std::string& message) {
            found.push_back({"", path + key, message});
        };
        check_advantage(wrong);
        check_batch(wrong);
        if (guard.action != GuardAction::none && (eval.problems.empty() || eval.every == 0))
            wrong(
                ".guard",
                "has no true verdicts to look at (it compares the reward with held-out answers). Set eval.problems, a "
                "split that isn't trained on, and eval.every.");
        if (guard.action != GuardAction::none && eval.problems == problems)
            wrong(".guard",
                  "looks at the problems that are trained on (their answers get better by heart). Set "
                  "eval.problems to another split.");
        if (kl.beta == 0 && !kl.reference.empty())
            wrong(".kl.reference", "has no effect while kl.beta is 0. Remove it, or set beta.");
        if (loss.old == train::OldLogProbs::sampler && (loss.importance.truncate > 0 || loss.importance.reject))
            wrong(".loss.old",
                  "is sampler, so there is nothing that truncate or reject could compare (all weights would be 1). Set "
                  "old: trainer.");
        if (sampler.truncates())
            wrong(".sampler",
                  "truncated sampling (top_k, top_p, min_p) draws from another distribution than the one that is "
                  "trained (the importance ratio would be wrong). Use temperature alone.");
        if (sampler.temperature <= 0)
            wrong(".sampler.temperature",
                  "greedy answers are all the same (a group would have no spread). Use a temperature above 0.");
    }

private:
    template <class Wrong>
    void check_advantage(const Wrong& wrong) const {
        const bool by_group =
            advantage.kind == train::AdvantageKind::group || advantage.kind == train::AdvantageKind::tree;
        if (answers_per_problem() < 2 && (by_group || advantage.kind == train::AdvantageKind::gated))
            wrong(".batch.samples",
                  "a group of 1 has no advantage (its reward equals the group's mean, so nothing would be learnt). "
                  "Use 2 or more, or advantage.kind: gae or shrinkage.");
        if (advantage.needs_value() && advantage.value.empty() && !has_critic())
            wrong(".advantage.value",
                  "this kind needs a value model as baseline. Name a stage of kind `value`, or have a critic.");
        if (!advantage.needs_value() && !advantage.value.empty())
            wrong(".advantage.value",
                  "is only read by the kinds gae, shrinkage and gated. Remove it, or set the kind.");
        if (!advantage.needs_value() && has_critic())
            wrong(
                ".critic",
                "nothing reads its values (advantage.kind compares answers alone). Remove it, or set the kind to gae, "
                "shrinkage or gated.");
        if (has_critic() && !advantage.value.empty())
            wrong(".advantage.value", "is given beside a critic (one of them is the baseline). Remove one.");
        if (!has_critic() && critic.learning.warmup > 0)
            wrong(".critic.warmup", "there is no critic to warm up. Set critic.init, or remove it.");
        if (!has_critic() && critic.learning.target.lambda != reward::TargetOptions{}.lambda)
            wrong(".critic.target.lambda", "there is no critic to train. Set critic.init, or remove it.");
        if (has_critic() && critic.learning.target.needs_labels())
            wrong(".critic.target",
                  "needs labels of states, which fresh answers don't have. Use outcome, td_n or td_lambda.");
        if (has_critic() && (critic.learning.target.kind == reward::TargetKind::hazard ||
                             critic.learning.target.bootstrap == reward::Bootstrap::ema))
            wrong(".critic.target",
                  "a critic's values are chances of success, backed up by itself. Use td_lambda, td_n or "
                  "outcome with bootstrap: same.");
        if (advantage.kind == train::AdvantageKind::tree && !batch.tree.branches())
            wrong(".advantage.kind", "tree needs answers that branch. Set batch.tree, or another kind.");
        if (advantage.adaptive && advantage.kind != train::AdvantageKind::gae &&
            advantage.kind != train::AdvantageKind::gated)
            wrong(".advantage.adaptive", "is a lambda of gae. Remove it, or set kind: gae.");
    }
    template <class Wrong>
    void check_batch(const Wrong& wrong) const {
        if (minibatches > batch.problems)
            wrong(".minibatches", cat(minibatches, " is more than the ", batch.problems,
                                      " problems of a batch (an update would have none). Lower it."));
        if (answers_per_problem() > 4096)
            wrong(".batch.tree", cat("a problem would have up to ", answers_per_problem(),
                                     " answers (width ^ depth x samples; more than 4096). Lower one of them."));
        if (batch.refill > 0 && answers_per_problem() < 2)
            wrong(".batch.refill",
                  "one answer a problem is always all right or all wrong. Remove it, or use more samples.");
        const auto whole = [&](const char* key, std::int64_t number) {
            if (number % updates_per_batch() != 0)
                wrong(key, cat(number, " isn't a multiple of inner_epochs x minibatches, ", updates_per_batch(),
                               " (training can only stop and go on between batches of answers). Change one."));
        };
        whole(".updates", updates);
        whole(".eval.every", eval.every);
        whole(".commit.at", train.commit.at);
        if (has_critic()) whole(".critic.warmup", critic.learning.warmup);
    }
};

class RlStage final : public Stage {
public:
    explicit RlStage(RlStageOptions options) : options_(std::move(options)) {}
    [[nodiscard]] std::string identity() const override {
        RlStageOptions resolved = options_;
        resolved.train = options_.train.resolved(options_.updates);
        return tdrm::identity(resolved);
    }
    [[nodiscard]] std::int64_t updates(const task::Task&) const override { return options_.updates; }

    void check(const task::Task& task, const std::string& path, Problems& problems) const override {
        const auto wrong = [&](const char* key, const std::string& message) {
            problems.push_back({"", path + key, message});
        };
        check_split(task, options_.problems, path + ".problems", problems);
        rollout::check_read_out(options_.read_out, task, path + ".read_out", problems);
        if (!options_.eval.problems.empty())
            check_split(task, options_.eval.problems, path + ".eval.problems", problems);
        if (options_.reward.overlong.buffer > task.max_answer_tokens())
            wrong(".reward.overlong.buffer",
                  cat("is more than the longest answer, ", task.max_answer_tokens(), " tokens. Lower it."));
        options_.check(path, problems);
    }

    StageOutcome run(StageContext& context) override {
        const auto policy = to_train(context, options_.train, load_model(context, context.input("policy")));
        const ReadModel value = value_of(context), judge = judge_of(context);
        std::unique_ptr<engine::Engine> reference;
        if (options_.kl.beta > 0)
            reference = load_model(context, context.input(options_.kl.reference.empty() ? "policy" : "kl.reference"));
        train::RlOptions bound = options_.bound();
        bound.credit.rewards = rewards(context, value || judge);
        std::optional<train::Critic> critic;
        if (options_.has_critic()) critic.emplace(train::Critic{*value.engine, options_.critic.learning});
        train::RlObjective objective(context.ranks, context.task, options_.problems, *policy, value.scorer,
                                     reference.get(), bound, context.seed, critic);
        if (judge.scorer) objective.judge_by(*judge.scorer);
        save_batches(context, objective);
        warn_if_idle(context, options_.batch.problems);
        train::Guard guard(options_.guard.deviations);
        auto evaluation = policy_evaluation(context.ranks, context.task, *policy, options_.eval, options_.slots,
                                            context.seed, options_.updates, listener(context, guard, objective));
        if (options_.guard.action != GuardAction::none) objective.keep(guard);
        if (options_.guard.action == GuardAction::stop)
            evaluation.stop = [&guard] { return guard.alarm().has_value(); };
        Beside beside;
        if (critic) {
            const auto& optimizer = options_.critic.optimizer;
            beside.begins = options_.critic.learning.warmup;
            beside.learners.push_back({"critic", *value.engine, optimizer, options_.train.precision,
                                       optimizer.horizon > 0 ? optimizer.horizon : options_.updates});
        }
        auto outcome = train_model(context, options_.train, *policy, objective, evaluation, options_.updates,
                                   {"reward", "eval/pass@1"}, nlohmann::json::object(), beside);
        if (const auto& alarm = guard.alarm())
            outcome.results["alarm"] = {{"text", alarm->text()}, {"good", alarm->good}};
        return outcome;
    }

    std::string replay(StageContext& context, const ReplayRequest& request) override {
        const std::int64_t update = request.update;
        const auto batch_path = context.directory / "rollouts" / (train::commit_name(update) + ".h5");
        const auto commit = context.directory / train::commit_name(update);
        require_kept(context, update, batch_path, commit);
        Input start = context.input("policy");
        if (update > 0) start = {"policy", cat(context.node.name, "@update-", update), commit, start.identity};
        const auto policy = load_model(context, start);
        std::unique_ptr<engine::Engine> reference;
        if (options_.kl.beta > 0)
            reference = load_model(context, context.input(options_.kl.reference.empty() ? "policy" : "kl.reference"));
        train::RlBatch batch = train::read_rl_batch(batch_path);
        const auto row = request.answer ? *request.answer : first_that_trains(batch);
        if (row < 0 || row >= std::ssize(batch.answers.outcome))
            throw ConfigError(cat("the batch of update ", update, " has no answer ", row, ". It has ",
                                  batch.answers.size(), ", counted from 0."));
        train::RlOptions bound = options_.bound();
        bound.credit.rewards = rewards(context, !batch.values.empty());
        train::RlObjective objective(context.ranks, context.task, options_.problems, *policy, std::nullopt,
                                     reference.get(), bound, context.seed);
        const auto kept_reward = batch.reward;
        const auto kept_advantage = batch.advantage;
        const double before = store::FileReader(batch_path).attribute<double>("/", "explained_before");
        objective.prepare_again(update, std::move(batch), before);
        const auto sum = context.sum == train::SumMode::fast ? engine::Sum::fast : engine::Sum::exact;
        policy->begin_training({options_.train.precision.weights, sum, {}});
        ReplayPage page;
        page.title = cat("update ", update, " of ", context.node.name, ": ", objective.batch().answers.num_problems(),
                         " problems, ", objective.batch().answers.size(), " answers");
        page.metrics = train::figures_again(context.ranks, *policy, objective);
        page.logged = context.directory / "metrics.jsonl";
        page.update = update;
        page.changed_rewards = largest_difference(kept_reward, objective.batch().reward);
        page.changed_advantages = largest_difference(kept_advantage, objective.batch().advantage);
        return page.text(context.task, objective, static_cast<std::size_t>(row));
    }

    [[nodiscard]] std::string plan(const task::Task& task) const override {
        return cat(options_.updates, " updates of ", options_.batch.problems, " problems x ",
                   options_.batch.tree.branches() ? "up to " : "", options_.answers_per_problem(), " answers, at most ",
                   options_.batch.problems * options_.answers_per_problem() * task.max_answer_tokens(),
                   " tokens a batch");
    }

    [[nodiscard]] std::optional<model::ModelSpec> makes(const Planned& planned) const override {
        return planned.model("policy");
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        const auto spec = makes(planned);
        if (!spec) return std::nullopt;
        const int sample = planned.task.max_prompt_tokens() + planned.task.max_answer_tokens();
        Memory memory = training_memory(*spec, options_.unit_tokens, sample, rollout::kPrefillTokens, planned.sum,
                                        options_.train.precision, options_.train.lora);
        memory.add(generation_memory(*spec, planned.task, options_.slots, options_.sampler.max_tokens));
        // The evaluation has a cache of its own while it lasts.
        if (!options_.eval.problems.empty())
            memory.add(generation_memory(*spec, planned.task, options_.slots, options_.eval.sampler.max_tokens));
        std::vector<std::string> read;
        const bool has_value = *options_.value_key() != 0;
        if (has_value) read.emplace_back(options_.value_key());
        if (has_judge() || (!has_value && !options_.reward.value.model.empty()))
            read.emplace_back("reward.value.model");
        for (const std::string& key : read) {
            auto value = planned.model(key);
            if (!value) return std::nullopt;
            if (key == "critic.init") {
                value->head = model::Head::value;
                value->value_head = {};
                memory.add(training_memory(*value, options_.unit_tokens, sample, rollout::kScoreTokens, planned.sum,
                                           options_.train.precision));
            } else {
                memory.add(frozen_memory("the value model", *value));
            }
            memory.add(scoring_memory(*value, std::max(options_.unit_tokens, sample)));
        }
        if (options_.kl.beta > 0)
            memory.add(frozen_memory("the reference", *spec))
                .add(scoring_memory(*spec, options_.unit_tokens))
                .add("logits of the reference", engine::loss_bytes(*spec, options_.unit_tokens));
        return memory;
    }

private:
    /// What becomes of the answers of an evaluation: the guard's look, evals/.
    [[nodiscard]] EvalListener listener(const StageContext& context, train::Guard& guard,
                                        train::RlObjective& objective) const {
        const bool guarded = options_.guard.action != GuardAction::none;
        if (!guarded && !options_.save_evals) return {};
        return [this, guarded, &context, &guard, &objective](std::int64_t update, const rollout::Trajectories& answers,
                                                             train::Metrics& out) {
            const auto right = train::right_by_problem(answers);
            if (options_.save_evals) save_eval(context, update, right);
            if (guarded) out.set("guard/alarm", look(context, guard, objective.look(update, right)) ? 1 : 0);
        };
    }
    /// Whether the guard alarms; it is said, too.
    bool look(const StageContext& context, train::Guard& guard, train::Look now) const {
        const auto alarm = guard.look(std::move(now));
        if (alarm && context.ranks.root())
            log::warn(cat("stage ", context.node.name, ": ", alarm->text(), ". The policy games its reward",
                          options_.guard.action == GuardAction::stop ? ", so training ends here" : "",
                          ". The last good commit is ", train::commit_name(alarm->good), ": go on from ",
                          context.node.name, "@best, with another reward or a KL penalty."));
        return alarm.has_value();
    }
    /// evals/update-000010.json: what share of the answers to each problem was right after 10 updates.
    static void save_eval(const StageContext& context, std::int64_t update, const std::vector<double>& right) {
        context.ranks.agree("saving an evaluation", [&] {
            if (!context.ranks.root()) return;
            const auto folder = context.directory / "evals";
            std::filesystem::create_directories(folder);
            store::write_text_atomic(folder / (train::commit_name(update) + ".json"),
                                     nlohmann::json{{"update", update}, {"right", right}}.dump() + "\n");
        });
    }

    void require_kept(const StageContext& context, std::int64_t update, const std::filesystem::path& batch,
                      const std::filesystem::path& commit) const {
        const auto missing = [&](const std::string& what, const std::string& how) {
            throw ConfigError(
                cat("update ", update, " of ", context.node.name, " can't be computed again: ", what, " (", how, ")."));
        };
        if (options_.train.lora.rank > 0)
            missing("adapters learnt", "only updates of all weights can be computed again");
        if (update % options_.updates_per_batch() != 0)
            missing(cat("its batch began earlier, at update ", update - update % options_.updates_per_batch()),
                    "name that one");
        if (options_.has_critic() && update < options_.critic.learning.warmup)
            missing("only the critic learnt then",
                    "the policy's first is " + std::to_string(options_.critic.learning.warmup));
        if (!std::filesystem::exists(batch))
            missing("its answers weren't kept", "save_rollouts: 1 keeps those of every batch");
        if (update > 0 && !std::filesystem::exists(commit))
            missing("the policy of then wasn't kept", "commit: {at: 1} keeps that of every update");
    }

    static std::int64_t first_that_trains(const train::RlBatch& batch) {
        for (std::size_t row = 0; row < batch.answers.size(); ++row)
            for (const float advantage : batch.advantage_of(row))
                if (advantage != 0) return static_cast<std::int64_t>(row);
        return 0;
    }

    template <class T>
    static double largest_difference(const std::vector<T>& a, const std::vector<T>& b) {
        if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
        double largest = 0;
        for (std::size_t i = 0; i < a.size(); ++i)
            largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
        return largest;
    }

    /// A model of values with what reads it; nothing where none is named.
    struct ReadModel {
        std::unique_ptr<engine::Engine> engine;
        std::optional<rollout::Scorer> scorer;
        explicit operator bool() const { return scorer.has_value(); }
    };

    [[nodiscard]] ReadModel read(StageContext& context, const Input& input,
                                 std::unique_ptr<engine::Engine> engine) const {
        ReadModel model{std::move(engine), {}};
        model.scorer.emplace(value_scorer(context, *model.engine, input, options_.read_out, options_.unit_tokens));
        return model;
    }
    /// The value model of the advantage: the critic, or a frozen one; without one that of the reward, to be looked at.
    [[nodiscard]] ReadModel value_of(StageContext& context) const {
        const std::string key = *options_.value_key() != 0 ? options_.value_key() : "reward.value.model";
        if (context.inputs_of(key).empty()) return {};
        const Input& input = context.input(key);
        if (key == "critic.init") {
            auto engine = load_critic(context, input);
            ReadModel model{std::move(engine), {}};
            model.scorer.emplace(*model.engine, context.task.probe(), options_.unit_tokens);
            model.scorer->show(rollout::value_prompts_of(context.task));
            return model;
        }
        if (key == "advantage.value" || options_.reward.value.form.form != train::ValueForm::hazard)
            refuse_hazards(context, input, "rl");
        return read(context, input, load_value_model(context, input, options_.read_out));
    }
    /// Whether the reward has a value model of its own.
    [[nodiscard]] bool has_judge() const {
        return !options_.reward.value.model.empty() && *options_.value_key() != 0 &&
               options_.reward.value.model != options_.advantage.value;
    }
    [[nodiscard]] ReadModel judge_of(StageContext& context) const {
        const bool hazards = options_.reward.value.form.form == train::ValueForm::hazard;
        if (!options_.reward.value.model.empty()) {
            const Input& input = context.input("reward.value.model");
            if (hazards && !is_of_hazards(context, input))
                context.ranks.fail_together(ConfigError(
                    cat("rl: reward.value.form is hazard, but ", input.label,
                        " wasn't trained by target.kind: hazard (its numbers aren't chances of an error). Use "
                        "difference or minimum, or a model of hazards.")));
            if (!hazards) refuse_hazards(context, input, "rl");
        }
        if (!has_judge()) return {};
        const Input& input = context.input("reward.value.model");
        return read(context, input, load_value_model(context, input, options_.read_out));
    }

    /// The parts of the reward. A value model is looked at where it is only a baseline.
    [[nodiscard]] std::vector<train::RewardPart> rewards(const StageContext& context, bool has_value) const {
        const task::Task& task = context.task;
        const auto& r = options_.reward;
        const int longest = options_.sampler.max_tokens > 0 ? options_.sampler.max_tokens : task.max_answer_tokens();
        std::vector<train::RewardPart> parts{r.rule.with(train::rule_reward(r.rule.weight))};
        if (has_value)
            parts.push_back(
                r.value.with(train::value_reward(r.value.model.empty() ? 0 : r.value.weight, r.value.form, task)));
        if (r.length.weight != 0) parts.push_back(r.length.with(train::length_reward(r.length.weight, longest)));
        if (r.overlong.weight != 0)
            parts.push_back(r.overlong.with(train::overlong_reward(r.overlong.weight, longest, r.overlong.buffer)));
        if (r.repetition.weight != 0)
            parts.push_back(r.repetition.with(train::repetition_reward(r.repetition.weight, r.repetition.tokens)));
        if (!r.command.command.run.empty())
            parts.push_back(r.command.with(train::command_reward(
                r.command.weight, r.command.of == JudgedBy::answer ? train::Grain::answer : train::Grain::action,
                std::make_shared<CommandPool>(r.command.command), context.ranks, task)));
        return parts;
    }

    /// rollouts/update-000010.h5: what the policy after 10 updates answered, and what was made of it. Rank 0 writes.
    void save_batches(StageContext& context, train::RlObjective& objective) const {
        if (options_.save_rollouts == 0) return;
        const auto folder = context.directory / "rollouts";
        context.ranks.agree("making the folder of rollouts", [&] {
            if (!context.ranks.root()) return;
            std::filesystem::create_directories(folder);
            store::remove_leftovers(folder);
        });
        objective.on_batch([this, &context, &objective, folder](std::int64_t update, const train::RlBatch& batch) {
            if (update / options_.updates_per_batch() % options_.save_rollouts != 0) return;
            context.ranks.agree("saving rollouts", [&] {
                if (!context.ranks.root()) return;
                auto attributes = rollout::answer_attributes(context.task, context.input("policy").name(),
                                                             options_.problems, options_.sampler, context.seed);
                attributes.emplace_back("update", update);
                attributes.emplace_back("explained_before", objective.explained_before());
                train::write_rl_batch(folder / (train::commit_name(update) + ".h5"), context.task, batch, attributes);
            });
        });
    }

    RlStageOptions options_;
};

}  // namespace

StageKind rl_kind() {
    return kind_of<RlStageOptions, RlStage>(
        "reinforcement learning: GRPO and its kin, rewards as parts, critics, trees",
        {"policy", "advantage.value", "reward.value.model", "kl.reference", "critic.init"}, true);
}

}  // namespace tdrm::stage
