// Engines with weights: fresh ones, and those of Hugging Face folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "tdrm/comm/communicator.hpp"
#include "tdrm/engine/engine.hpp"
#include "tdrm/model/pretrained.hpp"

namespace tdrm::engine {

/// Writes what it gets into the engine's weights. The engine must outlive it.
[[nodiscard]] model::WeightSink weights_into(Engine& engine);
/// Reads the engine's weights. The engine must outlive it.
[[nodiscard]] model::WeightReader weights_of(const Engine& engine);

/// Local. A fresh model (model::initial_weights).
[[nodiscard]] std::unique_ptr<Engine> fresh_engine(const model::ModelSpec& spec, std::uint64_t seed);
/// Local. The whole model of a folder. @throws as model::Pretrained
[[nodiscard]] std::unique_ptr<Engine> load_pretrained(const std::filesystem::path& directory);
/// Collective. The same, each byte read from disk by one rank.
[[nodiscard]] std::unique_ptr<Engine> load_pretrained(comm::Communicator& ranks, const std::filesystem::path& directory,
                                                      model::Use use);

}  // namespace tdrm::engine
