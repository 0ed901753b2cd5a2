// A model as a Hugging Face folder, written.
#include <cstdio>

#include "tdrm/base/errors.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/store/directory.hpp"

namespace tdrm::model {

namespace fs = std::filesystem;
using nlohmann::json;

void save_pretrained(const ModelSpec& spec, const WeightReader& weights, const fs::path& directory, Dtype dtype,
                     const json& extra_config, std::uint64_t shard_bytes) {
    ensure(spec.head == Head::language || spec.value_head == ValueHead{}, "only value heads of one row are exported");
    auto config = config_of_spec(spec, dtype);
    if (extra_config.is_object()) config.update(nlohmann::ordered_json(extra_config));
    store::write_text_atomic(directory / "config.json", config.dump(2) + "\n");
    std::vector<std::vector<NamedTensor>> shards(1);
    std::uint64_t filled = 0, total = 0;
    for (const TensorInfo& tensor : Layout(spec).tensors) {
        const std::uint64_t bytes = static_cast<std::uint64_t>(tensor.size()) * size_of(dtype);
        if (filled > 0 && filled + bytes > shard_bytes) {
            shards.emplace_back();
            filled = 0;
        }
        shards.back().push_back(
            {tensor.name, tensor.shape,
             [&weights, at = tensor.offset](std::int64_t first, std::span<float> out) { weights(at + first, out); }});
        filled += bytes;
        total += bytes;
    }
    if (shards.size() == 1) return write_safetensors(directory / "model.safetensors", shards[0], dtype);
    json weight_map = json::object();
    for (std::size_t s = 0; s < shards.size(); ++s) {
        char name[64];
        std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", s + 1, shards.size());
        for (const NamedTensor& tensor : shards[s]) weight_map[tensor.name] = name;
        write_safetensors(directory / name, shards[s], dtype);
    }
    store::write_text_atomic(directory / "model.safetensors.index.json",
                             json{{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}}.dump(2) + "\n");
}

}  // namespace tdrm::model
