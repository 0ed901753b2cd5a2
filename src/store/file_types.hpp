// Element types of libhdf5. Private to this room.
#pragma once

#include <hdf5.h>

#include "tdrm/store/file.hpp"

namespace tdrm::store {

[[nodiscard]] hid_t disk_type(Type type);
[[nodiscard]] hid_t memory_type(Type type);
[[nodiscard]] const char* name_of(Type type);

}  // namespace tdrm::store
