// Stage `rollout`: answers of a policy to the problems of a split, judged, with the truth of every state where known.
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/stage/maps.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"

namespace tdrm::stage {
namespace {

struct RolloutStageOptions {
    std::string policy;
    std::string problems;
    int samples = 8;
    engine::SamplerOptions sampler;
    int slots = 256;

    void fields(Fields& f) {
        f("policy", policy, "model that answers").required();
        f("problems", problems, "split to answer").required();
        f("samples", samples, "answers per problem", between(1, 1e6));
        f("sampler", sampler, "how answers are drawn");
        f("slots", slots, "sequences decoded together", between(1, 1e6)).not_identity();
    }
};

class RolloutStage final : public Stage {
public:
    explicit RolloutStage(RolloutStageOptions options) : options_(std::move(options)) {}
    [[nodiscard]] std::string identity() const override { return tdrm::identity(options_); }

    void check(const task::Task& task, const std::string& path, Problems& problems) const override {
        check_split(task, options_.problems, path + ".problems", problems);
    }

    StageOutcome run(StageContext& context) override {
        const auto policy = load_model(context, context.input("policy"));
        const rollout::RolloutPlan plan{&context.task,    options_.problems, options_.samples,
                                        options_.sampler, context.seed,      "rollout"};
        const auto answers = rollout_map(context, plan, *policy, options_.slots, context.node.name, context.directory,
                                         rollout::answer_attributes(context.task, context.input("policy").name(),
                                                                    options_.problems, options_.sampler, context.seed));
        return {0, -1, metrics_json(answer_metrics(answers))};
    }

    [[nodiscard]] std::string plan(const task::Task& task) const override {
        return cat(task.split_size(options_.problems), " problems of split ", options_.problems, " x ",
                   options_.samples, " answers, at most ",
                   number_text(static_cast<double>(task.split_size(options_.problems)) * options_.samples *
                               static_cast<double>(task.max_answer_tokens())),
                   " tokens");
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        const auto spec = planned.model("policy");
        if (!spec) return std::nullopt;
        return frozen_memory("the policy", *spec)
            .add(generation_memory(*spec, planned.task, options_.slots, options_.sampler.max_tokens))
            .add(prefill_memory(*spec, planned.task, options_.slots));
    }

private:
    RolloutStageOptions options_;
};

}  // namespace

StageKind rollout_kind() {
    return kind_of<RolloutStageOptions, RolloutStage>("answers of a policy, judged by the task's rule", {"policy"});
}

}  // namespace tdrm::stage
