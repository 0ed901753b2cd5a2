#include "tdrm/rollout/tables.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/rollout/search.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::rollout {
namespace {

/// Names of task::Reason in the order of their numbers, joined by commas.
std::string reason_names() {
    std::string names;
    for (int r = 0; r < task::kReasons; ++r) names += cat(r > 0 ? "," : "", task::name(static_cast<task::Reason>(r)));
    return names;
}

/// The bytes that a token adds to a text that has begun: words of the built-in tasks stand apart by spaces, tokens of a
/// tokenizer bring their own.
std::string added_text(const task::Task& task, task::Token token) {
    const std::string word = task.token_text(token);
    const task::Token pair[] = {task.end_token(), token};
    return task.text(pair) == task.token_text(task.end_token()) + " " + word ? " " + word : word;
}

}  // namespace

Attributes task_attributes(const task::Task& task) {
    return {{"schema", std::string("tdrm-trajectories-1")},
            {"task", std::string(task.kind())},
            {"tokenizer", task.vocabulary_fingerprint()},
            {"template", task.prompt_form()},
            {"verdict_reasons", reason_names()}};
}

Attributes answer_attributes(const task::Task& task, const ModelName& policy, const std::string& split,
                             const engine::SamplerOptions& sampler, std::uint64_t seed) {
    Attributes attributes = task_attributes(task);
    const Attributes answers{{"split", split},
                             {"policy", policy.label},
                             {"policy_hash", policy.hash},
                             {"temperature", sampler.temperature},
                             {"top_k", static_cast<std::int64_t>(sampler.top_k)},
                             {"top_p", sampler.top_p},
                             {"min_p", sampler.min_p},
                             {"seed", static_cast<std::int64_t>(seed)}};
    attributes.insert(attributes.end(), answers.begin(), answers.end());
    return attributes;
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

void write_answers(const std::filesystem::path& directory, const task::Task& task, const Trajectories& answers,
                   const StateLabels& labels, const Attributes& attributes) {
    store::FileWriter file(directory / "trajectories.h5");
    for (const auto& [name, value] : attributes) file.attribute(name, value);
    answers.write(file);
    write_vocabulary(file, task, {answers.prompt_token, answers.token});
    std::vector<store::FileEntry> entries{file.close()};
    if (!labels.empty()) {
        write_labels(directory / "labels.h5", answers, labels);
        entries.push_back(store::entry_of(directory / "labels.h5"));
    }
    store::write_manifest(directory, entries);
}

void write_values(const std::filesystem::path& directory, const Trajectories& data, std::span<const float> logits,
                  const ModelName& model, std::span<const float> deviation) {
    const auto offsets = state_offsets(data);
    ensure(logits.size() == offsets.back(), "values come one per state");
    store::FileWriter file(directory / "values.h5");
    file.attribute("schema", std::string("tdrm-values-1"));
    file.attribute("describes", content_hash(data));
    file.attribute("model", model.label);
    file.attribute("model_hash", model.hash);
    file.write("state/offset", std::vector<std::int64_t>(offsets.begin(), offsets.end()));
    file.write("state/value", logits);
    if (!deviation.empty()) file.write("state/deviation", deviation);
    store::write_manifest(directory, std::vector{file.close()});
}

std::vector<float> load_values(const std::filesystem::path& directory) {
    return store::FileReader(directory / "values.h5").read<float>("state/value");
}

std::vector<float> load_deviations(const std::filesystem::path& directory) {
    const store::FileReader file(directory / "values.h5");
    return file.has("state/deviation") ? file.read<float>("state/deviation") : std::vector<float>();
}

void NodeTable::add(const SearchTree& tree) {
    for (const auto& node : tree.nodes) {
        parent.push_back(node.parent);
        value.push_back(node.value);
        terminal.push_back(node.terminal ? 1 : 0);
        on_path.push_back(node.on_path ? 1 : 0);
        token.insert(token.end(), node.ids.begin(), node.ids.end());
        token_offset.push_back(static_cast<std::int64_t>(token.size()));
    }
    tree_offset.push_back(static_cast<std::int64_t>(parent.size()));
}

store::Columns NodeTable::columns() const {
    store::Columns c;
    c.set("tree_offset", tree_offset);
    c.set("token_offset", token_offset);
    c.set("parent", parent);
    c.set("token", token);
    c.set("value", value);
    c.set("terminal", terminal);
    c.set("on_path", on_path);
    return c;
}

}  // namespace tdrm::rollout
