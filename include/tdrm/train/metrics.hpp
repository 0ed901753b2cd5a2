// Named figures of an update, in a fixed order.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tdrm::train {

/// Names as users of GRPO trainers know them (docs/metrics.md).
class Metrics {
public:
    void set(std::string name, double value) { entries_.emplace_back(std::move(name), value); }
    /// Value of a figure; NaN if there is none.
    [[nodiscard]] double get(std::string_view name) const;
    [[nodiscard]] const std::vector<std::pair<std::string, double>>& entries() const { return entries_; }
    void append(const Metrics& other, const std::string& prefix = {}) {
        for (const auto& [name, value] : other.entries_) set(prefix + name, value);
    }

private:
    std::vector<std::pair<std::string, double>> entries_;
};

}  // namespace tdrm::train
