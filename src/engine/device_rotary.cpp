#include "device_rotary.hpp"

#include <algorithm>

#include "tdrm/model/rotary.hpp"

namespace tdrm::engine {
namespace {

/// Tables grow by so many positions at once.
int rounded(int positions) { return (positions + 255) / 256 * 256; }

/// Appends positions 0, ... at these frequencies.
void append(std::vector<float>& cosine, std::vector<float>& sine, const std::vector<double>& frequencies, int positions,
            float magnitude = 1) {
    model::ops::RotaryTable table(frequencies, false, magnitude);
    table.grow(positions);
    const auto n = static_cast<std::ptrdiff_t>(positions) * table.num_pairs();
    cosine.insert(cosine.end(), table.cosine(0), table.cosine(0) + n);
    sine.insert(sine.end(), table.sine(0), table.sine(0) + n);
}

}  // namespace

DeviceRotary::DeviceRotary(gpu::Device& device, const model::ModelSpec& spec)
    : spec_(spec), global_(device), local_(device), growth_(device), positions_(device), angles_(device) {}

void DeviceRotary::fill_global(const std::map<int, int>& positions_of_key) {
    std::vector<float> cosine, sine, growth;
    stretches_.clear();
    global_.angles = 0;
    for (const auto& [key, positions] : positions_of_key) {
        const int n = rounded(positions);
        stretches_[key] = {global_.angles, n};
        append(cosine, sine, spec_.rotary_frequencies(key), n, static_cast<float>(spec_.rope_scaling.magnitude));
        for (int p = 0; p < n && spec_.query_growth != 0; ++p) growth.push_back(model::query_scale(spec_, p));
        global_.angles += n;
    }
    global_.cosine.assign(cosine);
    global_.sine.assign(sine);
    if (!growth.empty()) growth_.assign(growth);
}

void DeviceRotary::fill_local(int positions) {
    std::vector<float> cosine, sine;
    local_.angles = rounded(positions);
    append(cosine, sine, spec_.rotary_frequencies(0, true), local_.angles);
    local_.cosine.assign(cosine);
    local_.sine.assign(sine);
}

void DeviceRotary::prepare(std::span<const std::int32_t> positions, std::span<const std::int32_t> lengths) {
    const int last = *std::max_element(positions.begin(), positions.end()) + 1;
    positions_.assign(positions);
    if (spec_.features().layer_ropes && last > local_.angles) fill_local(last);
    const auto key_of = [&](std::size_t t) {
        return lengths.empty() ? 0 : model::frequency_key(spec_.rope_scaling, lengths[t]);
    };
    std::map<int, int> needed;
    for (std::size_t t = 0; t < positions.size(); ++t) {
        int& most = needed[key_of(t)];
        most = std::max(most, positions[t] + 1);
    }
    const bool there = std::all_of(needed.begin(), needed.end(), [&](const auto& of) {
        const auto found = stretches_.find(of.first);
        return found != stretches_.end() && found->second.positions >= of.second;
    });
    if (!there) fill_global(needed);
    if (lengths.empty()) return;
    std::vector<std::int32_t> angles;
    for (std::size_t t = 0; t < positions.size(); ++t) angles.push_back(stretches_.at(key_of(t)).first + positions[t]);
    angles_.assign(angles);
}

gpu::Rotary DeviceRotary::of(model::Turning turning) const {
    const bool interleaved = spec_.features().interleaved_rotary;
    const int pairs = spec_.rotary_dim / 2;
    if (turning == model::Turning::local)
        return {local_.cosine.data(), local_.sine.data(), pairs, interleaved, positions_.data()};
    const std::int32_t* angles = depends_on_length() ? angles_.data() : positions_.data();
    const float* growth = spec_.query_growth != 0 ? growth_.data() : nullptr;
    return {global_.cosine.data(),
            global_.sine.data(),
            turning == model::Turning::none ? 0 : pairs,
            interleaved,
            angles,
            growth};
}

}  // namespace tdrm::engine
