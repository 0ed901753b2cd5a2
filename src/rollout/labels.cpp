#include "tdrm/rollout/labels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::rollout {
namespace {

constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();

/// A number of each trajectory at all of its states, or at the last one alone.
template <class Of>
std::vector<float> at_states(const Trajectories& data, bool last_alone, Of of) {
    std::vector<float> result;
    for (std::size_t row = 0; row < data.size(); ++row) {
        result.insert(result.end(), data.step_ends(row).size() + 1, last_alone ? kUnknown : of(row));
        result.back() = of(row);
    }
    return result;
}

}  // namespace

std::string meaning_of(const std::string& kind) {
    if (kind == "reachable") return "some continuation is right";
    if (kind == "no_error_so_far") return "every step so far is right";
    return "the last step is right in itself";
}

StateLabels state_labels(const task::Task& task, const Trajectories& data, bool scripted) {
    StateLabels labels;
    if (scripted && !task.scripted_policy().empty()) {
        labels.v_pi_policy = task.scripted_policy();
        for (std::size_t row = 0; row < data.size(); ++row) {
            const auto values = task.scripted_value(data.problem_of(row), data.ids(row), data.step_ends(row));
            labels.v_pi.insert(labels.v_pi.end(), values.begin(), values.end());
        }
    }
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

std::vector<Estimand> estimands(const Trajectories& data, const StateLabels& labels, bool hazards) {
    std::vector<Estimand> result;
    const auto add = [&](std::string name, std::string meaning, std::vector<float> truth) {
        if (std::any_of(truth.begin(), truth.end(), [](float y) { return !std::isnan(y); }))
            result.push_back({std::move(name), std::move(meaning), std::move(truth)});
    };
    const auto known = [&](std::size_t row) { return labels.outcome_known.empty() || labels.outcome_known[row] != 0; };
    const bool flipped = !labels.true_outcome.empty();
    const std::string at = hazards ? "_at_end" : "";
    add("outcome" + at, flipped ? "the answer's verdict, flips included" : "the answer's verdict",
        at_states(data, hazards, [&](std::size_t row) { return known(row) ? data.outcome[row] : kUnknown; }));
    if (flipped)
        add("true_outcome" + at, "the answer's verdict before flips",
            at_states(data, hazards, [&](std::size_t row) { return labels.true_outcome[row] != 0 ? 1.0F : 0.0F; }));
    add(labels.kind, meaning_of(labels.kind), labels.truth);
    if (hazards) return result;
    add("v_pi", "V^pi, exact: " + labels.v_pi_policy, labels.v_pi);
    add("v_pi_sampled", "V^pi, sampled: the share of continuations that are right", success_rates(labels));
    return result;
}

std::vector<float> success_rates(const StateLabels& labels) {
    std::vector<float> rates;
    for (std::size_t s = 0; s < labels.tries.size(); ++s)
        rates.push_back(labels.tries[s] > 0
                            ? static_cast<float>(labels.successes[s]) / static_cast<float>(labels.tries[s])
                            : kUnknown);
    return rates;
}

void flip_verdicts(Trajectories& data, StateLabels& labels, double rate, std::uint64_t seed) {
    labels.true_outcome.clear();
    for (std::size_t row = 0; row < data.size(); ++row) {
        const auto id = data.problem_id[static_cast<std::size_t>(data.problem[row])];
        const auto key =
            random_key(seed, "verdict noise", static_cast<std::uint64_t>(id),
                       static_cast<std::uint64_t>(data.visit[row]), static_cast<std::uint64_t>(data.sample[row]));
        labels.true_outcome.push_back(data.outcome[row] > 0 ? 1 : 0);
        if (Random(key).uniform(0) < rate) data.outcome[row] = 1 - data.outcome[row];
    }
}

void write_labels(const std::filesystem::path& path, const Trajectories& data, const StateLabels& labels) {
    const auto offsets = state_offsets(data);
    store::FileWriter file(path);
    file.attribute("schema", std::string("tdrm-labels-1"));
    file.attribute("describes", content_hash(data));
    file.attribute("kind", labels.kind);
    file.attribute("source", labels.source);
    file.write("state/offset", std::vector<std::int64_t>(offsets.begin(), offsets.end()));
    // What nobody knows is written as such: readers rely on these two.
    file.write("state/truth", labels.truth.empty() ? std::vector<float>(offsets.back(), kUnknown) : labels.truth);
    file.write("step/right",
               labels.step_right.empty() ? std::vector<std::uint8_t>(data.step_end.size(), 255) : labels.step_right);
    if (!labels.outcome_known.empty()) file.write("trajectory/outcome_known", labels.outcome_known);
    if (!labels.true_outcome.empty()) file.write("trajectory/true_outcome", labels.true_outcome);
    if (!labels.v_pi.empty()) {
        file.attribute("v_pi_policy", labels.v_pi_policy);
        file.write("state/v_pi", labels.v_pi);
    }
    if (!labels.tries.empty()) {
        file.write("state/successes", labels.successes);
        file.write("state/tries", labels.tries);
    }
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
    if (file.has("trajectory/true_outcome")) labels.true_outcome = file.read<std::uint8_t>("trajectory/true_outcome");
    if (file.has("state/v_pi")) {
        labels.v_pi = file.read<float>("state/v_pi");
        labels.v_pi_policy = file.attribute<std::string>("/", "v_pi_policy");
    }
    if (file.has("state/tries")) {
        labels.tries = file.read<std::int32_t>("state/tries");
        labels.successes = file.read<std::int32_t>("state/successes");
    }
    const auto one_each = [](const auto& values, std::size_t size) { return values.empty() || values.size() == size; };
    const std::size_t states = state_offsets(data).back();
    const bool fits = file.attribute<std::string>("/", "describes") == content_hash(data) &&
                      labels.truth.size() == states && labels.step_right.size() == data.step_end.size() &&
                      one_each(labels.outcome_known, data.size()) && one_each(labels.true_outcome, data.size()) &&
                      one_each(labels.v_pi, states) && one_each(labels.tries, states) &&
                      labels.successes.size() == labels.tries.size();
    if (!fits)
        throw DataError(
            cat(path.string(), " belongs to other trajectories (labels are aligned state by state). Make both again."));
    for (std::size_t s = 0; s < labels.tries.size(); ++s)
        if (labels.successes[s] < 0 || labels.successes[s] > labels.tries[s])
            throw DataError(cat(path.string(), ": state ", s, " has ", labels.successes[s], " successes in ",
                                labels.tries[s], " tries (a rate lies between 0 and 1). Make the labels again."));
    return labels;
}

StateLabels load_labels(const std::filesystem::path& directory, const task::Task& task, const Trajectories& data) {
    const auto path = directory / "labels.h5";
    return std::filesystem::exists(path) ? read_labels(path, data) : state_labels(task, data);
}

}  // namespace tdrm::rollout
