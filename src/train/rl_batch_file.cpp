#include "tdrm/train/rl_batch_file.hpp"

namespace tdrm::train {

void write_rl_batch(const std::filesystem::path& path, const task::Task& task, const RlBatch& batch,
                    const reward::RewardMix& mix, const rollout::Attributes& attributes) {
    const auto& answers = batch.answers;
    const auto offsets = rollout::state_offsets(answers);
    std::vector<double> rule, value;
    for (std::size_t row = 0; row < answers.size(); ++row) {
        rule.push_back(mix.rule * static_cast<double>(answers.outcome[row]));
        if (batch.values.empty()) continue;
        const auto logits = std::span<const float>(batch.values).subspan(offsets[row], offsets[row + 1] - offsets[row]);
        reward::RewardMix only_value = mix;
        only_value.rule = 0;
        value.push_back(
            reward::mixed_reward(only_value, 0, logits, task.penultimate(answers.ids(row), answers.step_ends(row))));
    }
    store::FileWriter file(path);
    file.attribute("schema", std::string("tdrm-rollouts-1"));
    for (const auto& [name, attribute] : attributes)
        if (name != "schema") file.attribute(name, attribute);
    answers.write(file);
    rollout::write_vocabulary(file, task, {answers.prompt_token, answers.token});
    file.write("trajectory/reward", batch.reward);
    file.write("trajectory/reward_rule", rule);
    file.write("trajectory/trainable", batch.trains);
    file.write("token/advantage", batch.advantage);
    if (!batch.values.empty()) {
        file.write("trajectory/reward_value", value);
        file.write("state/offset", std::vector<std::int64_t>(offsets.begin(), offsets.end()));
        file.write("state/value", batch.values);
    }
    file.close();
}

}  // namespace tdrm::train
