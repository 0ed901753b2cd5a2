#include "tdrm/engine/lora.hpp"

#include <algorithm>
#include <cmath>

#include "cpu_training.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::engine {
namespace {

constexpr std::string_view kWeight = ".weight";

std::string module_of(const std::string& tensor) { return tensor.substr(0, tensor.size() - kWeight.size()); }

bool is_target(const model::TensorInfo& tensor, const std::vector<std::string>& targets) {
    if (tensor.is_vector() || !tensor.name.ends_with(kWeight)) return false;
    const std::string module = module_of(tensor.name);
    return std::any_of(targets.begin(), targets.end(),
                       [&](const std::string& target) { return module.ends_with("." + target); });
}

void refuse_unknown_targets(const model::Layout& base, const LoraOptions& options) {
    for (const std::string& target : options.targets)
        if (std::none_of(base.tensors.begin(), base.tensors.end(),
                         [&](const auto& tensor) { return is_target(tensor, {target}); }))
            throw ConfigError(cat("lora.targets: no matrix of the model is called ", target,
                                  " (nothing would be adapted there). Use names such as ",
                                  module_of(base.tensors[std::min<std::size_t>(2, base.tensors.size() - 1)].name),
                                  "'s last part."));
}

/// What learns, with where it lies.
struct Plan {
    model::Layout layout;
    Adapters adapters;
    std::vector<Range> trainable;  ///< of the model

    Plan(const model::ModelSpec& spec, const model::Layout& base, const LoraOptions& options) {
        if (options.rank > 0) refuse_unknown_targets(base, options);
        if (options.head && spec.head == model::Head::language && spec.tied)
            throw ConfigError(
                "lora.head: the head of this model is its embedding (it would learn in both places). Leave it out, or "
                "lora, so that all weights learn.");
        adapters.rank = options.rank;
        if (options.rank > 0) adapters.scale = static_cast<float>(options.alpha / options.rank);
        for (const model::TensorInfo& tensor : base.tensors) {
            const bool of_head = !tensor.name.starts_with("model.");
            if (options.rank > 0 && is_target(tensor, options.targets)) {
                adapt(tensor, options.rank);
            } else if (of_head && (options.head || spec.head == model::Head::value)) {
                adapters.whole.push_back({tensor.offset, add(tensor.name, tensor.shape), tensor.size()});
            } else {
                continue;
            }
            trainable.push_back({tensor.offset, tensor.offset + tensor.size()});
        }
    }

private:
    std::int64_t add(std::string name, std::vector<std::int64_t> shape) {
        layout.tensors.push_back({std::move(name), std::move(shape), layout.size});
        layout.size += layout.tensors.back().size();
        return layout.tensors.back().offset;
    }
    void adapt(const model::TensorInfo& tensor, int rank) {
        const std::int64_t outputs = tensor.shape[0], inputs = tensor.shape[1];
        if (rank > std::min(outputs, inputs))
            throw ConfigError(cat("lora.rank: ", rank, " is more than the sides of ", tensor.name, ", ", outputs, " x ",
                                  inputs, " (it would be no low rank). Lower it."));
        const std::string module = module_of(tensor.name);
        const std::int64_t a = add(module + ".lora_A.weight", {rank, inputs});
        const std::int64_t b = add(module + ".lora_B.weight", {outputs, rank});
        adapters.matrices.push_back({tensor.offset, a, b, static_cast<int>(outputs), static_cast<int>(inputs)});
    }
};

class LoraEngine final : public Engine {
public:
    LoraEngine(std::shared_ptr<Engine> base, Plan plan, std::uint64_t seed)
        : Engine(base->spec(), plan.layout),
          base_(std::move(base)),
          adapters_(std::move(plan.adapters)),
          trainable_(std::move(plan.trainable)),
          values_(static_cast<std::size_t>(layout().size)),
          products_(base_->adapter_products(adapters_)) {
        if (!products_) keep_frozen();
        for (const Adapters::Whole& w : adapters_.whole)
            base_->read(Array::weights, w.theirs, std::span(values_).subspan(at(w.ours), at(w.size)));
        for (const model::TensorInfo& tensor : layout().tensors) {
            if (tensor.name.find(".lora_A.") == std::string::npos) continue;
            Random random(random_key(seed, tensor.name));
            const double bound = 1 / std::sqrt(static_cast<double>(tensor.shape[1]));
            for (std::int64_t i = 0; i < tensor.size(); ++i)
                values_[at(tensor.offset + i)] = static_cast<float>(bound * (2 * random.next_uniform() - 1));
        }
    }

    [[nodiscard]] Engine* body() override {
        merge();
        return base_.get();
    }

    [[nodiscard]] bool has(Array array) const override {
        return array == Array::weights || (training_ && training_->has(array));
    }
    void read(Array array, std::int64_t first, std::span<float> out) const override {
        ensure(first >= 0 && first + std::ssize(out) <= num_parameters(), "a range lies within the parameters");
        if (array != Array::weights) return const_cast<LoraEngine*>(this)->training().read(array, first, out);
        std::copy_n(values_.begin() + first, out.size(), out.begin());
    }
    void write(Array array, std::int64_t first, std::span<const float> values) override {
        ensure(first >= 0 && first + std::ssize(values) <= num_parameters(), "a range lies within the parameters");
        if (array != Array::weights) return training().write(array, first, values);
        std::copy(values.begin(), values.end(), values_.begin() + first);
        merged_ = false;
    }

    Rows forward(const model::Forest& forest, std::span<const std::int32_t> rows, Keep keep) override {
        merge();
        return base_->forward(forest, rows, keep);
    }
    void token_logprobs(Rows rows, std::span<const std::int32_t> targets, float temperature, std::span<float> logp,
                        std::span<float> entropy) override {
        base_->token_logprobs(rows, targets, temperature, logp, entropy);
    }
    void token_logits(Rows rows, int row, std::span<float> logits) override { base_->token_logits(rows, row, logits); }
    void values(Rows rows, const model::ReadOut& read_out, std::span<float> logits) override {
        base_->values(rows, read_out, logits);
    }
    void features(Rows rows, std::span<float> out) override { base_->features(rows, out); }
    std::unique_ptr<Decoder> decoder(std::int64_t max_tokens, const SamplerOptions& sampler) override {
        merge();
        return base_->decoder(max_tokens, sampler);
    }
    void rest() override { base_->rest(); }

    void begin_training(const TrainingSetup& setup) override {
        training_.emplace(layout(), setup, values_);
        base_->begin_training(
            {.trainable = trainable_, .gradient = UnitGradient::alone, .shard = {}, .recompute = setup.recompute});
        merged_ = false;
    }
    void begin_update() override { training().begin_update(); }
    void begin_unit() override {
        training().begin_unit();
        base_->begin_unit();
    }
    void token_loss(Rows rows, std::span<const std::int32_t> targets, float temperature,
                    const TokenLoss& loss) override {
        base_->token_loss(rows, targets, temperature, loss);
    }
    void value_loss(Rows rows, std::span<const float> d_logits) override { base_->value_loss(rows, d_logits); }
    void backward(const model::Forest& forest) override {
        if (products_) return products_->backward(forest, training().gradient());
        base_->backward(forest);
        for (const Adapted& m : adapters_.matrices) project(m);
        for (const Adapters::Whole& w : adapters_.whole)
            base_->read(Array::gradient, w.theirs, training().gradient().subspan(at(w.ours), at(w.size)));
    }
    double end_unit(std::string_view unit) override { return training().end_unit(unit); }
    void collect(comm::Communicator& ranks) override { training().collect(ranks); }
    double reduce(comm::Communicator& ranks) override { return training().reduce(ranks); }
    void update(const AdamWStep& step, comm::Communicator& ranks) override {
        training().update(values_, step, ranks);
        merged_ = false;
        merge();  // what samples sees it at once
    }

    /// Writes W + s B A into the base.
    void merge() {
        if (merged_) return;
        if (products_) {
            products_->merge(values_);
        } else {
            merge_here();
        }
        for (const Adapters::Whole& w : adapters_.whole)
            base_->write(Array::weights, w.theirs, std::span<const float>(values_).subspan(at(w.ours), at(w.size)));
        merged_ = true;
    }

private:
    static std::size_t at(std::int64_t offset) { return static_cast<std::size_t>(offset); }
    CpuTraining& training() {
        ensure(training_.has_value(), "an engine trains after begin_training");
        return *training_;
    }

    void keep_frozen() {
        for (const Adapted& m : adapters_.matrices) {
            frozen_.emplace_back(row(m.outputs, m.inputs));
            base_->read(Array::weights, m.weight, frozen_.back());
        }
    }
    void merge_here() {
        std::vector<float> merged;
        for (std::size_t i = 0; i < adapters_.matrices.size(); ++i) {
            const Adapted& m = adapters_.matrices[i];
            merged = frozen_[i];
            for (int n = 0; n < m.outputs; ++n)
                for (int r = 0; r < adapters_.rank; ++r)
                    add(merged.data() + row(n, m.inputs),
                        adapters_.scale * values_[at(m.b) + row(n, adapters_.rank) + at(r)],
                        values_.data() + at(m.a) + row(r, m.inputs), m.inputs);
            base_->write(Array::weights, m.weight, merged);
        }
    }
    /// dA = s B^T dW, dB = s dW A^T.
    void project(const Adapted& m) {
        gradient_.resize(row(m.outputs, m.inputs));
        base_->read(Array::gradient, m.weight, gradient_);
        const auto ours = training().gradient();
        for (int n = 0; n < m.outputs; ++n)
            for (int r = 0; r < adapters_.rank; ++r) {
                const float* dw = gradient_.data() + row(n, m.inputs);
                add(ours.data() + at(m.a) + row(r, m.inputs),
                    adapters_.scale * values_[at(m.b) + row(n, adapters_.rank) + at(r)], dw, m.inputs);
                ours[at(m.b) + row(n, adapters_.rank) + at(r)] +=
                    adapters_.scale * dot(dw, values_.data() + at(m.a) + row(r, m.inputs), m.inputs);
            }
    }

    static std::size_t row(int index, int width) {
        return static_cast<std::size_t>(index) * static_cast<std::size_t>(width);
    }
    static void add(float* to, float factor, const float* from, int n) {
        for (int i = 0; i < n; ++i) to[i] += factor * from[i];
    }
    /// In fixed lanes, so that it can be vectorised and has the same bits everywhere.
    static float dot(const float* x, const float* y, int n) {
        constexpr int kLanes = 16;
        float lane[kLanes] = {};
        int i = 0;
        for (; i + kLanes <= n; i += kLanes)
            for (int l = 0; l < kLanes; ++l) lane[l] += x[i + l] * y[i + l];
        for (; i < n; ++i) lane[i % kLanes] += x[i] * y[i];
        float sum = 0;
        for (const float l : lane) sum += l;
        return sum;
    }

    std::shared_ptr<Engine> base_;
    Adapters adapters_;
    std::vector<Range> trainable_;
    std::vector<float> values_;
    std::unique_ptr<AdapterProducts> products_;  ///< null: here, by the host
    std::vector<std::vector<float>> frozen_;     ///< W of each target
    std::vector<float> gradient_;
    std::optional<CpuTraining> training_;
    bool merged_ = false;
};

}  // namespace

void LoraOptions::fields(Fields& f) {
    f("rank", rank, "rank of the adapters; 0 = none", between(0, 4096));
    f("alpha", alpha, "a change is scaled by alpha / rank", above(0));
    f("targets", targets, "last parts of the names of the adapted matrices");
    f("head", head, "the language head learns, too, as it is; with rank 0 it alone. Without either all weights learn");
    f("keep_body", keep_body,
      "commits hold the merged model, too, and need nothing beside them; otherwise the adapters alone, with where the "
      "model under them is")
        .not_identity();
}

std::vector<std::string> LoraOptions::validate() const {
    std::vector<std::string> found;
    if (rank > 0 && targets.empty())
        found.emplace_back("targets is empty (nothing would be adapted). Name some, or leave it out for all matrices.");
    if (keep_body && rank == 0 && !head)
        found.emplace_back("keep_body is about adapters or a head, and neither learns here. Remove it, or set rank.");
    return found;
}

LoraSizes lora_sizes(const model::ModelSpec& spec, const LoraOptions& options) {
    const Plan plan(spec, model::Layout(spec), options);
    LoraSizes sizes{plan.layout.size, 0, 0, 0, plan.trainable};
    for (const Adapted& m : plan.adapters.matrices) {
        const std::int64_t matrix = std::int64_t{m.outputs} * m.inputs;
        sizes.frozen += matrix;
        sizes.largest = std::max(sizes.largest, matrix);
    }
    for (const Adapters::Whole& w : plan.adapters.whole) sizes.whole += w.size;
    return sizes;
}

std::unique_ptr<Engine> with_adapters(std::unique_ptr<Engine> base, const LoraOptions& options, std::uint64_t seed) {
    if (!options.active()) return base;
    Plan plan(base->spec(), base->layout(), options);
    return std::make_unique<LoraEngine>(std::move(base), std::move(plan), seed);
}

void merge_adapters(Engine& model, const LoraOptions& options,
                    const std::function<void(const model::Layout& layout, const model::WeightSink& sink)>& deliver) {
    Plan plan(model.spec(), model.layout(), options);
    LoraEngine adapted(std::shared_ptr<Engine>(&model, [](Engine*) {}), std::move(plan), 0);
    deliver(adapted.layout(), weights_into(adapted));
    adapted.merge();
}

}  // namespace tdrm::engine
