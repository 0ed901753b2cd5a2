#include "value_team.hpp"

#include "tdrm/engine/ensemble.hpp"
#include "tdrm/rollout/answers.hpp"
#include "tdrm/rollout/features.hpp"
#include "tdrm/stage/maps.hpp"
#include "tdrm/train/state.hpp"
#include "tdrm/train/value.hpp"

namespace tdrm::stage {
namespace {

std::string joined(const std::string& member, const std::string& name) {
    return member.empty() || name.empty() ? member + name : member + "/" + name;
}

}  // namespace

Beside ValueTeam::beside() const {
    Beside result;
    const std::string what = heads_alone ? "head" : "";
    result.own_name = what;
    result.body = body;
    for (std::size_t m = 1; m < models.size(); ++m)
        result.trainees.emplace_back(joined(train::member_name(m), what), models[m].get());
    for (std::size_t m = 0; m < averages.size(); ++m)
        result.companions.emplace_back(joined(train::member_name(m), "average"), averages[m].get());
    for (std::size_t m = 0; m < bodies.size(); ++m)
        result.companions.emplace_back(train::member_name(m), bodies[m].get());
    return result;
}

void ValueTeam::complete() const {
    for (std::size_t m = 0; m < bodies.size(); ++m) train::copy_head(*models[m], *bodies[m]);
}

std::vector<float> ValueTeam::scores(StageContext& context, const rollout::Trajectories& data,
                                     std::span<const std::size_t> rows, const rollout::Trajectories& held_out) const {
    std::vector<std::vector<float>> logits;
    std::vector<float> of_rows;
    if (heads_alone) of_rows = train::states_of(data, features, rows, models[0]->spec().width);
    for (const auto& model : models) {
        if (heads_alone) {
            logits.push_back(rollout::head_logits(*model, of_rows));
            continue;
        }
        rollout::Scorer scorer(*model, context.task.probe(), rollout::kScoreTokens);
        scorer.show(rollout::value_prompts_of(context.task));
        logits.push_back(rollout::score_together(context.ranks, scorer, held_out));
    }
    if (logits.size() == 1) return std::move(logits.front());
    return engine::combined(logits).logit;
}

ValueTeam make_value_team(StageContext& context, const TeamPlan& plan, const rollout::Trajectories& data) {
    ValueTeam team;
    team.heads_alone = plan.heads_alone;
    team.body = plan.heads_alone && !plan.keep_body ? body_reference(context.input("init"), context.directory)
                                                    : body_of_adapters(context, plan.lora, "init");
    const Input& init = context.input("init");
    for (std::size_t m = 0; m < plan.members; ++m) {
        if (plan.heads_alone && plan.keep_body) team.bodies.push_back(new_value_model(context, init));
        auto model = plan.heads_alone ? new_value_head(context, init) : new_value_model(context, init);
        team.models.push_back(context.ranks.agree(
            "making adapters", [&] { return engine::with_adapters(std::move(model), plan.lora, context.seed); }));
        if (plan.averages)
            team.averages.push_back(context.ranks.agree(
                "making room for a moving average", [&] { return engine::make_engine(team.models.back()->spec()); }));
    }
    if (!plan.heads_alone) return team;
    const auto given = context.inputs_of("features");
    if (given.empty()) {
        team.features = feature_map(context, data, context.input("init"), context.node.name + " features",
                                    context.directory / "features")
                            .features_SD;
    } else {
        team.features = context.ranks.agree("reading " + given.front().label, [&] {
            return rollout::load_features(given.front().directory, data, context.input("init").identity).features_SD;
        });
    }
    return team;
}

}  // namespace tdrm::stage
