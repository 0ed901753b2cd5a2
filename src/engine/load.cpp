#include "tdrm/engine/load.hpp"

#include "tdrm/base/errors.hpp"

namespace tdrm::engine {

void Engine::features(Rows, std::span<float>) { throw BugError("this engine keeps its hidden states to itself"); }
Rows Engine::with_features(std::span<const float>) { throw BugError("this engine takes no hidden states"); }

model::WeightSink weights_into(Engine& engine) {
    return
        [&engine](std::int64_t first, std::span<const float> values) { engine.write(Array::weights, first, values); };
}

model::WeightReader weights_of(const Engine& engine) {
    return [&engine](std::int64_t first, std::span<float> out) { engine.read(Array::weights, first, out); };
}

std::unique_ptr<Engine> fresh_engine(const model::ModelSpec& spec, std::uint64_t seed) {
    auto engine = make_engine(spec);
    model::initial_weights(spec, seed, weights_into(*engine));
    return engine;
}

std::unique_ptr<Engine> load_pretrained(const std::filesystem::path& directory) {
    const model::Pretrained source(directory);
    auto engine = make_engine(source.spec());
    model::deliver(source, engine->layout().tensors, weights_into(*engine));
    return engine;
}

std::unique_ptr<Engine> load_pretrained(comm::Communicator& ranks, const std::filesystem::path& directory,
                                        model::Use use) {
    const auto source = ranks.agree("opening " + directory.string(), [&] { return model::Pretrained(directory); });
    auto engine = ranks.agree("making room for " + directory.string(), [&] { return make_engine(source.spec(), use); });
    model::deliver(ranks, source, engine->layout().tensors, weights_into(*engine));
    return engine;
}

}  // namespace tdrm::engine
