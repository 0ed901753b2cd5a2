#include "rl_options.hpp"

#include <algorithm>

#include "tdrm/base/errors.hpp"

namespace tdrm::stage {

void PartFields::fields(Fields& f) {
    f("weight", weight, "weight in the sum; 0 = is not there");
    f("normalise", normalise,
      "brought to mean 0 and deviation 1 over its group or over the batch, before it is weighted");
    f("floor", floor, "smallest deviation that normalising divides by", above(0));
}

void RuleRewardFields::fields(Fields& f) {
    PartFields::fields(f);
    f("noise", noise, "chance that a verdict is flipped, as an unreliable judge would; evaluations see the true ones",
      from_to_below(0, 0.5));
}

void ValueRewardFields::fields(Fields& f) {
    f("model", model, "value model; none = no value in the reward");
    PartFields::fields(f);
    f("form", form.form, "of one state; of steps: difference (progress), minimum (PURE), hazard; or tie_break");
    f("at", form.at, "state whose value counts, for state and tie_break: penultimate or last");
    f("scale", form.scale, "logit (published) or probability");
    f("temperature", form.temperature, "of minimum: how much the worst step outweighs the others", above(0));
}

std::vector<std::string> ValueRewardFields::validate() const {
    std::vector<std::string> found;
    if (model.empty() && weight != 0 && !untouched(*this))
        found.emplace_back("is set, but names no model (nothing would be added). Name one as model, or remove it.");
    if (!reward::is_one_state(form.at))
        found.emplace_back(
            "at names all steps, but a reward takes the value of one state. Choose penultimate or last.");
    return found;
}

void OverlongFields::fields(Fields& f) {
    PartFields::fields(f);
    f("buffer", buffer, "tokens before the longest answer over which the reward falls from 0 to -1", between(1, 1e8));
}

void RepetitionFields::fields(Fields& f) {
    PartFields::fields(f);
    f("tokens", tokens, "length of the runs that are looked for again", between(1, 1e4));
}

void CommandRewardFields::fields(Fields& f) {
    PartFields::fields(f);
    command.fields(f);
    f("of", of, "what it scores: the answer, or each of its steps");
}

std::vector<std::string> CommandRewardFields::validate() const {
    if (!command.run.empty()) return command.validate();
    if (weight == 0 || untouched(*this)) return {};
    return {"is set, but names no program (nothing would be added). Name one as run, or remove it."};
}

void RewardFields::fields(Fields& f) {
    f("rule", rule, "the rule's verdict, 0 or 1");
    f("value", value, "a value model's share of the reward");
    f("length", length, "minus the share of the longest answer that it has");
    f("overlong", overlong, "0, and down to -1 for answers that come close to the longest");
    f("repetition", repetition, "minus the share of runs of tokens that occurred before");
    f("command", command, "what a program of yours says: JSON lines in, JSON lines out (docs/rl.md)");
}

std::vector<std::string> RewardFields::validate() const {
    std::vector<std::string> found;
    if (overlong.weight != 0 && overlong.buffer == 0)
        found.emplace_back("overlong has a weight, but no buffer. Say over how many tokens it falls, as buffer: 50.");
    const bool ties = value.form.form == train::ValueForm::tie_break && !value.model.empty();
    if (ties && (value.form.scale == reward::ValueScale::logit || value.normalise != train::Normalise::none ||
                 2 * value.weight > rule.weight))
        found.emplace_back(
            "value.form is tie_break, but could outweigh the rule (a wrong answer would be worth more than a right "
            "one). "
            "Use scale: probability, no normalise, and at most half of the rule's weight.");
    return found;
}

void AdvantageFields::fields(Fields& f) {
    f("kind", credit.kind,
      "group = against the problem's other answers; gae = one a step, against the value of the state before it; "
      "shrinkage = against a mean of the two; gated = gae where values explained the last batch, else group; tree = of "
      "the pieces that answers share");
    f("value", value,
      "value model of gae, shrinkage and gated, and of tree if its pieces' means are to be shrunk towards values; or "
      "have a critic");
    credit.fields(f);
}

void CriticFields::fields(Fields& f) {
    f("init", init,
      "model that it begins as: a value model, the critic of an rl stage, or a policy that gets a fresh head; none = "
      "no critic");
    f("target", learning.target, "what its values are trained towards");
    f("warmup", learning.warmup, "updates of the critic alone before the policy's first", between(0, 1e9));
    f("optimizer", optimizer, "AdamW of the critic, and its schedule");
}

void KlFields::fields(Fields& f) {
    penalty.fields(f);
    f("reference", reference, "frozen policy; none = the one that training starts from");
}

void GuardFields::fields(Fields& f) {
    f("action", action,
      "when the reward rises while answers to eval.problems get worse: nothing, a warning, or the end "
      "of training");
    f("deviations", deviations, "standard errors that answers must get worse by", above(0));
}

void RlStageOptions::fields(Fields& f) {
    f("policy", policy, "model to start from").required();
    f("problems", problems, "split to learn from").required();
    f("batch", rl.batch, "the global batch, whatever the number of ranks");
    f("updates", updates, "optimiser updates", between(1, 1e9)).not_identity();
    f("inner_epochs", rl.inner_epochs, "passes over a batch of answers", between(1, 1e6));
    f("minibatches", rl.minibatches, "updates that a pass is made of, each of an even share of the problems",
      between(1, 1e5));
    f("reward", reward, "what an answer is worth: named parts");
    f("advantage", advantage, "how rewards become advantages of tokens");
    f("critic", critic, "a value model that learns beside the policy, in the place of advantage.value");
    f("kl", kl, "penalty for leaving a reference policy");
    f("loss", rl.loss, "what advantages pull at, and how tokens are averaged");
    f("mask_truncated", rl.mask_truncated, "answers that were cut don't train (otherwise they count as wrong)");
    f("read_out", read_out, "how a value model named hf:DIR is read");
    f("sampler", rl.sampler, "how answers are drawn");
    f("unit_tokens", rl.unit_tokens, "tokens of a unit, the piece that one rank computes at once", between(1, 1e8));
    f("slots", rl.slots, "sequences decoded together", between(1, 1e6)).not_identity();
    f("frozen", frozen,
      "where models that don't learn (of values, the reference) are while nobody asks them: resident, on the device; "
      "paged, in the host's memory; the same bits")
        .not_identity();
    f("save_rollouts", save_rollouts,
      "keep the answers, rewards and advantages of every N-th batch in rollouts/; 0 = none", between(0, 1e9))
        .not_identity();
    f("save_evals", save_evals, "keep each evaluation's share of right answers by problem in evals/").not_identity();
    train.fields(f);
    f("eval", eval, "evaluation while training").not_identity();
    f("guard", guard, "alarm before the policy games its reward").not_identity();
}

train::RlOptions RlStageOptions::bound() const {
    train::RlOptions o = rl;
    o.verdict_noise = reward.rule.noise;
    o.credit = advantage.credit;
    o.credit.bootstrap = value_key().has_value();
    o.kl = kl.penalty;
    o.paged = paged();
    return o;
}

void RlStageOptions::check(const std::string& path, Problems& found) const {
    const auto wrong = [&](const char* key, const std::string& message) { found.push_back({"", path + key, message}); };
    check_advantage(wrong);
    check_batch(wrong);
    if (guard.action != GuardAction::none && (eval.problems.empty() || eval.every == 0))
        wrong(".guard",
              "has no true verdicts to look at (it compares the reward with held-out answers). Set eval.problems, a "
              "split that isn't trained on, and eval.every.");
    if (guard.action != GuardAction::none && eval.problems == problems)
        wrong(".guard",
              "looks at the problems that are trained on (their answers get better by heart). Set "
              "eval.problems to another split.");
    const std::array<const PartFields*, 6> parts{&reward.rule,     &reward.value,      &reward.length,
                                                 &reward.overlong, &reward.repetition, &reward.command};
    if (guard.action != GuardAction::none && std::ranges::any_of(parts, [](const PartFields* part) {
            return part->weight != 0 && part->normalise != train::Normalise::none;
        }))
        wrong(".guard",
              "looks at rewards that rise, which normalised parts don't (their mean is always 0). Remove normalise, or "
              "the guard.");
    if (kl.penalty.beta == 0 && !kl.reference.empty())
        wrong(".kl.reference", "has no effect while kl.beta is 0. Remove it, or set beta.");
    if (rl.loss.old == train::OldLogProbs::sampler && (rl.loss.importance.truncate > 0 || rl.loss.importance.reject))
        wrong(".loss.old",
              "is sampler, so there is nothing that truncate or reject could compare (all weights would be 1). Set "
              "old: trainer.");
    if (rl.sampler.truncates())
        wrong(".sampler",
              "truncated sampling (top_k, top_p, min_p) draws from another distribution than the one that is "
              "trained (the importance ratio would be wrong). Use temperature alone.");
    if (rl.sampler.temperature <= 0)
        wrong(".sampler.temperature",
              "greedy answers are all the same (a group would have no spread). Use a temperature above 0.");
}

void RlStageOptions::check_advantage(const Wrong& wrong) const {
    const train::CreditOptions& credit = advantage.credit;
    const bool by_group = credit.kind == train::AdvantageKind::group || credit.kind == train::AdvantageKind::tree;
    if (rl.batch.answers_per_problem() < 2 && (by_group || credit.kind == train::AdvantageKind::gated))
        wrong(".batch.samples",
              "a group of 1 has no advantage (its reward equals the group's mean, so nothing would be learnt). "
              "Use 2 or more, or advantage.kind: gae or shrinkage.");
    if (advantage.needs_value() && advantage.value.empty() && !has_critic())
        wrong(".advantage.value",
              "this kind needs a value model as baseline. Name a stage of kind `value`, or have a critic.");
    if (!advantage.takes_value() && !advantage.value.empty())
        wrong(".advantage.value",
              "is only read by the kinds gae, shrinkage, gated and tree. Remove it, or set the kind.");
    if (!advantage.takes_value() && has_critic())
        wrong(".critic",
              "nothing reads its values (advantage.kind compares answers alone). Remove it, or set the kind to gae, "
              "shrinkage, gated or tree.");
    if (has_critic() && !advantage.value.empty())
        wrong(".advantage.value", "is given beside a critic (one of them is the baseline). Remove one.");
    if (!has_critic() && !untouched(critic))
        wrong(".critic", "is described, but not there (nothing would learn). Set critic.init, or remove it.");
    if (has_critic() && critic.learning.target.needs_labels())
        wrong(".critic.target",
              "needs labels of states, which fresh answers don't have. Use outcome, td_n or td_lambda.");
    if (has_critic() && (critic.learning.target.kind == reward::TargetKind::hazard ||
                         critic.learning.target.bootstrap == reward::Bootstrap::ema))
        wrong(".critic.target",
              "a critic's values are chances of success, backed up by itself. Use td_lambda, td_n or "
              "outcome with bootstrap: same.");
    if (credit.kind == train::AdvantageKind::tree && !rl.batch.tree.branches())
        wrong(".advantage.kind", "tree needs answers that branch. Set batch.tree, or another kind.");
    const train::CreditOptions unset;
    const bool steps = credit.kind == train::AdvantageKind::gae || credit.kind == train::AdvantageKind::gated;
    if (!steps && credit.adaptive) wrong(".advantage.adaptive", "is a lambda of gae. Remove it, or set kind: gae.");
    if (!steps && (credit.lambda != unset.lambda || credit.gamma != unset.gamma))
        wrong(".advantage",
              "has a gamma or lambda, which only the kinds gae and gated read. Remove it, or set the kind.");
    if (credit.kind != train::AdvantageKind::group && (credit.group.divide_by_std != unset.group.divide_by_std ||
                                                       credit.group.leave_one_out != unset.group.leave_one_out))
        wrong(".advantage",
              "has divide_by_std or leave_one_out, which only the kind group reads. Remove it, or set the kind.");
}

void RlStageOptions::check_batch(const Wrong& wrong) const {
    if (rl.minibatches > rl.batch.problems)
        wrong(".minibatches", cat(rl.minibatches, " is more than the ", rl.batch.problems,
                                  " problems of a batch (an update would have none). Lower it."));
    if (rl.batch.answers_per_problem() > 4096)
        wrong(".batch.tree", cat("a problem would have up to ", rl.batch.answers_per_problem(),
                                 " answers (width ^ depth x samples; more than 4096). Lower one of them."));
    if (rl.batch.refill > 0 && rl.batch.answers_per_problem() < 2)
        wrong(".batch.refill",
              "one answer a problem is always all right or all wrong. Remove it, or use more samples.");
    const auto whole = [&](const char* key, std::int64_t number) {
        if (number % rl.updates_per_batch() != 0)
            wrong(key, cat(number, " isn't a multiple of inner_epochs x minibatches, ", rl.updates_per_batch(),
                           " (training can only stop and go on between batches of answers). Change one."));
    };
    whole(".updates", updates);
    whole(".eval.every", eval.every);
    whole(".commit.at", train.commit.at);
    if (has_critic()) whole(".critic.warmup", critic.learning.warmup);
}

}  // namespace tdrm::stage
