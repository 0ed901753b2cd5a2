// A run file whose stages have their options, and what --dry-run says of it.
#pragma once

#include <memory>
#include <vector>

#include "tdrm/plan/plan.hpp"
#include "tdrm/stage/context.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/task/task.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::app {

/// The run file, bound and checked as a whole.
struct BoundPlan {
    plan::Plan plan;
    stage::RunOptions run;
    std::unique_ptr<task::Task> task;
    std::vector<std::unique_ptr<stage::Stage>> stages;
    Problems absent;  ///< of a dry run: what a run needs and isn't there yet
};

/// Local. @throws ConfigError with all problems; in a dry run what isn't there yet is no problem, but is kept
[[nodiscard]] BoundPlan bind(const plan::PlanRequest& request, bool dry_run);

/// Local. Prints some lines a stage: what it does, what memory a rank needs, and whether that fits.
/// @param memory_gb of a rank; 0 = any amount is fine
/// @throws ConfigError, behind the whole plan, if a selected stage needs more memory or a run needs what isn't there
/// yet
void print_plan(const BoundPlan& bound, train::SumMode sum, int ranks, double memory_gb);

}  // namespace tdrm::app
