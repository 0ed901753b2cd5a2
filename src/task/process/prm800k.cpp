// PRM800K (github.com/openai/prm800k, arXiv 2305.20050): a tree of rated steps along one chosen path.
#include <cmath>
#include <limits>

#include "formats.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::task::process {
namespace {

constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();

bool flag(const Json& row, const char* name) {
    const auto found = row.find(name);
    return found != row.end() && found->is_boolean() && found->get<bool>();
}

/// A step as somebody rated it.
struct Rated {
    std::string text;
    float label = kUnknown;
};

/// Null and flagged ("don't know how to label") ratings are no labels.
Rated rated(const Json& completion, const ReadRules& rules, const Place& place) {
    Rated step{text_member(completion, "text", place)};
    const auto rating = completion.find("rating");
    if (rating == completion.end() || rating->is_null() || flag(completion, "flagged")) return step;
    if (!rating->is_number() || (*rating != 1 && *rating != 0 && *rating != -1))
        broken(place, cat("the rating ", rating->dump(), " is none of -1, 0 and 1"));
    if (*rating == 1) step.label = 1;
    if (*rating == -1) step.label = 0;
    if (*rating == 0 && rules.neutral != Neutral::unlabelled)
        step.label = rules.neutral == Neutral::right ? 1.0F : 0.0F;
    return step;
}

/// Steps that people wrote are right; the files hold them as an object, the documentation as text.
Rated written(const Json& human, const Place& place) {
    return {human.is_string() ? human.get<std::string>() : text_member(human, "text", place), 1};
}

struct Level {
    std::vector<Rated> completions;
    std::optional<Rated> chosen;  ///< what the next step builds on
    std::int64_t chosen_index = -1;
};

Level level_of(const Json& step, const ReadRules& rules, const Place& place) {
    Level level;
    const Json& completions = member(step, "completions", place);
    if (!completions.is_null() && !completions.is_array()) broken(place, "\"completions\" is no list");
    for (const Json& each : completions) level.completions.push_back(rated(each, rules, place));
    const auto chosen = step.find("chosen_completion");
    const auto human = step.find("human_completion");
    if (chosen != step.end() && !chosen->is_null()) {
        if (!chosen->is_number_integer()) broken(place, "\"chosen_completion\" is no index");
        level.chosen_index = chosen->get<std::int64_t>();
        if (level.chosen_index < 0 || level.chosen_index >= static_cast<std::int64_t>(level.completions.size()))
            broken(place, cat("\"chosen_completion\" ", level.chosen_index, " is outside of the ",
                              level.completions.size(), " completions"));
        level.chosen = level.completions[static_cast<std::size_t>(level.chosen_index)];
    } else if (human != step.end() && !human->is_null()) {
        level.chosen = written(*human, place);
    }
    return level;
}

void append(LabelledSolution& solution, const Rated& step) {
    solution.steps.push_back(step.text);
    solution.label.push_back(step.label);
}

}  // namespace

void read_prm800k(const Json& row, const Place& place, Sink& sink) {
    const Json& question = member(row, "question", place);
    const Json& label = member(row, "label", place);
    const Json& steps = member(label, "steps", place);
    if (!steps.is_array()) broken(place, "\"steps\" is no list");
    const std::string reason = text_member(label, "finish_reason", place);
    LabelledSolution path;
    path.problem = text_member(question, "problem", place);
    if (const auto answer = question.find("ground_truth_answer"); answer != question.end() && answer->is_string())
        path.answer = *answer;
    path.complete = false;
    std::vector<LabelledSolution> branches;
    std::int64_t unrated = 0;
    for (const Json& step : steps) {
        const Level level = level_of(step, sink.rules, place);
        for (std::size_t i = 0; i < level.completions.size(); ++i) {
            // In phase 2 the first completion is the next step of the solution that was labelled; where nothing was
            // chosen it stays part of the path, as its last step.
            const bool own = static_cast<std::int64_t>(i) == level.chosen_index || (!level.chosen && i == 0);
            if (own) continue;
            unrated += std::isnan(level.completions[i].label) ? 1 : 0;
            if (!sink.rules.alternatives || std::isnan(level.completions[i].label)) continue;
            branches.push_back(path);
            append(branches.back(), level.completions[i]);
            if (level.completions[i].label == 0) branches.back().outcome = 0.0F;
        }
        if (level.chosen) {
            append(path, *level.chosen);
        } else {
            if (!level.completions.empty()) append(path, level.completions.front());
            break;
        }
    }
    if (reason != "found_error" && reason != "solution" && reason != "bad_problem" && reason != "give_up")
        broken(place, cat("the finish reason \"", reason, "\" is unknown"));
    if (reason == "bad_problem") return sink.drop("row of a bad problem");
    if (!sink.rules.quality_control &&
        (flag(row, "is_quality_control_question") || flag(row, "is_initial_screening_question")))
        return sink.drop("row for quality control");
    if (reason == "solution") {
        path.outcome = 1.0F;
        path.complete = true;
    }
    if (!path.label.empty() && path.label.back() == 0 && reason != "solution") path.outcome = 0.0F;
    sink.counts["noticed: alternative without a rating"] += unrated;
    sink.solutions.push_back(std::move(path));
    for (auto& branch : branches) sink.solutions.push_back(std::move(branch));
}

}  // namespace tdrm::task::process
