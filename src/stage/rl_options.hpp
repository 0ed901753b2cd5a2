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

struct BatchFields {
    int problems = 32, samples = 8, refill = 0;
    rollout::TreeOptions tree;
    void fields(Fields& f);
};

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
    train::AdvantageKind kind = train::AdvantageKind::group;
    std::string value;
    double gamma = 1, lambda = 1;
    std::optional<double> adaptive;
    bool divide_by_std = true, leave_one_out = false, whiten = false;
    void fields(Fields& f);
    [[nodiscard]] bool needs_value() const {
        using enum train::AdvantageKind;
        return kind == gae || kind == shrinkage || kind == gated;
    }
    [[nodiscard]] bool takes_value() const { return needs_value() || kind == train::AdvantageKind::tree; }
};

struct CriticFields {
    std::string init;
    train::CriticOptions learning;
    train::OptimizerOptions optimizer{.lr = 1e-3, .schedule = train::Schedule::constant, .weight_decay = 0};
    void fields(Fields& f);
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
    void fields(Fields& f);
};

struct LossFields {
    static constexpr const char* kShorthand = "mean";
    train::LossMean mean = train::LossMean::token;
    reward::PolicyLossKind kind = reward::PolicyLossKind::clip;
    double low = 0.2, high = 0.2;
    train::OldLogProbs old = train::OldLogProbs::sampler;
    reward::ImportanceOptions importance;
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
    Frozen frozen = Frozen::resident;
    std::int64_t save_rollouts = 0;
    bool save_evals = false;
    TrainFields train{.optimizer = {.lr = 3e-4, .schedule = train::Schedule::constant, .weight_decay = 0},
                      .precision = {},
                      .commit = {}};
    EvalOptions eval;
    GuardFields guard;

    void fields(Fields& f);

    [[nodiscard]] std::int64_t updates_per_batch() const { return std::int64_t{inner_epochs} * minibatches; }
    [[nodiscard]] bool paged() const { return frozen == Frozen::paged; }
    [[nodiscard]] bool has_critic() const { return !critic.init.empty(); }
    /// Option that names the value model of the advantage, if there is one.
    [[nodiscard]] std::optional<std::string> value_key() const {
        if (has_critic()) return "critic.init";
        return advantage.value.empty() ? std::nullopt : std::optional<std::string>("advantage.value");
    }
    /// Answers of a problem at most.
    [[nodiscard]] std::int64_t answers_per_problem() const { return batch.samples * batch.tree.leaves(); }

    [[nodiscard]] train::RlOptions bound() const;

    /// What doesn't go together, by key.
    void check(const std::string& path, Problems& found) const;

private:
    using Wrong = std::function<void(const char* key, const std::string& message)>;
    void check_advantage(const Wrong& wrong) const;
    void check_batch(const Wrong& wrong) const;
};

}  // namespace tdrm::stage
