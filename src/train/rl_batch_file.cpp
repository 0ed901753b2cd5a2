#include "tdrm/train/rl_batch_file.hpp"

#include "tdrm/base/errors.hpp"

namespace tdrm::train {

void write_rl_batch(const std::filesystem::path& path, const task::Task& task, const RlBatch& batch,
                    const rollout::Attributes& attributes) {
    const auto& answers = batch.answers;
    const auto offsets = rollout::state_offsets(answers);
    store::FileWriter file(path);
    file.attribute("schema", std::string("tdrm-rollouts-1"));
    for (const auto& [name, attribute] : attributes)
        if (name != "schema") file.attribute(name, attribute);
    answers.write(file);
    rollout::write_vocabulary(file, task, {answers.prompt_token, answers.token});
    file.write("trajectory/reward", batch.reward);
    for (const PartScores& part : batch.parts) {
        file.write("trajectory/reward_" + part.name, part.answer);
        if (part.grain == Grain::action) file.write("state/reward_" + part.name, part.reward);
        if (part.grain == Grain::token) file.write("token/reward_" + part.name, part.reward);
        file.attribute("reward_weight_" + part.name, part.weight);
    }
    if (!batch.forks.empty()) {
        std::vector<std::int32_t> parent, tokens;
        for (const rollout::Fork& fork : batch.forks) {
            parent.push_back(fork.parent);
            tokens.push_back(fork.tokens);
        }
        file.write("trajectory/fork_parent", parent);
        file.write("trajectory/fork_tokens", tokens);
    }
    if (!batch.truth.empty()) file.write("trajectory/true_outcome", batch.truth);
    if (!batch.old.empty()) file.write("token/logprob_old", batch.old);
    if (!batch.divergence.empty()) file.write("token/divergence", batch.divergence);
    file.write("trajectory/trainable", batch.trains);
    file.write("token/advantage", batch.advantage);
    bool has_states = !batch.values.empty() || !batch.judgement.empty();
    for (const PartScores& part : batch.parts) has_states = has_states || part.grain == Grain::action;
    if (has_states) file.write("state/offset", std::vector<std::int64_t>(offsets.begin(), offsets.end()));
    if (!batch.values.empty()) file.write("state/value", batch.values);
    if (!batch.judgement.empty()) file.write("state/judgement", batch.judgement);
    file.close();
}

RlBatch read_rl_batch(const std::filesystem::path& path) {
    const store::FileReader file(path);
    RlBatch batch;
    batch.answers = rollout::Trajectories::read(file);
    const auto take = [&]<class T>(const char* name, std::vector<T>& into) {
        if (file.has(name)) into = file.read<T>(name);
    };
    take("trajectory/true_outcome", batch.truth);
    take("state/value", batch.values);
    take("state/judgement", batch.judgement);
    take("token/logprob_old", batch.old);
    take("token/divergence", batch.divergence);
    batch.advantage = file.read<float>("token/advantage");
    batch.reward = file.read<double>("trajectory/reward");
    std::vector<std::int32_t> parent, tokens;
    take("trajectory/fork_parent", parent);
    take("trajectory/fork_tokens", tokens);
    if (parent.size() != tokens.size())
        throw DataError(cat(path.string(),
                            " is damaged: trajectory/fork_parent and trajectory/fork_tokens differ in "
                            "length. Make the stage again with --redo."));
    for (std::size_t row = 0; row < parent.size(); ++row) batch.forks.push_back({parent[row], tokens[row]});
    return batch;
}

}  // namespace tdrm::train
