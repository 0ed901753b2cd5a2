// TRL's stepwise supervision and ProcessBench (arXiv 2412.06559): a list of steps beside their labels.
#include <limits>

#include "formats.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/text.hpp"

namespace tdrm::task::process {
namespace {

/// A prompt of TRL: text, or a conversation whose user turn is the question.
std::string prompt_text(const Json& row, const Place& place) {
    const Json& prompt = member(row, "prompt", place);
    if (!prompt.is_array()) return text_member(row, "prompt", place);
    for (const Json& turn : prompt)
        if (text_member(turn, "role", place) == "user") return text_member(turn, "content", place);
    broken(place, "\"prompt\" has no turn of a user");
}

/// An outcome that a row may have or not.
std::optional<float> outcome_member(const Json& row, const char* name, const Place& place) {
    const auto found = row.find(name);
    if (found == row.end() || found->is_null()) return std::nullopt;
    return probability(*found, name, place);
}

}  // namespace

float probability(const Json& value, const char* what, const Place& place) {
    if (value.is_boolean()) return value.get<bool>() ? 1.0F : 0.0F;
    if (value.is_number())
        if (const auto p = value.get<double>(); p >= 0 && p <= 1) return static_cast<float>(p);
    const std::string text = value.is_null() ? "null or NaN" : shortened(value.dump(), 60);
    broken(place, cat("the ", what, " ", text, " is neither true nor false nor a probability in [0, 1]"));
}

void read_trl(const Json& row, const Place& place, Sink& sink) {
    LabelledSolution solution;
    solution.problem = prompt_text(row, place);
    solution.steps = texts_member(row, "completions", place);
    const Json& labels = member(row, "labels", place);
    if (!labels.is_array()) broken(place, "\"labels\" is no list");
    for (const Json& each : labels) solution.label.push_back(probability(each, "label", place));
    if (solution.label.size() != solution.steps.size())
        broken(place, cat(solution.label.size(), " labels for ", solution.steps.size(), " steps"));
    solution.outcome = outcome_member(row, "outcome", place);
    if (!solution.outcome && !solution.label.empty()) solution.outcome = solution.label.back();
    sink.solutions.push_back(std::move(solution));
}

void read_processbench(const Json& row, const Place& place, Sink& sink) {
    LabelledSolution solution;
    solution.problem = text_member(row, "problem", place);
    solution.steps = texts_member(row, "steps", place);
    const Json& label = member(row, "label", place);
    if (!label.is_number_integer()) broken(place, "\"label\" is no index");
    const auto first = label.get<std::int64_t>(), steps = static_cast<std::int64_t>(solution.steps.size());
    if (first < -1 || first >= steps) broken(place, cat("the label ", first, " is outside of the ", steps, " steps"));
    // What follows the first error wasn't labelled.
    solution.label.assign(solution.steps.size(), first < 0 ? 1.0F : std::numeric_limits<float>::quiet_NaN());
    for (std::int64_t i = 0; i <= first; ++i) solution.label[static_cast<std::size_t>(i)] = i < first ? 1.0F : 0.0F;
    solution.outcome = outcome_member(row, "final_answer_correct", place);
    sink.solutions.push_back(std::move(solution));
}

}  // namespace tdrm::task::process
