#include "cpu_engine.hpp"

#include <algorithm>

#include "cpu_decoder.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::engine {

CpuEngine::CpuEngine(const model::ModelSpec& spec, model::Products products, model::Use use)
    : Engine(spec), model_(spec, products, use), transformer_(model_) {}

CpuTraining& CpuEngine::training() {
    ensure(training_.has_value(), "an engine trains after begin_training");
    return *training_;
}

bool CpuEngine::has(Array array) const { return array == Array::weights || (training_ && training_->has(array)); }

void CpuEngine::read(Array array, std::int64_t first, std::span<float> out) const {
    ensure(first >= 0 && first + std::ssize(out) <= num_parameters(), "a range lies within the parameters");
    if (array != Array::weights) {
        ensure(training_.has_value(), "an engine trains after begin_training");
        return training_->read(array, first, out);
    }
    model_.read(first, out);
}

void CpuEngine::write(Array array, std::int64_t first, std::span<const float> values) {
    ensure(first >= 0 && first + std::ssize(values) <= num_parameters(), "a range lies within the parameters");
    if (array != Array::weights) return training().write(array, first, values);
    model_.write(first, values);
}

const float* CpuEngine::hidden(Rows rows) const {
    ensure(rows.pass == pass_, "rows are read before the engine's next pass");
    return hidden_;
}

Rows CpuEngine::passed(const float* hidden, std::size_t rows) {
    hidden_ = hidden;
    return {static_cast<int>(rows), ++pass_};
}

float* CpuEngine::d_hidden() { return d_hidden_.resize(rows_.size() * static_cast<std::size_t>(spec().width)); }

Rows CpuEngine::forward(const model::Forest& forest, std::span<const std::int32_t> rows, Keep keep) {
    if (keep == Keep::activations) rows_.assign(rows.begin(), rows.end());
    return passed(transformer_.forward(forest, rows, work_, keep == Keep::activations), rows.size());
}

void CpuEngine::token_logprobs(Rows rows, std::span<const std::int32_t> targets, float temperature,
                               std::span<float> logp, std::span<float> entropy) {
    model::token_logprobs(model_, hidden(rows), targets, temperature, logp.data(), entropy.data(), work_);
}

void CpuEngine::token_logits(Rows rows, int row, std::span<float> logits) {
    model::token_logits(model_, hidden(rows) + std::ptrdiff_t{row} * spec().width, 1, logits.data());
}

void CpuEngine::values(Rows rows, const model::ReadOut& read_out, std::span<float> logits) {
    ensure(std::ssize(logits) == rows.count, "a value for each row");
    model::read_values(model_, read_out, hidden(rows), rows.count, logits.data());
}

void CpuEngine::features(Rows rows, std::span<float> out) {
    ensure(std::ssize(out) == std::ptrdiff_t{rows.count} * spec().width, "width numbers for each row");
    std::copy_n(hidden(rows), out.size(), out.begin());
}

Rows CpuEngine::with_features(std::span<const float> features) {
    const auto rows = features.size() / static_cast<std::size_t>(spec().width);
    ensure(rows * static_cast<std::size_t>(spec().width) == features.size(), "width numbers for each row");
    given_.assign(features.begin(), features.end());
    rows_.resize(rows);
    return passed(given_.data(), rows);
}

std::unique_ptr<Decoder> CpuEngine::decoder(std::int64_t max_tokens, const SamplerOptions& sampler) {
    return std::make_unique<CpuDecoder>(*this, max_tokens, sampler);
}

void CpuEngine::begin_training(const TrainingSetup& setup) {
    if (setup.recompute != Recompute::none)
        throw ConfigError(
            "precision.recompute is for devices (on processors activations of a unit are always kept). Leave it out; a "
            "smaller unit_tokens needs less memory, too.");
    ensure(model_.use() == model::Use::training, "an engine that trains was made for it");
    model::ops::load_products();
    training_.emplace(layout(), setup, model_.values());
}

void CpuEngine::token_loss(Rows rows, std::span<const std::int32_t> targets, float temperature, const TokenLoss& loss) {
    model::token_loss(model_, hidden(rows), targets, temperature, loss, d_hidden(), training().gradient().data(),
                      work_);
}

void CpuEngine::value_loss(Rows rows, std::span<const float> d_logits) {
    model::value_backward(model_, hidden(rows), d_logits, d_hidden(), training().gradient().data());
}

void CpuEngine::backward(const model::Forest& forest) {
    transformer_.backward(forest, rows_, d_hidden_.data(), training().gradient().data(), work_);
}

}  // namespace tdrm::engine
