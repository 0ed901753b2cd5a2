// Stage `sft`: supervised fine-tuning on demonstrations.
#include "tdrm/train/sft.hpp"

#include <cmath>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/stage/models.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/stage/training.hpp"

namespace tdrm::stage {
namespace {

constexpr int kEvalSlots = 256;  ///< sequences that an evaluation decodes together

struct SftStageOptions {
    std::string init;  ///< model to start from; empty = a fresh one
    model::ModelSpec model;
    std::string problems = "sft";
    double epochs = 1;
    std::int64_t updates = 0;
    int batch = 64;
    int unit_tokens = 512;
    TrainFields train{.optimizer = {.lr = 2e-3}, .precision = {}, .commit = {}};
    EvalOptions eval;

    void fields(Fields& f) {
        f("init", init, "model to start from; none = a fresh one of the sizes under `model`");
        f("model", model, "sizes of a fresh model");
        f("problems", problems, "split whose demonstrations are learnt");
        f("epochs", epochs, "passes over the split", above_up_to(0, 1e6));
        f("updates", updates, "optimiser updates; 0 = as many as the epochs need", between(0, 1e9)).not_identity();
        f("batch", batch, "demonstrations per update", between(1, 1e9));
        f("unit_tokens", unit_tokens, "tokens of a unit, the piece that one rank computes at once", between(1, 1e8));
        train.fields(f);
        f("eval", eval, "evaluation while training").not_identity();
    }
};

class SftStage final : public Stage {
public:
    explicit SftStage(SftStageOptions options) : options_(std::move(options)) {}

    [[nodiscard]] std::string identity() const override {
        SftStageOptions resolved = options_;
        resolved.train = options_.train.resolved(options_.updates);
        return tdrm::identity(resolved);
    }

    [[nodiscard]] std::int64_t updates(const task::Task& task) const override {
        if (options_.updates > 0) return options_.updates;
        return static_cast<std::int64_t>(
            std::ceil(options_.epochs * static_cast<double>(task.split_size(options_.problems)) / options_.batch));
    }

    void check(const task::Task& task, const std::string& path, Problems& problems) const override {
        check_split(task, options_.problems, path + ".problems", problems);
        if (!options_.eval.problems.empty())
            check_split(task, options_.eval.problems, path + ".eval.problems", problems);
        if (!options_.init.empty() && !untouched(options_.model))
            problems.push_back({"", path + ".model",
                                "has sizes of a fresh model, but training starts from `init` (they would be ignored). "
                                "Remove one of the two."});
        model::ModelSpec spec = options_.model;
        spec.vocab = std::max(1, task.vocab_size());  // 0: a plan without the tokenizer
        try {
            (void)spec.resolved();
        } catch (const ConfigError& error) {
            problems.push_back({"", path + ".model", error.what()});
        }
    }

    StageOutcome run(StageContext& context) override {
        const std::int64_t updates = this->updates(context.task);
        const auto policy = to_train(context, options_.train, start(context));
        train::SftObjective objective(context.task, options_.problems, *policy, context.seed, options_.batch,
                                      options_.unit_tokens);
        const auto evaluation =
            policy_evaluation(context.ranks, context.task, *policy, options_.eval, kEvalSlots, context.seed, updates);
        Beside beside;
        beside.body = body_of_adapters(context, options_.train.lora, "init");
        return train_model(context, options_.train, *policy, objective, evaluation, updates, {"loss", "eval/pass@1"},
                           {{"parameters", policy->num_parameters()}}, beside);
    }

    [[nodiscard]] std::string plan(const task::Task& task) const override {
        return cat(updates(task), " updates of ", options_.batch, " demonstrations of split ", options_.problems);
    }

    [[nodiscard]] std::optional<model::ModelSpec> makes(const Planned& planned) const override {
        if (!options_.init.empty()) return planned.model("init");
        model::ModelSpec spec = options_.model;
        spec.vocab = planned.task.vocab_size();
        return spec.vocab > 0 ? std::optional(spec.resolved()) : std::nullopt;
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        const auto spec = makes(planned);
        if (!spec) return std::nullopt;
        const int sample = planned.task.max_prompt_tokens() + planned.task.max_answer_tokens();
        const bool evaluates = !options_.eval.problems.empty();
        Memory memory = training_memory(*spec, options_.unit_tokens, sample, evaluates ? rollout::kPrefillTokens : 0,
                                        planned, options_.train.precision, options_.train.lora);
        if (evaluates) memory.add(generation_memory(*spec, planned.task, kEvalSlots, options_.eval.sampler.max_tokens));
        return memory;
    }

private:
    std::unique_ptr<engine::Engine> start(StageContext& context) const {
        if (!options_.init.empty()) return load_model(context, context.input("init"), model::Use::training);
        model::ModelSpec spec = options_.model;
        spec.vocab = context.task.vocab_size();
        return engine::fresh_engine(spec.resolved(), context.seed);
    }

    SftStageOptions options_;
};

}  // namespace

StageKind sft_kind() {
    return kind_of<SftStageOptions, SftStage>("supervised fine-tuning of a policy on the task's demonstrations",
                                              kPolicy, {{"init", kPolicy}}, true);
}

}  // namespace tdrm::stage
