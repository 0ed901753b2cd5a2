// Solutions whose steps somebody labelled: what process reward models are trained on. docs/process-data.md states the
// rules by which each published format is read.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tdrm {
class Fields;
}

namespace tdrm::task::process {

/// One solution of a problem, cut into steps.
struct LabelledSolution {
    std::string problem;
    std::vector<std::string> steps;  ///< trimmed, none empty
    std::vector<float> label;        ///< of each step in [0, 1]: 1 right, 0 wrong, between a probability; NaN not known
    std::optional<float> outcome;    ///< of the whole, likewise; empty if it isn't known
    bool complete = true;            ///< false where the text ends before the answer
    std::string answer;              ///< gold answer, where the format has one
};

enum class Format { prm800k, math_shepherd, rlhflow, trl, processbench };
[[nodiscard]] constexpr auto enum_names(Format) {
    using enum Format;
    return std::array<std::pair<Format, std::string_view>, 5>{{{prm800k, "prm800k"},
                                                               {math_shepherd, "math_shepherd"},
                                                               {rlhflow, "rlhflow"},
                                                               {trl, "trl"},
                                                               {processbench, "processbench"}}};
}
/// What the rating 0 of PRM800K means: neither wrong nor a step forward.
enum class Neutral { right, wrong, unlabelled };
[[nodiscard]] constexpr auto enum_names(Neutral) {
    using enum Neutral;
    return std::array<std::pair<Neutral, std::string_view>, 3>{
        {{right, "right"}, {wrong, "wrong"}, {unlabelled, "unlabelled"}}};
}
/// Labels of the steps after the first wrong one, whose label is below 1/2.
enum class AfterError { given, wrong, unlabelled };
[[nodiscard]] constexpr auto enum_names(AfterError) {
    using enum AfterError;
    return std::array<std::pair<AfterError, std::string_view>, 3>{
        {{given, "given"}, {wrong, "wrong"}, {unlabelled, "unlabelled"}}};
}
/// Where the outcome of a solution comes from.
enum class OutcomeFrom {
    format,      ///< as the format's publication has it
    last_label,  ///< the label of the last step
    no_error,    ///< right if no step is wrong (below 1/2); unknown if a label is
    unknown,     ///< not known
};
[[nodiscard]] constexpr auto enum_names(OutcomeFrom) {
    using enum OutcomeFrom;
    return std::array<std::pair<OutcomeFrom, std::string_view>, 4>{
        {{format, "format"}, {last_label, "last_label"}, {no_error, "no_error"}, {unknown, "unknown"}}};
}
/// What becomes of a row that can't be understood.
enum class BrokenRows { refuse, skip };
[[nodiscard]] constexpr auto enum_names(BrokenRows) {
    using enum BrokenRows;
    return std::array<std::pair<BrokenRows, std::string_view>, 2>{{{refuse, "refuse"}, {skip, "skip"}}};
}

struct ReadRules {
    Format format = Format::prm800k;
    Neutral neutral = Neutral::right;
    bool alternatives = true;      ///< PRM800K: steps that weren't chosen, each as a solution that ends there
    bool quality_control = false;  ///< PRM800K: rows that were served to every labeller
    AfterError after_error = AfterError::given;
    OutcomeFrom outcome = OutcomeFrom::format;
    BrokenRows broken = BrokenRows::refuse;
    void fields(Fields& f);
};

/// Solutions of files in the order of their rows, and how many things were kept, dropped or noticed, and why:
/// "rows", "kept solutions", "kept steps", "dropped: step without text", ...
struct ReadResult {
    std::vector<LabelledSolution> solutions;
    std::map<std::string, std::int64_t> counts;
};

/// Reads files of one format. Local.
/// @throws IoError if a file can't be read; DataError, naming file and line, for a row that can't be understood (unless
/// rules.broken is skip), or if nothing is left
[[nodiscard]] ReadResult read_solutions(const std::vector<std::filesystem::path>& files, const ReadRules& rules);

/// A question and the first step behind it, which some formats write into one text: cut before the last "Step 1:" (or
/// "step 1:"), else after the first blank line, else behind the last question mark. Empty if none of these leaves both.
[[nodiscard]] std::optional<std::pair<std::string, std::string>> split_question(std::string_view text);

}  // namespace tdrm::task::process
