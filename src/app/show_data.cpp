// Reading what is known about the states of stored answers: values, labels, trees.
#include <algorithm>
#include <cmath>
#include <limits>

#include "show.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/reward/loss.hpp"
#include "tdrm/reward/targets.hpp"
#include "tdrm/rollout/labels.hpp"

namespace tdrm::app {
namespace {

namespace fs = std::filesystem;

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

[[noreturn]] void other_answers(const fs::path& path) {
    throw DataError(cat(path.string(), " belongs to other answers (its states differ). Make the stage again."));
}

/// Whether two files describe the same answers as far as both say so.
void check_states(const store::FileReader& file, const fs::path& path, const StoredAnswers& answers) {
    const auto offset = file.read<std::int64_t>("state/offset");
    const auto& states = answers.states();
    const bool same = std::equal(offset.begin(), offset.end(), states.begin(), states.end(),
                                 [](std::int64_t a, std::size_t b) { return a == static_cast<std::int64_t>(b); });
    if (!same) other_answers(path);
}

/// A column over states or answers; empty if the file lacks it.
template <class T>
std::vector<T> column(const store::FileReader& file, const fs::path& path, const char* name, std::size_t size) {
    if (!file.has(name)) return {};
    auto values = file.read<T>(name);
    if (values.size() != size) other_answers(path);
    return values;
}

}  // namespace

StateValues read_values(const ValueSource& source, const StoredAnswers& answers) {
    const store::FileReader file(source.file);
    check_states(file, source.file, answers);
    const auto& states = answers.states();
    const auto logit = column<float>(file, source.file, "state/value", states.back());
    const auto deviation = column<float>(file, source.file, "state/deviation", states.back());
    StateValues values;
    for (std::size_t row = 0; row < answers.size() && !logit.empty(); ++row) {
        const auto of_row = std::span(logit).subspan(states[row], states[row + 1] - states[row]);
        if (source.hazards) {
            for (const double survival : reward::log_survival(of_row)) values.value.push_back(std::exp(survival));
        } else {
            for (const float z : of_row) values.value.push_back(reward::sigmoid(static_cast<double>(z)));
        }
    }
    if (values.value.size() != states.back()) other_answers(source.file);
    values.deviation.assign(deviation.begin(), deviation.end());
    return values;
}

StoredLabels read_labels(const fs::path& path, const StoredAnswers& answers) {
    const store::FileReader file(path);
    check_states(file, path, answers);
    const std::size_t states = answers.states().back(), rows = answers.size();
    StoredLabels labels;
    const auto kind = file.attribute<std::string>("/", "kind");
    const auto source = file.attribute<std::string>("/", "source");
    if (!kind.empty()) labels.meaning = cat(rollout::meaning_of(kind), source.empty() ? "" : ", says " + source);
    labels.truth = column<float>(file, path, "state/truth", states);
    labels.v_pi = column<float>(file, path, "state/v_pi", states);
    labels.successes = column<std::int32_t>(file, path, "state/successes", states);
    labels.tries = column<std::int32_t>(file, path, "state/tries", states);
    labels.outcome_known = column<std::uint8_t>(file, path, "trajectory/outcome_known", rows);
    labels.true_right = column<std::uint8_t>(file, path, "trajectory/true_outcome", rows);
    if (labels.successes.size() != labels.tries.size()) other_answers(path);
    if (std::ranges::all_of(labels.truth, [](float y) { return std::isnan(y); })) labels.truth.clear();
    return labels;
}

StoredTrees::StoredTrees(const fs::path& path, const StoredAnswers& answers) : file_(path), words_(file_) {
    tree_offset_ = file_.read<std::int64_t>("node/tree_offset");
    token_offset_ = file_.read<std::int64_t>("node/token_offset");
    parent_ = file_.read<std::int32_t>("node/parent");
    value_ = file_.read<float>("node/value");
    terminal_ = file_.read<std::uint8_t>("node/terminal");
    correct_ = file_.read<std::uint8_t>("node/correct");
    on_path_ = file_.read<std::uint8_t>("node/on_path");
    const std::size_t nodes = parent_.size();
    const auto ends_at = [](const std::vector<std::int64_t>& offset, std::size_t rows, std::int64_t total) {
        return offset.size() == rows + 1 && offset.front() == 0 && offset.back() == total &&
               std::is_sorted(offset.begin(), offset.end());
    };
    const bool fits = ends_at(tree_offset_, answers.problems(), static_cast<std::int64_t>(nodes)) &&
                      ends_at(token_offset_, nodes, file_.size("node/token")) && value_.size() == nodes &&
                      terminal_.size() == nodes && correct_.size() == nodes && on_path_.size() == nodes;
    if (!fits) other_answers(path);
}

std::size_t StoredTrees::nodes(std::size_t problem) const {
    return static_cast<std::size_t>(tree_offset_[problem + 1] - tree_offset_[problem]);
}

StoredTrees::Node StoredTrees::node(std::size_t at) const {
    const auto ids =
        file_.read_range<std::int32_t>("node/token", token_offset_[at], token_offset_[at + 1] - token_offset_[at]);
    return {reward::sigmoid(static_cast<double>(value_[at])), words_.text(ids), terminal_[at] != 0, correct_[at] != 0};
}

std::vector<StoredTrees::Step> StoredTrees::path(std::size_t problem) const {
    const auto begin = static_cast<std::size_t>(tree_offset_[problem]), count = nodes(problem);
    std::vector<Step> steps;
    for (std::int32_t last = -1;;) {  // the node that the path has reached; -1 is the prompt
        std::optional<std::size_t> next;
        Step step;
        for (std::size_t n = static_cast<std::size_t>(last + 1); n < count; ++n) {
            if (parent_[begin + n] != last) continue;
            if (on_path_[begin + n] != 0 && !next) {
                next = n;
                step.chosen = node(begin + n);
            } else {
                step.beside.push_back(node(begin + n));
            }
        }
        if (!next) return steps;
        std::ranges::stable_sort(step.beside, std::greater(), &Node::value);
        steps.push_back(std::move(step));
        last = static_cast<std::int32_t>(*next);
    }
}

double StoredTrees::last_value(std::size_t problem) const {
    for (auto n = static_cast<std::size_t>(tree_offset_[problem + 1]),
              begin = static_cast<std::size_t>(tree_offset_[problem]);
         n-- > begin;)
        if (on_path_[n] != 0) return reward::sigmoid(static_cast<double>(value_[n]));
    return kUnknown;
}

double Shown::last_value(std::size_t row, std::size_t problem) const {
    if (trees) return trees->last_value(problem);
    return values ? values->value[answers.states()[row + 1] - 1] : kUnknown;
}

std::optional<std::size_t> Shown::best(std::size_t problem) const {
    std::optional<std::size_t> best_row;
    double greatest = 0;
    const auto [begin, end] = answers.rows(problem);
    for (std::size_t row = begin; row < end; ++row) {
        const double value = last_value(row, problem);
        if (std::isnan(value) || (best_row && value <= greatest)) continue;
        best_row = row;
        greatest = value;
    }
    return best_row;
}

std::optional<bool> Shown::right(std::size_t row) const {
    if (labels && !labels->outcome_known.empty() && labels->outcome_known[row] == 0) return std::nullopt;
    if (labels && !labels->true_right.empty()) return labels->true_right[row] != 0;
    return answers.right(row);
}

}  // namespace tdrm::app
