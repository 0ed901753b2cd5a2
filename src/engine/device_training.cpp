#include "device_training.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "cpu_training.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/store/checkpoint.hpp"

namespace tdrm::engine {
namespace {

std::size_t size_of(const Range& range) { return static_cast<std::size_t>(range.size()); }

}  // namespace

DeviceTraining::DeviceTraining(gpu::Device& device, const model::Layout& layout, const TrainingSetup& setup,
                               gpu::Memory<gpu::bf16>& weights)
    : device_(device),
      layout_(layout),
      setup_(setup),
      pieces_(cut_at_parts(setup.trainable, layout.size, store::kPartElements)),
      weights_(weights),
      master_(device),
      first_(device),
      second_(device),
      gradient_(device),
      exact_(device),
      fast_(device),
      squares_(device),
      largest_(device) {
    const auto n = static_cast<std::size_t>(layout.size);
    device_.run(gpu::Widen{master_.resize(n), weights.data(), n});
    for (auto* array : {&first_, &second_, &gradient_}) device_.zero(array->resize(n), n * sizeof(float));
    if (setup_.sum == Sum::exact) {
        exact_.resize(n);
    } else {
        fast_.resize(n);
    }
}

void DeviceTraining::begin_update() {
    bound_.clear();
    const auto n = static_cast<std::size_t>(layout_.size);
    if (setup_.sum == Sum::exact) {
        device_.zero(exact_.data(), n * sizeof(std::int64_t));
    } else {
        device_.zero(fast_.data(), n * sizeof(float));
    }
}

void DeviceTraining::begin_unit() {
    device_.zero(gradient_.data(), static_cast<std::size_t>(layout_.size) * sizeof(float));
}

DeviceTraining::Figures DeviceTraining::figures() {
    std::size_t blocks = 0;
    for (const Range& piece : pieces_) blocks += gpu::figure_blocks(size_of(piece));
    squares_.resize(blocks);
    largest_.resize(blocks);
    std::size_t at = 0;
    for (const Range& piece : pieces_) {
        device_.run(gpu::GradientFigures{squares_.data() + at, largest_.data() + at, gradient_.data() + piece.begin,
                                         size_of(piece)});
        at += gpu::figure_blocks(size_of(piece));
    }
    std::vector<double> squares(blocks);
    std::vector<std::uint32_t> largest(blocks);
    device_.download(squares.data(), squares_.data(), blocks * sizeof(double));
    device_.download(largest.data(), largest_.data(), blocks * sizeof(std::uint32_t));
    device_.wait();
    double total = 0;
    for (const double block : squares) total += block;
    return {total, std::bit_cast<float>(*std::max_element(largest.begin(), largest.end()))};
}

double DeviceTraining::end_unit(std::string_view unit) {
    const auto [squares, largest] = figures();
    if (setup_.sum == Sum::exact) {
        if (!(largest < static_cast<float>(comm::ExactSum::kLimit))) refuse(unit);
        bound_.add(largest, unit);
    }
    for (const Range& piece : pieces_) {
        const float* values = gradient_.data() + piece.begin;
        if (setup_.sum == Sum::exact) {
            device_.run(gpu::ExactAdd{exact_.data() + piece.begin, values, size_of(piece)});
        } else {
            device_.run(gpu::FastAdd{fast_.data() + piece.begin, values, size_of(piece)});
        }
    }
    return squares;
}

void DeviceTraining::refuse(std::string_view unit) {
    std::vector<float> values;
    for (const Range& piece : pieces_) {
        values.resize(size_of(piece));
        device_.download(values.data(), gradient_.data() + piece.begin, values.size() * sizeof(float));
        device_.wait();
        const auto bad = std::find_if(values.begin(), values.end(), [](float v) {
            return !(std::abs(v) < static_cast<float>(comm::ExactSum::kLimit));
        });
        if (bad != values.end())
            throw comm::ExactSum::refusal(unit, *bad, static_cast<std::size_t>(piece.begin + (bad - values.begin())),
                                          static_cast<std::size_t>(layout_.size));
    }
    throw BugError("a gradient is too large, but none of its values is");
}

template <class T, class Add>
void DeviceTraining::exchange(gpu::Memory<T>& total, comm::Communicator& ranks, Add&& add) {
    if (ranks.size() == 1) return;
    std::vector<T> values;
    for (const Range& piece : pieces_) {
        values.resize(size_of(piece));
        device_.download(values.data(), total.data() + piece.begin, values.size() * sizeof(T));
        device_.wait();
        add(std::span<T>(values));
        device_.upload(total.data() + piece.begin, values.data(), values.size() * sizeof(T));
    }
}

double DeviceTraining::reduce(comm::Communicator& ranks) {
    if (setup_.sum == Sum::exact) {
        bound_.check(ranks);
        exchange(exact_, ranks, [&](std::span<std::int64_t> values) { ranks.exact_sum(values); });
    } else {
        exchange(fast_, ranks, [&](std::span<float> values) { ranks.fast_sum(values); });
    }
    for (const Range& piece : pieces_) {
        float* gradient = gradient_.data() + piece.begin;
        if (setup_.sum == Sum::exact) {
            device_.run(gpu::ExactToFloat{gradient, exact_.data() + piece.begin, size_of(piece)});
        } else {
            device_.copy(gradient, fast_.data() + piece.begin, size_of(piece) * sizeof(float));
        }
    }
    return std::sqrt(figures().squares);
}

void DeviceTraining::update(const AdamWStep& step) {
    for (const Range& piece : pieces_)
        for (const model::TensorInfo& tensor : layout_.tensors) {
            const Range range{std::max(tensor.offset, piece.begin), std::min(tensor.offset + tensor.size(), piece.end)};
            if (range.begin < range.end) update_range(step, range, !tensor.is_vector());
        }
}

void DeviceTraining::update_range(const AdamWStep& step, Range range, bool decays) {
    const double n = static_cast<double>(step.update) + 1;
    device_.run(gpu::AdamWUpdate{
        .weights = weights_.data() + range.begin,
        .master = master_.data() + range.begin,
        .first = first_.data() + range.begin,
        .second = second_.data() + range.begin,
        .gradient = gradient_.data() + range.begin,
        .n = size_of(range),
        .beta1 = static_cast<float>(step.beta1),
        .beta2 = static_cast<float>(step.beta2),
        .step_size = static_cast<float>(step.lr / (1 - std::pow(step.beta1, n))),
        .second_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(step.beta2, n))),
        .eps = static_cast<float>(step.eps),
        .keep = static_cast<float>(1 - (decays ? step.lr * step.weight_decay : 0.0)),
        .scale = static_cast<float>(step.scale),
    });
}

void DeviceTraining::round(std::int64_t first, std::size_t n) {
    device_.run(gpu::Round{weights_.data() + first, master_.data() + first, n});
}

}  // namespace tdrm::engine
