#include "tdrm/train/rl_batch_file.hpp"

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
        std::vector<double> weighted;
        for (std::size_t row = 0; row < answers.size(); ++row) weighted.push_back(part.weighted(row));
        file.write("trajectory/reward_" + part.name, weighted);
        file.attribute("reward_weight_" + part.name, part.weight);
    }
    file.write("trajectory/trainable", batch.trains);
    file.write("token/advantage", batch.advantage);
    if (!batch.values.empty()) {
        file.write("state/offset", std::vector<std::int64_t>(offsets.begin(), offsets.end()));
        file.write("state/value", batch.values);
    }
    file.close();
}

}  // namespace tdrm::train
