// Stage `evaluate`: policies side by side on the same problems with the same random numbers.
#include <algorithm>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/eval/pass_at_k.hpp"
#include "tdrm/eval/selection.hpp"
#include "tdrm/stage/maps.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"

namespace tdrm::stage {
namespace {

struct EvaluateOptions {
    std::vector<std::string> policies;
    std::string problems;
    int samples = 16;
    engine::SamplerOptions sampler;
    int slots = 256;

    void fields(Fields& f) {
        f("policies", policies, "models to compare").required();
        f("problems", problems, "split to answer").required();
        f("samples", samples, "answers per problem", between(1, 1e6));
        f("sampler", sampler, "how answers are drawn");
        f("slots", slots, "sequences decoded together", between(1, 1e6)).not_identity();
    }
};

/// Right answers among all, problem by problem.
std::vector<std::pair<std::int64_t, std::int64_t>> right_of(const rollout::Trajectories& answers) {
    std::vector<std::pair<std::int64_t, std::int64_t>> result;
    for (const auto& [begin, end] : answers.groups()) {
        std::int64_t right = 0;
        for (std::size_t row = begin; row < end; ++row) right += answers.outcome[row] > 0 ? 1 : 0;
        result.emplace_back(right, static_cast<std::int64_t>(end - begin));
    }
    return result;
}

nlohmann::json policy_report(const std::string& label, const rollout::Trajectories& answers, int samples) {
    const auto right = right_of(answers);
    nlohmann::json points = nlohmann::json::array();
    for (const std::int64_t k : eval::curve_sizes(samples)) {
        std::vector<double> values;
        for (const auto& [c, n] : right) values.push_back(eval::pass_at_k(n, c, k));
        const auto interval = eval::mean_interval(values);
        points.push_back({{"k", k}, {"mean", interval.mean}, {"low", interval.low}, {"high", interval.high}});
    }
    nlohmann::json reasons = nlohmann::json::object();
    for (const std::uint8_t reason : answers.verdict_reason) {
        auto& count = reasons[std::string(task::name(static_cast<task::Reason>(reason)))];
        count = count.is_null() ? 1 : count.get<std::int64_t>() + 1;
    }
    std::vector<double> per_problem;
    for (const auto& [c, n] : right) per_problem.push_back(static_cast<double>(c) / static_cast<double>(n));
    return {{"policy", label},
            {"pass_at_k", points},
            {"reasons", reasons},
            {"per_problem", per_problem},
            {"mean_length", static_cast<double>(answers.token.size()) / static_cast<double>(answers.size())}};
}

class EvaluateStage final : public Stage {
public:
    explicit EvaluateStage(EvaluateOptions options) : options_(std::move(options)) {}
    [[nodiscard]] std::string identity() const override { return tdrm::identity(options_); }
    void check(const task::Task& task, const std::string& path, Problems& problems) const override {
        check_split(task, options_.problems, path + ".problems", problems);
        if (options_.policies.empty())
            problems.push_back({"", path + ".policies", "names no policy. Name at least one."});
    }

    StageOutcome run(StageContext& context) override {
        nlohmann::json policies = nlohmann::json::array();
        nlohmann::json headline = nlohmann::json::object();
        for (const Input& input : context.inputs_of("policies")) {
            const auto policy = load_model(context, input, model::Use::passes);
            const rollout::RolloutPlan plan{&context.task,    options_.problems, options_.samples,
                                            options_.sampler, context.seed,      "evaluate"};
            const auto answers = rollout_map(context, plan, policy.get(), options_.slots,
                                             context.node.name + " " + input.label, context.directory / input.label,
                                             rollout::answer_attributes(context.task, input.name(), options_.problems,
                                                                        options_.sampler, context.seed));
            policies.push_back(policy_report(input.label, answers, options_.samples));
            headline[input.label] = policies.back()["pass_at_k"][0]["mean"];
        }
        const nlohmann::json results{{"kind", "evaluate"},
                                     {"problems", context.task.split_size(options_.problems)},
                                     {"split", options_.problems},
                                     {"samples", options_.samples},
                                     {"policies", policies}};
        context.ranks.agree("writing the results", [&] {
            if (context.ranks.root()) write_results(context.directory, results);
        });
        return {0, -1, {{"pass@1", headline}}};
    }

    [[nodiscard]] std::string plan(const task::Task& task) const override {
        return cat(options_.policies.size(), " policies, ", task.split_size(options_.problems), " problems x ",
                   options_.samples, " answers");
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        std::optional<Memory> most;  // one policy at a time
        for (std::size_t i = 0; i < options_.policies.size(); ++i) {
            const auto spec = planned.model(cat("policies[", i, "]"));
            if (!spec) return std::nullopt;
            const Memory memory =
                frozen_memory("the policy", *spec)
                    .add(generation_memory(*spec, planned.task, options_.slots, options_.sampler.max_tokens))
                    .add(prefill_memory(*spec, planned.task, options_.slots));
            if (!most || memory.total() > most->total()) most = memory;
        }
        return most;
    }

private:
    EvaluateOptions options_;
};

}  // namespace

StageKind evaluate_kind() {
    return kind_of<EvaluateOptions, EvaluateStage>("policies side by side: pass@1 and pass@k with intervals", kNothing,
                                                   {{"policies[]", kPolicy}});
}

}  // namespace tdrm::stage
