// Options of the stage `rl`. Private to the room.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/base/command_pool.hpp"
#include "tdrm/rollout/value_reader.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/training.hpp"
#include "tdrm/train/rl.hpp"

namespace tdrm::stage {

/// What every part of the reward has. `reward: {length: 0.1}` is short for `reward: {length: {weight: 0.1}}`.
struct PartFields {
    static constexpr const char* kShorthand = "weight";
    double weight = 0;
    train::Normalise normalise = train::Normalise::none;
    double floor = 1e-4;
    void fields(Fields& f);
    [[nodiscard]] train::RewardPart with(train::RewardPart part) const {
        part.normalisation = {normalise, floor};
        return part;
    }
};

struct RuleRewardFields : PartFields {
    double noise = 0;
    RuleRewardFields() { weight = 1; }
    void fields(Fields& f);
};

struct ValueRewardFields : PartFields {
    std::string model;
    train::ValueRewardOptions form;
    ValueRewardFields() { weight = 0.2; }
    void fields(Fields& f);
    [[nodiscard]] std::vector<std::string> validate() const;
};

struct OverlongFields : PartFields {
    int buffer = 0;
    void fields(Fields& f);
};

struct RepetitionFields : PartFields {
    int tokens = 4;
    void fields(Fields& f);
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
    void fields(Fields& f);
    [[nodiscard]] std::vector<std::string> validate() const;
};

struct RewardFields {
    RuleRewardFields rule;
    ValueRewardFields value;
    PartFields length;
    OverlongFields overlong;
    RepetitionFields repetition;
    CommandRewardFields command;
    void fields(Fields& f);
    [[nodiscard]] std::vector<std::string> validate() const;
};

struct AdvantageFields {
    std::string value;
    train::CreditOptions credit;
    void fields(Fields& f);
    [[nodiscard]] bool needs_value() const {
        using enum train::AdvantageKind;
        return credit.kind == gae || credit.kind == shrinkage || credit.kind == gated;
    }
    [[nodiscard]] bool takes_value() const { return needs_value() || credit.kind == train::AdvantageKind::tree; }
};

struct CriticFields {
    std::string init;
    train::CriticOptions learning;
    train::OptimizerOptions optimizer{.lr = 1e-3, .schedule = train::Schedule::constant, .weight_decay = 0};
    void fields(Fields& f);
};

struct KlFields {
    std::string reference;
    train::KlOptions penalty;
    void fields(Fields& f);
};

/// Where models that don't learn are while nobody asks them.
enum class Frozen {
    resident,  ///< on the device
    paged,     ///< in the host's memory
};
constexpr auto enum_names(Frozen) {
    return std::array<std::pair<Frozen, std::string_view>, 2>{
        {{Frozen::resident, "resident"}, {Frozen::paged, "paged"}}};
}

enum class GuardAction { none, warn, stop };
constexpr auto enum_names(GuardAction) {
    using enum GuardAction;
    return std::array<std::pair<GuardAction, std::string_view>, 3>{{{none, "none"}, {warn, "warn"}, {stop, "stop"}}};
}
struct GuardFields {
    static constexpr const char* kShorthand = "action";
    GuardAction action = GuardAction::none;
    double deviations = 2.5;
    void fields(Fields& f);
};

struct RlStageOptions {
    std::string policy, problems;
    std::int64_t updates = 100;
    train::RlOptions rl;  ///< but for what is under `reward`, `advantage` and `kl` here
    RewardFields reward;
    AdvantageFields advantage;
    CriticFields critic;
    KlFields kl;
    rollout::ReadOutOptions read_out;
    Frozen frozen = Frozen::resident;
    std::int64_t save_rollouts = 0;
    bool save_evals = false;
    TrainFields train{.optimizer = {.lr = 3e-4, .schedule = train::Schedule::constant, .weight_decay = 0},
                      .precision = {},
                      .commit = {}};
    EvalOptions eval;
    GuardFields guard;

    void fields(Fields& f);

    [[nodiscard]] bool paged() const { return frozen == Frozen::paged; }
    [[nodiscard]] bool has_critic() const { return !critic.init.empty(); }
    /// Option that names the value model of the advantage, if there is one.
    [[nodiscard]] std::optional<std::string> value_key() const {
        if (has_critic()) return "critic.init";
        return advantage.value.empty() ? std::nullopt : std::optional<std::string>("advantage.value");
    }

    /// What the objective is made of, but for the parts of the reward.
    [[nodiscard]] train::RlOptions bound() const;

    /// What doesn't go together, by key.
    void check(const std::string& path, Problems& found) const;

private:
    using Wrong = std::function<void(const char* key, const std::string& message)>;
    void check_advantage(const Wrong& wrong) const;
    void check_batch(const Wrong& wrong) const;
};

}  // namespace tdrm::stage
