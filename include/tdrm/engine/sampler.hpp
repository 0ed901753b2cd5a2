// From logits to a token. The number that decides is given by identity (tdrm::Random), so a token depends on its own
// row of logits and its key alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tdrm {
class Fields;
}

namespace tdrm::engine {

/// How tokens are drawn. Filters apply in the order temperature, top_k, top_p, min_p, as in transformers.
struct SamplerOptions {
    double temperature = 1;  ///< 0 = greedy
    int top_k = 0;           ///< keep the k most likely; 0 = all
    double top_p = 1;        ///< keep the fewest most likely tokens whose mass reaches p
    double min_p = 0;        ///< keep tokens at least this share as likely as the likeliest
    int max_tokens = 0;      ///< bound of an answer; 0 = the task's

    void fields(Fields& f);
    [[nodiscard]] bool truncates() const { return top_k > 0 || top_p < 1 || min_p > 0; }
    /// Tokens of an answer at most. @param of_task where nothing is said
    [[nodiscard]] int longest(int of_task) const { return max_tokens > 0 ? max_tokens : of_task; }
    [[nodiscard]] float logprob_temperature() const { return temperature > 0 ? static_cast<float>(temperature) : 1.0F; }
};

struct Choice {
    std::int32_t token;
    float logprob;          ///< log softmax(logits / temperature) over the full vocabulary (temperature 1 if greedy)
    float logprob_sampled;  ///< under the truncated distribution; 0 if greedy
};

/// Scratch of `choose`, reused.
struct SamplerScratch {
    std::vector<float> weight;
    std::vector<std::pair<float, std::int32_t>> candidates;
};

/// Draws by inverting the cumulative distribution at `uniform` in [0, 1). Ties of greedy and of the filters go to the
/// smaller id.
[[nodiscard]] Choice choose(std::span<const float> logits, const SamplerOptions& options, double uniform,
                            SamplerScratch& scratch);

}  // namespace tdrm::engine
