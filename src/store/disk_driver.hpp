// How libhdf5 writes to disk for us. Private to this room.
#pragma once

#include "hdf5.hpp"

namespace tdrm::store::hdf5 {

/// An open file and the first error (errno) that writing to it met.
struct Disk {
    int descriptor = -1;
    int error = 0;
};

/// File access through `disk`, which must outlive the file. A write that fails is noted there and the library told that
/// it went well: libhdf5 (1.10) crashes in the next close when it knows. So look at `error` before trusting the file.
[[nodiscard]] Handle writing_to(Disk& disk);

}  // namespace tdrm::store::hdf5
