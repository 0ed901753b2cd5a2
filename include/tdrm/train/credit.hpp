// From the answers of a batch to the advantages of their tokens.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/reward/advantage.hpp"
#include "tdrm/rollout/answers.hpp"
#include "tdrm/rollout/tree_answers.hpp"
#include "tdrm/train/rewards.hpp"

namespace tdrm {
class Fields;
}

namespace tdrm::train {

/// What rewards are compared with.
enum class AdvantageKind {
    group,      ///< the answers of the same problem
    gae,        ///< the value of the state before each step (R - V(s_{k-1}) for lambda = 1)
    shrinkage,  ///< a mean of the two, weighted by how unsure each is
    gated,      ///< gae where the values explained the batch before, else the group without the answer itself
    tree,       ///< what answers that share a piece are worth, with the whole tree and the piece before
};
[[nodiscard]] constexpr auto enum_names(AdvantageKind) {
    using enum AdvantageKind;
    return std::array<std::pair<AdvantageKind, std::string_view>, 5>{
        {{group, "group"}, {gae, "gae"}, {shrinkage, "shrinkage"}, {gated, "gated"}, {tree, "tree"}}};
}

struct CreditOptions {
    std::vector<RewardPart> rewards{rule_reward(1)};  ///< the reward is their weighted sum
    AdvantageKind kind = AdvantageKind::group;
    double gamma = 1, lambda = 1;    ///< of gae
    std::optional<double> adaptive;  ///< of gae: lambda = 1 - 1 / max(1, adaptive x steps) instead
    reward::GroupOptions group;
    bool bootstrap = false;  ///< of tree: values of pieces are shrunk towards those of the value model
    bool whiten = false;     ///< advantages of the whole batch to mean 0 and deviation 1
    /// But for the rewards, the kind and `bootstrap`, which go with the models that are there.
    void fields(Fields& f);
};

/// An update's answers with what was made of them.
struct RlBatch {
    rollout::Trajectories answers;
    std::vector<rollout::Fork> forks;  ///< per trajectory, of trees; empty otherwise. Parents come first
    std::vector<std::uint8_t> truth;   ///< verdicts before noise, per trajectory; empty without noise
    std::vector<float> values;         ///< logits of all states (rollout::state_offsets), empty without a value model
    std::vector<float> judgement;      ///< the same of the reward's value model; empty: `values` is that, too
    std::vector<float> old;            ///< trainer's log-prob per token; empty: those of the sampler stand for them
    std::vector<float> reference;      ///< the reference's log-prob per token; empty where none is asked
    std::vector<float> divergence;     ///< estimate of KL from the reference per token; empty where no part needs it
    std::vector<PartScores> parts;     ///< of the reward
    std::vector<double> reward;        ///< their weighted sum, per trajectory
    std::vector<float> advantage;      ///< per token
    std::vector<std::uint8_t> trains;  ///< per trajectory: has a gradient
    std::vector<std::uint8_t> counts;  ///< per trajectory: is part of what the loss is divided by

    /// Whether an answer was ended by its greatest length.
    [[nodiscard]] bool truncated(std::size_t row) const;
    [[nodiscard]] std::span<const float> old_of(std::size_t row) const;
    [[nodiscard]] std::span<const float> advantage_of(std::size_t row) const;
};

/// 1 - Var(y - V) / Var(y - mean y) over the states that a token follows, y the answer's outcome: above 0 where values
/// say more about outcomes than their mean does. 0 where all outcomes are alike.
[[nodiscard]] double explained_variance(const RlBatch& batch);

/// Local, but for parts that aren't. Rewards and advantages of a batch, the same on every rank. `values` may be empty
/// where none is used.
/// @param explained_before explained_variance of the batch before, for gated and shrinkage; 0 at the beginning
void assign_credit(RlBatch& batch, const CreditOptions& options, double explained_before = 0);

}  // namespace tdrm::train
