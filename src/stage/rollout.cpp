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
    bool scripted = false;
    bool forks = false;
    double verdict_noise = 0;

    void fields(Fields& f) {
        f("policy", policy, "model that answers; none if scripted");
        f("problems", problems, "split to answer").required();
        f("samples", samples, "answers per problem", between(1, 1e6));
        f("sampler", sampler, "how answers are drawn");
        f("slots", slots, "sequences decoded together", between(1, 1e6)).not_identity();
        f("scripted", scripted,
          "the task's scripted policy answers, the one that writes demonstrations: its exact values are stored");
        f("forks", forks,
          "scripted answers after the first leave it, each a step later: siblings, to compare values of, at every "
          "depth");
        f("verdict_noise", verdict_noise,
          "chance that a stored verdict is flipped, as an unreliable judge would; the true one is kept apart",
          between(0, 0.5));
    }
};

class RolloutStage final : public Stage {
public:
    explicit RolloutStage(RolloutStageOptions options) : options_(std::move(options)) {}
    [[nodiscard]] std::string identity() const override { return tdrm::identity(options_); }

    void check(const task::Task& task, const std::string& path, Problems& problems) const override {
        check_split(task, options_.problems, path + ".problems", problems);
        if (options_.scripted == !options_.policy.empty())
            problems.push_back({"", path + ".policy",
                                options_.scripted ? "names a model, but the stage is scripted (only one of them can "
                                                    "answer). Leave one of the two out."
                                                  : "isn't given (nobody would answer). Name a model, or set scripted: "
                                                    "true for the task's own demonstrations."});
        if (options_.forks && !options_.scripted)
            problems.push_back({"", path + ".forks",
                                "is true, but a model answers (only the scripted policy goes on from the middle of an "
                                "answer here). Set scripted: true, or leave forks out."});
        if (options_.scripted && task.scripted_policy().empty())
            problems.push_back({"", path + ".scripted",
                                cat("is true, but the values of the task ", task.kind(),
                                    "'s demonstrations aren't known (they are what scripted answers are for). Let a "
                                    "model answer.")});
    }

    StageOutcome run(StageContext& context) override {
        const auto policy =
            options_.scripted ? nullptr : load_model(context, context.input("policy"), model::Use::passes);
        const auto name = options_.scripted ? rollout::ModelName{"scripted", context.task.fingerprint()}
                                            : context.input("policy").name();
        rollout::RolloutPlan plan{&context.task,    options_.problems, options_.samples,
                                  options_.sampler, context.seed,      "rollout"};
        plan.scripted = options_.scripted;
        plan.forks = options_.forks;
        plan.verdict_noise = options_.verdict_noise;
        const auto answers = rollout_map(
            context, plan, policy.get(), options_.slots, context.node.name, context.directory,
            rollout::answer_attributes(context.task, name, options_.problems, options_.sampler, context.seed));
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
        if (options_.scripted) return Memory();
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
    return kind_of<RolloutStageOptions, RolloutStage>("answers of a policy, judged by the task's rule", kAnswers,
                                                      {{"policy", kPolicy}});
}

}  // namespace tdrm::stage
