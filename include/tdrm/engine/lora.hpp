// Low-rank adapters: a frozen model whose matrices get W + (alpha / rank) B A, of which A and B alone learn (LoRA,
// arXiv 2106.09685).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tdrm/engine/engine.hpp"
#include "tdrm/engine/load.hpp"

namespace tdrm {
class Fields;
}

namespace tdrm::engine {

struct LoraOptions {
    int rank = 0;       ///< 0: no adapters
    double alpha = 16;  ///< the change is scaled by alpha / rank
    /// Last parts of the names of adapted matrices, as in Hugging Face checkpoints.
    std::vector<std::string> targets{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};

    bool head = false;       ///< the language head learns, too, as it is; without adapters it alone
    bool keep_body = false;  ///< in commits: the merged model

    /// Whether something learns in the place of all weights.
    [[nodiscard]] bool active() const { return rank > 0 || head; }
    void fields(Fields& f);
    [[nodiscard]] std::vector<std::string> validate() const;
};

/// Numbers that learn, and those that are kept once more.
struct LoraSizes {
    std::int64_t learning = 0, frozen = 0;
    std::int64_t whole = 0, largest = 0;  ///< of what learns, what isn't factors; of the adapted matrices, the largest
    std::vector<Range> trainable{};       ///< what gradients are needed of, in the model's flat arrays
};
/// @throws as with_adapters
[[nodiscard]] LoraSizes lora_sizes(const model::ModelSpec& spec, const LoraOptions& options);

/// The model of `base` with adapters: as an engine whose parameters are A_RK and B_NR of each target, named
/// MODULE.lora_A.weight and MODULE.lora_B.weight, and the tensors of a value head, or of the language head if options
/// say so. It computes with the merged weights,
/// which it writes into `base` at every change, so sampling sees what was learnt. A begins uniform in +-1 / sqrt(K),
/// keyed by `seed` and its name, B at 0. Masters, moments and sums are of the adapters alone; the frozen matrices are
/// kept once more in fp32.
/// @throws ConfigError if a target occurs in no name, the rank exceeds a matrix's sides, or the head that should learn
/// is the embedding
[[nodiscard]] std::unique_ptr<Engine> with_adapters(std::unique_ptr<Engine> base, const LoraOptions& options,
                                                    std::uint64_t seed);

/// Adds what was learnt to a model's weights: `deliver` hands over the adapters' tensors, as `layout` has them.
/// @throws as with_adapters
void merge_adapters(Engine& model, const LoraOptions& options,
                    const std::function<void(const model::Layout& layout, const model::WeightSink& sink)>& deliver);

}  // namespace tdrm::engine
