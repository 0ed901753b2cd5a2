// The pages of `tdrm show`: problems as a list, one problem with its answers step by step.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "show.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/spelling.hpp"
#include "tdrm/base/text.hpp"

namespace tdrm::app {
namespace {

constexpr std::size_t kBeside = 16;       ///< siblings of a step that are shown
constexpr std::size_t kPromptBytes = 70;  ///< of a line of the list where the width isn't known
constexpr int kBar = 10;

enum class Ink { dim = 2, bold = 1, good = 32, bad = 31, low = 33, high = 36 };

std::string number(const char* format, double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), format, value);
    return text.data();
}

/// A text at the right or left of a cell; longer ones stay whole.
std::string right_of(const std::string& text, std::size_t width) {
    return std::string(text.size() < width ? width - text.size() : 0, ' ') + text;
}
std::string left_of(const std::string& text, std::size_t width) {
    return text + std::string(text.size() < width ? width - text.size() : 0, ' ');
}

/// Without white space at both ends, ready for a terminal.
std::string tidy(const std::string& text) {
    const auto begin = text.find_first_not_of(" \t\r\n");
    if (begin == std::string::npos) return "";
    return printable(std::string_view(text).substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin));
}

std::string one_line(const std::string& text, std::size_t bytes) {
    std::string line = tidy(text);
    std::replace(line.begin(), line.end(), '\n', ' ');
    return shortened(line, bytes);
}

/// Characters of a valid UTF-8 text, each taken for one column.
std::size_t columns(std::string_view text) {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

/// Lines of a text, broken at blanks where they are longer than `width` (0 = never).
std::vector<std::string> lines_of(const std::string& text, std::size_t width) {
    std::vector<std::string> lines{""};
    std::size_t begin = 0;
    while (begin < text.size()) {
        const std::size_t end = std::min(text.find_first_of(" \n", begin), text.size());
        const std::string word = text.substr(begin, end - begin);
        if (width > 0 && !lines.back().empty() && columns(lines.back()) + columns(word) > width) lines.emplace_back();
        lines.back() += word;
        if (end < text.size() && text[end] == ' ') lines.back() += ' ';
        if (end < text.size() && text[end] == '\n') lines.emplace_back();
        begin = end + 1;
    }
    return lines;
}

class Page {
public:
    Page(const Shown& shown, const ShowRequest& request, const Paper& paper)
        : shown_(shown), answers_(shown.answers), request_(request), paper_(paper) {}

    std::string problems() {
        head(cat(answers_.problems(), " problems, ", tally(0, answers_.size())));
        std::vector<std::size_t> order(answers_.problems());
        std::iota(order.begin(), order.end(), std::size_t{0});
        sort_problems(order);
        const auto [first, last] = window(order.size(), "problem");
        const std::size_t room = paper_.width > 60 ? static_cast<std::size_t>(paper_.width) - 40 : kPromptBytes;
        line(paint("number  answers  right  best by value    prompt", Ink::dim));
        for (std::size_t i = first; i < last; ++i) problem_line(order[i], room);
        page_line(first, last, order.size(), "problem");
        return std::move(text_);
    }

    std::string problem() {
        const auto count = static_cast<std::int64_t>(answers_.problems());
        if (*request_.problem < 0 || *request_.problem >= count)
            throw ConfigError(cat("there is no problem ", *request_.problem, " (", shown_.found.title, " has ", count,
                                  "). Name one from 0 to ", count - 1, "."));
        const auto problem = static_cast<std::size_t>(*request_.problem);
        const auto [begin, end] = answers_.rows(problem);
        head(cat("problem ", problem, " of ", answers_.problems(), " (", split(), " ", answers_.index(problem), ", id ",
                 answers_.id(problem), "): ", tally(begin, end)));
        legend();
        block(paint("prompt ", Ink::dim), 8, tidy(answers_.prompt(problem)));
        block(paint("wanted ", Ink::dim), 8, tidy(answers_.wanted(problem)));
        const auto rows = chosen_rows(problem);
        const auto [first, last] = window(rows.size(), "answer");
        for (std::size_t i = first; i < last; ++i) answer(problem, rows[i]);
        line("");
        page_line(first, last, rows.size(), "answer");
        return std::move(text_);
    }

private:
    [[nodiscard]] std::string paint(const std::string& text, Ink ink) const {
        return paper_.colours ? cat("\x1b[", static_cast<int>(ink), "m", text, "\x1b[0m") : text;
    }
    void line(const std::string& text) {
        const auto end = text.find_last_not_of(' ');
        text_ += (end == std::string::npos ? "" : text.substr(0, end + 1)) + "\n";
    }
    /// A text of several lines behind a title of `indent` columns.
    void block(const std::string& title, std::size_t indent, const std::string& text) {
        const auto width = static_cast<std::size_t>(paper_.width);
        std::string before = title;
        for (const std::string& each : lines_of(text, width > indent + 20 ? width - indent : 0)) {
            line(before + " " + each);
            before = std::string(indent - 1, ' ');
        }
    }

    /// "16 answers, 12.5 % right"
    [[nodiscard]] std::string tally(std::size_t begin, std::size_t end) const {
        return cat(end - begin, end - begin == 1 ? " answer, " : " answers, ", share(begin, end, "%.1f"), " right");
    }
    [[nodiscard]] std::string share(std::size_t begin, std::size_t end, const char* format) const {
        const double percent = 100 * right_share(begin, end);
        return std::isnan(percent) ? "?" : number(format, percent) + " %";
    }
    [[nodiscard]] double right_share(std::size_t begin, std::size_t end) const {
        double right = 0, known = 0;
        for (std::size_t row = begin; row < end; ++row) {
            if (const auto verdict = shown_.right(row)) {
                right += *verdict ? 1 : 0;
                known += 1;
            }
        }
        return right / known;  // NaN where nothing is known
    }

    /// The split of the problems, "row" of imported ones.
    [[nodiscard]] std::string split() const {
        const store::FileReader& file = answers_.file();
        return file.has_attribute("/", "split") ? printable(file.attribute<std::string>("/", "split")) : "row";
    }

    void head(const std::string& what) {
        line(paint(cat(printable(shown_.found.title), ": ", what), Ink::bold));
        if (!shown_.found.others.empty()) line(paint(printable(shown_.found.others), Ink::dim));
        if (!shown_.found.chosen) return line(paint("no values of these answers are stored", Ink::dim));
        const ValueSource& chosen = *shown_.found.chosen;
        std::vector<std::string> others;
        for (const ValueSource& source : shown_.found.values)
            if (source.place != chosen.place) others.push_back(printable(source.place));
        line(paint(cat("values of ", printable(chosen.model), " in ", printable(chosen.place),
                       chosen.hazards ? " (chance of no error so far)" : "",
                       others.empty() ? "" : cat("; by --model: ", join(others))),
                   Ink::dim));
    }
    /// What the columns mean that don't say it themselves.
    void legend() {
        if (!shown_.labels) return;
        const StoredLabels& labels = *shown_.labels;
        if (!labels.truth.empty()) line(paint("truth: " + printable(labels.meaning), Ink::dim));
        if (!labels.v_pi.empty()) line(paint("v_pi: exact chance that its policy ends right from here", Ink::dim));
        if (!labels.tries.empty()) line(paint("tried: right ones among the continuations from here", Ink::dim));
    }

    [[nodiscard]] std::string value_text(double value) const {
        return std::isnan(value) ? "    ?" : paint(number("%.3f", value), value < 0.5 ? Ink::low : Ink::high);
    }
    [[nodiscard]] std::string bar(double value) const {
        if (std::isnan(value)) return std::string(kBar + 2, ' ');
        const auto full = static_cast<std::size_t>(std::lround(std::clamp(value, 0.0, 1.0) * kBar));
        return "[" + paint(std::string(full, '#'), value < 0.5 ? Ink::low : Ink::high) + std::string(kBar - full, ' ') +
               "]";
    }
    [[nodiscard]] std::string mark(std::size_t row) const {
        const auto right = shown_.right(row);
        return !right ? "?" : *right ? paint("right", Ink::good) : paint("wrong", Ink::bad);
    }

    // The list.

    void sort_problems(std::vector<std::size_t>& order) const {
        if (request_.sort == "number") return;
        std::vector<double> key;  // larger first; what has none comes last
        for (const std::size_t p : order) {
            const auto [begin, end] = answers_.rows(p);
            const double share = right_share(begin, end);
            key.push_back(request_.sort == "hardest" ? (std::isnan(share) ? -2 : -share)
                                                     : value_key(shown_.best(p), p));
        }
        std::ranges::stable_sort(order, std::greater(), [&](std::size_t p) { return key[p]; });
    }
    /// For --sort value and wrongest: the value of an answer, of the latter only if it is wrong.
    [[nodiscard]] double value_key(std::optional<std::size_t> row, std::size_t problem) const {
        if (!shown_.found.chosen)
            throw ConfigError(cat("--sort ", request_.sort,
                                  " needs values (none of these answers are stored). A stage of kind score or "
                                  "best_of_n makes some."));
        if (!row) return -2;
        const double value = shown_.last_value(*row, problem);
        if (std::isnan(value)) return -2;
        return request_.sort == "wrongest" && shown_.right(*row).value_or(true) ? value - 1 : value;
    }

    void problem_line(std::size_t p, std::size_t room) {
        const auto [begin, end] = answers_.rows(p);
        const auto best = shown_.best(p);
        const std::string by_value =
            best ? cat(value_text(shown_.last_value(*best, p)), " ", mark(*best), "      ") : "      -          ";
        line(cat(right_of(std::to_string(p), 6), right_of(std::to_string(end - begin), 9),
                 right_of(begin == end ? "-" : share(begin, end, "%.0f"), 7), "  ", by_value,
                 one_line(answers_.prompt(p), room)));
    }

    // One problem.

    /// The answers that are asked for, as rows of the file.
    [[nodiscard]] std::vector<std::size_t> chosen_rows(std::size_t problem) const {
        const auto [begin, end] = answers_.rows(problem);
        if (request_.sort == "hardest")
            throw ConfigError(
                "--sort hardest sorts problems (this is one). Use value, wrongest or number for its answers.");
        if (request_.answer) {
            if (*request_.answer < 0 || *request_.answer >= static_cast<std::int64_t>(end - begin))
                throw ConfigError(cat("there is no answer ", *request_.answer, " (problem ", problem, " has ",
                                      end - begin, "). Name one from 0 on."));
            return {begin + static_cast<std::size_t>(*request_.answer)};
        }
        std::vector<std::size_t> rows;
        for (std::size_t row = begin; row < end; ++row) {
            const auto right = shown_.right(row);
            const bool wanted = request_.right ? right == true : request_.wrong ? right == false : true;
            if (wanted) rows.push_back(row);
        }
        if (request_.sort != "number")
            std::ranges::stable_sort(rows, std::greater(), [&](std::size_t row) { return value_key(row, problem); });
        return rows;
    }

    void answer(std::size_t problem, std::size_t row) {
        line("");
        const auto best = shown_.best(problem);
        const double value = shown_.last_value(row, problem);
        std::string title = cat("answer ", row - answers_.rows(problem).first, "  ", mark(row));
        if (const std::string reason = printable(answers_.reason(row)); reason != "correct") title += ": " + reason;
        if (shown_.right(row) && *shown_.right(row) != answers_.right(row)) title += ", its verdict was flipped";
        if (answers_.cut(row)) title += ", cut for length";
        if (const float outcome = answers_.outcome(row); outcome > 0 && outcome < 1)
            title += cat(", right with chance ", number("%.2f", outcome));
        if (!answers_.given(row).empty()) title += "; gave " + one_line(answers_.given(row), 40);
        if (!std::isnan(value)) title += cat("; value ", value_text(value));
        if (best == row && answers_.rows(problem).second - answers_.rows(problem).first > 1) title += ", the best";
        line(title + rewards(row));
        shown_.trees ? tree(problem) : steps(row);
    }
    /// Of a kept batch of reinforcement learning.
    [[nodiscard]] std::string rewards(std::size_t row) const {
        const auto& file = answers_.file();
        if (!file.has("trajectory/reward")) return "";
        const auto at = [&](const std::string& name) {
            return number("%.3g", file.read_range<double>("trajectory/" + name, static_cast<std::int64_t>(row), 1)[0]);
        };
        std::vector<std::string> parts;
        for (const std::string& name : file.names("trajectory"))
            if (name.starts_with("reward_")) parts.push_back(cat(printable(name.substr(7)), " ", at(name)));
        return cat("; reward ", at("reward"), parts.empty() ? "" : cat(" (", join(parts), ")"));
    }

    void steps(std::size_t row) {
        const auto steps = answers_.steps(row);
        const std::size_t first = answers_.states()[row];
        std::string title = "  step";
        if (shown_.values) title += left_of("  value", 21);
        for (const auto& [name, width] : state_columns()) title += right_of(name, width);
        line(paint(title + "  text", Ink::dim));
        for (std::size_t t = 0; t <= steps.text.size(); ++t)
            state(t, first + t, t > 0 ? tidy(steps.text[t - 1]) : "(nothing written yet)",
                  t > 0 && t <= steps.end.size() ? std::optional(steps.end[t - 1]) : std::nullopt);
        if (const std::string tail = tidy(steps.tail); !tail.empty()) block("        after the last step:", 30, tail);
    }
    /// Columns behind the value, with their widths.
    [[nodiscard]] std::vector<std::pair<std::string, std::size_t>> state_columns() const {
        std::vector<std::pair<std::string, std::size_t>> columns;
        if (shown_.values && !shown_.values->deviation.empty()) columns.emplace_back("+-", 7);
        if (shown_.labels && !shown_.labels->truth.empty()) columns.emplace_back("truth", 7);
        if (shown_.labels && !shown_.labels->v_pi.empty()) columns.emplace_back("v_pi", 6);
        if (shown_.labels && !shown_.labels->tries.empty()) columns.emplace_back("tried", 8);
        if (answers_.file().has("token/advantage")) columns.emplace_back("advantage", 11);
        return columns;
    }
    /// @param end one past the state's last token
    void state(std::size_t t, std::size_t s, const std::string& text, std::optional<std::size_t> end) {
        std::string row = right_of(std::to_string(t), 6);
        if (shown_.values)
            row += cat("  ", value_text(shown_.values->value[s]), " ", bar(shown_.values->value[s]), " ");
        for (const auto& [name, width] : state_columns()) row += right_of(state_figure(name, s, end), width);
        const std::size_t indent = 8 + (shown_.values ? 21 : 0) + columns_width();
        block(row + " ", indent, text);
    }
    [[nodiscard]] std::size_t columns_width() const {
        std::size_t width = 0;
        for (const auto& [name, each] : state_columns()) width += each;
        return width;
    }
    [[nodiscard]] std::string state_figure(const std::string& name, std::size_t s,
                                           std::optional<std::size_t> end) const {
        const auto known = [](double value, const char* format) {
            return std::isnan(value) ? std::string("?") : number(format, value);
        };
        if (name == "+-") return known(shown_.values->deviation[s], "%.3f");
        if (name == "truth") return known(shown_.labels->truth[s], "%.3g");
        if (name == "v_pi") return known(shown_.labels->v_pi[s], "%.2f");
        if (name == "tried") return cat(shown_.labels->successes[s], "/", shown_.labels->tries[s]);
        if (!end || *end == 0) return "";
        return known(answers_.file().read_range<float>("token/advantage", static_cast<std::int64_t>(*end) - 1, 1)[0],
                     "%+.3f");
    }

    /// The path that a search chose, with what lay beside each step.
    void tree(std::size_t problem) {
        const auto path = shown_.trees->path(problem);
        line(paint(cat("  step  value                text of the chosen path (", path.size(), " of ",
                       shown_.trees->nodes(problem), " nodes), below each step its siblings"),
                   Ink::dim));
        for (std::size_t t = 0; t < path.size(); ++t) {
            node(right_of(std::to_string(t + 1), 6), path[t].chosen);
            const auto& beside = path[t].beside;
            for (std::size_t i = 0; i < std::min(beside.size(), kBeside); ++i) node("     |", beside[i]);
            if (beside.size() > kBeside)
                line(cat("     |  and ", beside.size() - kBeside, " more, down to ", value_text(beside.back().value)));
        }
    }
    void node(const std::string& title, const StoredTrees::Node& node) {
        std::string text = tidy(node.text);
        if (node.terminal) text += node.correct ? "  (ends right)" : "  (ends wrong)";
        block(cat(title, "  ", value_text(node.value), " ", bar(node.value), "  "), 29, text);
    }

    // Pages.

    /// The part that is shown of `count` rows. @throws ConfigError if --from lies beyond
    [[nodiscard]] std::pair<std::size_t, std::size_t> window(std::size_t count, const std::string& what) const {
        const auto from = static_cast<std::size_t>(request_.from);
        if (from > 0 && from >= count)
            throw ConfigError(cat("--from ", from, " is beyond the last of ", count, " ", what, "s. Begin before it."));
        return {from, from + std::min(static_cast<std::size_t>(request_.count), count - from)};
    }
    void page_line(std::size_t first, std::size_t last, std::size_t count, const std::string& what) {
        if (count == 0) return line(paint(cat("no such ", what, "s"), Ink::dim));
        if (last - first < count)
            line(paint(cat(what, "s ", first, " to ", last - 1, " of ", count,
                           last < count ? cat("; --from ", last, " goes on") : ""),
                       Ink::dim));
    }

    const Shown& shown_;
    const StoredAnswers& answers_;
    const ShowRequest& request_;
    Paper paper_;
    std::string text_;
};

}  // namespace

std::string problems_page(const Shown& shown, const ShowRequest& request, const Paper& paper) {
    return Page(shown, request, paper).problems();
}

std::string problem_page(const Shown& shown, const ShowRequest& request, const Paper& paper) {
    return Page(shown, request, paper).problem();
}

}  // namespace tdrm::app
