// `tdrm show`: stored answers in a terminal, with the value after each step.
#include "show.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tdrm/base/errors.hpp"

namespace tdrm::app {
namespace {

/// Colours and line breaks are for terminals; NO_COLOR (no-color.org) refuses the former.
Paper standard_output() {
    if (isatty(STDOUT_FILENO) != 1) return {false, 0};
    const auto word = [](const char* name) {
        const char* value = std::getenv(name);
        return std::string(value != nullptr ? value : "");
    };
    winsize size{};
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return {word("NO_COLOR").empty() && word("TERM") != "dumb", known ? size.ws_col : 80};
}

Shown read(Found found) {
    StoredAnswers answers(found.answers);
    Shown shown{std::move(found), std::move(answers), {}, {}, {}};
    if (!shown.found.labels.empty()) shown.labels = read_labels(shown.found.labels, shown.answers);
    if (!shown.found.chosen) return shown;
    if (shown.found.chosen->kind == ValueSource::Kind::tree) {
        shown.trees.emplace(shown.found.chosen->file, shown.answers);
    } else {
        shown.values = read_values(*shown.found.chosen, shown.answers);
    }
    return shown;
}

}  // namespace

int show(const ShowRequest& request) {
    const Shown shown = read(find_answers(request));
    const std::string page = request.problem ? problem_page(shown, request, standard_output())
                                             : problems_page(shown, request, standard_output());
    const bool written = std::fwrite(page.data(), 1, page.size(), stdout) == page.size() && std::fflush(stdout) == 0;
    return written ? 0 : static_cast<int>(ExitCode::io);
}

}  // namespace tdrm::app
