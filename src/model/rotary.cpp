#include "tdrm/model/rotary.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tdrm/base/errors.hpp"
#include "tdrm/model/page_table.hpp"

namespace tdrm::model {
namespace {

/// Llama 3: fast frequencies stay, slow ones are divided, those between are blended.
double llama3(double frequency, const RopeScaling& s) {
    const double turns = s.original_positions * frequency / (2 * std::numbers::pi);
    const double blend = (turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
    if (turns < s.low_freq_factor) return frequency / s.factor;
    if (turns <= s.high_freq_factor) return (1 - blend) * frequency / s.factor + blend * frequency;
    return frequency;
}

/// Pair that turns so many times within the original length.
double yarn_pair(double turns, const RopeScaling& s, double theta, int dim) {
    return dim * std::log(s.original_positions / (turns * 2 * std::numbers::pi)) / (2 * std::log(theta));
}

/// YaRN: pairs below `low` stay, those above `high` are divided, those between are blended.
double yarn(double frequency, int pair, const RopeScaling& s, double theta, int dim) {
    double low = yarn_pair(s.beta_fast, s, theta, dim);
    double high = yarn_pair(s.beta_slow, s, theta, dim);
    if (s.truncate) {
        low = std::floor(low);
        high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, dim - 1.0);
    if (low == high) high += 0.001;
    const double slow = std::clamp((pair - low) / (high - low), 0.0, 1.0);
    return frequency / s.factor * slow + frequency * (1 - slow);
}

}  // namespace

std::vector<double> ModelSpec::rotary_frequencies(int length, bool local) const {
    const RopeScaling plain;
    const RopeScaling& s = local && local_rope_theta > 0 ? plain : rope_scaling;
    double theta = local && local_rope_theta > 0 ? local_rope_theta : rope_theta;
    const bool beyond = length > s.original_positions;
    if (s.kind == RopeKind::dynamic && beyond)
        theta *= std::pow(s.factor * length / s.original_positions - (s.factor - 1), rotary_dim / (rotary_dim - 2.0));
    std::vector<double> frequencies;
    for (int i = 0; i < rotary_dim / 2; ++i) {
        double frequency = std::pow(theta, -2.0 * i / rotary_dim);
        const auto pair = static_cast<std::size_t>(i);
        if (s.kind == RopeKind::linear) frequency /= s.factor;
        if (s.kind == RopeKind::llama3) frequency = llama3(frequency, s);
        if (s.kind == RopeKind::yarn) frequency = yarn(frequency, i, s, theta, rotary_dim);
        if (s.kind == RopeKind::longrope) frequency /= (beyond ? s.long_factors : s.short_factors).at(pair);
        frequencies.push_back(frequency);
    }
    return frequencies;
}

Rotary::Rotary(const ModelSpec& spec)
    : spec_(spec),
      scaling_(spec.rope_scaling),
      local_(spec.rotary_frequencies(0, true), spec.features().interleaved_rotary) {}

float query_scale(const ModelSpec& spec, int position) {
    const int turns = position / spec.rope_scaling.original_positions;
    return static_cast<float>(1 + spec.query_growth * std::log(1.0 + turns));
}

int frequency_key(const RopeScaling& scaling, int length) {
    if (length <= scaling.original_positions) return 0;
    return scaling.kind == RopeKind::dynamic ? length : scaling.original_positions + 1;
}

void Rotary::prepare(std::span<const std::int32_t> positions, std::span<const std::int32_t> lengths) {
    positions_ = positions;
    lengths_ = lengths;
    const int last = *std::max_element(positions.begin(), positions.end()) + 1;
    constexpr std::size_t kTables = 16;  // that are worth being kept: each length may have its own
    if (global_.size() > kTables) global_.clear();
    const auto grow = [&](int number, int size) {
        const auto found = global_
                               .try_emplace(number, spec_.rotary_frequencies(number),
                                            spec_.features().interleaved_rotary, static_cast<float>(scaling_.magnitude))
                               .first;
        found->second.grow(size);
    };
    local_.grow(last);
    if (lengths.empty()) grow(0, last);
    for (std::size_t t = 0; t < lengths.size(); ++t)
        if (t == 0 || lengths[t] != lengths[t - 1]) grow(key(lengths[t]), std::max(lengths[t], last));
}

void Rotary::grow_queries(float* qkv, const ops::AttentionShape& shape) const {
    for (std::size_t t = 0; t < positions_.size(); ++t, qkv += shape.stride()) {
        if (positions_[t] < scaling_.original_positions) continue;
        ops::scale(qkv, query_scale(spec_, positions_[t]),
                   static_cast<std::size_t>(shape.heads) * static_cast<std::size_t>(shape.head_dim));
    }
}

void Rotary::turn(float* qkv, const Layer& layer, int direction) const {
    const ops::AttentionShape& shape = layer.attention;
    const int heads = shape.heads + shape.kv_heads;
    if (spec_.query_growth != 0) grow_queries(qkv, shape);
    if (layer.turning == Turning::none) return;
    if (layer.turning == Turning::local || lengths_.empty()) {
        const auto& table = layer.turning == Turning::local ? local_ : global_.at(0);
        return ops::rotate(qkv, table, positions_, heads, shape.head_dim, shape.stride(), direction);
    }
    for (std::size_t first = 0, next = 0; first < lengths_.size(); first = next) {
        while (next < lengths_.size() && key(lengths_[next]) == key(lengths_[first])) ++next;
        ops::rotate(qkv + static_cast<std::ptrdiff_t>(first) * shape.stride(), global_.at(key(lengths_[first])),
                    positions_.subspan(first, next - first), heads, shape.head_dim, shape.stride(), direction);
    }
}

void tree_lengths(const Forest& forest, std::vector<std::int32_t>& lengths) {
    const auto& segments = forest.segments();
    std::vector<std::size_t> root(segments.size());
    std::vector<std::int32_t> longest(segments.size(), 0);
    for (std::size_t s = 0; s < segments.size(); ++s) {
        root[s] = segments[s].parent < 0 ? s : root[static_cast<std::size_t>(segments[s].parent)];
        const auto last = static_cast<std::size_t>(segments[s].begin + segments[s].length - 1);
        longest[root[s]] = std::max(longest[root[s]], forest.positions()[last] + 1);
    }
    lengths.clear();
    for (std::size_t s = 0; s < segments.size(); ++s)
        lengths.insert(lengths.end(), static_cast<std::size_t>(segments[s].length), longest[root[s]]);
}

void cached_lengths(PageTable& table, const RopeScaling& scaling, std::span<const std::int32_t> segments,
                    std::span<const std::int32_t> slots, std::span<const std::int32_t> positions,
                    std::vector<std::int32_t>& lengths) {
    const int bound = scaling.original_positions;
    lengths.resize(segments.size());
    for (std::size_t t = 0; t < segments.size(); ++t) {
        const int segment = segments[t];
        const bool begins = slots[t] == 0 && table.parent(segment) < 0;
        if (begins && table.length(segment) > bound && scaling.kind == RopeKind::longrope) table.set_long(segment);
        if (positions[t] >= bound && !table.is_long(segment))
            throw DataError(cat("a sequence grows beyond ", bound,
                                " tokens, where the model's rotary frequencies change (all earlier tokens would turn "
                                "by others). Use shorter prompts or answers."));
        lengths[t] = table.is_long(segment) ? bound + 1 : bound;
    }
}

}  // namespace tdrm::model
