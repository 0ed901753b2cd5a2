#include "tdrm/rollout/features.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/rollout/scorer.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::rollout {

std::vector<float> state_features(engine::Engine& body, const task::Task& task, const Trajectories& data,
                                  std::size_t begin, std::size_t end, const std::function<void()>& on_problem) {
    const auto groups = data.groups();
    const auto width = static_cast<std::size_t>(body.spec().width);
    std::vector<float> features;
    model::Forest forest;
    std::vector<std::int32_t> rows;
    const auto read = [&] {
        if (rows.empty()) return;
        features.resize(features.size() + rows.size() * width);
        body.features(body.forward(forest, rows, engine::Keep::nothing), std::span(features).last(rows.size() * width));
        ledger::count(ledger::Work::scored, forest.num_tokens());
        forest.clear();
        rows.clear();
    };
    for (std::size_t p = begin; p < end; ++p) {
        if (on_problem) on_problem();
        const auto prompt = task.value_prompt(data.prompt(p));
        for (std::size_t row = groups[p].first; row < groups[p].second; ++row) {
            const auto answer = all_states(data, row);
            add_states(forest, prompt, std::span(&answer, 1), task.probe(), rows);
            if (forest.num_tokens() >= kScoreTokens) read();
        }
    }
    read();
    return features;
}

void write_features(const std::filesystem::path& directory, const Trajectories& data,
                    std::span<const float> features_SD, const ModelName& body) {
    const auto offsets = state_offsets(data);
    store::FileWriter file(directory / "features.h5");
    file.attribute("schema", std::string("tdrm-features-1"));
    file.attribute("describes", content_hash(data));
    file.attribute("model", body.label);
    file.attribute("model_hash", body.hash);
    file.attribute("width", static_cast<std::int64_t>(features_SD.size() / std::max<std::size_t>(1, offsets.back())));
    file.write("state/offset", std::vector<std::int64_t>(offsets.begin(), offsets.end()));
    file.write("state/feature", features_SD);
    store::write_manifest(directory, std::vector{file.close()});
}

std::vector<float> load_features(const std::filesystem::path& directory, const Trajectories& data,
                                 const std::string& body) {
    const auto path = directory / "features.h5";
    const store::FileReader file(path);
    auto features = file.read<float>("state/feature");
    const auto width = static_cast<std::size_t>(file.attribute<std::int64_t>("/", "width"));
    if (file.attribute<std::string>("/", "describes") != content_hash(data) ||
        features.size() != state_offsets(data).back() * width)
        throw DataError(cat(path.string(),
                            " belongs to other trajectories (features are aligned state by state). Make "
                            "both again, or name the data that they were made of."));
    if (file.attribute<std::string>("/", "model_hash") != body)
        throw DataError(cat(path.string(), " is of ", file.attribute<std::string>("/", "model"),
                            ", another model than the stage's init (a head would be put on a body that it never saw). "
                            "Name that model as init, or make features of this one."));
    return features;
}

}  // namespace tdrm::rollout
