#include "tdrm/stage/cost.hpp"

namespace tdrm::stage {

TokenFlop token_flop(const model::ModelSpec& spec) {
    const double read = 2 * spec.product_parameters();
    return {read, read + 2.0 * spec.vocab * spec.width};
}

nlohmann::json flops_json(const AnswerCost& cost, const TokenFlop& policy, double read_flop) {
    const double drawing = policy.read * cost.prompt + policy.drawn * cost.generated;
    const double scoring = read_flop * cost.scored;
    return {{"policy", drawing}, {"value", scoring}, {"total", drawing + scoring}};
}

AnswerCost SelectionCost::at(std::int64_t n, const rollout::ValueTable* values) const {
    AnswerCost cost;
    const auto groups = data_.groups();
    for (std::size_t p = 0; p < groups.size(); ++p) {
        const auto [begin, end] = groups[p];
        if (begin == end) continue;
        const double share = static_cast<double>(n) / static_cast<double>(end - begin);
        for (std::size_t row = begin; row < end; ++row)
            cost.generated += share * static_cast<double>(data_.ids(row).size());
        cost.prompt += static_cast<double>(data_.prompt(p).size());
        if (values == nullptr) continue;
        const auto shared = static_cast<double>(values->scores.shared_tokens[p]);
        cost.scored += shared + share * (static_cast<double>(values->scores.scored_tokens[p]) - shared);
    }
    return cost;
}

nlohmann::json SelectionCost::json_at(std::int64_t n, const rollout::ValueTable* values) const {
    const AnswerCost cost = at(n, values);
    nlohmann::json json{
        {"generated_tokens", cost.generated}, {"prompt_tokens", cost.prompt}, {"scored_tokens", cost.scored}};
    if (policy_) json["flops"] = flops_json(cost, *policy_, values == nullptr ? 0 : values->read_flop);
    return json;
}

std::optional<TokenFlop> policy_flop(const store::FileReader& trajectories) {
    if (!trajectories.has_attribute("/", "policy_read_flop")) return std::nullopt;
    return TokenFlop{trajectories.attribute<double>("/", "policy_read_flop"),
                     trajectories.attribute<double>("/", "policy_drawn_flop")};
}

}  // namespace tdrm::stage
