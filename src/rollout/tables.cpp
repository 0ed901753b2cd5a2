#include "tdrm/rollout/tables.hpp"

#include <numeric>

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

Attributes attributes_of(const store::FileReader& trajectories) {
    Attributes attributes;
    for (const std::string& name : trajectories.attribute_names())
        attributes.emplace_back(name, trajectories.attribute("/", name));
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

store::FileEntry write_trajectories(const std::filesystem::path& directory, const task::Task& task,
                                    const Trajectories& answers, const Attributes& attributes) {
    store::FileWriter file(directory / "trajectories.h5");
    for (const auto& [name, value] : attributes) file.attribute(name, value);
    answers.write(file);
    write_vocabulary(file, task, {answers.prompt_token, answers.token});
    return file.close();
}

void write_answers(const std::filesystem::path& directory, const task::Task& task, const Trajectories& answers,
                   const StateLabels& labels, const Attributes& attributes) {
    std::vector<store::FileEntry> entries{write_trajectories(directory, task, answers, attributes)};
    if (!labels.empty()) {
        write_labels(directory / "labels.h5", answers, labels);
        entries.push_back(store::entry_of(directory / "labels.h5"));
    }
    store::write_manifest(directory, entries);
}

void write_values(const std::filesystem::path& directory, const Trajectories& data, const ValueTable& table,
                  const ModelName& model) {
    const auto offsets = state_offsets(data);
    ensure(table.scores.logits.size() == offsets.back(), "values come one per state");
    ensure(table.scores.scored_tokens.size() == data.num_problems() &&
               table.scores.shared_tokens.size() == data.num_problems(),
           "costs come one per problem");
    store::FileWriter file(directory / "values.h5");
    file.attribute("schema", std::string("tdrm-values-1"));
    file.attribute("describes", content_hash(data));
    file.attribute("model", model.label);
    file.attribute("model_hash", model.hash);
    file.write("state/offset", std::vector<std::int64_t>(offsets.begin(), offsets.end()));
    file.write("state/value", table.scores.logits);
    if (!table.deviation.empty()) file.write("state/deviation", table.deviation);
    file.attribute("read_flop", table.read_flop);
    file.write("problem/scored_tokens", table.scores.scored_tokens);
    file.write("problem/shared_tokens", table.scores.shared_tokens);
    store::write_manifest(directory, std::vector{file.close()});
}

ValueTable load_values(const std::filesystem::path& directory) {
    const store::FileReader file(directory / "values.h5");
    ValueTable table{{file.read<float>("state/value"), file.read<std::int64_t>("problem/scored_tokens"),
                      file.read<std::int64_t>("problem/shared_tokens")}};
    if (file.has("state/deviation")) table.deviation = file.read<float>("state/deviation");
    table.read_flop = file.attribute<double>("/", "read_flop");
    return table;
}

void SearchTable::add(const SearchTree& tree) {
    for (const auto& node : tree.nodes) {
        parent.push_back(node.parent);
        value.push_back(node.value);
        weight.push_back(node.weight);
        visits.push_back(node.visits);
        terminal.push_back(node.terminal ? 1 : 0);
        on_path.push_back(node.on_path ? 1 : 0);
        correct.push_back(node.correct ? 1 : 0);
        token.insert(token.end(), node.ids.begin(), node.ids.end());
        token_offset.push_back(static_cast<std::int64_t>(token.size()));
    }
    tree_offset.push_back(static_cast<std::int64_t>(parent.size()));
    generated.push_back(tree.cost.generated);
    prompt.push_back(tree.cost.prompt);
    scored.push_back(tree.cost.scored);
}

store::Columns SearchTable::nodes() const {
    store::Columns c;
    c.set("tree_offset", tree_offset);
    c.set("token_offset", token_offset);
    c.set("parent", parent);
    c.set("token", token);
    c.set("value", value);
    c.set("weight", weight);
    c.set("visits", visits);
    c.set("terminal", terminal);
    c.set("on_path", on_path);
    c.set("correct", correct);
    return c;
}

store::Columns SearchTable::trees() const {
    store::Columns c;
    c.set("generated", generated);
    c.set("prompt", prompt);
    c.set("scored", scored);
    return c;
}

store::FileEntry write_search(const std::filesystem::path& directory, const task::Task& task,
                              const Trajectories& answers, const store::Columns& nodes, const store::Columns& trees,
                              const Attributes& attributes) {
    store::FileWriter file(directory / "search.h5");
    for (const auto& [name, value] : attributes)
        file.attribute(name, name == "schema" ? std::string("tdrm-search-1") : value);
    file.attribute("describes", content_hash(answers));
    nodes.write(file, "node");
    trees.write(file, "tree");
    write_vocabulary(file, task, {answers.prompt_token, nodes.get<std::int32_t>("token")});
    return file.close();
}

SearchCost cost_of(const store::FileReader& search) {
    const auto trees = store::Columns::read(search, "tree");
    const auto sum = [&](std::string_view name) {
        const auto& tokens = trees.get<std::int64_t>(name);
        return std::accumulate(tokens.begin(), tokens.end(), std::int64_t{0});
    };
    return {sum("generated"), sum("prompt"), sum("scored")};
}

eval::Separation separation_of(const store::FileReader& search) {
    const auto nodes = store::Columns::read(search, "node");
    const auto& offset = nodes.get<std::int64_t>("tree_offset");
    const auto& terminal = nodes.get<std::uint8_t>("terminal");
    std::vector<std::int64_t> answers{0};
    std::vector<double> value;
    std::vector<std::uint8_t> correct;
    for (std::size_t tree = 0; tree + 1 < offset.size(); ++tree) {
        for (auto n = static_cast<std::size_t>(offset[tree]); n < static_cast<std::size_t>(offset[tree + 1]); ++n) {
            if (terminal[n] == 0) continue;
            value.push_back(static_cast<double>(nodes.get<float>("value")[n]));
            correct.push_back(nodes.get<std::uint8_t>("correct")[n]);
        }
        answers.push_back(std::ssize(value));
    }
    return eval::separation(answers, value, correct);
}

}  // namespace tdrm::rollout
