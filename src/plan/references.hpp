// What stages name: finding it, and writing it out in full.
#pragma once

#include <string>
#include <vector>

#include "tdrm/plan/plan.hpp"

namespace tdrm::plan {

/// Fills `inputs` of each stage and resolves the references in its options to full names. `depends_on` and
/// `Reference::stage` are indices in `stages` as given.
void resolve_references(std::vector<StageNode>& stages, const StageKinds& kinds, Problems& problems);

}  // namespace tdrm::plan
