#include "tdrm/task/process/solution.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "formats.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/options.hpp"

namespace tdrm::task::process {
namespace {

using Reader = void (*)(const Json&, const Place&, Sink&);
Reader reader_of(Format format) {
    switch (format) {
        case Format::prm800k:
            return read_prm800k;
        case Format::math_shepherd:
            return read_math_shepherd;
        case Format::rlhflow:
            return read_rlhflow;
        case Format::trl:
            return read_trl;
        case Format::processbench:
            return read_processbench;
    }
    throw BugError("a format without a reader");
}

bool is_wrong(float label) { return label < 0.5F; }

std::optional<float> outcome_of(const LabelledSolution& solution, OutcomeFrom from) {
    const auto& label = solution.label;
    if (from == OutcomeFrom::format) return solution.outcome;
    if (from == OutcomeFrom::unknown) return std::nullopt;
    if (from == OutcomeFrom::last_label) return std::isnan(label.back()) ? std::nullopt : std::optional(label.back());
    if (std::any_of(label.begin(), label.end(), is_wrong)) return 0.0F;
    return std::any_of(label.begin(), label.end(), [](float l) { return std::isnan(l); }) ? std::nullopt
                                                                                          : std::optional(1.0F);
}

void apply_after_error(std::vector<float>& label, AfterError rule) {
    if (rule == AfterError::given) return;
    const auto wrong = std::find_if(label.begin(), label.end(), is_wrong);
    const float after = rule == AfterError::wrong ? 0.0F : std::numeric_limits<float>::quiet_NaN();
    if (wrong != label.end()) std::fill(wrong + 1, label.end(), after);
}

/// The rules that all formats share. @return why the solution is left out; empty if it is kept
std::string finish(LabelledSolution& solution, const ReadRules& rules) {
    solution.problem = trimmed(solution.problem);
    for (std::string& step : solution.steps) step = trimmed(step);
    if (solution.problem.empty()) return "no problem text";
    if (solution.steps.empty()) return "no step";
    if (std::any_of(solution.steps.begin(), solution.steps.end(), [](const auto& s) { return s.empty(); }))
        return "step without text";
    if (std::all_of(solution.label.begin(), solution.label.end(), [](float l) { return std::isnan(l); }) &&
        !solution.outcome)
        return "no label";
    solution.outcome = outcome_of(solution, rules.outcome);
    apply_after_error(solution.label, rules.after_error);
    return "";
}

void count(const LabelledSolution& solution, std::map<std::string, std::int64_t>& counts) {
    ++counts["kept solutions"];
    const float outcome = solution.outcome.value_or(std::numeric_limits<float>::quiet_NaN());
    ++counts[std::isnan(outcome) ? "outcome unknown"
             : outcome == 1      ? "outcome right"
             : outcome == 0      ? "outcome wrong"
                                 : "outcome soft"];
    for (const float label : solution.label)
        ++counts[std::isnan(label) ? "steps unlabelled"
                 : label == 1      ? "steps right"
                 : label == 0      ? "steps wrong"
                                   : "steps soft"];
}

}  // namespace

void ReadRules::fields(Fields& f) {
    f("format", format, "published format of the files").required();
    f("neutral", neutral, "what the rating 0 of prm800k counts as");
    f("alternatives", alternatives, "prm800k: make a solution of each rated step that wasn't chosen, ending there");
    f("quality_control", quality_control, "prm800k: keep rows that were served to every labeller");
    f("after_error", after_error, "labels of the steps after the first wrong one");
    f("outcome", outcome, "where the outcome of a solution comes from");
    f("broken", broken, "rows that can't be understood: refuse the file, or skip and count them");
}

ReadResult read_solutions(const std::vector<std::filesystem::path>& files, const ReadRules& rules) {
    ReadResult result;
    const Reader reader = reader_of(rules.format);
    Sink sink{rules, {}, {}};
    for (const auto& file : files) {
        for_each_row(file, [&](const Json& row, const Place& place) {
            ++sink.counts["rows"];
            sink.solutions.clear();
            try {
                if (row.is_discarded()) broken(place, "this isn't JSON in UTF-8");
                reader(row, place, sink);
            } catch (const BrokenRow& error) {
                if (rules.broken == BrokenRows::refuse)
                    throw DataError(cat(
                        error.what(),
                        " (its labels can't be used). Correct the row, or set broken: skip to leave such rows out."));
                sink.drop("broken row");
                return;
            }
            for (LabelledSolution& solution : sink.solutions) {
                const std::string reason = finish(solution, rules);
                if (!reason.empty()) {
                    sink.drop(reason.c_str());
                    continue;
                }
                count(solution, sink.counts);
                result.solutions.push_back(std::move(solution));
            }
        });
    }
    std::erase_if(sink.counts, [](const auto& entry) { return entry.second == 0; });
    result.counts = std::move(sink.counts);
    if (result.solutions.empty())
        throw DataError(cat("nothing was kept of ", result.counts["rows"],
                            " rows (there is nothing to train on). Is this the right format?"));
    return result;
}

}  // namespace tdrm::task::process
