#include "device_training.hpp"

#include <algorithm>
#include <cmath>

#include "cpu_training.hpp"
#include "tdrm/base/bfloat16.hpp"
#include "tdrm/base/errors.hpp"

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
      first_rounded_(device, "moments"),
      second_rounded_(device, "moments"),
      gradient_(device, layout, setup.gradient, setup.trainable),
      figures_(device),
      exchange_(device) {
    for (const Range& slice : gradient_.slices()) {
        for (const Range& piece : pieces_) {
            const Range common{std::max(piece.begin, slice.begin), std::min(piece.end, slice.end)};
            if (common.begin < common.end) unit_pieces_.push_back(common);
        }
        ends_.push_back(unit_pieces_.size());
    }
    if (setup_.gradient == UnitGradient::alone) return;
    const auto kept = static_cast<std::size_t>(ownership_.kept());
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
    total_.emplace(device, exchange_, setup_.sum, layout, ownership_);
    figures_.begin(unit_pieces_);
}

void DeviceTraining::begin_update() {
    bound_.clear();
    total_->clear();
    reduced_ = false;
}

void DeviceTraining::begin_unit() {
    gradient_.clear();
    finished_ = 0;
    reduced_ = false;
    if (!total_) return;
    total_->open(unit_pieces_);
    figures_.begin(unit_pieces_);
}

void DeviceTraining::collect_behind(comm::Communicator& ranks) {
    if (!exchanges_once()) behind_ = &ranks;
}

void DeviceTraining::slice_done() {
    ensure(finished_ < ends_.size(), "a unit has one backward pass");
    if (!gradient_.whole() || behind_ != nullptr) finish_slice();
}

void DeviceTraining::finish_slice() {
    if (total_) {
        for (std::size_t i = finished_ == 0 ? 0 : ends_[finished_ - 1]; i < ends_[finished_]; ++i) {
            const float* values = gradient_.at(unit_pieces_[i].begin);
            figures_.add(unit_pieces_[i], values);
            if (!total_->dealt()) total_->add(unit_pieces_[i], values);
            if (behind_ != nullptr) exchange_piece(*behind_, values);
        }
    }
    if (observer_) observer_(gradient_.slices()[finished_]);
    gradient_.close(finished_++);
}

void DeviceTraining::exchange_piece(comm::Communicator& ranks, const float* values) {
    total_->exchange(unit_pieces_[exchanged_], values, ranks);
    ++exchanged_;
}

double DeviceTraining::end_unit(std::string_view unit) {
    ensure(total_.has_value(), "units are added to a sum");
    ensure(behind_ != nullptr || !total_->dealt(), "units of a dealt sum are exchanged at once");
    while (finished_ < ends_.size()) finish_slice();
    if (behind_ != nullptr) exchange_.wait(*behind_);  // with a deadline, which waiting for the device has not
    const DeviceFigures::Found found = figures_.find();
    if (setup_.sum != Sum::fast) {
        if (!(found.largest < static_cast<float>(comm::ExactSum::kLimit)))
            throw comm::ExactSum::refusal(
                unit, found.largest,
                cat("one of the positions ", found.where.begin, " to ", found.where.end - 1, " of ", layout_.size));
        bound_.add(found.largest, unit);
    }
    return added(found.squares);
}

void DeviceTraining::collect(comm::Communicator& ranks) {
    if (!exchanges_once()) exchange_all(ranks);
}

void DeviceTraining::exchange_all(comm::Communicator& ranks) {
    // Of a unit that failed nothing more is added, but others wait for what is left of it.
    total_->open(unit_pieces_);
    while (exchanged_ < unit_pieces_.size()) exchange_piece(ranks, nullptr);
    total_->settle(ranks);
    exchanged_ = 0;
    behind_ = nullptr;
}

double DeviceTraining::reduce(comm::Communicator& ranks) {
    if (setup_.sum != Sum::fast) bound_.check(ranks);
    if (!total_->settled()) exchange_all(ranks);
    reduced_ = true;
    figures_.begin(pieces_);
    for (const Range& piece : pieces_)
        if (ownership_.keeps(piece.begin)) figures_.add(piece, total_->gradient(piece));
    const auto kept = figures_.find().squares;
    std::vector<double> squares;
    for (std::size_t i = 0, at = 0; i < pieces_.size(); ++i)
        squares.push_back(ownership_.keeps(pieces_[i].begin) ? kept[at++] : 0);
    if (ownership_.dealt()) share(squares, pieces_, ownership_, ranks);
    return std::sqrt(added(squares));
}

void DeviceTraining::update(const AdamWStep& step, comm::Communicator& ranks) {
    for (const Range& piece : pieces_) {
        if (!ownership_.keeps(piece.begin)) continue;
        const float* gradient = total_->gradient(piece);
        for (const model::TensorInfo& tensor : layout_.tensors) {
            const Range range{std::max(tensor.offset, piece.begin), std::min(tensor.offset + tensor.size(), piece.end)};
            if (range.begin < range.end)
                update_range(step, range, !tensor.is_vector(), gradient + (range.begin - piece.begin));
        }
    }
    if (!ownership_.dealt()) return;
    for (const Range& piece : pieces_)
        exchange_.broadcast(weights_.data() + piece.begin, size_of(piece), ownership_.owner(piece.begin), ranks);
    exchange_.wait(ranks);
}

void DeviceTraining::update_range(const AdamWStep& step, Range range, bool decays, const float* gradient) {
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
        .gradient = gradient,
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

const gpu::Memory<float>* DeviceTraining::numbers(Array array) const {
    if (!total_) return nullptr;
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
    if (!total_ || setup_.moments == WeightFormat::fp32) return nullptr;
    if (array == Array::first_moment) return &first_rounded_;
    return array == Array::second_moment ? &second_rounded_ : nullptr;
}

bool DeviceTraining::has(Array array) const {
    if (array == Array::gradient) return gradient_.whole() || reduced_;
    return numbers(array) != nullptr || rounded(array) != nullptr;
}

void DeviceTraining::read(Array array, std::int64_t first, std::span<float> out) const {
    ensure(has(array), "an array is read that there is");
    const Range wanted{first, first + std::ssize(out)};
    std::int64_t read = 0;
    const auto download = [&](const float* from, const Range& range) {
        device_.download(out.data() + (range.begin - first), from, size_of(range) * sizeof(float));
        device_.wait();
        read += range.size();
    };
    const auto download_kept = [&](const Range& range) {
        const std::int64_t place = ownership_.place(range.begin);
        const auto* halves = rounded(array);
        if (halves == nullptr) return download(numbers(array)->data() + place, range);
        download_rounded(device_, halves->data() + place,
                         out.subspan(static_cast<std::size_t>(range.begin - first), size_of(range)));
        read += range.size();
    };
    if (array != Array::gradient) {
        ownership_.each(wanted, download_kept);
    } else if (!reduced_) {
        download(gradient_.at(first), wanted);
    } else {
        ownership_.each_part(wanted, [&](const Range& range) {
            if (ownership_.keeps(range.begin)) download(total_->gradient(range), range);
        });
    }
    ensure(read == wanted.size(), "a rank reads what it keeps");
}

void DeviceTraining::write(Array array, std::int64_t first, std::span<const float> values) {
    ensure(has(array), "an array is written that there is");
    if (array == Array::gradient) {
        ensure(!reduced_, "a unit's gradient is written");
        return device_.upload(gradient_.at(first), values.data(), values.size_bytes());
    }
    ownership_.each({first, first + std::ssize(values)}, [&](const Range& range) {
        const auto from = values.subspan(static_cast<std::size_t>(range.begin - first), size_of(range));
        const std::int64_t place = ownership_.place(range.begin);
        if (const auto* halves = rounded(array)) {
            upload_rounded(device_, halves->data() + place, from);
        } else {
            device_.upload(numbers(array)->data() + place, from.data(), from.size_bytes());
        }
    });
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
