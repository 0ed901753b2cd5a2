// `task:` of a run file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tdrm/base/yaml.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::stage {

/// The task of `task:`. Problems are added to the list; null then.
[[nodiscard]] std::unique_ptr<task::Task> make_task(const Yaml& options, std::uint64_t seed, Problems& problems);
/// The same for a plan: where a text task's tokenizer or files aren't there yet, each is an absent problem, and the
/// task is one of bounds and sizes alone (task::PlannedTextTask).
[[nodiscard]] std::unique_ptr<task::Task> plan_task(const Yaml& options, std::uint64_t seed, Problems& problems);
/// Help on the options of a kind of task.
[[nodiscard]] std::string explain_task(const std::string& kind, const std::string& key);
/// The keys that `explain_task` knows.
[[nodiscard]] std::vector<std::string> task_keys(const std::string& kind);
/// The kinds of tasks.
[[nodiscard]] std::vector<std::string> task_kinds();

}  // namespace tdrm::stage
