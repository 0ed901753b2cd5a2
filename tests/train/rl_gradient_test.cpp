// Gradients of policies (gradient.hpp).
#include <gtest/gtest.h>

#include <algorithm>

#include "gradient.hpp"

namespace tdrm::train {
namespace {

struct RlCase {
    std::string name;
    RlOptions options;
    bool off_policy = false;  ///< the second update on the same answers, after the weights moved
};

RlOptions rl_options() {
    RlOptions options;
    options.batch.problems = 5;
    options.batch.samples = 4;
    options.inner_epochs = 2;
    options.sampler.temperature = 0.8;
    return options;
}

std::vector<RlCase> rl_cases() {
    std::vector<RlCase> cases;
    for (const bool off_policy : {false, true}) {
        const std::string when = off_policy ? ", second epoch" : ", first epoch";
        cases.push_back({"token mean" + when, rl_options(), off_policy});
        cases.push_back({"sequence mean" + when, rl_options(), off_policy});
        cases.back().options.loss.mean = LossMean::sequence;
        cases.push_back({"masked" + when, rl_options(), off_policy});
        cases.back().options.mask_truncated = true;
        cases.push_back({"masked, sequence mean" + when, cases.back().options, off_policy});
        cases.back().options.loss.mean = LossMean::sequence;
        cases.push_back({"with a KL penalty" + when, rl_options(), off_policy});
        cases.back().options.loss = {.low = 0.1, .high = 0.3};
        cases.back().options.kl.beta = 0.2;
        cases.push_back({"with k1" + when, cases.back().options, off_policy});
        cases.back().options.kl.form = reward::KlForm::k1;
        cases.push_back({"with k2" + when, cases.back().options, off_policy});
        cases.back().options.kl.form = reward::KlForm::k2;
        cases.push_back({"constant" + when, rl_options(), off_policy});
        cases.back().options.loss.mean = LossMean::constant;
        cases.push_back({"gspo" + when, rl_options(), off_policy});
        const LossOptions gspo{
            .mean = LossMean::sequence, .kind = reward::PolicyLossKind::gspo, .low = 0.003, .high = 0.004};
        cases.back().options.loss = gspo;
        cases.push_back({"cispo" + when, rl_options(), off_policy});
        cases.back().options.loss = {.kind = reward::PolicyLossKind::cispo, .low = 0.1, .high = 0.1};
        for (const auto at : {rollout::BranchAt::steps, rollout::BranchAt::tokens}) {
            cases.push_back({"a tree" + when, rl_options(), off_policy});
            cases.back().options.batch.samples = 2;
            cases.back().options.batch.tree = {.width = 2, .depth = 2, .at = at};
            cases.back().options.credit.kind = AdvantageKind::tree;
            cases.push_back({"a tree with gspo" + when, cases.back().options, off_policy});
            cases.back().options.loss = gspo;
        }
        cases.push_back({"gae, whitened" + when, rl_options(), off_policy});
        cases.back().options.credit.kind = AdvantageKind::gae;
        cases.back().options.credit.lambda = 0.7;
        cases.back().options.credit.whiten = true;
    }
    return cases;
}

/// What a batch must hold for the test to see the denominators: answers that were cut, and some that don't train.
void expect_every_sort_of_answer(const RlBatch& batch, const RlCase& c) {
    const auto cut = std::count(batch.answers.finish.begin(), batch.answers.finish.end(), 1);
    EXPECT_GT(cut, 0);
    EXPECT_LT(cut, std::ssize(batch.answers.finish) - 1);
    const bool all_train = c.options.credit.kind != AdvantageKind::group || c.options.kl.beta > 0;
    const auto idle = std::count(batch.trains.begin(), batch.trains.end(), 0);  // a group with equal rewards
    EXPECT_TRUE(all_train || idle > 1);
}

void expect_rl_twin(const RlCase& c) {
    SCOPED_TRACE(c.name);
    const ToyTask task;
    Learner policy, value(model::Head::value, 2), reference(model::Head::language, 1);
    reference.disturb(0.05);
    comm::Communicator ranks;
    const auto start = policy.weights();
    const auto make = [&](int unit_tokens) {
        policy.engine().write(engine::Array::weights, 0, start);
        RlOptions options = c.options;
        options.unit_tokens = unit_tokens;
        auto objective =
            rl_objective(ranks, policy, task, options, 9, options.credit.kind == AdvantageKind::gae ? &value : nullptr,
                         options.kl.beta > 0 ? &reference : nullptr);
        objective->prepare(0);
        if (c.off_policy) policy.disturb(0.03);
        return objective;
    };
    const auto objective = make(100);
    const RlBatch& batch = objective->batch();
    expect_every_sort_of_answer(batch, c);
    const auto trunks = std::count(batch.forks.begin(), batch.forks.end(), rollout::Fork{});
    EXPECT_EQ(trunks < std::ssize(batch.forks), c.options.batch.tree.branches());
    const Twin twin(policy), reference_twin(reference);
    at::Tensor sum = at::zeros({}, at::kDouble);
    double denominator = 0, kl = 0, rows = 0, clipped = 0;
    for (std::size_t row = 0; row < batch.answers.size(); ++row) {
        if (c.options.mask_truncated && batch.answers.finish[row] == 1) continue;
        const auto ids = batch.answers.ids(row);
        const auto n = static_cast<double>(ids.size());
        denominator += c.options.loss.mean == LossMean::token      ? n
                       : c.options.loss.mean == LossMean::sequence ? 1
                                                                   : task.max_answer_tokens();
        const auto prompt = batch.answers.prompt(static_cast<std::size_t>(batch.answers.problem[row]));
        const auto logp = twin.logprobs(prompt, ids, c.options.sampler.temperature);
        const auto old = batch.answers.logprobs(row);
        const auto begin = batch.advantage.begin() + batch.answers.token_offset[row];
        const auto A = at::tensor(std::vector<double>(begin, begin + std::ssize(ids)), at::kDouble);
        auto difference = logp - at::tensor(std::vector<double>(old.begin(), old.end()), at::kDouble);
        if (c.options.loss.kind == reward::PolicyLossKind::gspo)  // GSPO-token: its gradient goes through each token
            difference = difference.detach().mean() + logp - logp.detach();
        const auto ratio = difference.exp();
        const auto within = ratio.clamp(1 - c.options.loss.low, 1 + c.options.loss.high);
        auto loss = c.options.loss.kind == reward::PolicyLossKind::cispo ? -within.detach() * A * logp
                                                                         : -at::minimum(ratio * A, within * A);
        clipped += (within * A < ratio * A).sum().item<double>();
        if (c.options.kl.beta > 0) {
            const auto d = reference_twin.logprobs(prompt, ids, c.options.sampler.temperature).detach() - logp;
            const auto form = c.options.kl.form;
            const auto estimate = form == reward::KlForm::k1   ? -d
                                  : form == reward::KlForm::k2 ? d * d / 2
                                                               : d.exp() - d - 1;
            loss = loss + c.options.kl.beta * estimate;
            kl += estimate.sum().item<double>();
        }
        if (batch.trains[row] == 0) continue;
        rows += n;
        sum = sum + (c.options.loss.mean == LossMean::sequence ? loss.mean() : loss.sum());
    }
    const auto loss = sum / denominator;
    EXPECT_EQ(clipped > 0, c.off_policy);
    const int few_tokens = c.options.batch.tree.branches() ? 35 : 60;
    expect_twin(policy, make, c.off_policy ? 1 : 0, loss.item<double>(), twin.gradient(loss), few_tokens);
    if (c.options.kl.beta == 0) return;
    if (c.off_policy) objective->prepare(1);  // of the same answers
    EXPECT_NEAR(gradient_of(policy, *objective).metrics.get("kl"), kl / rows, 1e-5 * std::abs(kl / rows));
}

TEST(RlGradient, IsOfTheLossByItsDefinition) {
    for (const RlCase& c : rl_cases()) expect_rl_twin(c);
}

}  // namespace
}  // namespace tdrm::train
