// What the acceptance of a device prints: a line a check, and whether all is well.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

namespace tdrm::gpu {

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
    [[nodiscard]] int failures() const { return failures_; }

private:
    static void line(const std::string& name, double value, double bound, const char* verdict) {
        char ratio[16] = "-";
        if (bound > 0) std::snprintf(ratio, sizeof ratio, "%.3f", value / bound);
        std::printf("  %-58s %12.4g %12.4g %8s  %s\n", name.c_str(), value, bound, ratio, verdict);
        std::fflush(stdout);
    }
    int failures_ = 0;
};

}  // namespace tdrm::gpu
