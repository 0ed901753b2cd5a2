#include "device_engine.hpp"

#include <algorithm>

#include "checked_device.hpp"
#include "device_adapters.hpp"
#include "device_decoder.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::engine {

using gpu::bf16;

namespace {

const model::ModelSpec& supported(const model::ModelSpec& spec) {
    require_device_support(spec);
    return spec;
}

}  // namespace

DeviceEngine::DeviceEngine(const model::ModelSpec& spec, std::unique_ptr<gpu::Device> device)
    : Engine(supported(spec)),
      device_(std::make_unique<CheckedDevice>(std::move(device))),
      weights_(*device_, static_cast<std::size_t>(num_parameters()), "weights") {
    device_->zero(weights_.data(), static_cast<std::size_t>(num_parameters()) * sizeof(bf16));
}

DeviceEngine::Passes::Passes(gpu::Device& device, const Engine& engine, const bf16* weights, Recompute recompute)
    : transformer(device, engine.spec(), engine.layout(), weights, recompute),
      head(device, engine.spec(), engine.layout(), weights),
      given(device),
      d_hidden(device) {}

DeviceEngine::Passes& DeviceEngine::passes() {
    if (!passes_) passes_.emplace(*device_, *this, weights(), recompute_);
    return *passes_;
}

void DeviceEngine::end_passes() {
    passes_.reset();
    ++pass_;  // their rows are gone
}

bf16* DeviceEngine::weights() {
    if (weights_.data() == nullptr)
        device_->upload(weights_.resize(rested_.size()), rested_.data(), rested_.size() * sizeof(BFloat16));
    return weights_.data();
}

bf16* DeviceEngine::weights_to_change() {
    bf16* changed = weights();
    rested_ = std::vector<BFloat16>();
    return changed;
}

void DeviceEngine::rest() {
    end_passes();
    if (training_ || weights_.data() == nullptr) return;
    if (rested_.empty()) {
        rested_.resize(static_cast<std::size_t>(num_parameters()));
        device_->download(rested_.data(), weights_.data(), rested_.size() * sizeof(BFloat16));
        device_->wait();
    }
    weights_.release();
}

DeviceTraining& DeviceEngine::training() {
    ensure(training_.has_value(), "an engine trains after begin_training");
    return *training_;
}

bool DeviceEngine::has(Array array) const { return array == Array::weights || (training_ && training_->has(array)); }

void DeviceEngine::check_range(std::int64_t first, std::size_t n) const {
    ensure(first >= 0 && first + static_cast<std::int64_t>(n) <= num_parameters(),
           "a range lies within the parameters");
}

void DeviceEngine::read(Array array, std::int64_t first, std::span<float> out) const {
    check_range(first, out.size());
    ensure(has(array), "an array is read that there is");
    if (training_ && training_->has(array)) return training_->read(array, first, out);
    if (weights_.data() != nullptr) return download_rounded(*device_, weights_.data() + first, out);
    std::transform(rested_.begin() + first, rested_.begin() + first + std::ssize(out), out.begin(), to_float);
}

void DeviceEngine::write(Array array, std::int64_t first, std::span<const float> values) {
    check_range(first, values.size());
    ensure(has(array), "an array is written that there is");
    if (training_ && training_->has(array)) training_->write(array, first, values);
    if (array != Array::weights) return;
    upload_rounded(*device_, weights_to_change() + first, values);
}

const bf16* DeviceEngine::hidden(Rows rows) const {
    ensure(rows.pass == pass_, "rows are read before the engine's next pass");
    return hidden_;
}

bf16* DeviceEngine::d_hidden(int rows) {
    return passes().d_hidden.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(spec().width));
}

Rows DeviceEngine::forward(const model::Forest& forest, std::span<const std::int32_t> rows, Keep keep) {
    hidden_ = passes().transformer.forward(forest, rows, keep == Keep::activations);
    return {static_cast<int>(rows.size()), ++pass_};
}

void DeviceEngine::token_logprobs(Rows rows, std::span<const std::int32_t> targets, float temperature,
                                  std::span<float> logp, std::span<float> entropy) {
    passes().head.token_logprobs(hidden(rows), targets, temperature, logp, entropy);
}

void DeviceEngine::token_logits(Rows rows, int row, std::span<float> logits) {
    const float* from = passes().head.logits(hidden(rows) + std::ptrdiff_t{row} * spec().width, 1);
    device_->download(logits.data(), from, logits.size_bytes());
    device_->wait();
}

void DeviceEngine::values(Rows rows, const model::ReadOut& read_out, std::span<float> logits) {
    ensure(std::ssize(logits) == rows.count, "a value for each row");
    passes().head.values(hidden(rows), read_out, logits);
}

void DeviceEngine::features(Rows rows, std::span<float> out) {
    ensure(std::ssize(out) == std::ptrdiff_t{rows.count} * spec().width, "width numbers for each row");
    download_rounded(*device_, hidden(rows), out);
}

Rows DeviceEngine::with_features(std::span<const float> features) {
    const auto rows = features.size() / static_cast<std::size_t>(spec().width);
    ensure(rows * static_cast<std::size_t>(spec().width) == features.size(), "width numbers for each row");
    bf16* given = passes().given.resize(features.size());
    upload_rounded(*device_, given, features);
    hidden_ = given;
    return {static_cast<int>(rows), ++pass_};
}

std::unique_ptr<Decoder> DeviceEngine::decoder(std::int64_t max_tokens, const SamplerOptions& sampler) {
    return std::make_unique<DeviceDecoder>(*this, max_tokens, sampler);
}

std::unique_ptr<AdapterProducts> DeviceEngine::adapter_products(const Adapters& adapters) {
    return std::make_unique<DeviceAdapters>(*this, adapters);
}

void DeviceEngine::begin_training(const TrainingSetup& setup) {
    (void)weights_to_change();
    training_.emplace(*device_, layout(), setup, weights_);
    recompute_ = setup.recompute;
    end_passes();
}

void DeviceEngine::token_loss(Rows rows, std::span<const std::int32_t> targets, float temperature,
                              const TokenLoss& loss) {
    passes().head.token_loss(hidden(rows), targets, temperature, loss, d_hidden(rows.count), training().gradient());
}

void DeviceEngine::value_loss(Rows rows, std::span<const float> d_logits) {
    passes().head.value_loss(hidden(rows), d_logits, d_hidden(rows.count), training().gradient());
}

void DeviceEngine::backward(const model::Forest& forest) {
    passes().transformer.backward(forest, passes().d_hidden.data(), training().gradient(),
                                  [&] { training().slice_done(); });
}

}  // namespace tdrm::engine
