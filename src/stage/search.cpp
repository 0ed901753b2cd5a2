// Stage `search`: tree search over steps, guided by a value model; a branch count or several of them.
#include "tdrm/rollout/search.hpp"

#include <algorithm>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/engine/memory.hpp"
#include "tdrm/eval/intervals.hpp"
#include "tdrm/rollout/tables.hpp"
#include "tdrm/stage/map.hpp"
#include "tdrm/stage/models.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::stage {
namespace {

enum class SearchKind { greedy };
constexpr auto enum_names(SearchKind) {
    return std::array<std::pair<SearchKind, std::string_view>, 1>{{{SearchKind::greedy, "greedy"}}};
}

struct SearchStageOptions {
    std::string policy, value, problems;
    SearchKind kind = SearchKind::greedy;
    int branch = 8;
    int depth = 30;
    rollout::ReadOutOptions read_out;
    engine::SamplerOptions sampler;
    int slots = 256;

    void fields(Fields& f) {
        f("policy", policy, "model that proposes steps").required();
        f("value", value, "value model that chooses among them").required();
        f("problems", problems, "split to answer").required();
        f("kind", kind, "greedy: one path, the best continuation of each step");
        f("branch", branch, "continuations of each step", between(1, 1e6));
        f("depth", depth, "bound on the steps; the last one runs to the end", between(1, 1e6));
        f("read_out", read_out, "how a value model named hf:DIR is read");
        f("sampler", sampler, "how steps are drawn");
        f("slots", slots, "sequences decoded together", between(1, 1e6)).not_identity();
    }
};

class SearchStage final : public Stage {
public:
    explicit SearchStage(SearchStageOptions options) : options_(std::move(options)) {}
    [[nodiscard]] std::string identity() const override { return tdrm::identity(options_); }
    void check(const task::Task& task, const std::string& path, Problems& problems) const override {
        check_split(task, options_.problems, path + ".problems", problems);
        rollout::check_read_out(options_.read_out, task, path + ".read_out", problems);
    }

    StageOutcome run(StageContext& context) override {
        const auto policy = load_model(context, context.input("policy"));
        refuse_hazards(context, context.input("value"), "search");
        const auto value = load_value_model(context, context.input("value"), options_.read_out);
        rollout::Generator generator(*policy, options_.sampler, context.task.end_tokens(), options_.slots);
        rollout::Scorer scorer =
            value_scorer(context, *value, context.input("value"), options_.read_out, rollout::kScoreTokens);
        MapWork work;
        work.label = context.node.name;
        work.units = context.task.split_size(options_.problems);
        work.block = block_size(work.units, std::max(1, 1024 / options_.branch));
        work.directory = context.directory;
        work.work = [&](std::int64_t begin, std::int64_t end, store::FileWriter& part) {
            search(context, generator, scorer, begin, end, part);
        };
        work.merge = [&](const auto& parts) { merge(context, parts); };
        warn_if_idle(context, (work.units + work.block - 1) / work.block);
        if (!map_is_done(context, context.directory)) run_map(context, work);
        const auto answers = context.ranks.agree("reading answers", [&] {
            const store::FileReader file(context.directory / "trajectories.h5");
            auto table = rollout::Trajectories::read(file);
            if (context.ranks.root()) report(context, table, file);
            return table;
        });
        return {0, -1, metrics_json(answer_metrics(answers))};
    }

    [[nodiscard]] std::string plan(const task::Task& task) const override {
        return cat(task.split_size(options_.problems), " problems, ", options_.branch, " branches a step");
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        const auto policy = planned.model("policy");
        const auto value = planned.model("value");
        if (!policy || !value) return std::nullopt;
        const int answer =
            options_.sampler.max_tokens > 0 ? options_.sampler.max_tokens : planned.task.max_answer_tokens();
        const rollout::SearchPlan plan{&planned.task, options_.branch, options_.depth, options_.sampler, 0};
        const auto tokens = rollout::search_tokens(plan, options_.slots, planned.task.max_prompt_tokens(), answer);
        const auto pass = std::min<std::int64_t>(rollout::kScoreTokens, tokens);
        Memory memory = frozen_memory("the policy", *policy).add(prefill_memory(*policy, planned.task, options_.slots));
        memory.add("the policy's cache", engine::decoder_bytes(*policy, tokens, options_.slots));
        memory.add(frozen_memory("the value model", *value)).add(scoring_memory(*value, static_cast<int>(pass)));
        return memory.add("the value model's cache", engine::decoder_bytes(*value, tokens, 0));
    }

private:
    [[nodiscard]] std::vector<rollout::SearchTree> trees_of(const rollout::SearchPlan& plan,
                                                            rollout::Generator& generator, rollout::Scorer& scorer,
                                                            std::span<const task::Problem> problems) const {
        switch (options_.kind) {
            case SearchKind::greedy:
                return rollout::greedy_search(plan, generator, scorer, problems);
        }
        ensure(false, "a kind of search without a search");
        return {};
    }

    void search(StageContext& context, rollout::Generator& generator, rollout::Scorer& scorer, std::int64_t begin,
                std::int64_t end, store::FileWriter& part) const {
        std::vector<task::Problem> problems;
        for (std::int64_t i = begin; i < end; ++i) problems.push_back(context.task.problem(options_.problems, i));
        const rollout::SearchPlan plan{&context.task, options_.branch, options_.depth, options_.sampler, context.seed};
        const auto trees = trees_of(plan, generator, scorer, problems);
        rollout::Trajectories answers;
        rollout::NodeTable nodes;
        for (std::size_t i = 0; i < trees.size(); ++i) {
            answers.add_problem(begin + static_cast<std::int64_t>(i), problems[i]);
            answers.add(trees[i].answer);
            nodes.add(trees[i]);
        }
        answers.write(part);
        nodes.columns().write(part, "node");
    }

    void merge(StageContext& context, const std::vector<std::filesystem::path>& parts) const {
        rollout::Trajectories answers;
        store::Columns nodes;
        for (const auto& part : parts) {
            const store::FileReader file(part);
            answers.append(rollout::Trajectories::read(file));
            nodes.append(store::Columns::read(file, "node"));
        }
        store::FileWriter file(context.directory / "trajectories.h5");
        for (const auto& [name, value] : rollout::answer_attributes(context.task, context.input("policy").name(),
                                                                    options_.problems, options_.sampler, context.seed))
            file.attribute(name, value);
        file.attribute("value", context.input("value").label);
        file.attribute("value_hash", context.input("value").identity);
        answers.write(file);
        nodes.write(file, "node");
        rollout::write_vocabulary(file, context.task, {answers.prompt_token, nodes.get<std::int32_t>("token")});
        store::write_manifest(context.directory, std::vector{file.close()});
    }

    void report(StageContext& context, const rollout::Trajectories& answers, const store::FileReader& file) const {
        std::vector<double> right(answers.outcome.begin(), answers.outcome.end());
        const auto interval = eval::wilson(static_cast<double>(std::count(right.begin(), right.end(), 1.0)),
                                           static_cast<std::int64_t>(right.size()));
        write_results(context.directory,
                      {{"kind", "search"},
                       {"policy", context.input("policy").label},
                       {"value", context.input("value").label},
                       {"branch", options_.branch},
                       {"problems", answers.num_problems()},
                       {"accuracy", {{"mean", interval.mean}, {"low", interval.low}, {"high", interval.high}}},
                       {"generated_tokens", file.size("node/token")},
                       {"nodes", file.size("node/parent")}});
    }

    SearchStageOptions options_;
};

}  // namespace

StageKind search_kind() {
    return kind_of<SearchStageOptions, SearchStage>("tree search over steps, guided by a value model",
                                                    {"policy", "value"});
}

}  // namespace tdrm::stage
