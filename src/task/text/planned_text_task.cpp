#include "tdrm/task/text/planned_text_task.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/base/spelling.hpp"

namespace tdrm::task {

std::vector<std::string> PlannedTextTask::split_names() const {
    std::vector<std::string> names;
    for (const auto& [name, size] : sizes_) names.push_back(name);
    return names;
}

std::int64_t PlannedTextTask::split_size(std::string_view split) const {
    for (const auto& [name, size] : sizes_) {
        if (name != split) continue;
        if (size) return *size;
        throw ConfigError(cat("the split \"", split,
                              "\" takes all problems of a file that can't be read yet (how many isn't known). Give it "
                              "`problems` or `rows`, or bring the files."));
    }
    throw ConfigError(
        cat("there is no split \"", split, "\" (a stage names it). ", did_you_mean(std::string(split), split_names())));
}

void PlannedTextTask::unread() {
    throw BugError("a plan asks for more than the bounds and sizes of a text task. Please report it.");
}

}  // namespace tdrm::task
