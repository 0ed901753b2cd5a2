#include "tdrm/rollout/features.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::rollout {
namespace {

constexpr std::size_t kHeadStates = 4096;  ///< that a head reads at once

}  // namespace

FeatureTable state_features(Scorer& body, const Trajectories& data, std::size_t begin, std::size_t end,
                            const std::function<void()>& on_problem) {
    const auto groups = data.groups();
    FeatureTable table;
    for (std::size_t p = begin; p < end; ++p) {
        if (on_problem) on_problem();
        std::vector<ScoredAnswer> answers;
        for (std::size_t row = groups[p].first; row < groups[p].second; ++row) answers.push_back(all_states(data, row));
        const std::int64_t before = body.tokens();
        const auto features = body.features(data.prompt(p), answers);
        table.features_SD.insert(table.features_SD.end(), features.begin(), features.end());
        table.scored_tokens.push_back(body.tokens() - before);
        table.shared_tokens.push_back(answers.empty() ? 0 : body.shared_tokens(data.prompt(p)));
    }
    return table;
}

std::vector<float> head_logits(engine::Engine& head, std::span<const float> features_SD) {
    const auto width = static_cast<std::size_t>(head.spec().width);
    std::vector<float> logits(features_SD.size() / width);
    for (std::size_t first = 0; first < logits.size(); first += kHeadStates) {
        const std::size_t count = std::min(kHeadStates, logits.size() - first);
        const auto states = head.with_features(features_SD.subspan(first * width, count * width));
        head.values(states, {}, std::span(logits).subspan(first, count));
    }
    return logits;
}

void write_features(const std::filesystem::path& directory, const Trajectories& data, const FeatureTable& table,
                    const ModelName& body) {
    const auto offsets = state_offsets(data);
    store::FileWriter file(directory / "features.h5");
    file.attribute("schema", std::string("tdrm-features-1"));
    file.attribute("describes", content_hash(data));
    file.attribute("model", body.label);
    file.attribute("model_hash", body.hash);
    file.attribute("width",
                   static_cast<std::int64_t>(table.features_SD.size() / std::max<std::size_t>(1, offsets.back())));
    file.write("state/offset", std::vector<std::int64_t>(offsets.begin(), offsets.end()));
    file.write("state/feature", table.features_SD);
    file.write("problem/scored_tokens", table.scored_tokens);
    file.write("problem/shared_tokens", table.shared_tokens);
    store::write_manifest(directory, std::vector{file.close()});
}

FeatureTable load_features(const std::filesystem::path& directory, const Trajectories& data, const std::string& body) {
    const auto path = directory / "features.h5";
    const store::FileReader file(path);
    FeatureTable table{file.read<float>("state/feature"), file.read<std::int64_t>("problem/scored_tokens"),
                       file.read<std::int64_t>("problem/shared_tokens")};
    const auto width = static_cast<std::size_t>(file.attribute<std::int64_t>("/", "width"));
    if (file.attribute<std::string>("/", "describes") != content_hash(data) ||
        table.features_SD.size() != state_offsets(data).back() * width)
        throw DataError(cat(path.string(),
                            " belongs to other trajectories (features are aligned state by state). Make "
                            "both again, or name the data that they were made of."));
    if (file.attribute<std::string>("/", "model_hash") != body)
        throw DataError(cat(path.string(), " is of ", file.attribute<std::string>("/", "model"),
                            ", another model than the stage's init (a head would be put on a body that it never saw). "
                            "Name that model as init, or make features of this one."));
    return table;
}

}  // namespace tdrm::rollout
