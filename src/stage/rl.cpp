// Stage `rl`: reinforcement learning of a policy, rewards as named parts, a value model in the reward or as critic.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "replay_page.hpp"
#include "rl_options.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/engine/devices.hpp"
#include "tdrm/engine/memory.hpp"
#include "tdrm/stage/models.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/stage/training.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/train/rl_batch_file.hpp"

namespace tdrm::stage {
namespace {

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
        context.ranks.agree("looking where models lie", [&] { check_device(); });
        const auto policy =
            to_train(context, options_.train, load_model(context, context.input("policy"), model::Use::training));
        const ReadModel value = value_of(context), judge = judge_of(context);
        const auto reference = load_reference(context);
        train::RlOptions bound = options_.bound();
        bound.credit.rewards = rewards(context, value || judge);
        std::optional<train::Critic> critic;
        if (options_.has_critic()) critic.emplace(train::Critic{*value.engine, options_.critic.learning});
        train::RlObjective objective(context.ranks, context.task, options_.problems, *policy, value.scorer,
                                     reference.get(), bound, context.seed, critic);
        if (judge.scorer) objective.judge_by(*judge.scorer);
        save_batches(context, objective);
        warn_if_idle(context, options_.rl.batch.problems);
        train::Guard guard(options_.guard.deviations);
        auto evaluation = policy_evaluation(context.ranks, context.task, *policy, options_.eval, options_.rl.slots,
                                            context.seed, options_.updates, listener(context, guard, objective));
        if (options_.guard.action != GuardAction::none) objective.keep(guard);
        if (options_.guard.action == GuardAction::stop)
            evaluation.stop = [&guard] { return guard.alarm().has_value(); };
        Beside beside;
        beside.body = body_of_adapters(context, options_.train.lora, "policy");
        if (critic) {
            const auto& optimizer = options_.critic.optimizer;
            beside.begins = options_.critic.learning.warmup;
            beside.learners.push_back({kCritic, *value.engine, optimizer, options_.train.precision,
                                       optimizer.horizon > 0 ? optimizer.horizon : options_.updates});
        }
        auto outcome = train_model(context, options_.train, *policy, objective, evaluation, options_.updates,
                                   {"reward", "eval/pass@1"}, nlohmann::json::object(), beside);
        if (const auto& alarm = guard.alarm())
            outcome.results["alarm"] = {{"text", alarm->text()}, {"good", alarm->good}};
        return outcome;
    }

    std::string replay(StageContext& context, const ReplayRequest& request) override {
        const std::int64_t update = request.update, begun = update - update % options_.rl.updates_per_batch();
        const auto batch_path = context.directory / "rollouts" / (train::commit_name(begun) + ".h5");
        std::optional<std::filesystem::path> commit;
        if (begun > 0) commit = context.directory / train::commit_name(begun);
        require_kept(context, update, batch_path, commit);
        const auto policy =
            to_train(context, options_.train, load_model(context, context.input("policy"), model::Use::training));
        const auto reference = load_reference(context);
        train::RlBatch batch = train::read_rl_batch(batch_path);
        const auto kept_reward = batch.reward;
        const auto kept_advantage = batch.advantage;
        const double before = store::FileReader(batch_path).attribute<double>("/", "explained_before");
        train::RlOptions bound = options_.bound();
        bound.credit.rewards = rewards(context, !batch.values.empty() || !batch.judgement.empty());
        train::RlObjective objective(context.ranks, context.task, options_.problems, *policy, std::nullopt,
                                     reference.get(), bound, context.seed);
        objective.take(begun, std::move(batch), before);
        Beside beside;
        beside.body = body_of_adapters(context, options_.train.lora, "policy");
        if (options_.has_critic()) beside.begins = options_.critic.learning.warmup;
        ReplayPage page;
        page.title = cat("update ", update, " of ", context.node.name, ": ", objective.batch().answers.num_problems(),
                         " problems, ", objective.batch().answers.size(), " answers");
        page.metrics =
            update_again(context, options_.train, *policy, objective, options_.updates, beside, commit, update);
        page.logged = context.directory / "metrics.jsonl";
        page.update = update;
        page.changed_rewards = largest_difference(kept_reward, objective.batch().reward);
        page.changed_advantages = largest_difference(kept_advantage, objective.batch().advantage);
        return page.text(context.task, objective, chosen_answer(objective, request));
    }

    [[nodiscard]] std::string plan(const task::Task& task) const override {
        return cat(options_.updates, " updates of ", options_.rl.batch.problems, " problems x ",
                   options_.rl.batch.tree.branches() ? "up to " : "", options_.rl.batch.answers_per_problem(),
                   " answers, at most ",
                   options_.rl.batch.problems * options_.rl.batch.answers_per_problem() * task.max_answer_tokens(),
                   " tokens a batch");
    }

    [[nodiscard]] std::optional<model::ModelSpec> makes(const Planned& planned) const override {
        return planned.model("policy");
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        check_device();
        const auto spec = makes(planned);
        if (!spec) return std::nullopt;
        const int sample = planned.task.max_prompt_tokens() + planned.task.max_answer_tokens();
        Memory memory = training_memory(*spec, options_.rl.unit_tokens, sample, rollout::kPrefillTokens, planned,
                                        options_.train.precision, options_.train.lora);
        memory.add(generation_memory(*spec, planned.task, options_.rl.slots, options_.rl.sampler.max_tokens));
        // The evaluation has a cache of its own while it lasts.
        Memory evaluation;
        if (!options_.eval.problems.empty())
            evaluation = generation_memory(*spec, planned.task, options_.rl.slots, options_.eval.sampler.max_tokens);
        memory.add(evaluation);
        const int tokens = std::max(options_.rl.unit_tokens, sample);  // of a scoring pass
        std::vector<Memory> frozen;
        std::vector<std::string> read;
        const auto value_key = options_.value_key();
        if (value_key) read.push_back(*value_key);
        if (has_judge() || (!value_key && !options_.reward.value.model.empty()))
            read.emplace_back("reward.value.model");
        for (const std::string& key : read) {
            auto value = planned.model(key);
            if (!value) return std::nullopt;
            const bool learns = key == "critic.init";
            if (learns) value = value_spec(*value);
            const Memory passes = scoring_memory(*value, tokens);
            if (learns) {
                memory.add(training_memory(*value, options_.rl.unit_tokens, sample, rollout::kScoreTokens, planned,
                                           options_.train.precision));
                memory.add(passes);
            } else {
                frozen.push_back(frozen_memory("the value model", *value).add(passes));
            }
        }
        if (options_.kl.penalty.beta > 0)
            frozen.push_back(frozen_memory("the reference", *spec)
                                 .add(scoring_memory(*spec, tokens))
                                 .add("logits of the reference", engine::loss_bytes(*spec, tokens)));
        const Memory unit = unit_memory(*spec, options_.rl.unit_tokens, sample, rollout::kPrefillTokens,
                                        options_.train.precision.recompute);
        if (options_.paged()) return memory.add(paged_memory(frozen, unit.total() + evaluation.total()));
        for (const Memory& model : frozen) memory.add(model);
        return memory;
    }

private:
    /// @throws ConfigError where there is no memory but the host's
    void check_device() const {
        if (options_.paged() && engine::device_in_use() == engine::DeviceKind::cpu)
            throw ConfigError(
                "frozen: paged is for devices (on processors models lie in the host's memory anyway). Leave it out.");
    }

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
            store::make_directories(folder);
            store::write_text_atomic(folder / (train::commit_name(update) + ".json"),
                                     nlohmann::json{{"update", update}, {"right", right}}.dump() + "\n");
        });
    }

    void require_kept(const StageContext& context, std::int64_t update, const std::filesystem::path& batch,
                      const std::optional<std::filesystem::path>& commit) const {
        const auto missing = [&](const std::string& what, const std::string& how) {
            throw ConfigError(
                cat("update ", update, " of ", context.node.name, " can't be computed again: ", what, " (", how, ")."));
        };
        if (options_.has_critic() && update < options_.critic.learning.warmup)
            missing("only the critic learnt then",
                    "the policy's first is " + std::to_string(options_.critic.learning.warmup));
        if (!std::filesystem::exists(batch))
            missing("its answers weren't kept", "save_rollouts: 1 keeps those of every batch");
        if (commit && !std::filesystem::exists(*commit))
            missing("the policy that answered wasn't kept",
                    cat("commit: {at: ", options_.rl.updates_per_batch(), "} keeps that of every batch"));
    }

    /// Row of the answer to be accounted for. @throws ConfigError if the update has no such answer
    static std::size_t chosen_answer(const train::RlObjective& objective, const ReplayRequest& request) {
        const auto& batch = objective.batch();
        const std::size_t rows = batch.answers.size();
        if (request.answer) {
            const std::int64_t row = *request.answer;
            const std::string which = cat("the batch of update ", request.update);
            if (row < 0 || row >= static_cast<std::int64_t>(rows))
                throw ConfigError(cat(which, " has no answer ", row, ". It has ", rows, ", counted from 0."));
            if (!objective.is_of_update(static_cast<std::size_t>(row)))
                throw ConfigError(cat(which, " is made of several updates, and answer ", row,
                                      " is another one's. Leave --answer out for the first of this one."));
            return static_cast<std::size_t>(row);
        }
        std::optional<std::size_t> first;
        for (std::size_t row = 0; row < rows; ++row) {
            if (!objective.is_of_update(row)) continue;
            if (!first) first = row;
            for (const float advantage : batch.advantage_of(row))
                if (advantage != 0) return row;
        }
        return first.value_or(0);
    }

    template <class T>
    static double largest_difference(const std::vector<T>& a, const std::vector<T>& b) {
        if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
        double largest = 0;
        for (std::size_t i = 0; i < a.size(); ++i)
            largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
        return largest;
    }

    /// The frozen policy that divergences are measured from; none where none is.
    [[nodiscard]] std::unique_ptr<engine::Engine> load_reference(StageContext& context) const {
        if (options_.kl.penalty.beta == 0) return nullptr;
        return frozen(context,
                      load_model(context, context.input(options_.kl.reference.empty() ? "policy" : "kl.reference"),
                                 model::Use::passes));
    }
    /// Collective. A frozen model, which makes room for the next one until it is asked.
    [[nodiscard]] std::unique_ptr<engine::Engine> frozen(StageContext& context,
                                                         std::unique_ptr<engine::Engine> model) const {
        if (options_.paged()) context.ranks.agree("paging a model", [&] { model->rest(); });
        return model;
    }

    /// A model of values with what reads it; nothing where none is named.
    struct ReadModel {
        std::unique_ptr<engine::Engine> engine;
        std::optional<rollout::Scorer> scorer;
        explicit operator bool() const { return scorer.has_value(); }
    };

    [[nodiscard]] ReadModel read(StageContext& context, const Input& input,
                                 std::unique_ptr<engine::Engine> engine) const {
        ReadModel model{frozen(context, std::move(engine)), {}};
        model.scorer.emplace(value_scorer(context, *model.engine, input, options_.read_out, options_.rl.unit_tokens));
        return model;
    }
    /// The value model of the advantage: the critic, or a frozen one; without one that of the reward, to be looked at.
    [[nodiscard]] ReadModel value_of(StageContext& context) const {
        const std::string key = options_.value_key().value_or("reward.value.model");
        if (context.inputs_of(key).empty() || (!options_.value_key() && has_judge())) return {};
        const Input& input = context.input(key);
        if (key == "critic.init") {
            auto engine = load_critic(context, input);
            ReadModel model{std::move(engine), {}};
            model.scorer.emplace(*model.engine, context.task.probe(), options_.rl.unit_tokens);
            model.scorer->show(rollout::value_prompts_of(context.task));
            return model;
        }
        refuse_hazards(context, input, "rl");
        return read(context, input, load_value_model(context, input, options_.read_out));
    }
    /// Whether the reward has a value model of its own: another one than the advantage, or hazards, which are no
    /// values.
    [[nodiscard]] bool has_judge() const {
        const auto& value = options_.reward.value;
        if (value.model.empty()) return false;
        return options_.value_key() ? value.model != options_.advantage.value
                                    : value.form.form == train::ValueForm::hazard;
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
        const int longest = options_.rl.sampler.longest(task.max_answer_tokens());
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
            store::make_directories(folder);
            store::remove_leftovers(folder);
        });
        objective.on_batch([this, &context, &objective, folder](std::int64_t update, const train::RlBatch& batch) {
            if (update / options_.rl.updates_per_batch() % options_.save_rollouts != 0) return;
            context.ranks.agree("saving rollouts", [&] {
                if (!context.ranks.root()) return;
                auto attributes = rollout::answer_attributes(context.task, context.input("policy").name(),
                                                             options_.problems, options_.rl.sampler, context.seed);
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
        "reinforcement learning: GRPO and its kin, rewards as parts, critics, trees", kPolicy | kValues,
        {{"policy", kPolicy},
         {"advantage.value", kValues},
         {"reward.value.model", kValues},
         {"kl.reference", kPolicy},
         {"critic.init", kPolicy | kValues}},
        true);
}

}  // namespace tdrm::stage
