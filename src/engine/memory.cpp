#include "tdrm/engine/memory.hpp"

#include <algorithm>

#include "device_memory.hpp"
#include "tdrm/engine/devices.hpp"
#include "tdrm/engine/ownership.hpp"
#include "tdrm/model/kv_cache.hpp"
#include "tdrm/model/transformer.hpp"
#include "tdrm/store/checkpoint.hpp"

namespace tdrm::engine {
namespace {

bool on_processors() { return device_in_use() == DeviceKind::cpu; }

}  // namespace

double kept_bytes(const model::ModelSpec& spec, const Shard& shard) {
    return static_cast<double>(Ownership(model::Layout(spec).size, {0, shard.ranks, shard.part}).kept()) *
           sizeof(float);
}

WeightBytes weight_bytes(const model::ModelSpec& spec, model::Use use) {
    if (!on_processors()) return on_device::weight_bytes(spec);
    const auto bytes = model::model_bytes(spec, products_in_use(), use);
    return {bytes.parameters, bytes.packed};
}

TrainingBytes training_bytes(const model::ModelSpec& spec, const TrainingSetup& setup) {
    if (!on_processors()) return on_device::training_bytes(spec, setup);
    const double one = static_cast<double>(model::Layout(spec).size) * sizeof(float);
    const double kept = kept_bytes(spec, setup.shard);
    return {one, (setup.moments == WeightFormat::bf16 ? 1 : 2) * kept, setup.weights == WeightFormat::bf16 ? kept : 0,
            setup.sum == Sum::fast ? one : 2 * (setup.sum == Sum::dealt ? kept : one)};
}

double adapter_bytes(const model::ModelSpec& spec, const LoraOptions& lora, bool fast) {
    const LoraSizes sizes = lora_sizes(spec, lora);
    if (!on_processors()) return on_device::adapter_bytes(sizes, lora.rank);
    // Frozen matrices; values, gradient, two moments and the sum, which takes twice as much if it is exact.
    return static_cast<double>(sizes.frozen + (fast ? 5 : 6) * sizes.learning) * sizeof(float);
}

double pass_bytes(const model::ModelSpec& spec, double tokens, double rows, Keep keep, Recompute recompute,
                  double sequence) {
    if (!on_processors()) return on_device::pass_bytes(spec, tokens, rows, keep, recompute, sequence);
    return model::workspace_bytes(spec, tokens, rows, keep == Keep::activations);
}

double loss_bytes(const model::ModelSpec& spec, double rows) {
    return on_processors() ? model::head_bytes(spec, rows) : on_device::loss_bytes(spec, rows);
}

double decoder_bytes(const model::ModelSpec& spec, std::int64_t tokens, int slots) {
    if (!on_processors()) return on_device::decoder_bytes(spec, tokens, slots);
    const double logits = spec.head == model::Head::language ? 1.0 * slots * spec.vocab * sizeof(float) : 0;
    return model::KvCache::bytes(spec, tokens, products_in_use()) + logits;
}

double commit_bytes(const model::ModelSpec& spec) {
    const auto elements = std::min<std::int64_t>(model::Layout(spec).size, store::kPartElements);
    return static_cast<double>(elements) * sizeof(float);
}

}  // namespace tdrm::engine
