#include "tdrm/base/options.hpp"

#include "tdrm/reward/advantage.hpp"
#include "tdrm/reward/targets.hpp"

namespace tdrm::reward {

void ClassWeight::fields(Fields& f) {
    f("right", right, "weight of what is right", at_least(0));
    f("wrong", wrong, "weight of what is wrong", at_least(0));
}

void TargetOptions::fields(Fields& f) {
    f("kind", kind, "what the values of states are trained towards");
    f("gamma", gamma, "discount per step; reference always takes 0.8", above_up_to(0, 1));
    f("n", n, "steps before the backup of td_n and reference", between(1, 1e9));
    f("lambda", lambda, "of td_lambda: 0 is one-step TD, 1 is Monte Carlo", between(0, 1));
    f("shaping", shaping, "rewards of the steps in td_n and td_lambda; reference always takes cosine");
    f("truncated", truncated, "answers cut for length: outcome 0, outcome V(s_T), or not trained on");
    f("terminal_weight", terminal_weight, "weight of the last state in the loss", at_least(0));
    f("terminal", terminal, "what the last backup of td_n and td_lambda uses; s_T itself learns the outcome");
    f("bootstrap", bootstrap, "whose values are backed up: the same model's, or those of a moving average of it");
    f("ema_decay", ema_decay, "share of itself that the moving average keeps at an update", from_to_below(0, 1));
    f("label_mix", label_mix, "share of the step label in the targets of outcome, td_n and td_lambda", between(0, 1));
    f("label_weight", label_weight, "labels count equally, or as often as they were tried");
    f("errors", errors, "where hazard sees errors: in the outcome alone, or in the first label below 1/2");
    f("average", average, "what has the same weight: every state, or every trajectory");
    f("class_weight", class_weight, "weight by the outcome of the answer; for step_label by the label of the state");
}

void GroupOptions::fields(Fields& f) {
    f("divide_by_std", divide_by_std, "group advantages by the group's deviation (false: Dr. GRPO)");
    f("leave_one_out", leave_one_out, "group baseline from the other answers (RLOO)");
}

}  // namespace tdrm::reward
