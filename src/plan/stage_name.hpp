// Names of stages and patterns for them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tdrm/plan/plan.hpp"

namespace tdrm::plan {

/// Does a name fit a pattern: the same name, its base ("td"), a part of its parameters ("td[seed=1]"), "*" in any
/// place.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view name);

/// Why a name can't be one of a stage (which is a folder and a word in references), or "".
[[nodiscard]] std::string name_fault(std::string_view name);

/// The names nearest to a pattern: bases for a plain word, else full names.
[[nodiscard]] std::string suggest_stage(std::string_view pattern, const std::vector<std::string>& names);

/// Position of a character outside of brackets, from the left or from the right; npos if there is none.
[[nodiscard]] std::size_t find_outside(std::string_view text, char wanted);
[[nodiscard]] std::size_t rfind_outside(std::string_view text, char wanted);

}  // namespace tdrm::plan
