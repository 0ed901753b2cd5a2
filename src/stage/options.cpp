#include "tdrm/stage/options.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/stage/stage.hpp"

namespace tdrm::stage {

void EvalOptions::fields(Fields& f) {
    f("problems", problems, "split to evaluate on; none = no evaluation");
    f("every", every, "updates between evaluations; 0 = at the end only", between(0, 1e9));
    f("samples", samples, "answers per problem", between(1, 1e6));
    f("limit", limit, "use the first problems of the split only; 0 = all", between(0, 1e9));
    f("sampler", sampler, "how answers are drawn");
}

train::Metrics answer_metrics(const rollout::Trajectories& answers) {
    const auto figures = rollout::figures_of(answers);
    train::Metrics metrics;
    metrics.set("pass@1", figures.right);
    metrics.set("solved", figures.solved);
    metrics.set("completions/mean_length", figures.mean_length);
    metrics.set("completions/clipped_ratio", figures.cut);
    return metrics;
}

train::Evaluation policy_evaluation(comm::Communicator& ranks, const task::Task& task, engine::Engine& policy,
                                    const EvalOptions& options, int slots, std::uint64_t seed, std::int64_t updates,
                                    EvalListener listener) {
    train::Evaluation evaluation;
    if (options.problems.empty()) return evaluation;
    evaluation.every = options.every > 0 ? options.every : updates;
    evaluation.by = "pass@1";
    evaluation.measure = [&ranks, &task, &policy, options, slots, seed,
                          listener = std::move(listener)](std::int64_t update) {
        rollout::Generator generator(policy, options.sampler, task.end_tokens(), slots);
        const std::int64_t size = task.split_size(options.problems);
        std::vector<task::Draw> draws;
        for (std::int64_t i = 0; i < (options.limit > 0 ? std::min(options.limit, size) : size); ++i)
            draws.push_back({i, 0});
        // The same key at every evaluation: differences between updates are the policy's, not the draw's.
        const rollout::RolloutPlan plan{&task, options.problems, options.samples, options.sampler, seed, "eval"};
        const auto answers = rollout::sample_answers_together(ranks, plan, generator, draws);
        train::Metrics metrics = answer_metrics(answers);
        if (listener) listener(update, answers, metrics);
        return metrics;
    };
    return evaluation;
}

std::int64_t check_split(const task::Task& task, const std::string& split, const std::string& path,
                         Problems& problems) {
    try {
        const std::int64_t size = task.split_size(split);
        if (size == 0)
            problems.push_back(
                {"", path,
                 cat("split ", split,
                     " has no problems (the stage would have nothing to do). Give it a size under task.splits.")});
        return size;
    } catch (const ConfigError& error) {
        problems.push_back({"", path, error.what()});
        return 0;
    }
}

}  // namespace tdrm::stage
