// Private to this room.
#pragma once

#include <memory>

#include "tdrm/comm/collectives.hpp"

namespace tdrm::comm {

/// nccl_collectives.cpp in a build with NCCL; collectives.cpp throws in its place otherwise.
std::unique_ptr<Collectives> make_nccl_collectives(Communicator& ranks, const CollectivesOptions& options);

}  // namespace tdrm::comm
