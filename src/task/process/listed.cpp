// TRL's stepwise supervision and ProcessBench (arXiv 2412.06559): a list of steps beside their labels.
#include <limits>

#include "formats.hpp"
#include "tdrm/base/errors.hpp"

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

float truth(const Json& label, const Place& place) {
    if (label.is_boolean()) return label.get<bool>() ? 1.0F : 0.0F;
    if (label.is_number() && (label == 0 || label == 1)) return label.get<float>();
    broken(place, cat("the label ", label.dump(), " is neither true nor false"));
}

}  // namespace

void read_trl(const Json& row, const Place& place, Sink& sink) {
    LabelledSolution solution;
    solution.problem = prompt_text(row, place);
    solution.steps = texts_member(row, "completions", place);
    const Json& labels = member(row, "labels", place);
    if (!labels.is_array()) broken(place, "\"labels\" is no list");
    for (const Json& each : labels) solution.label.push_back(truth(each, place));
    if (solution.label.size() != solution.steps.size())
        broken(place, cat(solution.label.size(), " labels for ", solution.steps.size(), " steps"));
    if (!solution.label.empty()) solution.outcome = solution.label.back() == 1;
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
    if (const auto correct = row.find("final_answer_correct"); correct != row.end() && correct->is_boolean())
        solution.outcome = correct->get<bool>();
    sink.solutions.push_back(std::move(solution));
}

}  // namespace tdrm::task::process
