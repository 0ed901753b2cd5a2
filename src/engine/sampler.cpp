#include "tdrm/engine/sampler.hpp"

#include <algorithm>
#include <cmath>

#include "tdrm/base/options.hpp"
#include "tdrm/model/ops.hpp"

namespace tdrm::engine {

void SamplerOptions::fields(Fields& f) {
    f("temperature", temperature, "softmax temperature; 0 = greedy", at_least(0));
    f("top_k", top_k, "keep the k most likely tokens; 0 = all", between(0, 1e9));
    f("top_p", top_p, "keep the fewest most likely tokens whose mass reaches p", between(0, 1));
    f("min_p", min_p, "keep tokens at least this share as likely as the likeliest", between(0, 1));
    f("max_tokens", max_tokens, "bound on the tokens of an answer; 0 = the task's", between(0, 1e8));
}

namespace {

/// First index whose cumulative weight exceeds `goal`; weightless tokens are never drawn.
template <class WeightOf>
std::size_t invert(std::size_t n, double goal, WeightOf weight) {
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
    const bool greedy = options.temperature <= 0;
    scratch.weight.resize(logits.size());
    const auto all = model::ops::token_weights(scratch.weight.data(), logits.data(), static_cast<int>(logits.size()),
                                               options.logprob_temperature());
    const auto logprob = [&](std::size_t token) { return all.logp(logits[token]); };
    if (greedy) {
        const auto token = static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        return {static_cast<std::int32_t>(token), logprob(token), 0.0F};
    }
    if (!options.truncates()) {
        const std::size_t token = invert(logits.size(), uniform * static_cast<double>(all.mass),
                                         [&](std::size_t i) { return scratch.weight[i]; });
        return {static_cast<std::int32_t>(token), logprob(token), logprob(token)};
    }
    auto& kept = scratch.candidates;
    filter(options, scratch.weight, kept);
    double total = 0;
    for (const auto& [w, id] : kept) total += static_cast<double>(w);
    const auto& [weight, token] =
        kept[invert(kept.size(), uniform * total, [&](std::size_t j) { return kept[j].first; })];
    return {token, logprob(static_cast<std::size_t>(token)),
            static_cast<float>(std::log(static_cast<double>(weight) / total))};
}

}  // namespace tdrm::engine
