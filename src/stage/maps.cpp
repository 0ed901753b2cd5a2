#include "tdrm/stage/maps.hpp"

#include <algorithm>
#include <optional>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/engine/ensemble.hpp"
#include "tdrm/rollout/features.hpp"
#include "tdrm/rollout/labels.hpp"
#include "tdrm/stage/cost.hpp"
#include "tdrm/stage/map.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/store/directory.hpp"

namespace tdrm::stage {
namespace {

constexpr std::int64_t kBlockAnswers = 2048;  ///< answers of a part: some seconds of work for small models

/// Problems of a part, if each comes with its answers.
std::int64_t block_of_problems(const rollout::Trajectories& data) {
    const auto problems = static_cast<std::int64_t>(data.num_problems());
    const auto answers = std::max<std::int64_t>(1, static_cast<std::int64_t>(data.size()));
    return block_size(problems, std::max<std::int64_t>(1, kBlockAnswers * problems / answers));
}

template <class T>
void append(std::vector<T>& all, const std::vector<T>& more) {
    all.insert(all.end(), more.begin(), more.end());
}

/// Attributes of answers with what a token of their policy costs; nothing more for those of a script.
rollout::Attributes with_cost(rollout::Attributes attributes, const engine::Engine* policy) {
    if (policy == nullptr) return attributes;
    const TokenFlop flop = token_flop(policy->spec());
    attributes.emplace_back("policy_read_flop", flop.read);
    attributes.emplace_back("policy_drawn_flop", flop.drawn);
    return attributes;
}

}  // namespace

rollout::Trajectories rollout_map(StageContext& context, const rollout::RolloutPlan& plan, engine::Engine* policy,
                                  int slots, const std::string& label, const std::filesystem::path& directory,
                                  const rollout::Attributes& attributes) {
    if (!map_is_done(context, directory)) {
        ensure(plan.scripted == (policy == nullptr), "a model answers, or the script");
        std::optional<rollout::Generator> generator;
        if (policy != nullptr) generator.emplace(*policy, plan.sampler, context.task.end_tokens(), slots);
        MapWork work;
        work.label = label;
        work.units = context.task.split_size(plan.split);
        work.block = block_size(work.units, std::max<std::int64_t>(1, kBlockAnswers / plan.samples));
        work.directory = directory;
        work.work = [&](std::int64_t begin, std::int64_t end, store::FileWriter& part) {
            std::vector<task::Draw> draws;
            for (std::int64_t i = begin; i < end; ++i) draws.push_back({i, 0});
            const auto alive = [&] { context.watchdog.unit(cat(label, ", problems ", begin, " to ", end - 1)); };
            (generator ? rollout::sample_answers(plan, *generator, draws, alive)
                       : rollout::scripted_answers(plan, draws))
                .write(part);
        };
        work.merge = [&](const std::vector<std::filesystem::path>& parts) {
            rollout::Trajectories all;
            for (const auto& part : parts) all.append(rollout::Trajectories::read(store::FileReader(part)));
            auto labels = rollout::state_labels(context.task, all, plan.scripted);
            if (plan.verdict_noise > 0) rollout::flip_verdicts(all, labels, plan.verdict_noise, plan.seed);
            rollout::write_answers(directory, context.task, all, labels, with_cost(attributes, policy));
        };
        warn_if_idle(context, (work.units + work.block - 1) / work.block);
        run_map(context, work);
    }
    return context.ranks.agree("reading " + label, [&] {
        return rollout::Trajectories::read(store::FileReader(directory / "trajectories.h5"));
    });
}

rollout::FeatureTable feature_map(StageContext& context, const rollout::Trajectories& data, const Input& body,
                                  const std::string& label, const std::filesystem::path& directory) {
    if (!map_is_done(context, directory)) {
        const auto model = new_value_model(context, body, model::Use::passes);
        rollout::Scorer scorer(*model, context.task.probe(), rollout::kScoreTokens);
        scorer.show(rollout::value_prompts_of(context.task));
        MapWork work;
        work.label = label;
        work.units = static_cast<std::int64_t>(data.num_problems());
        work.block = block_of_problems(data);
        work.directory = directory;
        work.work = [&](std::int64_t begin, std::int64_t end, store::FileWriter& part) {
            const auto features = rollout::state_features(
                scorer, data, static_cast<std::size_t>(begin), static_cast<std::size_t>(end),
                [&] { context.watchdog.unit(cat(label, ", problems ", begin, " to ", end - 1)); });
            part.write("state/feature", features.features_SD);
            part.write("problem/scored_tokens", features.scored_tokens);
            part.write("problem/shared_tokens", features.shared_tokens);
        };
        work.merge = [&](const std::vector<std::filesystem::path>& parts) {
            rollout::FeatureTable table;
            for (const auto& part : parts) {
                const store::FileReader file(part);
                append(table.features_SD, file.read<float>("state/feature"));
                append(table.scored_tokens, file.read<std::int64_t>("problem/scored_tokens"));
                append(table.shared_tokens, file.read<std::int64_t>("problem/shared_tokens"));
            }
            rollout::write_features(directory, data, table, body.name());
        };
        run_map(context, work);
    }
    return context.ranks.agree("reading " + label,
                               [&] { return rollout::load_features(directory, data, body.identity); });
}

namespace {

/// The body that a stage's heads were trained on, as the commit of one of them holds it; nothing if the whole model
/// was.
std::optional<Input> frozen_body(StageContext& context, const Input& value) {
    if (value.is_foreign()) return std::nullopt;
    return context.ranks.agree("reading what " + value.label + " is", [&]() -> std::optional<Input> {
        const auto record = StageRecord::read(value.directory.parent_path());
        if (!record || record->kind != "value") return std::nullopt;
        const Yaml text = parse_yaml(record->identity_text, "stage.json");
        const Yaml* trained = text.find_path("options.train");
        const Yaml* body = text.find_path("inputs.init");
        if (!trained || trained->scalar != "head" || !body) return std::nullopt;
        return Input{value.key, "the body of " + value.label, value.directory, body->scalar};
    });
}

/// Writes what heads say of hidden states. Every rank reads them; rank 0 writes.
void write_head_values(StageContext& context, const rollout::Trajectories& data, const Input& value,
                       const rollout::FeatureTable& features, const std::filesystem::path& directory) {
    const ValueHeads of = load_value_heads(context, value);
    context.ranks.agree("reading heads of " + value.label, [&] {
        if (!context.ranks.root()) return;
        std::vector<std::vector<float>> logits;
        for (const auto& head : of.heads) logits.push_back(rollout::head_logits(*head, features.features_SD));
        rollout::ValueTable table{{{}, features.scored_tokens, features.shared_tokens}};
        if (logits.size() == 1) {
            table.scores.logits = std::move(logits.front());
        } else {
            auto both = engine::combined(logits);
            table.scores.logits = std::move(both.logit);
            table.deviation = std::move(both.deviation);
        }
        table.read_flop = token_flop(of.model).read;  // the body once, whatever the number of heads
        store::make_directories(directory);
        rollout::write_values(directory, data, table, value.name());
    });
}

}  // namespace

rollout::ValueTable score_map(StageContext& context, const rollout::Trajectories& data, const Input& value,
                              const std::string& label, const std::filesystem::path& directory,
                              const rollout::ReadOutOptions& read_out) {
    if (map_is_done(context, directory)) {
        // below
    } else if (const auto body = frozen_body(context, value)) {
        const auto folder = context.directory / ("features-" + hash_hex(body->identity).substr(0, 8));
        const auto features = feature_map(context, data, *body, "features of " + body->label, folder);
        write_head_values(context, data, value, features, directory);
    } else {
        const auto members = load_value_members(context, value, read_out);
        std::vector<rollout::Scorer> scorers;
        for (const auto& member : members)
            scorers.push_back(value_scorer(context, *member, value, read_out, rollout::kScoreTokens));
        MapWork work;
        work.label = label;
        work.units = static_cast<std::int64_t>(data.num_problems());
        work.block = block_of_problems(data);
        work.directory = directory;
        work.work = [&](std::int64_t begin, std::int64_t end, store::FileWriter& part) {
            std::vector<std::vector<float>> logits;
            rollout::Scores scores;
            for (auto& scorer : scorers) {
                scores =
                    rollout::score(scorer, data, static_cast<std::size_t>(begin), static_cast<std::size_t>(end),
                                   [&] { context.watchdog.unit(cat(label, ", problems ", begin, " to ", end - 1)); });
                logits.push_back(std::move(scores.logits));
            }
            part.write("problem/scored_tokens", scores.scored_tokens);  // every member reads the same
            part.write("problem/shared_tokens", scores.shared_tokens);
            if (logits.size() == 1) return part.write("state/value", logits[0]);
            const auto both = engine::combined(logits);
            part.write("state/value", both.logit);
            part.write("state/deviation", both.deviation);
        };
        work.merge = [&](const std::vector<std::filesystem::path>& parts) {
            rollout::ValueTable table;
            for (const auto& part : parts) {
                const store::FileReader file(part);
                append(table.scores.logits, file.read<float>("state/value"));
                append(table.scores.scored_tokens, file.read<std::int64_t>("problem/scored_tokens"));
                append(table.scores.shared_tokens, file.read<std::int64_t>("problem/shared_tokens"));
                if (file.has("state/deviation")) append(table.deviation, file.read<float>("state/deviation"));
            }
            table.read_flop = static_cast<double>(members.size()) * token_flop(members.front()->spec()).read;
            rollout::write_values(directory, data, table, value.name());
        };
        run_map(context, work);
    }
    return context.ranks.agree("reading " + label, [&] { return rollout::load_values(directory); });
}

}  // namespace tdrm::stage
