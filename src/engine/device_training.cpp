#include "device_training.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "cpu_training.hpp"
#include "device_peers.hpp"
#include "tdrm/base/bfloat16.hpp"
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
      pieces_(cut_at_parts(setup.trainable, layout.size, setup.shard.part)),
      ownership_(layout.size, setup.shard),
      weights_(weights),
      master_(device, "master weights"),
      first_(device, "moments"),
      second_(device, "moments"),
      gradient_(device, "the gradient"),
      first_rounded_(device, "moments"),
      second_rounded_(device, "moments"),
      exact_(device, "the exact sum"),
      fast_(device, "the sum"),
      squares_(device),
      largest_(device) {
    const auto n = static_cast<std::size_t>(layout.size), kept = static_cast<std::size_t>(ownership_.kept());
    device_.zero(gradient_.resize(n), n * sizeof(float));
    if (setup_.gradient_alone) return;
    master_.resize(kept);
    ownership_.each({0, layout.size}, [&](const Range& range) {
        device_.run(
            gpu::Widen{master_.data() + ownership_.place(range.begin), weights.data() + range.begin, size_of(range)});
    });
    if (setup_.moments == WeightFormat::fp32) {
        for (auto* array : {&first_, &second_}) device_.zero(array->resize(kept), kept * sizeof(float));
    } else {
        for (auto* array : {&first_rounded_, &second_rounded_})
            device_.zero(array->resize(kept), kept * sizeof(gpu::bf16));
    }
    if (setup_.sum == Sum::dealt && !ownership_.dealt()) setup_.sum = Sum::exact;
    if (setup_.sum == Sum::dealt) {
        dealt_.emplace(layout.size, ownership_);
        exact_.resize(static_cast<std::size_t>(std::min(layout.size, setup.shard.part)));  // of a part at a time
    } else if (setup_.sum == Sum::exact) {
        exact_.resize(n);
    } else {
        fast_.resize(n);
    }
}

void DeviceTraining::begin_update() {
    bound_.clear();
    const auto n = static_cast<std::size_t>(layout_.size);
    if (dealt_) {
        dealt_->clear();
    } else if (setup_.sum == Sum::exact) {
        device_.zero(exact_.data(), n * sizeof(std::int64_t));
    } else {
        device_.zero(fast_.data(), n * sizeof(float));
    }
}

void DeviceTraining::begin_unit() {
    device_.zero(gradient_.data(), static_cast<std::size_t>(layout_.size) * sizeof(float));
}

DeviceTraining::Figures DeviceTraining::figures(bool kept) {
    const auto wanted = [&](const Range& piece) { return !kept || ownership_.keeps(piece.begin); };
    std::size_t blocks = 0;
    for (const Range& piece : pieces_) blocks += wanted(piece) ? gpu::figure_blocks(size_of(piece)) : 0;
    squares_.resize(blocks);
    largest_.resize(blocks);
    std::size_t at = 0;
    for (const Range& piece : pieces_) {
        if (!wanted(piece)) continue;
        device_.run(gpu::GradientFigures{squares_.data() + at, largest_.data() + at, gradient_.data() + piece.begin,
                                         size_of(piece)});
        at += gpu::figure_blocks(size_of(piece));
    }
    std::vector<double> squares(blocks);
    std::vector<std::uint32_t> largest(blocks);
    device_.download(squares.data(), squares_.data(), blocks * sizeof(double));
    device_.download(largest.data(), largest_.data(), blocks * sizeof(std::uint32_t));
    device_.wait();
    Figures found;
    at = 0;
    for (const Range& piece : pieces_) {
        double& total = found.squares.emplace_back(0);
        if (!wanted(piece)) continue;
        for (const std::size_t end = at + gpu::figure_blocks(size_of(piece)); at < end; ++at) total += squares[at];
    }
    if (blocks > 0) found.largest = std::bit_cast<float>(*std::max_element(largest.begin(), largest.end()));
    return found;
}

double DeviceTraining::end_unit(std::string_view unit) {
    const auto [squares, largest] = figures(false);
    if (setup_.sum != Sum::fast) {
        if (!(largest < static_cast<float>(comm::ExactSum::kLimit))) refuse(unit);
        dealt_ ? dealt_->expect(largest, unit) : bound_.add(largest, unit);
    }
    if (dealt_) return added(squares);
    for (const Range& piece : pieces_) {
        const float* values = gradient_.data() + piece.begin;
        if (setup_.sum == Sum::exact) {
            device_.run(gpu::ExactAdd{exact_.data() + piece.begin, values, size_of(piece)});
        } else {
            device_.run(gpu::FastAdd{fast_.data() + piece.begin, values, size_of(piece)});
        }
    }
    return added(squares);
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

gpu::Peers* DeviceTraining::peers(comm::Communicator& ranks) {
    if (!std::exchange(connected_, true)) peers_ = connect_devices(ranks, device_);
    return peers_.get();
}

template <class T>
void DeviceTraining::sum_over_ranks(gpu::Memory<T>& total, comm::Communicator& ranks,
                                    void (comm::Communicator::*add)(std::span<T>, int)) {
    if (ranks.size() == 1) return;
    if (gpu::Peers* connected = peers(ranks)) {
        engine::exchange(ranks, *connected, "summing on devices", total.capacity() * sizeof(T), [&] {
            for (const Range& piece : pieces_)
                connected->sum(total.data() + piece.begin, size_of(piece), ownership_.receiver(piece.begin));
        });
        return;
    }
    std::vector<T> values;
    for (const Range& piece : pieces_) {
        values.resize(size_of(piece));
        device_.download(values.data(), total.data() + piece.begin, values.size() * sizeof(T));
        device_.wait();
        (ranks.*add)(values, ownership_.receiver(piece.begin));
        if (!ownership_.keeps(piece.begin)) continue;
        device_.upload(total.data() + piece.begin, values.data(), values.size() * sizeof(T));
    }
}

void DeviceTraining::collect(comm::Communicator& ranks, bool unit) {
    if (!dealt_) return;
    gpu::Peers* connected = ranks.size() > 1 ? peers(ranks) : nullptr;
    dealt_->collect([&](const Range& range, int owner, std::span<std::int64_t> quanta) {
        const std::size_t bytes = quanta.size_bytes();
        device_.zero(exact_.data(), bytes);
        if (unit) device_.run(gpu::ExactAdd{exact_.data(), gradient_.data() + range.begin, quanta.size()});
        if (connected != nullptr)
            engine::exchange(ranks, *connected, "collecting on devices", bytes,
                             [&] { connected->sum(exact_.data(), quanta.size(), owner); });
        if (connected == nullptr ? unit : ownership_.keeps(range.begin)) {
            device_.download(quanta.data(), exact_.data(), bytes);
            device_.wait();
        }
        if (connected == nullptr) ranks.exact_sum(quanta, owner);
    });
}

double DeviceTraining::reduce(comm::Communicator& ranks) {
    if (dealt_) {
        dealt_->check(ranks);
        std::vector<float> values;
        ownership_.each({0, layout_.size}, [&](const Range& range) {
            values.resize(size_of(range));
            comm::ExactSum::to_float(dealt_->of(range), values);
            device_.upload(gradient_.data() + range.begin, values.data(), values.size() * sizeof(float));
        });
    } else if (setup_.sum == Sum::exact) {
        bound_.check(ranks);
        sum_over_ranks(exact_, ranks, &comm::Communicator::exact_sum);
    } else {
        sum_over_ranks(fast_, ranks, &comm::Communicator::fast_sum);
    }
    for (const Range& piece : pieces_) {
        if (dealt_ || !ownership_.keeps(piece.begin)) continue;
        float* gradient = gradient_.data() + piece.begin;
        if (setup_.sum == Sum::exact) {
            device_.run(gpu::ExactToFloat{gradient, exact_.data() + piece.begin, size_of(piece)});
        } else {
            device_.copy(gradient, fast_.data() + piece.begin, size_of(piece) * sizeof(float));
        }
    }
    auto squares = figures(true).squares;
    if (ownership_.dealt()) share(squares, pieces_, ownership_, ranks);
    return std::sqrt(added(squares));
}

void DeviceTraining::update(const AdamWStep& step, comm::Communicator& ranks) {
    for (const Range& piece : pieces_) {
        if (!ownership_.keeps(piece.begin)) continue;
        for (const model::TensorInfo& tensor : layout_.tensors) {
            const Range range{std::max(tensor.offset, piece.begin), std::min(tensor.offset + tensor.size(), piece.end)};
            if (range.begin < range.end) update_range(step, range, !tensor.is_vector());
        }
    }
    if (ownership_.dealt()) share_weights(ranks);
}

void DeviceTraining::update_range(const AdamWStep& step, Range range, bool decays) {
    const double n = static_cast<double>(step.update) + 1;
    const std::int64_t place = ownership_.place(range.begin);
    const bool rounds = setup_.moments == WeightFormat::bf16;
    device_.run(gpu::AdamWUpdate{
        .weights = weights_.data() + range.begin,
        .master = master_.data() + place,
        .first = rounds ? nullptr : first_.data() + place,
        .second = rounds ? nullptr : second_.data() + place,
        .first_rounded = rounds ? first_rounded_.data() + place : nullptr,
        .second_rounded = rounds ? second_rounded_.data() + place : nullptr,
        .gradient = gradient_.data() + range.begin,
        .n = size_of(range),
        .beta1 = static_cast<float>(step.beta1),
        .beta2 = static_cast<float>(step.beta2),
        .step_size = static_cast<float>(step.lr / (1 - std::pow(step.beta1, n))),
        .second_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(step.beta2, n))),
        .eps = static_cast<float>(step.eps),
        .keep = static_cast<float>(1 - (decays ? step.lr * step.weight_decay : 0.0)),
        .scale = static_cast<float>(step.scale),
        .element = static_cast<std::uint64_t>(range.begin),
        .update = static_cast<std::uint64_t>(step.update),
    });
}

void DeviceTraining::share_weights(comm::Communicator& ranks) {
    if (gpu::Peers* connected = peers(ranks)) {
        engine::exchange(ranks, *connected, "sharing weights", weights_.capacity() * sizeof(gpu::bf16), [&] {
            for (const Range& piece : pieces_)
                connected->broadcast(weights_.data() + piece.begin, size_of(piece) * sizeof(gpu::bf16),
                                     ownership_.owner(piece.begin));
        });
        return;
    }
    std::vector<gpu::bf16> values;
    for (const Range& piece : pieces_) {
        values.resize(size_of(piece));
        gpu::bf16* weights = weights_.data() + piece.begin;
        const std::size_t bytes = values.size() * sizeof(gpu::bf16);
        if (ownership_.keeps(piece.begin)) {
            device_.download(values.data(), weights, bytes);
            device_.wait();
        }
        ranks.broadcast(std::as_writable_bytes(std::span(values)), ownership_.owner(piece.begin));
        if (!ownership_.keeps(piece.begin)) device_.upload(weights, values.data(), bytes);
    }
}

const gpu::Memory<float>* DeviceTraining::numbers(Array array) const {
    if (array == Array::gradient) return &gradient_;
    if (setup_.gradient_alone) return nullptr;
    const bool rounds = setup_.weights == WeightFormat::bf16, whole = setup_.moments == WeightFormat::fp32;
    switch (array) {
        case Array::first_moment:
            return whole ? &first_ : nullptr;
        case Array::second_moment:
            return whole ? &second_ : nullptr;
        case Array::weights:
            return rounds ? nullptr : &master_;
        case Array::master:
            return rounds ? &master_ : nullptr;
        case Array::gradient:
            break;
    }
    return nullptr;
}

const gpu::Memory<gpu::bf16>* DeviceTraining::rounded(Array array) const {
    if (setup_.gradient_alone || setup_.moments == WeightFormat::fp32) return nullptr;
    if (array == Array::first_moment) return &first_rounded_;
    return array == Array::second_moment ? &second_rounded_ : nullptr;
}

void DeviceTraining::read(Array array, std::int64_t first, std::span<float> out) const {
    ensure(has(array), "an array is read that there is");
    std::int64_t read = 0;
    const auto download = [&](std::int64_t place, const Range& range) {
        float* to = out.data() + (range.begin - first);
        read += range.size();
        if (const auto* halves = rounded(array)) {
            download_rounded(device_, halves->data() + place, {to, size_of(range)});
        } else {
            device_.download(to, numbers(array)->data() + place, size_of(range) * sizeof(float));
        }
    };
    const Range wanted{first, first + std::ssize(out)};
    if (array == Array::gradient) {
        download(first, wanted);
    } else {
        ownership_.each(wanted, [&](const Range& range) { download(ownership_.place(range.begin), range); });
    }
    device_.wait();
    ensure(read == wanted.size(), "a rank reads what it keeps");
}

void DeviceTraining::write(Array array, std::int64_t first, std::span<const float> values) {
    ensure(has(array), "an array is written that there is");
    const auto upload = [&](std::int64_t place, const Range& range) {
        const auto from = values.subspan(static_cast<std::size_t>(range.begin - first), size_of(range));
        if (const auto* halves = rounded(array)) {
            upload_rounded(device_, halves->data() + place, from);
        } else {
            device_.upload(numbers(array)->data() + place, from.data(), from.size_bytes());
        }
    };
    const Range given{first, first + std::ssize(values)};
    if (array == Array::gradient) return upload(first, given);
    ownership_.each(given, [&](const Range& range) { upload(ownership_.place(range.begin), range); });
}

void download_rounded(gpu::Device& device, const gpu::bf16* from, std::span<float> out) {
    std::vector<BFloat16> halves(out.size());
    device.download(halves.data(), from, halves.size() * sizeof(BFloat16));
    device.wait();
    std::ranges::transform(halves, out.begin(), [](BFloat16 x) { return to_float(x); });
}

void upload_rounded(gpu::Device& device, gpu::bf16* to, std::span<const float> values) {
    std::vector<BFloat16> halves(values.size());
    std::ranges::transform(values, halves.begin(), [](float x) { return to_bfloat16(x); });
    device.upload(to, halves.data(), halves.size() * sizeof(BFloat16));
}

}  // namespace tdrm::engine
