#include "tdrm/train/state.hpp"

#include <algorithm>

#include "tdrm/base/errors.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::train {
namespace {

std::vector<store::TensorView> views(const model::Layout& layout) {
    std::vector<store::TensorView> result;
    for (const model::TensorInfo& tensor : layout.tensors) result.push_back({tensor.name, tensor.shape, tensor.offset});
    return result;
}

std::string_view word(model::Family family) { return enum_names(family)[static_cast<std::size_t>(family)].second; }

/// Value heads are always of one row here: others aren't trained.
nlohmann::json spec_json(const model::ModelSpec& s) {
    return {{"vocab", s.vocab},
            {"layers", s.layers},
            {"width", s.width},
            {"heads", s.heads},
            {"kv_heads", s.kv_heads},
            {"head_dim", s.head_dim},
            {"ffn", s.ffn},
            {"rope_theta", s.rope_theta},
            {"norm_eps", s.norm_eps},
            {"tied", s.tied},
            {"head", s.head == model::Head::value ? "value" : "language"},
            {"family", word(s.family)},
            {"qkv_bias", s.qkv_bias},
            {"output_bias", s.output_bias},
            {"rotary_dim", s.rotary_dim},
            {"rope_scaling",
             {s.rope_scaling.factor, s.rope_scaling.low_freq_factor, s.rope_scaling.high_freq_factor,
              s.rope_scaling.original_positions}},
            {"max_positions", s.max_positions},
            {"window", s.window}};
}

model::ModelSpec json_spec(const nlohmann::json& j) {
    model::ModelSpec s;
    s.vocab = j.at("vocab");
    s.layers = j.at("layers");
    s.width = j.at("width");
    s.heads = j.at("heads");
    s.kv_heads = j.at("kv_heads");
    s.head_dim = j.at("head_dim");
    s.ffn = j.at("ffn");
    s.rope_theta = j.at("rope_theta");
    s.norm_eps = j.at("norm_eps");
    s.tied = j.at("tied");
    s.head = j.at("head") == "value" ? model::Head::value : model::Head::language;
    if (!j.contains("family")) return s.resolved();  // before other families came
    for (const auto& [family, name] : enum_names(s.family))
        if (j.at("family") == name) s.family = family;
    s.qkv_bias = j.at("qkv_bias");
    s.output_bias = j.at("output_bias");
    s.rotary_dim = j.at("rotary_dim");
    const auto& scaling = j.at("rope_scaling");
    s.rope_scaling = {scaling.at(0), scaling.at(1), scaling.at(2), scaling.at(3)};
    s.max_positions = j.at("max_positions");
    s.window = j.value("window", 0);
    return s;
}

}  // namespace

void save_state(comm::Communicator& ranks, const std::filesystem::path& directory, const TrainingState& state,
                const model::Model& model, AdamW& optimizer) {
    const auto tensors = views(model.layout());
    std::vector<store::FlatState> states{{"model", model.values(), &tensors},
                                         {"optimizer/exp_avg", optimizer.first(), &tensors},
                                         {"optimizer/exp_avg_sq", optimizer.second(), &tensors}};
    if (!optimizer.master().empty()) {
        states.front().type = store::Type::bfloat16;  // exact: they are rounded already
        states.push_back({"optimizer/master", optimizer.master(), &tensors});
    }
    const nlohmann::json progress{{"update", state.update},           {"best", state.best},
                                  {"best_figure", state.best_figure}, {"since_best", state.since_best},
                                  {"stopped", state.stopped},         {"model", spec_json(model.spec())},
                                  {"metrics_bytes", state.log.bytes}, {"metrics_hash", state.log.hash}};
    store::save_checkpoint(ranks, directory, states, progress);
}

TrainingState load_state(const store::Checkpoint& checkpoint, model::Model& model, AdamW& optimizer) {
    const auto tensors = views(model.layout());
    checkpoint.read_flat("model", model.values(), tensors);
    checkpoint.read_flat("optimizer/exp_avg", optimizer.first(), tensors);
    checkpoint.read_flat("optimizer/exp_avg_sq", optimizer.second(), tensors);
    if (!optimizer.master().empty()) checkpoint.read_flat("optimizer/master", optimizer.master(), tensors);
    return read_progress(checkpoint);
}

TrainingState read_progress(const store::Checkpoint& checkpoint) {
    const auto& p = checkpoint.progress();
    try {
        return {p.at("update"),     p.at("best"),    p.at("best_figure"),
                p.at("since_best"), p.at("stopped"), {p.at("metrics_bytes"), p.at("metrics_hash")}};
    } catch (const nlohmann::json::exception&) {
        throw DataError("its progress can't be read (another version of tdrm wrote it).");
    }
}

model::Model load_model(const store::Checkpoint& checkpoint) {
    model::Model model(json_spec(checkpoint.progress().at("model")));
    checkpoint.read_flat("model", model.values(), views(model.layout()));
    return model;
}

std::vector<std::int64_t> committed_updates(const std::filesystem::path& directory) {
    std::vector<std::int64_t> updates;
    std::error_code missing;
    for (const auto& entry : std::filesystem::directory_iterator(directory, missing)) {
        const std::string name = entry.path().filename().string();
        const std::string digits = name.starts_with("update-") ? name.substr(7) : "";
        if (!digits.empty() && std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }))
            updates.push_back(std::stoll(digits));
    }
    std::sort(updates.begin(), updates.end());
    return updates;
}

}  // namespace tdrm::train
