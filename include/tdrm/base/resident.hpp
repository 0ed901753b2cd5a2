// Memory that this process takes.
#pragma once

namespace tdrm {

/// Bytes that this process has of its own in memory now, and the most there ever were (while it had as many pages of
/// files as now). Pages of files, which are those of libraries, don't count: the system reads as many ahead as it likes
/// and takes them back when memory is short, so that they differ by 50 MB between machines. Not by getrusage, whose
/// peak begins with that of the process that started this one. 0 where the system doesn't tell (/proc/self/status).
struct Resident {
    double now = 0, peak = 0;
};
[[nodiscard]] Resident resident_memory();

}  // namespace tdrm
