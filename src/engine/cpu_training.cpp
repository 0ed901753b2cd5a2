#include "cpu_training.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/store/checkpoint.hpp"

namespace tdrm::engine {
namespace {

static_assert(Shard{}.part == store::kPartElements, "what a rank keeps is what it writes");

std::size_t at(std::int64_t offset) { return static_cast<std::size_t>(offset); }

}  // namespace

double added(std::span<const double> pieces) {
    double total = 0;
    for (const double piece : pieces) total += piece;
    return total;
}

void share(std::span<double> figures, std::span<const Range> pieces, const Ownership& ownership,
           comm::Communicator& ranks) {
    for (std::size_t i = 0; i < pieces.size(); ++i)
        if (!ownership.keeps(pieces[i].begin)) figures[i] = 0;
    ranks.sum(figures);
}

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
    : pieces_(cut_at_parts(setup.trainable, layout.size, setup.shard.part)),
      ownership_(layout.size, setup.shard),
      optimizer_(setup.gradient == UnitGradient::alone ? model::Layout() : layout, setup.weights, weights,
                 setup.gradient == UnitGradient::alone ? Ownership(0) : ownership_, setup.moments),
      gradient_(weights.size()) {
    if (setup.gradient == UnitGradient::alone) return;
    if (setup.sum == Sum::fast) {
        fast_.resize(weights.size());
    } else if (setup.sum == Sum::dealt && ownership_.dealt()) {
        dealt_.emplace(layout.size, ownership_);
    } else {
        exact_.emplace(weights.size());
    }
}

void CpuTraining::begin_update() {
    if (exact_) {
        exact_->clear();
    } else if (dealt_) {
        dealt_->clear();
    } else {
        std::fill(fast_.begin(), fast_.end(), 0.0F);
    }
}

void CpuTraining::begin_unit() { std::fill(gradient_.begin(), gradient_.end(), 0.0F); }

double CpuTraining::end_unit(std::string_view unit) {
    if (exact_) {
        exact_->add(gradient_, unit);
    } else if (dealt_) {
        dealt_->expect(comm::ExactSum::largest(gradient_, unit), unit);
        to_collect_ = true;
    } else {
        for (std::size_t i = 0; i < fast_.size(); ++i) fast_[i] += gradient_[i];
    }
    return added(squares());
}

void CpuTraining::collect(comm::Communicator& ranks) {
    if (!dealt_) return;
    dealt_->collect(std::exchange(to_collect_, false) ? std::span<const float>(gradient_) : std::span<const float>(),
                    ranks);
}

double CpuTraining::reduce(comm::Communicator& ranks) {
    const Range all{0, std::ssize(gradient_)};
    if (exact_) {
        exact_->check(ranks);
        ownership_.each_part(all, [&](const Range& part) {
            ranks.exact_sum(exact_->total().subspan(at(part.begin), at(part.size())), ownership_.receiver(part.begin));
        });
        exact_->to_float(gradient_);
    } else if (dealt_) {
        dealt_->check(ranks);
        ownership_.each(all, [&](const Range& part) {
            comm::ExactSum::to_float(dealt_->of(part), std::span(gradient_).subspan(at(part.begin), at(part.size())));
        });
    } else {
        ownership_.each_part(all, [&](const Range& part) {
            ranks.fast_sum(std::span(fast_).subspan(at(part.begin), at(part.size())), ownership_.receiver(part.begin));
        });
        std::swap(fast_, gradient_);
    }
    auto squares = this->squares();
    if (ownership_.dealt()) share(squares, pieces_, ownership_, ranks);
    return std::sqrt(added(squares));
}

bool CpuTraining::has(Array array) const {
    if (array == Array::master) return optimizer_.keeps_master();
    return array == Array::gradient || !optimizer_.empty();
}

void CpuTraining::read(Array array, std::int64_t first, std::span<float> out) const {
    ensure(has(array), "an array is read that there is");
    if (array == Array::gradient) {
        std::copy_n(gradient_.begin() + first, out.size(), out.begin());
        return;
    }
    std::int64_t read = 0;
    ownership_.each({first, first + std::ssize(out)}, [&](const Range& range) {
        optimizer_.read(array, ownership_.place(range.begin), out.subspan(at(range.begin - first), at(range.size())));
        read += range.size();
    });
    ensure(read == std::ssize(out), "a rank reads what it keeps");
}

void CpuTraining::write(Array array, std::int64_t first, std::span<const float> values) {
    ensure(has(array), "an array is written that there is");
    if (array == Array::gradient) {
        std::copy(values.begin(), values.end(), gradient_.begin() + first);
        return;
    }
    ownership_.each({first, first + std::ssize(values)}, [&](const Range& range) {
        optimizer_.write(array, ownership_.place(range.begin),
                         values.subspan(at(range.begin - first), at(range.size())));
    });
}

/// Squared norm of the gradient, piece by piece.
std::vector<double> CpuTraining::squares() const {
    std::vector<double> squares;
    for (const Range& piece : pieces_)
        squares.push_back(squared_norm(std::span<const float>(gradient_).subspan(at(piece.begin), at(piece.size()))));
    return squares;
}

void CpuTraining::update(std::span<float> weights, const AdamWStep& step, comm::Communicator& ranks) {
    for (const Range& piece : pieces_)
        if (ownership_.keeps(piece.begin)) optimizer_.step(weights, gradient_, step, piece);
    if (!ownership_.dealt()) return;
    for (const Range& piece : pieces_)
        ranks.broadcast(std::as_writable_bytes(weights.subspan(at(piece.begin), at(piece.size()))),
                        ownership_.owner(piece.begin));
}

}  // namespace tdrm::engine
