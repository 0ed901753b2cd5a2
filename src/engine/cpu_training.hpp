// What the engine of processors keeps of a model in training.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "tdrm/comm/exact_sum.hpp"
#include "tdrm/engine/adamw.hpp"
#include "tdrm/engine/engine.hpp"

namespace tdrm::engine {

/// Gradient, sum and moments. Sum, norm and update go over the same pieces: the trainable ranges, cut at the logical
/// parts of a commit (store::kPartElements).
class CpuTraining {
public:
    CpuTraining(const model::Layout& layout, const TrainingSetup& setup, std::span<float> weights);

    void begin_update();
    void begin_unit();
    double end_unit(std::string_view unit);
    double reduce(comm::Communicator& ranks);
    void update(std::span<float> weights, const AdamWStep& step);

    /// Of the open unit, or after `reduce` of the update.
    [[nodiscard]] std::span<float> gradient() { return gradient_; }
    [[nodiscard]] AdamW& optimizer() { return optimizer_; }  ///< empty with TrainingSetup::gradient_alone

    /// What training keeps of an array; empty of weights, which it doesn't.
    [[nodiscard]] std::span<float> numbers(Array array);

private:
    [[nodiscard]] double norm() const;

    Sum sum_;
    std::vector<Range> pieces_;
    AdamW optimizer_;
    std::vector<float> gradient_;
    std::optional<comm::ExactSum> exact_;
    std::vector<float> fast_;
};

/// Cuts ascending ranges of [0, size) at the multiples of `part`; no ranges: everything.
[[nodiscard]] std::vector<Range> cut_at_parts(const std::vector<Range>& ranges, std::int64_t size, std::int64_t part);

}  // namespace tdrm::engine
