#include "tdrm/stage/tables.hpp"

#include <cmath>

#include "tdrm/base/errors.hpp"
#include "tdrm/stage/map.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::stage {
namespace {

constexpr std::int64_t kBlockAnswers = 2048;  ///< answers of a part: some seconds of work for small models
constexpr int kScoreTokens = 4096;            ///< tokens of a scoring pass

/// The bytes that a token adds to a text that has begun: words of the built-in tasks stand apart by spaces, tokens of a
/// tokenizer bring their own.
std::string added_text(const task::Task& task, task::Token token) {
    const std::string word = task.token_text(token);
    const task::Token pair[] = {task.end_token(), token};
    return task.text(pair) == task.token_text(task.end_token()) + " " + word ? " " + word : word;
}

void write_labels(const std::filesystem::path& path, const rollout::Trajectories& answers, const StateLabels& labels) {
    const auto offsets = rollout::state_offsets(answers);
    store::FileWriter file(path);
    file.attribute("schema", std::string("tdrm-labels-1"));
    file.attribute("describes", rollout::content_hash(answers));
    file.attribute("kind", labels.kind);
    file.attribute("source", labels.source);
    file.write("state/offset", std::vector<std::int64_t>(offsets.begin(), offsets.end()));
    file.write("state/truth", labels.truth);
    file.write("step/right", labels.step_right);
    if (!labels.outcome_known.empty()) file.write("trajectory/outcome_known", labels.outcome_known);
    file.close();
}

}  // namespace

std::string reason_names() {
    std::string names;
    for (int r = 0; r < task::kReasons; ++r) names += cat(r > 0 ? "," : "", task::name(static_cast<task::Reason>(r)));
    return names;
}

Attributes answer_attributes(const StageContext& context, const Input& policy, const std::string& split,
                             const engine::SamplerOptions& sampler) {
    return {{"schema", std::string("tdrm-trajectories-1")},
            {"task", std::string(context.task.kind())},
            {"tokenizer", context.task.vocabulary_fingerprint()},
            {"template", std::string("none")},
            {"verdict_reasons", reason_names()},
            {"split", split},
            {"policy", policy.label},
            {"policy_hash", policy.identity},
            {"temperature", sampler.temperature},
            {"top_k", static_cast<std::int64_t>(sampler.top_k)},
            {"top_p", sampler.top_p},
            {"min_p", sampler.min_p},
            {"seed", static_cast<std::int64_t>(context.seed)}};
}

void write_vocabulary(store::FileWriter& file, const task::Task& task,
                      std::initializer_list<std::span<const std::int32_t>> tokens) {
    std::vector<std::uint8_t> occurs(static_cast<std::size_t>(task.vocab_size()));
    for (const auto& span : tokens)
        for (const std::int32_t id : span) {
            if (id < 0 || id >= task.vocab_size()) {
                (void)task.token_text(id);  // throws, unless it is a spare row of a model, which has no text
                continue;
            }
            occurs[static_cast<std::size_t>(id)] = 1;
        }
    std::vector<std::int32_t> ids;
    std::vector<std::int64_t> offsets{0};
    std::vector<std::uint8_t> bytes;
    for (std::size_t id = 0; id < occurs.size(); ++id) {
        if (occurs[id] == 0) continue;
        const std::string text = added_text(task, static_cast<task::Token>(id));
        ids.push_back(static_cast<std::int32_t>(id));
        bytes.insert(bytes.end(), text.begin(), text.end());
        offsets.push_back(static_cast<std::int64_t>(bytes.size()));
    }
    file.write("vocabulary/id", ids);
    file.write("vocabulary/text_offset", offsets);
    file.write("vocabulary/text", bytes);
}

StateLabels state_labels(const task::Task& task, const rollout::Trajectories& data) {
    StateLabels labels;
    if (task.truth_kind() == task::TruthKind::none) return labels;
    labels.kind = task.truth_kind() == task::TruthKind::reachable ? "reachable" : "no_error_so_far";
    labels.source = task.kind();
    for (std::size_t row = 0; row < data.size(); ++row) {
        const auto problem = data.problem_of(row);
        const auto truth = task.truth(problem, data.ids(row), data.step_ends(row));
        const auto right = task.step_right(problem, data.ids(row), data.step_ends(row));
        labels.truth.insert(labels.truth.end(), truth.begin(), truth.end());
        labels.step_right.insert(labels.step_right.end(), right.begin(), right.end());
    }
    return labels;
}

StateLabels load_labels(const StageContext& context, const Input& input, const rollout::Trajectories& data) {
    const auto path = input.directory / "labels.h5";
    if (!std::filesystem::exists(path)) return state_labels(context.task, data);
    const store::FileReader file(path);
    StateLabels labels;
    labels.truth = file.read<float>("state/truth");
    labels.step_right = file.read<std::uint8_t>("step/right");
    if (file.has("trajectory/outcome_known"))
        labels.outcome_known = file.read<std::uint8_t>("trajectory/outcome_known");
    labels.kind = file.attribute<std::string>("/", "kind");
    labels.source = file.attribute<std::string>("/", "source");
    const bool fits = file.attribute<std::string>("/", "describes") == rollout::content_hash(data) &&
                      labels.truth.size() == rollout::state_offsets(data).back() &&
                      labels.step_right.size() == data.step_end.size() &&
                      (labels.outcome_known.empty() || labels.outcome_known.size() == data.size());
    if (!fits)
        throw DataError(
            cat(path.string(), " belongs to other trajectories (labels are aligned state by state). Make both again."));
    return labels;
}

void write_answers(const std::filesystem::path& directory, const task::Task& task, const rollout::Trajectories& answers,
                   const Attributes& attributes) {
    write_answers(directory, task, answers, state_labels(task, answers), attributes);
}

void write_answers(const std::filesystem::path& directory, const task::Task& task, const rollout::Trajectories& answers,
                   const StateLabels& labels, const Attributes& attributes) {
    store::FileWriter file(directory / "trajectories.h5");
    for (const auto& [name, value] : attributes) file.attribute(name, value);
    answers.write(file);
    write_vocabulary(file, task, {answers.prompt_token, answers.token});
    std::vector<store::FileEntry> entries{file.close()};
    if (!labels.kind.empty()) {
        write_labels(directory / "labels.h5", answers, labels);
        entries.push_back(store::entry_of(directory / "labels.h5"));
    }
    store::write_manifest(directory, entries);
}

rollout::Trajectories rollout_map(StageContext& context, const rollout::RolloutPlan& plan, engine::Engine& policy,
                                  int slots, const std::string& label, const std::filesystem::path& directory,
                                  const Attributes& attributes) {
    if (!map_is_done(context, directory)) {
        rollout::Generator generator(policy, plan.sampler, context.task.end_tokens(), slots);
        MapWork work;
        work.label = label;
        work.units = context.task.split_size(plan.split);
        work.block = block_size(work.units, std::max<std::int64_t>(1, kBlockAnswers / plan.samples));
        work.directory = directory;
        work.work = [&](std::int64_t begin, std::int64_t end, store::FileWriter& part) {
            std::vector<rollout::ProblemDraw> draws;
            for (std::int64_t i = begin; i < end; ++i) draws.push_back({i, 0});
            const auto alive = [&] { context.watchdog.unit(cat(label, ", problems ", begin, " to ", end - 1)); };
            rollout::roll(plan, generator, draws, alive).write(part);
        };
        work.merge = [&](const std::vector<std::filesystem::path>& parts) {
            rollout::Trajectories all;
            for (const auto& part : parts) all.append(rollout::Trajectories::read(store::FileReader(part)));
            write_answers(directory, context.task, all, attributes);
        };
        warn_if_idle(context, (work.units + work.block - 1) / work.block);
        run_map(context, work);
    }
    return context.ranks.agree("reading " + label, [&] {
        return rollout::Trajectories::read(store::FileReader(directory / "trajectories.h5"));
    });
}

std::vector<float> score_map(StageContext& context, const rollout::Trajectories& data, const Input& value,
                             const std::string& label, const std::filesystem::path& directory,
                             const ReadOutOptions& read_out) {
    if (!map_is_done(context, directory)) {
        const auto model = load_value_model(context, value, read_out);
        rollout::Scorer scorer = value_scorer(context, *model, value, read_out, kScoreTokens);
        MapWork work;
        work.label = label;
        work.units = static_cast<std::int64_t>(data.num_problems());
        work.block = block_size(
            work.units,
            std::max<std::int64_t>(
                1, kBlockAnswers * work.units / std::max<std::int64_t>(1, static_cast<std::int64_t>(data.size()))));
        work.directory = directory;
        work.work = [&](std::int64_t begin, std::int64_t end, store::FileWriter& part) {
            part.write(
                "state/value",
                rollout::score(scorer, data, static_cast<std::size_t>(begin), static_cast<std::size_t>(end),
                               [&] { context.watchdog.unit(cat(label, ", problems ", begin, " to ", end - 1)); }));
        };
        work.merge = [&](const std::vector<std::filesystem::path>& parts) {
            std::vector<float> logits;
            for (const auto& part : parts) {
                const auto more = store::FileReader(part).read<float>("state/value");
                logits.insert(logits.end(), more.begin(), more.end());
            }
            const auto offsets = rollout::state_offsets(data);
            store::FileWriter file(directory / "values.h5");
            file.attribute("schema", std::string("tdrm-values-1"));
            file.attribute("describes", rollout::content_hash(data));
            file.attribute("model", value.label);
            file.attribute("model_hash", value.identity);
            file.write("state/offset", std::vector<std::int64_t>(offsets.begin(), offsets.end()));
            file.write("state/value", logits);
            store::write_manifest(directory, std::vector{file.close()});
        };
        run_map(context, work);
    }
    return context.ranks.agree("reading " + label,
                               [&] { return store::FileReader(directory / "values.h5").read<float>("state/value"); });
}

void write_rl_batch(const std::filesystem::path& path, const task::Task& task, const train::RlBatch& batch,
                    const Attributes& attributes) {
    const auto& answers = batch.answers;
    const auto offsets = rollout::state_offsets(answers);
    store::FileWriter file(path);
    file.attribute("schema", std::string("tdrm-rollouts-1"));
    for (const auto& [name, attribute] : attributes)
        if (name != "schema") file.attribute(name, attribute);
    answers.write(file);
    write_vocabulary(file, task, {answers.prompt_token, answers.token});
    file.write("trajectory/reward", batch.reward);
    for (const train::PartScores& part : batch.parts) {
        std::vector<double> weighted;
        for (std::size_t row = 0; row < answers.size(); ++row) weighted.push_back(part.weighted(row));
        file.write("trajectory/reward_" + part.name, weighted);
    }
    file.write("trajectory/trainable", batch.trains);
    file.write("token/advantage", batch.advantage);
    if (!batch.values.empty()) {
        file.write("state/offset", std::vector<std::int64_t>(offsets.begin(), offsets.end()));
        file.write("state/value", batch.values);
    }
    file.close();
}

nlohmann::json metrics_json(const train::Metrics& metrics) {
    nlohmann::json j = nlohmann::json::object();
    for (const auto& [name, value] : metrics.entries())
        j[name] = std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
    return j;
}

void write_results(const std::filesystem::path& directory, const nlohmann::json& results) {
    store::write_text_atomic(directory / "results.json", results.dump(1) + "\n");
}

}  // namespace tdrm::stage
