#include "tdrm/rollout/labels.hpp"

#include "tdrm/base/errors.hpp"

namespace tdrm::rollout {

StateLabels state_labels(const task::Task& task, const Trajectories& data) {
    StateLabels labels;
    if (task.truth_kind() == task::TruthKind::none) return labels;
    labels.kind = task.truth_kind() == task::TruthKind::reachable ? "reachable" : "no_error_so_far";
    labels.source = task.kind();
    for (std::size_t row = 0; row < data.size(); ++row) {
        const auto problem = data.problem_of(row);
        const auto truth = task.truth(problem, data.ids(row), data.step_ends(row));
        const auto right = task.step_right(problem, data.ids(row), data.step_ends(row));
        labels.truth.insert(labels.truth.end(), truth.begin(), truth.end());
        labels.step_right.insert(labels.step_right.end(), right.begin(), right.end());
    }
    return labels;
}

void write_labels(const std::filesystem::path& path, const Trajectories& data, const StateLabels& labels) {
    const auto offsets = state_offsets(data);
    store::FileWriter file(path);
    file.attribute("schema", std::string("tdrm-labels-1"));
    file.attribute("describes", content_hash(data));
    file.attribute("kind", labels.kind);
    file.attribute("source", labels.source);
    file.write("state/offset", std::vector<std::int64_t>(offsets.begin(), offsets.end()));
    file.write("state/truth", labels.truth);
    file.write("step/right", labels.step_right);
    if (!labels.outcome_known.empty()) file.write("trajectory/outcome_known", labels.outcome_known);
    file.close();
}

StateLabels read_labels(const std::filesystem::path& path, const Trajectories& data) {
    const store::FileReader file(path);
    StateLabels labels;
    labels.truth = file.read<float>("state/truth");
    labels.step_right = file.read<std::uint8_t>("step/right");
    if (file.has("trajectory/outcome_known"))
        labels.outcome_known = file.read<std::uint8_t>("trajectory/outcome_known");
    labels.kind = file.attribute<std::string>("/", "kind");
    labels.source = file.attribute<std::string>("/", "source");
    const bool fits = file.attribute<std::string>("/", "describes") == content_hash(data) &&
                      labels.truth.size() == state_offsets(data).back() &&
                      labels.step_right.size() == data.step_end.size() &&
                      (labels.outcome_known.empty() || labels.outcome_known.size() == data.size());
    if (!fits)
        throw DataError(
            cat(path.string(), " belongs to other trajectories (labels are aligned state by state). Make both again."));
    return labels;
}

StateLabels load_labels(const std::filesystem::path& directory, const task::Task& task, const Trajectories& data) {
    const auto path = directory / "labels.h5";
    return std::filesystem::exists(path) ? read_labels(path, data) : state_labels(task, data);
}

}  // namespace tdrm::rollout
