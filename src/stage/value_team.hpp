// The models of a stage `value`: one, or the members of an ensemble; whole, or heads on a frozen body. Private to the
// room.
#pragma once

#include <memory>
#include <vector>

#include "tdrm/rollout/trajectories.hpp"
#include "tdrm/stage/training.hpp"

namespace tdrm::stage {

struct ValueTeam {
    /// What learns, its moving averages (where there are any), and, under heads, the whole models that commits hold.
    std::vector<std::unique_ptr<engine::Engine>> models, averages, bodies;
    bool heads_alone = false;
    std::vector<float> features;  ///< of all states of the data; where heads learn
    nlohmann::json body{};        ///< where it is; where heads or adapters learn and commits don't hold it

    /// Everything in a commit but the first model, and that one's name.
    [[nodiscard]] Beside beside() const;
    /// Puts the heads into their bodies.
    void complete() const;
    /// Collective. Logits of all states of these rows, of an ensemble the combined ones.
    /// @param held_out the same rows as a table of their own
    [[nodiscard]] std::vector<float> scores(StageContext& context, const rollout::Trajectories& data,
                                            std::span<const std::size_t> rows,
                                            const rollout::Trajectories& held_out) const;
};

/// Which models a team has.
struct TeamPlan {
    std::size_t members = 1;
    bool averages = false;
    bool heads_alone = false;
    bool keep_body = true;  ///< commits of heads hold the body, too
    engine::LoraOptions lora{};
};
/// Collective. Models that begin with the body of the input `init`. The hidden states of heads are those of the input
/// `features`, or are made in the stage's folder.
[[nodiscard]] ValueTeam make_value_team(StageContext& context, const TeamPlan& plan, const rollout::Trajectories& data);

}  // namespace tdrm::stage
