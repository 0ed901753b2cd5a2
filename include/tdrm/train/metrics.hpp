// Named figures of an update, in a fixed order.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/base/errors.hpp"

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

/// Sums over samples by name: what the units of an update add up before they become figures.
class Sums {
public:
    explicit Sums(std::span<const std::string_view> names) : names_(names), values_(names.size()) {}
    Sums(std::span<const std::string_view> names, std::vector<double> values)
        : names_(names), values_(std::move(values)) {
        ensure(values_.size() == names_.size(), "a sum for each name");
    }
    [[nodiscard]] double& operator[](std::string_view name) { return values_[index(name)]; }
    [[nodiscard]] double operator[](std::string_view name) const { return values_[index(name)]; }
    Sums& operator+=(const Sums& other) {
        for (std::size_t i = 0; i < values_.size(); ++i) values_[i] += other.values_[i];
        return *this;
    }
    [[nodiscard]] const std::vector<double>& values() const { return values_; }

private:
    [[nodiscard]] std::size_t index(std::string_view name) const {
        const auto found = std::find(names_.begin(), names_.end(), name);
        ensure(found != names_.end(), "a sum has a name");
        return static_cast<std::size_t>(found - names_.begin());
    }
    std::span<const std::string_view> names_;  ///< of the objective, which outlives the sums
    std::vector<double> values_;
};

}  // namespace tdrm::train
