// What the engine of processors keeps of a model in training.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "dealt_total.hpp"
#include "tdrm/comm/exact_sum.hpp"
#include "tdrm/engine/adamw.hpp"
#include "tdrm/engine/engine.hpp"

namespace tdrm::engine {

/// Gradient, sum and moments, the last of the parts that this rank keeps. Sum, norm and update go over the same pieces:
/// the trainable ranges, cut at the logical parts of a commit (store::kPartElements).
class CpuTraining {
public:
    CpuTraining(const model::Layout& layout, const TrainingSetup& setup, std::span<float> weights);

    void begin_update();
    void begin_unit();
    double end_unit(std::string_view unit);
    void collect(comm::Communicator& ranks);
    double reduce(comm::Communicator& ranks);
    void update(std::span<float> weights, const AdamWStep& step, comm::Communicator& ranks);

    /// Of the open unit, or after `reduce` of the update.
    [[nodiscard]] std::span<float> gradient() { return gradient_; }

    // As the engine's, of all arrays but the weights.
    [[nodiscard]] bool has(Array array) const;
    void read(Array array, std::int64_t first, std::span<float> out) const;
    void write(Array array, std::int64_t first, std::span<const float> values);

private:
    [[nodiscard]] std::vector<double> squares() const;

    std::vector<Range> pieces_;
    Ownership ownership_;  ///< of moments and master weights
    AdamW optimizer_;
    std::vector<float> gradient_;
    std::optional<comm::ExactSum> exact_;  // one of the three
    std::vector<float> fast_;
    std::optional<DealtTotal> dealt_;
    bool to_collect_ = false;  ///< a unit was ended and isn't in the dealt totals yet
};

/// Sum in order.
[[nodiscard]] double added(std::span<const double> pieces);
/// Collective. Figures of pieces, of each from the rank that keeps it: x + 0 + 0 is x, so no bit changes.
void share(std::span<double> figures, std::span<const Range> pieces, const Ownership& ownership,
           comm::Communicator& ranks);

/// Cuts ascending ranges of [0, size) at the multiples of `part`; no ranges: everything.
[[nodiscard]] std::vector<Range> cut_at_parts(const std::vector<Range>& ranges, std::int64_t size, std::int64_t part);

}  // namespace tdrm::engine
