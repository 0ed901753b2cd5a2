// Supervised fine-tuning on demonstrations: cross-entropy of the answer's tokens, averaged over the global batch.
#pragma once

#include <string>

#include "tdrm/task/task.hpp"
#include "tdrm/train/shuffle.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::train {

/// loss = -(1/N) sum over the N answer tokens of the batch of log p(token | before), at temperature 1.
class SftObjective final : public Objective {
public:
    /// @param batch sequences per update @param unit_tokens of a unit, as in cut_units
    SftObjective(const task::Task& task, std::string split, engine::Engine& policy, std::uint64_t seed, int batch,
                 int unit_tokens);

    void prepare(std::int64_t update) override;
    [[nodiscard]] const Units& units() const override { return units_; }
    [[nodiscard]] std::string unit_name(std::size_t unit) const override;
    [[nodiscard]] std::span<const std::string_view> sum_names() const override;
    Sums differentiate(std::size_t unit) override;
    void metrics(const Sums& sums, Metrics& out) const override;

private:
    struct Example {
        std::int64_t index;
        std::size_t prompt_tokens;
        task::Tokens tokens;               ///< prompt and answer
        std::vector<std::uint8_t> learnt;  ///< of the answer's tokens; empty = all
    };

    const task::Task& task_;
    std::string split_;
    engine::Engine& policy_;
    Shuffle shuffle_;
    std::uint64_t seed_;
    int batch_;
    std::size_t unit_tokens_;
    std::vector<Example> examples_;
    Units units_;
    double answer_tokens_ = 0;
};

}  // namespace tdrm::train
