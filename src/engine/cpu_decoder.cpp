#include "cpu_decoder.hpp"

#include <numeric>

#include "tdrm/base/errors.hpp"

namespace tdrm::engine {

static_assert(model::ops::kPageTokens == kPageTokens);

void CpuDecoder::forget(int segment) {
    if (static_cast<std::size_t>(segment) < kept_.size()) kept_[static_cast<std::size_t>(segment)] = {};
}

void CpuDecoder::close(int segment) {
    forget(segment);
    cache_.close(segment);
}

const float* CpuDecoder::append(std::span<const Append> runs, std::span<const std::int32_t> read) {
    tokens_.clear();
    segments_.clear();
    std::vector<std::int32_t> last;
    for (const Append& run : runs) {
        ensure(!run.tokens.empty(), "a run to append has a token");
        tokens_.insert(tokens_.end(), run.tokens.begin(), run.tokens.end());
        segments_.resize(tokens_.size(), run.segment);
        last.push_back(static_cast<std::int32_t>(tokens_.size()) - 1);
    }
    rows_.clear();
    for (const std::int32_t r : read) rows_.push_back(last[static_cast<std::size_t>(r)]);
    ++engine_.pass_;  // earlier rows of the engine are gone
    return engine_.transformer_.extend(cache_, tokens_, segments_, rows_, engine_.work_);
}

const float* CpuDecoder::logits(const float* hidden, std::size_t rows) {
    float* logits = logits_.resize(rows * vocab());
    model::token_logits(engine_.model_, hidden, static_cast<int>(rows), logits);
    return logits;
}

void CpuDecoder::prefill(std::span<const Append> runs) {
    read_.resize(runs.size());
    std::iota(read_.begin(), read_.end(), 0);
    const float* rows = logits(append(runs, read_), runs.size());
    for (const Append& run : runs) {
        const auto segment = static_cast<std::size_t>(run.segment);
        if (kept_.size() <= segment) kept_.resize(segment + 1);
        kept_[segment].assign(rows, rows + vocab());
        rows += vocab();
    }
}

Choice CpuDecoder::draw(int segment, const Random& random, std::uint64_t counter) {
    const auto& kept = kept_.at(static_cast<std::size_t>(segment));
    ensure(!kept.empty(), "a distribution is drawn from after its prefill");
    return choose(kept, sampler_, random.uniform(counter), scratch_);
}

std::span<const Choice> CpuDecoder::step(std::span<const DecodeStep> steps) {
    tokens_.clear();
    segments_.clear();
    rows_.resize(steps.size());
    std::iota(rows_.begin(), rows_.end(), 0);
    for (const DecodeStep& step : steps) {
        tokens_.push_back(step.token);
        segments_.push_back(step.segment);
    }
    ++engine_.pass_;
    const float* rows =
        logits(engine_.transformer_.extend(cache_, tokens_, segments_, rows_, engine_.work_), steps.size());
    choices_.clear();
    for (const DecodeStep& step : steps) {
        choices_.push_back(choose({rows, vocab()}, sampler_, step.random.uniform(step.counter), scratch_));
        rows += vocab();
    }
    return choices_;
}

void CpuDecoder::values(std::span<const Append> runs, std::span<const std::int32_t> read,
                        const model::ReadOut& read_out, std::span<float> logits) {
    ensure(logits.size() == read.size(), "a value for each run that is read");
    model::read_values(engine_.model_, read_out, append(runs, read), static_cast<int>(read.size()), logits.data());
}

}  // namespace tdrm::engine
