// What the tests of training share: how models and objectives are made, trained, and how a gradient is read. No other
// test knows where weights and gradients live.
#pragma once

#include <functional>
#include <memory>

#include "../rollout/toy.hpp"
#include "../rollout/toy_task.hpp"
#include "tdrm/train/rl.hpp"
#include "tdrm/train/sft.hpp"
#include "tdrm/train/value.hpp"

namespace tdrm::train {

using rollout::ToyTask;

/// A model in training. Objectives point at it: it stays where it is.
class Trainee {
public:
    explicit Trainee(model::Head head = model::Head::language, std::uint64_t seed = 1)
        : model_(rollout::toy_model(head, seed)) {
        if (head == model::Head::language) return;
        const auto score = model_.values().subspan(static_cast<std::size_t>(model_.layout().head),
                                                   static_cast<std::size_t>(model_.spec().width));
        for (float& weight : score) weight *= 0.1F;  // values around 1/2, so that targets aren't saturated
    }
    Trainee(const Trainee&) = delete;
    Trainee& operator=(const Trainee&) = delete;

    [[nodiscard]] const model::Model& model() const { return model_; }
    [[nodiscard]] model::Model& model() { return model_; }
    [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(model_.num_parameters()); }
    [[nodiscard]] std::vector<float> weights() const { return {model_.values().begin(), model_.values().end()}; }
    /// What an update of another batch would do: every weight moves a little.
    void disturb(double by) {
        Random random(random_key(3, "disturbance"));
        for (float& value : model_.values()) value += static_cast<float>(by * random.next_normal());
    }

private:
    model::Model model_;
};

inline std::unique_ptr<Objective> sft_objective(Trainee& trainee, const task::Task& task, std::uint64_t seed, int batch,
                                                int unit_tokens) {
    return std::make_unique<SftObjective>(task, "all", trainee.model(), seed, batch, unit_tokens);
}

inline std::unique_ptr<Objective> value_objective(Trainee& trainee, const task::Task& task,
                                                  const rollout::Trajectories& data, std::vector<std::size_t> rows,
                                                  std::vector<float> labels, const reward::TargetOptions& target,
                                                  std::uint64_t seed, int batch, int unit_tokens) {
    return std::make_unique<ValueObjective>(data, std::move(rows), std::move(labels), task, trainee.model(), target,
                                            seed, batch, unit_tokens);
}

/// @param value, reference none if null
inline std::unique_ptr<RlObjective> rl_objective(comm::Communicator& ranks, Trainee& policy, const task::Task& task,
                                                 const RlOptions& options, std::uint64_t seed, Trainee* value = nullptr,
                                                 Trainee* reference = nullptr) {
    std::optional<rollout::Scorer> scorer;
    if (value != nullptr) scorer.emplace(value->model(), task.probe(), options.unit_tokens);
    return std::make_unique<RlObjective>(ranks, task, "all", policy.model(), std::move(scorer),
                                         reference == nullptr ? nullptr : &reference->model(), options, seed);
}

/// A unit's share of the gradient, and its sums.
struct UnitGradient {
    std::vector<float> gradient;
    std::vector<double> sums;
};
inline UnitGradient gradient_of(const Trainee& trainee, Objective& objective, std::size_t unit) {
    UnitGradient result{std::vector<float>(trainee.size()), {}};
    result.sums = objective.differentiate(unit, result.gradient.data());
    return result;
}

/// The gradient of a prepared batch: all units, added up.
struct BatchGradient {
    std::size_t units = 0;
    std::vector<double> gradient;
    Metrics metrics;
};
inline BatchGradient gradient_of(const Trainee& trainee, Objective& objective) {
    BatchGradient batch{objective.num_units(), std::vector<double>(trainee.size()), {}};
    std::vector<double> sums;
    for (std::size_t unit = 0; unit < batch.units; ++unit) {
        const auto share = gradient_of(trainee, objective, unit);
        for (std::size_t i = 0; i < share.gradient.size(); ++i)
            batch.gradient[i] += static_cast<double>(share.gradient[i]);
        sums.resize(share.sums.size());
        for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += share.sums[i];
    }
    objective.metrics(sums, batch.metrics);
    return batch;
}

/// |a - b| / |b|
inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < b.size(); ++i) {
        difference += (a.at(i) - b[i]) * (a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return std::sqrt(difference / norm);
}

/// Gradients by a rule: for tests of what is around an objective.
class RuledObjective final : public Objective {
public:
    using Rule = std::function<float(std::int64_t update, std::size_t unit, std::size_t parameter)>;
    RuledObjective(std::size_t units, const Trainee& trainee, Rule rule)
        : units_(units), parameters_(trainee.size()), rule_(std::move(rule)) {}

    void prepare(std::int64_t update) override { update_ = update; }
    [[nodiscard]] std::size_t num_units() const override { return units_; }
    [[nodiscard]] double unit_cost(std::size_t) const override { return 1; }
    [[nodiscard]] double unit_samples(std::size_t) const override { return 1; }
    [[nodiscard]] std::string unit_name(std::size_t unit) const override { return "unit " + std::to_string(unit); }
    std::vector<double> differentiate(std::size_t unit, float* gradient) override {
        for (std::size_t i = 0; i < parameters_; ++i) gradient[i] += rule_(update_, unit, i);
        return {1};
    }
    void metrics(const std::vector<double>& sums, Metrics& out) const override { out.set("units", sums.at(0)); }

private:
    std::size_t units_, parameters_;
    Rule rule_;
    std::int64_t update_ = 0;
};

inline TrainingResult trained(comm::Communicator& ranks, Trainee& trainee, Objective& objective,
                              const Evaluation& evaluation, const TrainerOptions& options) {
    return train(ranks, trainee.model(), objective, evaluation, options);
}

/// The weights after updates with the given gradients, one AdamW step each: what the trainer has to come to.
inline std::vector<float> stepped_by_hand(const Trainee& start, const std::vector<std::vector<float>>& gradients,
                                          const TrainerOptions& options) {
    auto weights = start.weights();
    AdamW optimizer(start.model().layout(), options.precision.weights, weights);
    for (std::size_t u = 0; u < gradients.size(); ++u) {
        const auto update = static_cast<std::int64_t>(u);
        const double norm = std::sqrt(squared_norm(gradients[u]));
        optimizer.step(weights, gradients[u], options.optimizer,
                       learning_rate(options.optimizer, update, options.horizon),
                       std::min(1.0, options.optimizer.clip / norm), update);
    }
    return weights;
}

}  // namespace tdrm::train
