// What answers cost at test time: tokens and FLOP of the policy and of the value model. docs/search.md.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "tdrm/model/spec.hpp"
#include "tdrm/rollout/tables.hpp"

namespace tdrm::stage {

/// FLOP of a token: 2 x parameters of products; of a drawn one also 2 x vocabulary x width.
struct TokenFlop {
    double read = 0, drawn = 0;
};
[[nodiscard]] TokenFlop token_flop(const model::ModelSpec& spec);

/// What answering problems took. Expected numbers where subsets of candidates are meant.
struct AnswerCost {
    double generated = 0;  ///< drawn tokens
    double prompt = 0;     ///< tokens of prompts that the policy read
    double scored = 0;     ///< tokens that the value model read, probes included
};
/// FLOP of them: {policy, value, total}. @param read_flop of a token of the value model
[[nodiscard]] nlohmann::json flops_json(const AnswerCost& cost, const TokenFlop& policy, double read_flop);

/// What it takes to draw N candidates and to choose one of them.
class SelectionCost {
public:
    /// @param policy of a token that draws candidates; none if nobody knows (imported and scripted answers)
    SelectionCost(const rollout::Trajectories& data, std::optional<TokenFlop> policy) : data_(data), policy_(policy) {}

    /// Means over all N-subsets of each problem's candidates, added up over problems. Of m candidates with G tokens,
    /// for which a value model read S tokens, R of them shared, N take N G / m drawn ones and R + N (S - R) / m scored
    /// ones; the prompt is read once.
    /// @param values of the model that chooses; null for votes
    [[nodiscard]] AnswerCost at(std::int64_t n, const rollout::ValueTable* values) const;
    /// The same as in results.json of a search: generated_tokens, prompt_tokens, scored_tokens and, where the policy is
    /// known, flops.
    [[nodiscard]] nlohmann::json json_at(std::int64_t n, const rollout::ValueTable* values) const;

private:
    const rollout::Trajectories& data_;
    std::optional<TokenFlop> policy_;
};

/// What a token of the policy costs that answered, as its file of trajectories says.
[[nodiscard]] std::optional<TokenFlop> policy_flop(const store::FileReader& trajectories);

}  // namespace tdrm::stage
