#include "tdrm/train/state.hpp"

#include <algorithm>
#include <array>

#include "tdrm/base/errors.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::train {
namespace {

std::vector<store::TensorView> views(std::span<const model::TensorInfo> tensors) {
    std::vector<store::TensorView> result;
    for (const model::TensorInfo& tensor : tensors) result.push_back({tensor.name, tensor.shape, tensor.offset});
    return result;
}

/// What a commit keeps of a trainee, and under which name.
struct Kept {
    engine::Array array;
    const char* group;
};
constexpr std::array kKept{
    Kept{engine::Array::weights, "model"}, Kept{engine::Array::first_moment, "optimizer/exp_avg"},
    Kept{engine::Array::second_moment, "optimizer/exp_avg_sq"}, Kept{engine::Array::master, "optimizer/master"}};

std::string group_of(std::string_view trainee, const Kept& kept) {
    return trainee.empty() ? kept.group : cat(trainee, "/", kept.group);
}

}  // namespace

void save_state(comm::Communicator& ranks, const std::filesystem::path& directory, const TrainingState& state,
                std::span<const Trainee> trainees, const nlohmann::json& body) {
    nlohmann::json progress{{"update", state.update},           {"best", state.best},
                            {"best_figure", state.best_figure}, {"since_best", state.since_best},
                            {"stopped", state.stopped},         {"metrics_bytes", state.log.bytes},
                            {"metrics_hash", state.log.hash}};
    if (!state.objective.is_null()) progress["objective"] = state.objective;
    std::vector<std::vector<store::TensorView>> tensors;
    tensors.reserve(trainees.size());
    std::vector<store::FlatState> states;
    for (const Trainee& trainee : trainees) {
        const engine::Engine& engine = trainee.engine;
        tensors.push_back(views(engine.layout().tensors));
        for (const Kept& kept : kKept) {
            if (!engine.has(kept.array)) continue;
            const auto read = [&engine, array = kept.array](std::int64_t first, std::span<float> out) {
                engine.read(array, first, out);
            };
            // Rounded already, so storing them so is exact.
            const bool moment = kept.array == engine::Array::first_moment || kept.array == engine::Array::second_moment;
            const bool rounded = moment ? trainee.precision.moments == engine::WeightFormat::bf16
                                        : kept.array == engine::Array::weights && engine.has(engine::Array::master);
            states.emplace_back(group_of(trainee.name, kept), engine.num_parameters(), read, &tensors.back(),
                                rounded ? store::Type::bfloat16 : store::Type::float32);
        }
        progress[group_of(trainee.name, kKept[0])] = model::json_of_spec(engine.spec());
    }
    if (!body.is_null()) progress["body"] = body;
    store::save_checkpoint(ranks, directory, states, progress);
}

TrainingState load_state(const store::Checkpoint& checkpoint, std::span<const Trainee> trainees) {
    for (const Trainee& trainee : trainees) {
        const auto tensors = views(trainee.engine.layout().tensors);
        for (const Kept& kept : kKept)
            if (trainee.engine.has(kept.array))
                checkpoint.deliver(group_of(trainee.name, kept), tensors,
                                   [&](std::int64_t first, std::span<const float> values) {
                                       trainee.engine.write(kept.array, first, values);
                                   });
    }
    return read_progress(checkpoint);
}

TrainingState read_progress(const store::Checkpoint& checkpoint) {
    const auto& p = checkpoint.progress();
    try {
        return {p.at("update"),
                p.at("best"),
                p.at("best_figure"),
                p.at("since_best"),
                p.at("stopped"),
                {p.at("metrics_bytes"), p.at("metrics_hash")},
                p.value("objective", nlohmann::json())};
    } catch (const nlohmann::json::exception&) {
        throw DataError("its progress can't be read (another version of tdrm wrote it).");
    }
}

nlohmann::json body_of(const store::Checkpoint& checkpoint) {
    return checkpoint.progress().value("body", nlohmann::json());
}

void deliver_head(const store::Checkpoint& checkpoint, engine::Engine& engine, std::size_t member) {
    const auto& layout = engine.layout();
    std::vector<model::TensorInfo> wanted;
    for (const auto& tensor : layout.tensors)
        if (tensor.offset == layout.head) wanted.push_back(tensor);
    const std::string prefix = member == 0 ? "" : member_name(member) + "/";
    const auto missing = checkpoint.deliver_common(prefix + "head/model", views(wanted), engine::weights_into(engine));
    if (!missing.empty()) throw DataError("its head doesn't fit the body (another version of tdrm wrote it).");
}

bool holds(const store::Checkpoint& checkpoint, std::string_view trainee) {
    return checkpoint.progress().contains(group_of(trainee, kKept[0]));
}

model::ModelSpec spec_of(const store::Checkpoint& checkpoint, std::string_view trainee) {
    if (const auto body = body_of(checkpoint); trainee.empty() && body.contains(kAdapters)) {
        const bool factors = body[kAdapters].value("rank", 0) > 0;
        throw ConfigError(cat("it holds ", factors ? "adapters" : "a head", " alone; the model under them is ",
                              body.value("label", "?"), " (the two make a model together). Use it in a run file, ",
                              factors ? "export it with --adapter, " : "", "or train with lora: {keep_body: true}."));
    } else if (trainee.empty() && !body.is_null()) {
        throw ConfigError(cat("it holds a head alone; its body is ", body.value("label", "?"),
                              " (the two make a model together). Use it as a value model in a run file, or train it "
                              "with keep_body: true."));
    }
    try {
        return model::spec_of_json(checkpoint.progress().at(group_of(trainee, kKept[0])));
    } catch (const nlohmann::json::exception&) {
        throw DataError("the sizes of its model can't be read (another version of tdrm wrote it).");
    }
}

std::unique_ptr<engine::Engine> load_model(const store::Checkpoint& checkpoint) {
    auto engine = engine::make_engine(spec_of(checkpoint));
    checkpoint.deliver("model", views(engine->layout().tensors), engine::weights_into(*engine));
    return engine;
}

std::vector<std::string> deliver(const store::Checkpoint& checkpoint, std::span<const model::TensorInfo> wanted,
                                 const model::WeightSink& sink, std::string_view trainee) {
    return checkpoint.deliver_common(group_of(trainee, kKept[0]), views(wanted), sink);
}

std::string member_name(std::size_t member) { return member == 0 ? "" : cat("member", member); }

std::size_t members_of(const store::Checkpoint& checkpoint) {
    std::size_t members = 1;
    const std::string what = body_of(checkpoint).is_null() ? "/model" : "/head/model";
    while (checkpoint.progress().contains(member_name(members) + what)) ++members;
    return members;
}

std::vector<std::int64_t> committed_updates(const std::filesystem::path& directory) {
    std::vector<std::int64_t> updates;
    std::error_code missing;
    for (const auto& entry : std::filesystem::directory_iterator(directory, missing)) {
        const std::string name = entry.path().filename().string();
        const std::string digits = name.starts_with("update-") ? name.substr(7) : "";
        constexpr std::size_t kMaxDigits = 18;  // fits 64 bits
        if (!digits.empty() && digits.size() <= kMaxDigits &&
            std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }))
            updates.push_back(std::stoll(digits));
    }
    std::sort(updates.begin(), updates.end());
    return updates;
}

}  // namespace tdrm::train
