// What a GPU is accepted by: docs/gpu.md.
#pragma once

#include <cstdio>
#include <string>

namespace tdrm::gpu {

/// What an acceptance prints: name, value, bound, ratio and verdict of each check, and whether all is well.
class Report {
public:
    /// A section, which the reader sees begin.
    void section(const std::string& name) { std::printf("\n%s\n", name.c_str()); }
    /// Right if value <= bound. Decides the exit code.
    void at_most(const std::string& name, double value, double bound) {
        const bool ok = value <= bound;  // false for NaN
        if (!ok) ++failures_;
        line(name, value, bound, ok ? "ok" : "FAIL");
    }
    /// A speed against what it should reach. Says so, decides nothing.
    void reaches(const std::string& name, double value, double wanted) {
        line(name, value, wanted, value >= wanted ? "ok" : "slow");
    }
    void says(const std::string& name, const std::string& text) {
        std::printf("  %-58s %s\n", name.c_str(), text.c_str());
    }
    /// The last line. @return whether all results were right, whatever the speed
    bool verdict() {
        std::printf("\n%s\n", failures_ == 0 ? "accepted" : "NOT ACCEPTED");
        std::fflush(stdout);
        return failures_ == 0;
    }

private:
    static void line(const std::string& name, double value, double bound, const char* verdict) {
        char ratio[16] = "-";
        if (bound > 0) std::snprintf(ratio, sizeof ratio, "%.3f", value / bound);
        std::printf("  %-58s %12.4g %12.4g %8s  %s\n", name.c_str(), value, bound, ratio, verdict);
        std::fflush(stdout);
    }
    int failures_ = 0;
};

/// Compares a device's kernels with the emulated ones and its bits with themselves, and measures its speed.
/// @param kind "cuda", or "emulated", which is accepted by itself @param quick small shapes and no speeds
/// @throws std::runtime_error without such a device
void accept(Report& report, const std::string& kind, bool quick);

}  // namespace tdrm::gpu
