#include "cpu_training.hpp"

#include <algorithm>
#include <cmath>

#include "tdrm/base/errors.hpp"
#include "tdrm/store/checkpoint.hpp"

namespace tdrm::engine {

std::vector<Range> cut_at_parts(const std::vector<Range>& ranges, std::int64_t size, std::int64_t part) {
    std::vector<Range> pieces;
    std::int64_t last = 0;
    for (const Range& range : ranges.empty() ? std::vector<Range>{{0, size}} : ranges) {
        ensure(range.begin >= last && range.begin < range.end && range.end <= size, "trainable ranges are ascending");
        last = range.end;
        for (std::int64_t begin = range.begin; begin < range.end; begin = pieces.back().end)
            pieces.push_back({begin, std::min(range.end, (begin / part + 1) * part)});
    }
    return pieces;
}

CpuTraining::CpuTraining(const model::Layout& layout, const TrainingSetup& setup, std::span<float> weights)
    : sum_(setup.sum),
      pieces_(cut_at_parts(setup.trainable, layout.size, store::kPartElements)),
      optimizer_(setup.gradient_alone ? model::Layout() : layout, setup.weights, weights),
      gradient_(weights.size()) {
    if (setup.gradient_alone) return;
    if (sum_ == Sum::exact) {
        exact_.emplace(weights.size());
    } else {
        fast_.resize(weights.size());
    }
}

void CpuTraining::begin_update() {
    if (exact_) {
        exact_->clear();
    } else {
        std::fill(fast_.begin(), fast_.end(), 0.0F);
    }
}

void CpuTraining::begin_unit() { std::fill(gradient_.begin(), gradient_.end(), 0.0F); }

double CpuTraining::end_unit(std::string_view unit) {
    if (exact_) {
        exact_->add(gradient_, unit);
    } else {
        for (std::size_t i = 0; i < fast_.size(); ++i) fast_[i] += gradient_[i];
    }
    return norm();
}

double CpuTraining::reduce(comm::Communicator& ranks) {
    if (exact_) {
        exact_->reduce(ranks, store::kPartElements);
        exact_->to_float(gradient_);
    } else {
        ranks.fast_sum(fast_);
        std::swap(fast_, gradient_);
    }
    return std::sqrt(norm());
}

std::span<float> CpuTraining::numbers(Array array) {
    switch (array) {
        case Array::gradient:
            return gradient_;
        case Array::first_moment:
            return optimizer_.first();
        case Array::second_moment:
            return optimizer_.second();
        case Array::master:
            return optimizer_.master();
        case Array::weights:
            break;
    }
    return {};
}

double CpuTraining::norm() const {
    double total = 0;
    for (const Range& piece : pieces_)
        total += squared_norm(std::span<const float>(gradient_).subspan(static_cast<std::size_t>(piece.begin),
                                                                        static_cast<std::size_t>(piece.size())));
    return total;
}

void CpuTraining::update(std::span<float> weights, const AdamWStep& step) {
    for (const Range& piece : pieces_) optimizer_.step(weights, gradient_, step, piece);
}

}  // namespace tdrm::engine
