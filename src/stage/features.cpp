// Stage `features`: what a frozen model says of the states of stored answers, once for all heads that learn from it.
#include "tdrm/base/options.hpp"
#include "tdrm/rollout/scorer.hpp"
#include "tdrm/stage/maps.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"

namespace tdrm::stage {
namespace {

struct FeatureOptions {
    std::string model, data;
    void fields(Fields& f) {
        f("model", model, "whose body is frozen: the init of the value models to come").required();
        f("data", data, "judged trajectories").required();
    }
};

class FeatureStage final : public Stage {
public:
    explicit FeatureStage(FeatureOptions options) : options_(std::move(options)) {}
    [[nodiscard]] std::string identity() const override { return tdrm::identity(options_); }
    void check(const task::Task&, const std::string&, Problems&) const override {}

    StageOutcome run(StageContext& context) override {
        const auto data = load_trajectories(context, context.input("data"));
        const auto features = feature_map(context, data, context.input("model"), context.node.name, context.directory);
        return {0, -1, {{"states", rollout::state_offsets(data).back()}}};
    }

    [[nodiscard]] std::string plan(const task::Task&) const override {
        return cat("hidden states of ", options_.model, " at all states of ", options_.data);
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        const auto spec = planned.model("model");
        if (!spec) return std::nullopt;
        return frozen_memory("the model", *spec).add(scoring_memory(*spec, rollout::kScoreTokens));
    }

private:
    FeatureOptions options_;
};

}  // namespace

StageKind features_kind() {
    return kind_of<FeatureOptions, FeatureStage>("hidden states of a frozen model, for value heads to learn from",
                                                 kFeatures, {{"model", kPolicy | kValues}, {"data", kAnswers}});
}

}  // namespace tdrm::stage
