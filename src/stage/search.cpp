// Stage `search`: search over steps, guided by a value model.
#include "tdrm/rollout/search.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/base/words.hpp"
#include "tdrm/engine/ensemble.hpp"
#include "tdrm/engine/memory.hpp"
#include "tdrm/eval/intervals.hpp"
#include "tdrm/rollout/tables.hpp"
#include "tdrm/stage/cost.hpp"
#include "tdrm/stage/map.hpp"
#include "tdrm/stage/models.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::stage {
namespace {

constexpr std::int64_t kMostNodes = 1'000'000'000;  ///< of a problem's tree

/// What a step is.
struct StepOptions {
    int tokens = 0;
    void fields(Fields& f) {
        f("tokens", tokens, "blocks of so many tokens; 0: the steps of the task", between(0, 1e8));
    }
};
struct SearchStageOptions {
    std::string policy, value, problems;
    rollout::SearchPlan plan;
    StepOptions step;
    std::optional<std::int64_t> budget;
    rollout::ReadOutOptions read_out;
    engine::SamplerOptions sampler;
    int slots = 256;

    void fields(Fields& f) {
        f("policy", policy, "model that proposes steps").required();
        f("value", value, "value model that chooses among them").required();
        f("problems", problems, "split to answer").required();
        f("kind", plan.kind,
          "greedy: one path, the best continuation of each step; beam: the best paths, wherever they hang; dvts: "
          "greedy "
          "searches beside each other; smc: particles weighted by how their value changes; mcts: PUCT");
        f("branch", plan.branch, "continuations of each step (smc has one for each particle)", between(1, 1e6));
        f("paths", plan.paths, "beam, dvts, smc: answers in the making; a multiple of branch for beam and dvts",
          between(1, 1e6));
        f("simulations", plan.simulations, "mcts: nodes that are continued", between(1, 1e6));
        f("exploration", plan.exploration, "mcts: c of PUCT", at_least(0.0));
        f("exponent", plan.exponent, "smc: a of the weight (V(s') / V(s))^a", at_least(0.0));
        f("depth", plan.depth, "bound on the steps; the last one runs to the end", between(1, 1e6));
        f("step", step, "what a step is");
        f("budget", budget, "generated tokens of a problem after which no round begins; none = no bound",
          between(1, 1e12));
        f("answer", plan.answer,
          "which answer of the tree: best: of largest value; vote: that most give; weighted: the same, each counting "
          "its "
          "value");
        f("read_out", read_out, "how a value model named hf:DIR is read");
        f("sampler", sampler, "how steps are drawn");
        f("slots", slots, "sequences decoded together", between(1, 1e6)).not_identity();
    }

    [[nodiscard]] rollout::SearchPlan plan_for(const task::Task& task, std::uint64_t seed) const {
        rollout::SearchPlan whole = plan;
        whole.task = &task;
        whole.step_tokens = step.tokens;
        whole.budget = budget.value_or(0);
        whole.sampler = sampler;
        whole.seed = seed;
        return whole;
    }
};

class SearchStage final : public Stage {
public:
    explicit SearchStage(SearchStageOptions options) : options_(std::move(options)) {}
    [[nodiscard]] std::string identity() const override { return tdrm::identity(options_); }
    void check(const task::Task& task, const std::string& path, Problems& problems) const override {
        check_split(task, options_.problems, path + ".problems", problems);
        rollout::check_read_out(options_.read_out, task, path + ".read_out", problems);
        check_paths(path, problems);
        check_nodes(task, path, problems);
        const std::int64_t answer = longest_answer(task);
        if (options_.budget && *options_.budget < answer)
            problems.push_back(
                {"", path + ".budget",
                 cat("is ", *options_.budget, ", but an answer may take ", answer,
                     " tokens (the search could end before its first answer). Give at least that many, or lower "
                     "sampler.max_tokens.")});
    }

    StageOutcome run(StageContext& context) override {
        const auto policy = load_model(context, context.input("policy"), model::Use::passes);
        refuse_hazards(context, context.input("value"), "search");
        auto members = load_value_members(context, context.input("value"), options_.read_out);
        const double read_flop = static_cast<double>(members.size()) * token_flop(members.front()->spec()).read;
        const auto value = engine::together(std::move(members));
        rollout::Generator generator(*policy, options_.sampler, context.task.end_tokens(), options_.slots);
        rollout::Scorer scorer =
            value_scorer(context, *value, context.input("value"), options_.read_out, rollout::kScoreTokens);
        MapWork work;
        work.label = context.node.name;
        work.units = context.task.split_size(options_.problems);
        work.block = block_size(work.units, std::max(1, 1024 / rollout::search_width(options_.plan)));
        work.directory = context.directory;
        work.work = [&](std::int64_t begin, std::int64_t end, store::FileWriter& part) {
            search(context, generator, scorer, begin, end, part);
        };
        work.merge = [&](const auto& parts) { merge(context, parts); };
        warn_if_idle(context, (work.units + work.block - 1) / work.block);
        if (!map_is_done(context, context.directory)) run_map(context, work);
        const auto answers = context.ranks.agree("reading answers", [&] {
            auto table = rollout::Trajectories::read(store::FileReader(context.directory / "trajectories.h5"));
            const store::FileReader trees(context.directory / "search.h5");
            if (context.ranks.root()) report(context, table, trees, token_flop(policy->spec()), read_flop);
            return table;
        });
        return {0, -1, metrics_json(answer_metrics(answers))};
    }

    [[nodiscard]] std::string plan(const task::Task& task) const override {
        const auto& plan = options_.plan;
        std::string how = cat(plan.branch, " branches a step");
        if (plan.kind == rollout::SearchKind::smc) how = cat(plan.paths, " particles");
        if (plan.kind == rollout::SearchKind::mcts)
            how = cat(plan.simulations, " simulations of ", plan.branch, " branches");
        if (plan.kind == rollout::SearchKind::beam || plan.kind == rollout::SearchKind::dvts)
            how = cat(plan.paths, " paths, ", how);
        return cat(task.split_size(options_.problems), " problems, ", word_of(plan.kind), ", ", how);
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        const auto policy = planned.model("policy");
        const auto value = planned.model("value");
        if (!policy || !value) return std::nullopt;
        const auto plan = options_.plan_for(planned.task, 0);
        const auto tokens = rollout::search_tokens(plan, options_.slots, planned.task.max_prompt_tokens(),
                                                   longest_answer(planned.task));
        const auto pass = std::min<std::int64_t>(rollout::kScoreTokens, tokens);
        Memory memory = frozen_memory("the policy", *policy).add(prefill_memory(*policy, planned.task, options_.slots));
        memory.add("the policy's cache", engine::decoder_bytes(*policy, tokens, options_.slots));
        memory.add(frozen_memory("the value model", *value)).add(scoring_memory(*value, static_cast<int>(pass)));
        return memory.add("the value model's cache", engine::decoder_bytes(*value, tokens, 0));
    }

private:
    [[nodiscard]] std::int64_t longest_answer(const task::Task& task) const {
        return options_.sampler.longest(task.max_answer_tokens());
    }

    void check_paths(const std::string& path, Problems& problems) const {
        const auto& plan = options_.plan;
        if (plan.kind != rollout::SearchKind::beam && plan.kind != rollout::SearchKind::dvts) return;
        if (plan.paths % plan.branch != 0)
            problems.push_back({"", path + ".paths",
                                cat("is ", plan.paths, ", no multiple of branch ", plan.branch,
                                    " (each step keeps paths / branch of them). Take a multiple.")});
    }

    /// Nodes of a tree are numbered in 32 bits.
    void check_nodes(const task::Task& task, const std::string& path, Problems& problems) const {
        const auto& plan = options_.plan;
        const bool mcts = plan.kind == rollout::SearchKind::mcts;
        const std::int64_t rounds = mcts ? plan.simulations : std::min<std::int64_t>(plan.depth, longest_answer(task));
        if (rounds * rollout::search_width(plan) > kMostNodes)
            problems.push_back({"", path + (mcts ? ".simulations" : ".depth"),
                                cat("makes ", rounds, " rounds of ", rollout::search_width(plan),
                                    " continuations (a tree has room for ", kMostNodes, " nodes). Take fewer.")});
    }

    void search(StageContext& context, rollout::Generator& generator, rollout::Scorer& scorer, std::int64_t begin,
                std::int64_t end, store::FileWriter& part) const {
        std::vector<task::Problem> problems;
        for (std::int64_t i = begin; i < end; ++i) problems.push_back(context.task.problem(options_.problems, i));
        const auto trees = rollout::search(options_.plan_for(context.task, context.seed), generator, scorer, problems);
        rollout::Trajectories answers;
        rollout::SearchTable table;
        for (std::size_t i = 0; i < trees.size(); ++i) {
            answers.add_problem(begin + static_cast<std::int64_t>(i), problems[i]);
            answers.add(trees[i].answer);
            table.add(trees[i]);
        }
        answers.write(part);
        table.nodes().write(part, "node");
        table.trees().write(part, "tree");
    }

    void merge(StageContext& context, const std::vector<std::filesystem::path>& parts) const {
        rollout::Trajectories answers;
        store::Columns nodes, trees;
        for (const auto& part : parts) {
            const store::FileReader file(part);
            answers.append(rollout::Trajectories::read(file));
            nodes.append(store::Columns::read(file, "node"));
            trees.append(store::Columns::read(file, "tree"));
        }
        auto attributes = rollout::answer_attributes(context.task, context.input("policy").name(), options_.problems,
                                                     options_.sampler, context.seed);
        attributes.emplace_back("value", context.input("value").label);
        attributes.emplace_back("value_hash", context.input("value").identity);
        std::vector entries{rollout::write_trajectories(context.directory, context.task, answers, attributes)};
        entries.push_back(rollout::write_search(context.directory, context.task, answers, nodes, trees, attributes));
        store::write_manifest(context.directory, entries);
    }

    void report(StageContext& context, const rollout::Trajectories& answers, const store::FileReader& file,
                const TokenFlop& policy, double read_flop) const {
        std::vector<double> right(answers.outcome.begin(), answers.outcome.end());
        const auto interval = eval::wilson(static_cast<double>(std::count(right.begin(), right.end(), 1.0)),
                                           static_cast<std::int64_t>(right.size()));
        const auto separation = rollout::separation_of(file);
        const int width = rollout::search_width(options_.plan);
        if (static_cast<double>(width) > separation.critical_width)
            log::warn(cat(context.node.name, ": ", width, " continuations a round, but with a gap of ",
                          rounded(separation.gap), " between right and wrong answers and a noise of ",
                          rounded(separation.noise), " this value model can tell apart about ",
                          rounded(separation.critical_width),
                          " (a wider search finds wrong answers that look right). Try fewer."));
        const auto cost = rollout::cost_of(file);
        const AnswerCost tokens{static_cast<double>(cost.generated), static_cast<double>(cost.prompt),
                                static_cast<double>(cost.scored)};
        write_results(context.directory,
                      {{"kind", "search"},
                       {"search", word_of(options_.plan.kind)},
                       {"answer", word_of(options_.plan.answer)},
                       {"policy", context.input("policy").label},
                       {"value", context.input("value").label},
                       {"branch", options_.plan.branch},
                       {"width", width},
                       {"problems", answers.num_problems()},
                       {"accuracy", {{"mean", interval.mean}, {"low", interval.low}, {"high", interval.high}}},
                       {"generated_tokens", cost.generated},
                       {"prompt_tokens", cost.prompt},
                       {"scored_tokens", cost.scored},
                       {"flops", flops_json(tokens, policy, read_flop)},
                       {"gap", separation.gap},
                       {"noise", separation.noise},
                       {"critical_width", separation.critical_width},
                       {"nodes", file.size("node/parent")}});
    }

    static std::string rounded(double x) {
        std::array<char, 32> text{};
        std::snprintf(text.data(), text.size(), "%.3g", x);
        return text.data();
    }

    SearchStageOptions options_;
};

}  // namespace

StageKind search_kind() {
    return kind_of<SearchStageOptions, SearchStage>(
        "search over steps, guided by a value model: greedy, beam, dvts, smc, mcts", kAnswers,
        {{"policy", kPolicy}, {"value", kValues}});
}

}  // namespace tdrm::stage
