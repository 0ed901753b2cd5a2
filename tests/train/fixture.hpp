// What the tests of training share: how models and objectives are made, trained, and how a gradient is read. No other
// test knows where weights and gradients live.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "../rollout/toy.hpp"
#include "../rollout/toy_task.hpp"
#include "tdrm/engine/adamw.hpp"
#include "tdrm/train/rl.hpp"
#include "tdrm/train/sft.hpp"
#include "tdrm/train/value.hpp"

namespace tdrm::train {

using rollout::ToyTask;

/// A model that learns. Objectives point at its engine.
class Learner {
public:
    explicit Learner(std::unique_ptr<engine::Engine> engine) : engine_(std::move(engine)) {}
    explicit Learner(model::Head head = model::Head::language, std::uint64_t seed = 1)
        : Learner(rollout::toy_model(head, seed)) {
        engine_->begin_training({});
        if (head == model::Head::language) return;
        std::vector<float> score(static_cast<std::size_t>(engine_->spec().width));
        engine_->read(engine::Array::weights, engine_->layout().head, score);
        for (float& weight : score) weight *= 0.1F;  // values around 1/2, so that targets aren't saturated
        engine_->write(engine::Array::weights, engine_->layout().head, score);
    }

    [[nodiscard]] engine::Engine& engine() const { return *engine_; }
    [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(engine_->num_parameters()); }
    [[nodiscard]] std::vector<float> read(engine::Array array) const {
        std::vector<float> values(size());
        engine_->read(array, 0, values);
        return values;
    }
    [[nodiscard]] std::vector<float> weights() const { return read(engine::Array::weights); }
    /// What an update of another batch would do: every weight moves a little.
    void disturb(double by) {
        auto values = weights();
        Random random(random_key(3, "disturbance"));
        for (float& value : values) value += static_cast<float>(by * random.next_normal());
        engine_->write(engine::Array::weights, 0, values);
    }

private:
    std::unique_ptr<engine::Engine> engine_;
};

inline std::unique_ptr<Objective> sft_objective(Learner& trainee, const task::Task& task, std::uint64_t seed, int batch,
                                                int unit_tokens) {
    return std::make_unique<SftObjective>(task, "all", trainee.engine(), seed, batch, unit_tokens);
}

inline std::unique_ptr<Objective> value_objective(Learner& trainee, const task::Task& task,
                                                  const rollout::Trajectories& data, std::vector<std::size_t> rows,
                                                  std::vector<float> labels, const reward::TargetOptions& target,
                                                  std::uint64_t seed, int batch, int unit_tokens) {
    return std::make_unique<ValueObjective>(data, std::move(rows), ValueLabels{std::move(labels)}, task,
                                            trainee.engine(), target, seed, batch, unit_tokens);
}

/// @param value, reference none if null
inline std::unique_ptr<RlObjective> rl_objective(comm::Communicator& ranks, Learner& policy, const task::Task& task,
                                                 const RlOptions& options, std::uint64_t seed, Learner* value = nullptr,
                                                 Learner* reference = nullptr) {
    std::optional<rollout::Scorer> scorer;
    if (value != nullptr) scorer.emplace(value->engine(), task.probe(), options.unit_tokens);
    return std::make_unique<RlObjective>(ranks, task, "all", policy.engine(), std::move(scorer),
                                         reference == nullptr ? nullptr : &reference->engine(), options, seed);
}

/// A unit's share of the gradient, and its sums.
struct UnitGradient {
    std::vector<float> gradient;
    std::vector<double> sums;
};
inline UnitGradient gradient_of(const Learner& learner, Objective& objective, std::size_t unit) {
    learner.engine().begin_unit();
    const Sums sums = objective.differentiate(unit);
    return {learner.read(engine::Array::gradient), sums.values()};
}

/// The gradient of a prepared batch: all units, added up.
struct BatchGradient {
    std::size_t units = 0;
    std::vector<double> gradient;
    Metrics metrics;
};
inline BatchGradient gradient_of(const Learner& trainee, Objective& objective) {
    BatchGradient batch{objective.units().size(), std::vector<double>(trainee.size()), {}};
    std::vector<double> sums(objective.sum_names().size());
    for (std::size_t unit = 0; unit < batch.units; ++unit) {
        const auto share = gradient_of(trainee, objective, unit);
        for (std::size_t i = 0; i < share.gradient.size(); ++i)
            batch.gradient[i] += static_cast<double>(share.gradient[i]);
        for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += share.sums[i];
    }
    objective.metrics(Sums(objective.sum_names(), sums), batch.metrics);
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
    RuledObjective(std::size_t units, const Learner& learner, Rule rule)
        : units_(std::vector<std::size_t>(units, 1), 1), learner_(learner), rule_(std::move(rule)) {}

    void prepare(std::int64_t update) override { update_ = update; }
    [[nodiscard]] const Units& units() const override { return units_; }
    [[nodiscard]] std::string unit_name(std::size_t unit) const override { return "unit " + std::to_string(unit); }
    [[nodiscard]] std::span<const std::string_view> sum_names() const override { return kNames; }
    Sums differentiate(std::size_t unit) override {
        auto gradient = learner_.read(engine::Array::gradient);
        for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] += rule_(update_, unit, i);
        learner_.engine().write(engine::Array::gradient, 0, gradient);
        return {kNames, {1}};
    }
    void metrics(const Sums& sums, Metrics& out) const override { out.set("units", sums["units"]); }

private:
    static constexpr std::array<std::string_view, 1> kNames{"units"};
    Units units_;
    const Learner& learner_;
    Rule rule_;
    std::int64_t update_ = 0;
};

/// Units of two models, one behind the other's.
class PairObjective final : public Objective {
public:
    PairObjective(std::unique_ptr<Objective> first, std::unique_ptr<Objective> second)
        : first_(std::move(first)), second_(std::move(second)) {}
    void prepare(std::int64_t update) override {
        first_->prepare(update);
        second_->prepare(update);
        units_ = first_->units();
        units_.append(second_->units());
    }
    [[nodiscard]] const Units& units() const override { return units_; }
    [[nodiscard]] std::size_t trainee_of(std::size_t unit) const override {
        return unit < first_->units().size() ? 0 : 1;
    }
    [[nodiscard]] std::string unit_name(std::size_t unit) const override { return of(unit).unit_name(own(unit)); }
    [[nodiscard]] std::span<const std::string_view> sum_names() const override { return first_->sum_names(); }
    Sums differentiate(std::size_t unit) override { return of(unit).differentiate(own(unit)); }
    void metrics(const Sums& sums, Metrics& out) const override { first_->metrics(sums, out); }

private:
    [[nodiscard]] Objective& of(std::size_t unit) const { return trainee_of(unit) == 0 ? *first_ : *second_; }
    [[nodiscard]] std::size_t own(std::size_t unit) const { return unit - trainee_of(unit) * first_->units().size(); }

    std::unique_ptr<Objective> first_, second_;
    Units units_;
};

/// Options of the loop and of its one model.
struct LoopOptions : TrainerOptions {
    OptimizerOptions optimizer;
    PrecisionOptions precision;
    std::int64_t horizon = 0;
};

inline TrainingResult trained(comm::Communicator& ranks, Learner& learner, Objective& objective,
                              const Evaluation& evaluation, const LoopOptions& options) {
    const Trainee trainee{"", learner.engine(), options.optimizer, options.precision, options.horizon};
    return train(ranks, {&trainee, 1}, objective, evaluation, options);
}

/// The weights after updates with the given gradients, one AdamW step each: what the trainer has to come to.
inline std::vector<float> stepped_by_hand(const Learner& start, const std::vector<std::vector<float>>& gradients,
                                          const LoopOptions& options) {
    auto weights = start.weights();
    engine::AdamW optimizer(start.engine().layout(), options.precision.weights, weights);
    const engine::Range all{0, std::ssize(weights)};
    for (std::size_t u = 0; u < gradients.size(); ++u) {
        const auto update = static_cast<std::int64_t>(u);
        const double norm = std::sqrt(engine::squared_norm(gradients[u]));
        const engine::AdamWStep step{learning_rate(options.optimizer, update, options.horizon),
                                     options.optimizer.beta1,
                                     options.optimizer.beta2,
                                     options.optimizer.eps,
                                     options.optimizer.weight_decay,
                                     std::min(1.0, options.optimizer.clip / norm),
                                     update};
        optimizer.step(weights, gradients[u], step, all);
    }
    return weights;
}

}  // namespace tdrm::train
