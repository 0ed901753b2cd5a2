#include "tdrm/rollout/sampler.hpp"

#include <algorithm>
#include <cmath>

#include "tdrm/base/options.hpp"
#include "tdrm/model/ops.hpp"

namespace tdrm::rollout {

void SamplerOptions::fields(Fields& f) {
    f("temperature", temperature, "softmax temperature; 0 = greedy", at_least(0));
    f("top_k", top_k, "keep the k most likely tokens; 0 = all", at_least(0));
    f("top_p", top_p, "keep the fewest most likely tokens whose mass reaches p", between(0, 1));
    f("min_p", min_p, "keep tokens at least this share as likely as the likeliest", between(0, 1));
    f("max_tokens", max_tokens, "bound on the tokens of an answer; 0 = the task's", at_least(0));
}

namespace {

float full_logprob(std::span<const float> logits, std::int32_t token, float temperature) {
    float logp = 0;
    float entropy = 0;
    // The trainer's own operation, so that both sides agree.
    model::ops::log_softmax(&logp, &entropy, logits.data(), std::span(&token, 1), static_cast<int>(logits.size()),
                            temperature);
    return logp;
}

/// weight = exp((logit - max) / temperature)
void softmax_weights(std::span<const float> logits, float temperature, std::vector<float>& weight) {
    const float top = *std::max_element(logits.begin(), logits.end());
    weight.resize(logits.size());
    for (std::size_t i = 0; i < logits.size(); ++i) weight[i] = std::exp((logits[i] - top) / temperature);
}

/// First index whose cumulative weight exceeds `uniform` times the total; weightless tokens are never drawn.
template <class WeightOf>
std::size_t invert(std::size_t n, double uniform, WeightOf weight) {
    double total = 0;
    for (std::size_t i = 0; i < n; ++i) total += static_cast<double>(weight(i));
    const double goal = uniform * total;
    double mass = 0;
    std::size_t last = 0;
    for (std::size_t i = 0; i < n; ++i) {
        if (weight(i) <= 0) continue;
        last = i;
        mass += static_cast<double>(weight(i));
        if (mass > goal) break;
    }
    return last;
}

/// The tokens that survive the filters, most likely first.
void filter(const SamplerOptions& options, const std::vector<float>& weight,
            std::vector<std::pair<float, std::int32_t>>& kept) {
    kept.clear();
    for (std::size_t i = 0; i < weight.size(); ++i) kept.emplace_back(weight[i], static_cast<std::int32_t>(i));
    std::stable_sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    if (options.top_k > 0 && static_cast<std::size_t>(options.top_k) < kept.size())
        kept.resize(static_cast<std::size_t>(options.top_k));
    double total = 0;
    for (const auto& [w, id] : kept) total += static_cast<double>(w);
    double mass = 0;
    std::size_t count = 0;
    while (count < kept.size() && (count == 0 || mass < options.top_p * total))
        mass += static_cast<double>(kept[count++].first);
    if (options.top_p < 1) kept.resize(count);
    const float least = static_cast<float>(options.min_p) * kept.front().first;
    while (kept.back().first < least) kept.pop_back();
}

}  // namespace

Choice choose(std::span<const float> logits, const SamplerOptions& options, double uniform, SamplerScratch& scratch) {
    if (options.temperature <= 0) {
        const auto token = static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        return {token, full_logprob(logits, token, 1.0F), 0.0F};
    }
    const auto temperature = static_cast<float>(options.temperature);
    softmax_weights(logits, temperature, scratch.weight);
    if (!options.truncates()) {
        const auto token =
            static_cast<std::int32_t>(invert(logits.size(), uniform, [&](std::size_t i) { return scratch.weight[i]; }));
        const float logprob = full_logprob(logits, token, temperature);
        return {token, logprob, logprob};
    }
    auto& kept = scratch.candidates;
    filter(options, scratch.weight, kept);
    const std::size_t i = invert(kept.size(), uniform, [&](std::size_t j) { return kept[j].first; });
    double total = 0;
    for (const auto& [w, id] : kept) total += static_cast<double>(w);
    return {kept[i].second, full_logprob(logits, kept[i].second, temperature),
            static_cast<float>(std::log(static_cast<double>(kept[i].first) / total))};
}

}  // namespace tdrm::rollout
