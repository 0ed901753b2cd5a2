// From the stages of a file to single stages: `like` and `each`.
#pragma once

#include <string>
#include <vector>

#include "document.hpp"
#include "tdrm/base/yaml.hpp"

namespace tdrm::plan {

struct SingleStage {
    std::string name;
    std::string path;  ///< "stages.td", where the file describes it
    Yaml options;      ///< a map without like and each
};

/// All stages in the order of the file, the variants of an `each` in its order.
[[nodiscard]] std::vector<SingleStage> expand_stages(const Yaml& stages, const std::vector<Setting>& settings,
                                                     Problems& problems);

}  // namespace tdrm::plan
