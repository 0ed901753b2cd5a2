// LoRA adapters as PEFT writes them: low-rank changes of a model's projections, and modules saved whole. Local.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "tdrm/model/safetensors.hpp"

namespace tdrm::model {

/// An adapter whose config and header were read; the weights stay on disk. W' = W + scale B A with scale = alpha /
/// rank, or alpha / sqrt(rank) with use_rslora, as peft's merge_and_unload.
class Adapter {
public:
    /// @throws IoError if a file can't be read; DataError naming what isn't supported (DoRA, biases, other methods) or
    /// doesn't fit together
    explicit Adapter(const std::filesystem::path& directory);

    /// Its tensors that replace the model's (modules_to_save), by the model's names.
    [[nodiscard]] const SafetensorsFile& saved() const { return saved_; }
    /// Checks that it changes weights of these shapes only. @throws DataError naming one that it can't change
    void check(const std::map<std::string, std::vector<std::int64_t>>& shapes) const;
    /// Adds the change of elements [first, first + out.size()) of a weight, if it has one.
    void add(const std::string& weight, std::uint64_t first, std::span<float> out) const;

private:
    struct Change {
        std::string a, b;  ///< tensors of rank x inputs and outputs x rank
        double scale = 0;
    };
    void read_tensors(const nlohmann::json& config);

    std::filesystem::path directory_;
    SafetensorsFile file_, saved_;
    std::map<std::string, Change> changes_;  ///< by the model's name
};

}  // namespace tdrm::model
