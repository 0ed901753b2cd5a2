// Stage `rl`: GRPO of a policy, with the rule's reward, a value model in the reward, or as per-step baseline.
#include "tdrm/train/rl.hpp"

#include <utility>

#include "tdrm/base/errors.hpp"
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
    int problems = 32, samples = 8;
    void fields(Fields& f) {
        f("problems", problems, "problems per update", at_least(1));
        f("samples", samples, "answers per problem: the group", at_least(1));
    }
};

struct ValueRewardFields {
    std::string model;
    double weight = 0.2;
    reward::ScoreAt at = reward::ScoreAt::penultimate;
    reward::ValueScale scale = reward::ValueScale::logit;
    void fields(Fields& f) {
        f("model", model, "value model; none = no value in the reward");
        f("weight", weight, "weight of the value");
        f("at", at, "state whose value counts: penultimate or last");
        f("scale", scale, "logit (published) or probability");
    }
    [[nodiscard]] std::vector<std::string> validate() const {
        if (reward::is_one_state(at)) return {};
        return {"at names all steps, but a reward takes the value of one state. Choose penultimate or last."};
    }
};

struct RewardFields {
    double rule = 1;
    ValueRewardFields value;
    void fields(Fields& f) {
        f("rule", rule, "weight of the rule's verdict, 0 or 1");
        f("value", value, "a value model's share of the reward");
    }
};

struct AdvantageFields {
    train::AdvantageKind kind = train::AdvantageKind::group;
    std::string value;
    double gamma = 1, lambda = 1;
    bool divide_by_std = true, leave_one_out = false, whiten = false;
    void fields(Fields& f) {
        f("kind", kind, "group = one advantage an answer; gae = one a step, against the value of the state before it");
        f("value", value, "value model of gae");
        f("gamma", gamma, "discount of a step in gae", above_up_to(0, 1));
        f("lambda", lambda, "of gae; 1 = reward minus value", between(0, 1));
        f("divide_by_std", divide_by_std, "group advantages by the group's deviation (false: Dr. GRPO)");
        f("leave_one_out", leave_one_out, "group baseline from the other answers (RLOO)");
        f("whiten", whiten, "advantages of the whole batch to mean 0 and deviation 1");
    }
};

struct KlFields {
    double beta = 0;
    std::string reference;
    void fields(Fields& f) {
        f("beta", beta, "weight of the divergence from the reference (k3)", at_least(0));
        f("reference", reference, "frozen policy; none = the one that training starts from");
    }
};

struct ClipFields {
    double low = 0.2, high = 0.2;
    void fields(Fields& f) {
        f("low", low, "ratios are clipped below 1 - low", at_least(0));
        f("high", high, "ratios are clipped above 1 + high", at_least(0));
    }
};

struct RlStageOptions {
    std::string policy, problems;
    BatchFields batch;
    std::int64_t updates = 100;
    int epochs = 1;
    RewardFields reward;
    AdvantageFields advantage;
    KlFields kl;
    ClipFields clip;
    train::LossMean loss = train::LossMean::token;
    bool mask_truncated = false;
    rollout::ReadOutOptions read_out;
    engine::SamplerOptions sampler;
    int unit_tokens = 512, slots = 256;
    std::int64_t save_rollouts = 0;
    TrainFields train{.optimizer = {.lr = 3e-4, .schedule = train::Schedule::constant, .weight_decay = 0},
                      .precision = {},
                      .commit = {}};
    EvalOptions eval;

    void fields(Fields& f) {
        f("policy", policy, "model to start from").required();
        f("problems", problems, "split to learn from").required();
        f("batch", batch, "the global batch, whatever the number of ranks");
        f("updates", updates, "optimiser updates", at_least(1)).not_identity();
        f("epochs", epochs, "updates made of one batch of answers", at_least(1));
        f("reward", reward, "what an answer is worth");
        f("advantage", advantage, "how rewards become advantages of tokens");
        f("kl", kl, "penalty for leaving a reference policy");
        f("clip", clip, "bounds on the ratio of new to old probability");
        f("loss", loss, "mean over tokens of the batch, or over answers");
        f("mask_truncated", mask_truncated, "answers that were cut don't train (otherwise they count as wrong)");
        f("read_out", read_out, "how a value model named hf:DIR is read");
        f("sampler", sampler, "how answers are drawn");
        f("unit_tokens", unit_tokens, "tokens of a unit, the piece that one rank computes at once", at_least(1));
        f("slots", slots, "sequences decoded together", at_least(1)).not_identity();
        f("save_rollouts", save_rollouts,
          "keep the answers, rewards and advantages of every N-th batch in rollouts/; 0 = none", at_least(0))
            .not_identity();
        train.fields(f);
        f("eval", eval, "evaluation while training").not_identity();
    }

    [[nodiscard]] train::RlOptions bound() const {
        train::RlOptions o;
        o.problems = batch.problems;
        o.samples = batch.samples;
        o.advantage = advantage.kind;
        o.group.divide_by_std = advantage.divide_by_std;
        o.group.leave_one_out = advantage.leave_one_out;
        o.gamma = advantage.gamma;
        o.lambda = advantage.lambda;
        o.whiten = advantage.whiten;
        o.grpo = {clip.low, clip.high, kl.beta};
        o.mean = loss;
        o.mask_truncated = mask_truncated;
        o.epochs = epochs;
        o.sampler = sampler;
        o.unit_tokens = unit_tokens;
        o.slots = slots;
        return o;
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
        const bool gae = options_.advantage.kind == train::AdvantageKind::gae;
        if (!gae && options_.batch.samples < 2)
            wrong(".batch.samples",
                  "a group of 1 has no advantage (its reward equals the group's mean, so nothing would be learnt). "
                  "Use 2 or more, or advantage.kind: gae.");
        if (gae && options_.advantage.value.empty())
            wrong(".advantage.value", "gae needs a value model as baseline. Name a stage of kind `value`.");
        if (gae && !options_.reward.value.model.empty() && options_.reward.value.model != options_.advantage.value)
            wrong(".reward.value.model",
                  "differs from advantage.value (one value model is scored per update). Name the same.");
        if (!gae && !options_.advantage.value.empty())
            wrong(".advantage.value", "is only read by advantage.kind: gae. Remove it, or set the kind.");
        if (options_.kl.beta == 0 && !options_.kl.reference.empty())
            wrong(".kl.reference", "has no effect while kl.beta is 0. Remove it, or set beta.");
        if (options_.sampler.truncates())
            wrong(".sampler",
                  "truncated sampling (top_k, top_p, min_p) draws from another distribution than the one that is "
                  "trained (the "
                  "importance ratio would be wrong). Use temperature alone.");
        const auto whole = [&](const char* key, std::int64_t number) {
            if (number % options_.epochs != 0)
                wrong(key, cat(number, " isn't a multiple of epochs, ", options_.epochs,
                               " (training can only stop and go on between batches of answers). Change one."));
        };
        whole(".updates", options_.updates);
        whole(".eval.every", options_.eval.every);
        whole(".commit.at", options_.train.commit.at);
        if (options_.sampler.temperature <= 0)
            wrong(".sampler.temperature",
                  "greedy answers are all the same (a group would have no spread). Use a temperature above 0.");
    }

    StageOutcome run(StageContext& context) override {
        const auto policy = load_model(context, context.input("policy"));
        const char* key = !options_.advantage.value.empty() ? "advantage.value" : "reward.value.model";
        std::unique_ptr<engine::Engine> value;
        std::optional<rollout::Scorer> scorer;
        if (!context.inputs_of(key).empty()) {
            const Input& input = context.input(key);
            refuse_hazards(context, input, "rl");
            value = load_value_model(context, input, options_.read_out);
            scorer.emplace(value_scorer(context, *value, input, options_.read_out, options_.unit_tokens));
        }
        std::unique_ptr<engine::Engine> reference;
        if (options_.kl.beta > 0)
            reference = load_model(context, context.input(options_.kl.reference.empty() ? "policy" : "kl.reference"));
        train::RlOptions bound = options_.bound();
        bound.rewards = rewards(context.task, scorer.has_value());
        train::RlObjective objective(context.ranks, context.task, options_.problems, *policy, std::move(scorer),
                                     reference.get(), bound, context.seed);
        save_batches(context, objective);
        warn_if_idle(context, options_.batch.problems);
        const auto evaluation = policy_evaluation(context.ranks, context.task, *policy, options_.eval, options_.slots,
                                                  context.seed, options_.updates);
        return train_model(context, options_.train, *policy, objective, evaluation, options_.updates,
                           {"reward", "eval/pass@1"});
    }

    [[nodiscard]] std::string plan(const task::Task& task) const override {
        return cat(options_.updates, " updates of ", options_.batch.problems, " problems x ", options_.batch.samples,
                   " answers, at most ", options_.batch.problems * options_.batch.samples * task.max_answer_tokens(),
                   " tokens an update");
    }

    [[nodiscard]] std::optional<model::ModelSpec> makes(const Planned& planned) const override {
        return planned.model("policy");
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        const auto spec = makes(planned);
        if (!spec) return std::nullopt;
        const int sample = planned.task.max_prompt_tokens() + planned.task.max_answer_tokens();
        Memory memory = training_memory(*spec, options_.unit_tokens, sample, rollout::kPrefillTokens, planned.sum,
                                        options_.train.precision);
        memory.add(generation_memory(*spec, planned.task, options_.slots, options_.sampler.max_tokens));
        // The evaluation has a cache of its own while it lasts.
        if (!options_.eval.problems.empty())
            memory.add(generation_memory(*spec, planned.task, options_.slots, options_.eval.sampler.max_tokens));
        for (const char* key : {"advantage.value", "reward.value.model"}) {
            const bool named =
                !(std::string_view(key) == "advantage.value" ? options_.advantage.value : options_.reward.value.model)
                     .empty();
            if (!named) continue;
            const auto value = planned.model(key);
            if (!value) return std::nullopt;
            memory.add(frozen_memory("the value model", *value))
                .add(scoring_memory(*value, std::max(options_.unit_tokens, sample)));
            break;  // one value model serves both
        }
        if (options_.kl.beta > 0)
            memory.add(frozen_memory("the reference", *spec))
                .add(scoring_memory(*spec, options_.unit_tokens))
                .add("logits of the reference", engine::loss_bytes(*spec, options_.unit_tokens));
        return memory;
    }

private:
    /// The parts of the reward. The value model is looked at where it is only a baseline.
    [[nodiscard]] std::vector<train::RewardPart> rewards(const task::Task& task, bool has_value) const {
        const auto& value = options_.reward.value;
        std::vector<train::RewardPart> parts{train::rule_reward(options_.reward.rule)};
        if (has_value)
            parts.push_back(train::value_reward(value.model.empty() ? 0 : value.weight, value.at, value.scale, task));
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
        objective.on_batch([this, &context, folder](std::int64_t update, const train::RlBatch& batch) {
            if (update / options_.epochs % options_.save_rollouts != 0) return;
            context.ranks.agree("saving rollouts", [&] {
                if (!context.ranks.root()) return;
                auto attributes = rollout::answer_attributes(context.task, context.input("policy").name(),
                                                             options_.problems, options_.sampler, context.seed);
                attributes.emplace_back("update", update);
                train::write_rl_batch(folder / (train::commit_name(update) + ".h5"), context.task, batch, attributes);
            });
        });
    }

    RlStageOptions options_;
};

}  // namespace

StageKind rl_kind() {
    return kind_of<RlStageOptions, RlStage>("GRPO with rule and process rewards",
                                            {"policy", "advantage.value", "reward.value.model", "kl.reference"}, true);
}

}  // namespace tdrm::stage
