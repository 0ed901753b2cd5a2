// A small set of stage kinds, and plans of run files given as text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tdrm/plan/plan.hpp"

namespace tdrm::plan {

using Texts = std::vector<std::string>;

inline const StageKinds kKinds{
    {"sft", {}},
    {"rollout", {"policy"}},
    {"value", {"init", "data"}},
    {"best_of_n", {"data", "values[]"}},
    {"search", {"policy", "value"}},
    {"rl", {"policy", "reference", "advantage.value", "reward.value.model"}},
    {"evaluate", {"policies[]"}},
};

struct Outcome {
    Plan plan;
    Texts problems;
};

inline Texts texts(const Problems& problems) {
    Texts result;
    for (const auto& problem : problems) result.push_back(problem.text());
    return result;
}

inline Outcome read(const std::string& text, PlanRequest request = {}) {
    Problems problems;
    Plan plan = make_plan(parse_yaml(text, "a.yaml"), request, kKinds, problems);
    return {std::move(plan), texts(problems)};
}

inline Texts names(const Plan& plan) {
    Texts result;
    for (const auto& stage : plan.stages) result.push_back(stage.name);
    return result;
}

inline Texts inputs(const Plan& plan, std::string_view name) {
    Texts result;
    for (const auto& input : plan.stages.at(static_cast<std::size_t>(plan.index(name))).inputs) {
        result.push_back(input.key + "=" + input.text());
    }
    return result;
}

inline std::string options(const Plan& plan, std::string_view name) {
    return to_line(plan.stages.at(static_cast<std::size_t>(plan.index(name))).options);
}

}  // namespace tdrm::plan
