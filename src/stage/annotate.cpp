// Stage `annotate`: continuations of a policy from every state of stored answers; how many succeed is what a state is
// worth.
#include "tdrm/rollout/annotate.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/engine/memory.hpp"
#include "tdrm/stage/map.hpp"
#include "tdrm/stage/models.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"

namespace tdrm::stage {
namespace {

constexpr std::int64_t kBlockTries = 4096;

struct AnnotateOptions {
    std::string data, policy;
    int tries = 8;
    std::optional<std::int64_t> budget;
    engine::SamplerOptions sampler;
    int slots = 256;

    void fields(Fields& f) {
        f("data", data, "stage whose answers are annotated: rollout, search, import").required();
        f("policy", policy, "model that goes on from their states").required();
        f("tries", tries, "continuations of each state", between(1, 1e6));
        f("budget", budget, "generated tokens of a problem after which its states get no further try; none = no bound",
          between(1, 1e12));
        f("sampler", sampler, "how continuations are drawn");
        f("slots", slots, "sequences decoded together", between(1, 1e6)).not_identity();
    }
};

class AnnotateStage final : public Stage {
public:
    explicit AnnotateStage(AnnotateOptions options) : options_(std::move(options)) {}
    [[nodiscard]] std::string identity() const override { return tdrm::identity(options_); }
    void check(const task::Task&, const std::string&, Problems&) const override {}

    StageOutcome run(StageContext& context) override {
        const auto data = load_trajectories(context, context.input("data"));
        if (!map_is_done(context, context.directory)) {
            const auto policy = load_model(context, context.input("policy"), model::Use::passes);
            rollout::Generator generator(*policy, options_.sampler, context.task.end_tokens(), options_.slots);
            rollout::AnnotatePlan plan{&context.task, options_.tries, options_.budget.value_or(0), options_.sampler,
                                       context.seed};
            const auto states =
                std::max<std::int64_t>(1, static_cast<std::int64_t>(data.size() + data.step_end.size()));
            MapWork work;
            work.label = context.node.name;
            work.units = static_cast<std::int64_t>(data.num_problems());
            work.block =
                block_size(work.units, std::max<std::int64_t>(1, kBlockTries * work.units / (states * options_.tries)));
            work.directory = context.directory;
            work.work = [&](std::int64_t begin, std::int64_t end, store::FileWriter& part) {
                const auto found = rollout::annotate(
                    plan, generator, data, static_cast<std::size_t>(begin), static_cast<std::size_t>(end),
                    [&] { context.watchdog.unit(cat(context.node.name, ", problems ", begin, " to ", end - 1)); });
                part.write("state/successes", found.successes);
                part.write("state/tries", found.tries);
                part.write("generated", std::vector<std::int64_t>{found.generated});
            };
            work.merge = [&](const auto& parts) { merge(context, data, parts); };
            warn_if_idle(context, (work.units + work.block - 1) / work.block);
            run_map(context, work);
        }
        return context.ranks.agree("reading annotations", [&] {
            const store::FileReader file(context.directory / "trajectories.h5");
            const auto labels = rollout::read_labels(context.directory / "labels.h5", data);
            const auto sum = [](const auto& x) { return std::accumulate(x.begin(), x.end(), std::int64_t{0}); };
            const auto tries = sum(labels.tries), successes = sum(labels.successes);
            const nlohmann::json figures{
                {"states", labels.tries.size()},
                {"tries", tries},
                {"success_rate", tries > 0 ? static_cast<double>(successes) / static_cast<double>(tries) : 0},
                {"generated_tokens", file.attribute<std::int64_t>("/", "annotation_tokens")}};
            if (context.ranks.root()) {
                auto results = figures;
                results["kind"] = "annotate";
                results["data"] = context.input("data").label;
                results["policy"] = context.input("policy").label;
                write_results(context.directory, results);
            }
            return StageOutcome{0, -1, figures};
        });
    }

    [[nodiscard]] std::string plan(const task::Task&) const override {
        return cat(options_.tries, " continuations from every state of ", options_.data);
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        const auto spec = planned.model("policy");
        if (!spec) return std::nullopt;
        const int answer = options_.sampler.longest(planned.task.max_answer_tokens());
        const auto tokens = rollout::annotate_tokens(options_.slots, planned.task.max_prompt_tokens(), answer);
        Memory memory = frozen_memory("the policy", *spec).add(prefill_memory(*spec, planned.task, options_.slots));
        return memory.add("the policy's cache", engine::decoder_bytes(*spec, tokens, options_.slots));
    }

private:
    /// The same answers again with labels that know more, so that `value` and `best_of_n` take them as `data`.
    void merge(StageContext& context, const rollout::Trajectories& data,
               const std::vector<std::filesystem::path>& parts) const {
        const Input& source = context.input("data");
        auto labels = rollout::load_labels(source.directory, context.task, data);
        rollout::Annotation all;
        for (const auto& path : parts) {
            const store::FileReader part(path);
            all.append({part.read<std::int32_t>("state/successes"), part.read<std::int32_t>("state/tries"),
                        part.read<std::int64_t>("generated").front()});
        }
        labels.successes = std::move(all.successes);
        labels.tries = std::move(all.tries);
        auto attributes = rollout::attributes_of(store::FileReader(source.directory / "trajectories.h5"));
        attributes.emplace_back("annotated_by", context.input("policy").label);
        attributes.emplace_back("annotated_by_hash", context.input("policy").identity);
        attributes.emplace_back("annotation_tokens", all.generated);
        rollout::write_answers(context.directory, context.task, data, labels, attributes);
    }

    AnnotateOptions options_;
};

}  // namespace

StageKind annotate_kind() {
    return kind_of<AnnotateOptions, AnnotateStage>(
        "how often a policy succeeds from every state of stored answers: labels of steps, or their truth", kAnswers,
        {{"data", kAnswers}, {"policy", kPolicy}});
}

}  // namespace tdrm::stage
