// Math-Shepherd (arXiv 2312.08935) and RLHFlow: signs behind steps, the question in front of the first one.
#include <charconv>
#include <limits>

#include "formats.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/text.hpp"

namespace tdrm::task::process {
namespace {

constexpr std::string_view kTag = "ки";

/// The sign at a place of a text.
float sign(std::string_view text, std::size_t at, const Place& place) {
    if (text[at] == '+' || text[at] == '-') return text[at] == '+' ? 1.0F : 0.0F;
    std::size_t end = at + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    broken(place, cat("the sign of a step is '", shortened(text.substr(at, end - at)), "', neither + nor -"));
}

/// What the assistant said of a step: + or -, or the probability of +.
float verdict(const std::string& text, const Place& place) {
    if (text == "+" || text == "-") return text == "+" ? 1.0F : 0.0F;
    double p = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), p);
    if (error == std::errc{} && end == text.data() + text.size() && p >= 0 && p <= 1) return static_cast<float>(p);
    broken(place, cat("the label \"", shortened(text, 60), "\" is neither + nor - nor a probability in [0, 1]"));
}

std::size_t first_step(std::string_view text) {
    const auto upper = text.rfind("Step 1:"), lower = text.rfind("step 1:");
    if (upper == std::string_view::npos || lower == std::string_view::npos) return std::min(upper, lower);
    return std::max(upper, lower);
}

/// Where text is cut by tags: pieces, one more than tags.
std::vector<std::string_view> cut_at_tags(std::string_view text) {
    std::vector<std::string_view> pieces;
    for (std::size_t tag; (tag = text.find(kTag)) != std::string_view::npos; text.remove_prefix(tag + kTag.size()))
        pieces.push_back(text.substr(0, tag));
    pieces.push_back(text);
    return pieces;
}

}  // namespace

std::optional<std::pair<std::string, std::string>> split_question(std::string_view text) {
    std::size_t cut = first_step(text);
    if (cut == std::string_view::npos && (cut = text.find("\n\n")) == std::string_view::npos) {
        cut = text.rfind('?');
        if (cut != std::string_view::npos) ++cut;
    }
    if (cut == std::string_view::npos) return std::nullopt;
    auto question = trimmed(text.substr(0, cut)), step = trimmed(text.substr(cut));
    if (question.empty() || step.empty()) return std::nullopt;
    return std::pair(std::move(question), std::move(step));
}

void read_math_shepherd(const Json& row, const Place& place, Sink& sink) {
    const std::string input = text_member(row, "input", place), labelled = text_member(row, "label", place);
    const auto pieces = cut_at_tags(input);
    LabelledSolution solution;
    // The label is the input with each tag replaced by a sign.
    std::size_t at = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        if (labelled.compare(at, pieces[i].size(), pieces[i]) != 0)
            broken(place, "\"label\" isn't \"input\" with a sign for each tag");
        at += pieces[i].size();
        if (i + 1 == pieces.size()) break;
        if (at >= labelled.size()) broken(place, "\"label\" has fewer signs than \"input\" has tags");
        solution.label.push_back(sign(labelled, at++, place));
    }
    if (at != labelled.size()) broken(place, "\"label\" goes on after the last step");
    if (solution.label.empty()) return sink.drop("no step");
    // A tag in front of "Step 1:" stands inside of the question, where there is nothing to label.
    std::size_t first = 0;
    while (first < solution.label.size() && first_step(pieces[first]) == std::string_view::npos) ++first;
    std::string head(pieces[0]);
    if (first == solution.label.size()) {
        first = 0;
    } else if (first > 0) {
        head.clear();
        for (std::size_t i = 0; i <= first; ++i) head += pieces[i];
        solution.label.erase(solution.label.begin(), solution.label.begin() + static_cast<std::ptrdiff_t>(first));
        sink.notice("tag inside of the question");
    }
    auto split = split_question(head);
    if (!split) return sink.drop("question and first step can't be told apart");
    solution.problem = std::move(split->first);
    solution.steps.push_back(std::move(split->second));
    for (std::size_t i = first + 1; i + 1 < pieces.size(); ++i) solution.steps.emplace_back(pieces[i]);
    if (!trimmed(pieces.back()).empty()) sink.notice("text behind the last step");
    solution.outcome = solution.label.back();
    sink.solutions.push_back(std::move(solution));
}

void read_rlhflow(const Json& row, const Place& place, Sink& sink) {
    const Json& turns = member(row, row.is_object() && row.contains("messages") ? "messages" : "conversations", place);
    if (!turns.is_array()) broken(place, "\"conversations\" is no list");
    if (turns.empty()) return sink.drop("no step");
    if (turns.size() % 2 != 0) broken(place, "a turn has no answer");
    LabelledSolution solution;
    for (std::size_t i = 0; i < turns.size(); i += 2) {
        const std::string role = text_member(turns[i], "role", place),
                          answer = text_member(turns[i + 1], "role", place);
        if (role != "user" || answer != "assistant") broken(place, "turns don't go user, assistant, user, ...");
        solution.steps.push_back(text_member(turns[i], "content", place));
        solution.label.push_back(verdict(trimmed(text_member(turns[i + 1], "content", place)), place));
    }
    auto split = split_question(solution.steps.front());
    if (!split) return sink.drop("question and first step can't be told apart");
    solution.problem = std::move(split->first);
    solution.steps.front() = std::move(split->second);
    solution.outcome = solution.label.back();
    sink.solutions.push_back(std::move(solution));
}

}  // namespace tdrm::task::process
