// Time as it passes.
#pragma once

#include <chrono>

namespace tdrm {

/// Seconds of a clock that never goes back, since a moment that is the same for the whole process.
[[nodiscard]] inline double steady_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace tdrm
