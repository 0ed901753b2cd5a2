// What is read off the last hidden states: the language head and the value head.
#include <algorithm>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/model/transformer.hpp"

namespace tdrm::model {
namespace {

std::size_t area(int rows, int columns) { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns); }

}  // namespace

void token_logits(const Model& model, const float* hidden, int rows, float* logits) {
    const ModelSpec& s = model.spec();
    model.multiply(logits, hidden, model.layout().head, s.vocab, s.width, rows);
    ledger::count(ledger::Work::flop, 2.0 * s.vocab * s.width * rows);
}

namespace {

constexpr int kHeadChunk = 512;  ///< rows of logits held at once

/// Calls body(first row, rows) with the chunk's logits in work.logits.
template <class Body>
void for_logit_chunks(const Model& model, const float* hidden, int rows, Workspace& work, Body&& body) {
    const ModelSpec& s = model.spec();
    for (int first = 0; first < rows; first += kHeadChunk) {
        const int count = std::min(kHeadChunk, rows - first);
        float* logits = work.logits.resize(area(count, s.vocab));
        token_logits(model, hidden + area(first, s.width), count, logits);
        body(first, count, logits);
    }
}

}  // namespace

double head_bytes(const ModelSpec& spec, double rows) {
    return spec.head == Head::language ? std::min<double>(rows, kHeadChunk) * spec.vocab * sizeof(float) : 0;
}

void token_logprobs(const Model& model, const float* hidden, std::span<const std::int32_t> targets, float temperature,
                    float* logp, float* entropy, Workspace& work) {
    for_logit_chunks(
        model, hidden, static_cast<int>(targets.size()), work, [&](int first, int count, const float* logits) {
            ops::log_softmax(logp + first, entropy + first, logits,
                             targets.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
                             model.spec().vocab, temperature);
        });
}

void token_loss(const Model& model, const float* hidden, std::span<const std::int32_t> targets, float temperature,
                const TokenLoss& loss, float* d_hidden, float* gradient, Workspace& work) {
    const ModelSpec& s = model.spec();
    float* logp = work.logp.resize(kHeadChunk);
    float* entropy = work.entropy.resize(kHeadChunk);
    float* coefficient = work.coefficient.resize(kHeadChunk);
    for_logit_chunks(model, hidden, static_cast<int>(targets.size()), work, [&](int first, int count, float* logits) {
        const auto chunk = targets.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
        ops::log_softmax(logp, entropy, logits, chunk, s.vocab, temperature);
        for (int r = 0; r < count; ++r) coefficient[r] = loss(first + r, logp[r], entropy[r]);
        ops::log_softmax_backward(logits, logp, coefficient, chunk, s.vocab, temperature);
        const std::int64_t head = model.layout().head;
        model.multiply_back(d_hidden + area(first, s.width), logits, head, s.vocab, s.width, count);
        model.add_gradient(gradient, logits, hidden + area(first, s.width), head, s.vocab, s.width, count);
        ledger::count(ledger::Work::flop, 4.0 * s.vocab * s.width * count);
    });
}

}  // namespace tdrm::model
