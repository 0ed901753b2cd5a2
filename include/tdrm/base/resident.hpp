// Memory that this process takes.
#pragma once

namespace tdrm {

/// Bytes of this process in memory now, and the most there ever were. Not by getrusage, whose peak begins with that of
/// the process that started this one. 0 where the system doesn't tell (/proc/self/status).
struct Resident {
    double now = 0, peak = 0;
};
[[nodiscard]] Resident resident_memory();

}  // namespace tdrm
