#include "tdrm/app/stage_options.hpp"

#include "tdrm/app/stage.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::app {

void EvalOptions::fields(Fields& f) {
    f("problems", problems, "split to evaluate on; none = no evaluation");
    f("every", every, "updates between evaluations; 0 = at the end only", at_least(0));
    f("samples", samples, "answers per problem", at_least(1));
    f("limit", limit, "use the first problems of the split only; 0 = all", at_least(0));
    f("sampler", sampler, "how answers are drawn");
}

void ReadOutOptions::fields(Fields& f) {
    f("tag", tag, "text behind a step, at whose last token the value is read; none = the task's probe");
    f("place", place, "leaf = only this state sees its tag; trunk = tags stay between the steps");
    f("tail", tail, "with place: trunk, what stands between a tag and the next step");
    f("positive", positive, "token of the language head that means right (for models without a value head)");
    f("negative", negative, "token that means wrong");
}

namespace {

task::Token one_token(const task::Task& task, const std::string& text, const char* key) {
    const auto tokens = task.parse(text);
    if (tokens.size() != 1)
        throw ConfigError(cat("read_out.", key, " \"", text, "\" is ", tokens.size(),
                              " tokens (its logit is read, so it must be one). Use another text."));
    return tokens[0];
}

}  // namespace

rollout::Scorer value_scorer(StageContext& context, const model::Model& model, const std::string& label,
                             const ReadOutOptions& options, int unit_tokens) {
    return context.ranks.agree("reading value model " + label, [&]() -> rollout::Scorer {
        const task::Task& task = context.task;
        model::ReadOut read_out;
        if (label.starts_with("hf:")) {
            read_out.tag = task.parse(options.tag);
            read_out.tail = task.parse(options.tail);
            read_out.stays = options.place == TagPlace::trunk;
            if (!options.positive.empty()) read_out.positive = one_token(task, options.positive, "positive");
            if (!options.negative.empty()) read_out.negative = one_token(task, options.negative, "negative");
        }
        if (read_out.tag.empty()) read_out.tag.assign(task.probe().begin(), task.probe().end());
        try {
            rollout::Scorer scorer(model, std::move(read_out), unit_tokens);
            scorer.use_value_prompts_of(task);
            return scorer;
        } catch (const ConfigError& error) {
            throw ConfigError(cat(label, ": ", error.what()));
        } catch (const DataError& error) {
            throw DataError(cat(label, ": ", error.what()));
        }
    });
}

train::Metrics answer_metrics(const rollout::Trajectories& answers) {
    train::Metrics metrics;
    double right = 0, cut = 0, solved = 0;
    for (std::size_t row = 0; row < answers.size(); ++row) {
        right += static_cast<double>(answers.outcome[row]);
        cut += answers.finish[row] == static_cast<std::uint8_t>(task::Finish::length) ? 1 : 0;
    }
    for (const auto& [begin, end] : answers.groups()) {
        bool any = false;
        for (std::size_t row = begin; row < end; ++row) any = any || answers.outcome[row] > 0;
        solved += any ? 1 : 0;
    }
    const auto n = static_cast<double>(answers.size());
    metrics.set("pass@1", right / n);
    metrics.set("solved", solved / static_cast<double>(answers.num_problems()));
    metrics.set("completions/mean_length", static_cast<double>(answers.token.size()) / n);
    metrics.set("completions/clipped_ratio", cut / n);
    return metrics;
}

train::Evaluation policy_evaluation(comm::Communicator& ranks, const task::Task& task, const model::Model& policy,
                                    const EvalOptions& options, std::uint64_t seed, std::int64_t updates) {
    train::Evaluation evaluation;
    if (options.problems.empty()) return evaluation;
    evaluation.every = options.every > 0 ? options.every : updates;
    evaluation.by = "pass@1";
    evaluation.measure = [&ranks, &task, &policy, options, seed](std::int64_t) {
        rollout::Generator generator(policy, options.sampler, task.end_tokens());
        const std::int64_t size = task.split_size(options.problems);
        std::vector<rollout::ProblemDraw> draws;
        for (std::int64_t i = 0; i < (options.limit > 0 ? std::min(options.limit, size) : size); ++i)
            draws.push_back({i, 0});
        // The same key at every evaluation: differences between updates are the policy's, not the draw's.
        const rollout::RolloutPlan plan{&task, options.problems, options.samples, options.sampler, seed, "eval"};
        return answer_metrics(rollout::roll_together(ranks, plan, generator, draws));
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

}  // namespace tdrm::app
