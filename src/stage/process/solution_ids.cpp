#include "tdrm/stage/process/solution_ids.hpp"

namespace tdrm::stage {

SolutionIds solution_ids(const task::Task& task, const std::vector<std::string>& steps, const std::string& separator,
                         bool complete) {
    SolutionIds solution;
    for (std::size_t t = 0; t < steps.size(); ++t) {
        const bool last = complete && t + 1 == steps.size();
        const task::Tokens ids = steps[t].empty() ? task::Tokens{} : task.parse(last ? steps[t] : steps[t] + separator);
        solution.ids.insert(solution.ids.end(), ids.begin(), ids.end());
        solution.step_ends.push_back(static_cast<std::int32_t>(solution.ids.size()));
    }
    return solution;
}

}  // namespace tdrm::stage
