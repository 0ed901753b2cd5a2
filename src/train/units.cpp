#include "tdrm/train/units.hpp"

#include <algorithm>
#include <numeric>

namespace tdrm::train {

std::vector<std::size_t> cut_units(const std::vector<std::size_t>& sample_tokens, std::size_t unit_tokens) {
    const std::size_t total = std::accumulate(sample_tokens.begin(), sample_tokens.end(), std::size_t{0});
    const std::size_t units = std::max<std::size_t>(1, (total + unit_tokens - 1) / unit_tokens);
    std::vector<std::size_t> first{0};
    std::size_t tokens = 0;
    for (std::size_t i = 0; i + 1 < sample_tokens.size(); ++i) {
        tokens += sample_tokens[i];
        // The unit ends where it comes closest to its even share of the batch.
        const std::size_t goal = total * first.size() / units;
        if (first.size() < units && tokens + sample_tokens[i + 1] / 2 >= goal) first.push_back(i + 1);
    }
    if (!sample_tokens.empty()) first.push_back(sample_tokens.size());
    return first;
}

std::vector<int> assign_units(const std::vector<double>& costs, int ranks) {
    std::vector<std::size_t> order(costs.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return costs[a] > costs[b]; });
    std::vector<double> load(static_cast<std::size_t>(ranks), 0.0);
    std::vector<int> owner(costs.size());
    for (const std::size_t unit : order) {
        const auto least = std::min_element(load.begin(), load.end()) - load.begin();
        owner[unit] = static_cast<int>(least);
        load[static_cast<std::size_t>(least)] += costs[unit];
    }
    return owner;
}

void Units::append(const Units& other) {
    const std::size_t samples = tokens_.size();
    tokens_.insert(tokens_.end(), other.tokens_.begin(), other.tokens_.end());
    if (first_.empty()) first_.push_back(0);
    for (std::size_t unit = 0; unit < other.size(); ++unit) first_.push_back(samples + other.end(unit));
}

double Units::cost(std::size_t unit) const {
    double tokens = 0;
    for (std::size_t i = begin(unit); i < end(unit); ++i) tokens += static_cast<double>(tokens_[i]);
    return tokens;
}

}  // namespace tdrm::train
