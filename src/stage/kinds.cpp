#include "tdrm/base/errors.hpp"
#include "tdrm/stage/stage.hpp"

namespace tdrm::stage {

std::string Stage::replay(StageContext& context, const ReplayRequest&) {
    throw ConfigError(
        cat("stage ", context.node.name, " is of kind ", context.node.kind,
            ", and only updates of rl can be computed again (the others have no answers of their own). Name "
            "a stage that says do: rl."));
}

const std::map<std::string, StageKind>& stage_kinds() {
    static const std::map<std::string, StageKind> kinds{
        {"sft", sft_kind()},           {"rollout", rollout_kind()},     {"features", features_kind()},
        {"value", value_kind()},       {"best_of_n", best_of_n_kind()}, {"search", search_kind()},
        {"annotate", annotate_kind()}, {"score", score_kind()},         {"rl", rl_kind()},
        {"evaluate", evaluate_kind()}, {"import", import_kind()},       {"processbench", processbench_kind()}};
    return kinds;
}

}  // namespace tdrm::stage
