// One function a format: what a row says, before the rules that all formats share.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tdrm/base/json_rows.hpp"
#include "tdrm/task/process/solution.hpp"

namespace tdrm::task::process {

using namespace rows;

/// What a reader of rows fills.
struct Sink {
    const ReadRules& rules;
    std::vector<LabelledSolution> solutions;  ///< steps may still be empty or untrimmed
    std::map<std::string, std::int64_t> counts;

    void drop(const char* reason) { ++counts[std::string("dropped: ") + reason]; }
    void notice(const char* what) { ++counts[std::string("noticed: ") + what]; }
};

/// A label: true or false, or the probability that it is true. @throws BrokenRow for anything else, NaN (which is read
/// as null) and numbers outside [0, 1] too
[[nodiscard]] float probability(const Json& value, const char* what, const Place& place);

// @throws BrokenRow; nothing was added then
void read_prm800k(const Json& row, const Place& place, Sink& sink);
void read_math_shepherd(const Json& row, const Place& place, Sink& sink);
void read_rlhflow(const Json& row, const Place& place, Sink& sink);
void read_trl(const Json& row, const Place& place, Sink& sink);
void read_processbench(const Json& row, const Place& place, Sink& sink);

}  // namespace tdrm::task::process
