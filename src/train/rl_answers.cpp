// The answers of an update, and what models say of them before anything is learnt from them.
#include <algorithm>
#include <functional>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/rollout/labels.hpp"
#include "tdrm/train/rl.hpp"

namespace tdrm::train {
namespace {

bool is_right(task::Reason reason) {
    return reason == task::Reason::correct || reason == task::Reason::correct_despite_error;
}

}  // namespace

rollout::TreeAnswers RlObjective::next_answers(std::int64_t problems) {
    std::vector<task::Draw> draws;
    for (std::int64_t i = 0; i < problems; ++i) draws.push_back(shuffle_(drawn_++));
    offered_ += problems;
    const rollout::RolloutPlan plan{&task_, split_, options_.batch.samples, options_.sampler, seed_, "rl"};
    const ledger::In section(ledger::Section::generate);
    auto found = rollout::tree_answers_together(ranks_, plan, generator_, draws, options_.batch.tree);
    if (options_.verdict_noise > 0) {
        rollout::StateLabels labels;
        rollout::flip_verdicts(found.answers, labels, options_.verdict_noise, seed_);
    }
    generated_ += static_cast<std::int64_t>(found.answers.token.size());
    for (const rollout::Fork& fork : found.forks) generated_ -= fork.tokens;
    return found;
}

/// Answers to the next problems; where that is asked for, those whose answers are all right or all wrong make room for
/// further ones, in the order of the shuffle.
void RlObjective::answer() {
    batch_ = {};
    offered_ = generated_ = 0;
    rollout::TreeAnswers found = next_answers(options_.batch.problems);
    for (int round = 0; options_.batch.refill > 0; ++round) {
        rollout::TreeAnswers kept;
        const auto& answers = found.answers;
        const auto groups = answers.groups();
        for (std::size_t p = 0; p < groups.size(); ++p) {
            const auto [begin, end] = groups[p];
            const auto outcomes = std::span(answers.outcome).subspan(begin, end - begin);
            const bool even =
                std::adjacent_find(outcomes.begin(), outcomes.end(), std::not_equal_to<>()) == outcomes.end();
            // The last round's stand in for what is missing, so that a batch always has its size.
            const bool needed = round == options_.batch.refill && groups.size() - p <= missing(kept.answers);
            if ((even && !needed) || missing(kept.answers) == 0) continue;
            kept.append_problem(found, p, begin, end);
        }
        if (round == options_.batch.refill || missing(kept.answers) == 0) {
            found = std::move(kept);
            break;
        }
        const auto more = static_cast<std::int64_t>(missing(kept.answers));
        kept.append(next_answers(round + 1 == options_.batch.refill ? more : more * 2));
        found = std::move(kept);
    }
    batch_.answers = std::move(found.answers);
    batch_.forks = std::move(found.forks);
    if (options_.verdict_noise == 0) return;
    for (std::size_t row = 0; row < batch_.answers.size(); ++row)  // reasons stay those of the true verdict
        batch_.truth.push_back(is_right(static_cast<task::Reason>(batch_.answers.verdict_reason[row])) ? 1 : 0);
}

double RlObjective::sampling_hash() const {
    constexpr std::int64_t kPiece = 1 << 20;
    const engine::Engine& model = *policy_.body();
    std::vector<float> weights;
    std::uint64_t hash = 0;
    for (std::int64_t first = 0; first < model.num_parameters(); first += kPiece) {
        weights.resize(static_cast<std::size_t>(std::min(kPiece, model.num_parameters() - first)));
        model.read(engine::Array::weights, first, weights);
        const auto* bytes = reinterpret_cast<const char*>(weights.data());
        hash = hash * 31 + hash64(std::string_view(bytes, weights.size() * sizeof(float)));
    }
    return static_cast<double>(hash >> 16U);
}

std::size_t RlObjective::missing(const rollout::Trajectories& answers) const {
    const auto wanted = static_cast<std::size_t>(options_.batch.problems);
    return wanted - std::min(wanted, answers.num_problems());
}

/// What models say of the batch before anything is learnt from it, one after the other.
void RlObjective::look() {
    if (options_.paged) policy_.rest();
    const auto scores = [&](rollout::Scorer& scorer) {
        const ledger::In section(ledger::Section::score);
        auto found = rollout::score_together(ranks_, scorer, batch_.answers);
        if (options_.paged) scorer.rest();
        return found;
    };
    if (scorer_ && !values_follow_) batch_.values = scores(*scorer_);
    if (judge_) batch_.judgement = scores(*judge_);
    if (kl_form_ || (loss_.beta > 0 && policy_learns())) ask_reference();
    if (options_.loss.old == OldLogProbs::trainer) batch_.old = logprobs(policy_);
    if (!kl_form_) return;
    const auto& old = batch_.old.empty() ? batch_.answers.logprob : batch_.old;
    for (std::size_t t = 0; t < old.size(); ++t)
        batch_.divergence.push_back(static_cast<float>(
            reward::kl_estimate(*kl_form_, static_cast<double>(old[t]), static_cast<double>(batch_.reference[t]))));
}

std::vector<float> RlObjective::logprobs(engine::Engine& model) {
    return rollout::token_logprobs_together(ranks_, model, batch_.answers, batch_.forks,
                                            options_.sampler.logprob_temperature(), options_.unit_tokens);
}

void RlObjective::ask_reference() {
    const ledger::In section(ledger::Section::score);
    batch_.reference = logprobs(*reference_);
    if (options_.paged) reference_->rest();
}

}  // namespace tdrm::train
