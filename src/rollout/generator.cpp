#include "tdrm/rollout/generator.hpp"

#include <algorithm>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"

namespace tdrm::rollout {
namespace {

constexpr std::size_t kPrefillPrompts = 64;  ///< together, at most

}  // namespace

/// A request whose prompt is in the cache.
struct Generator::Group {
    int prompt_segment = -1;
    std::size_t next_sample = 0;
    std::size_t open_samples = 0;
};

/// A sequence that is being decoded.
struct Generator::Slot {
    std::size_t request;
    std::size_t sample;
    Random random;
    int segment;
};

/// The state of one `run`.
class Generator::Run {
public:
    Run(Generator& owner, std::span<const Request> requests, const std::function<void()>& on_finished)
        : owner_(owner),
          requests_(requests),
          on_finished_(on_finished),
          decoder_(*owner.decoder_),
          groups_(requests.size()),
          results_(requests.size()) {
        for (std::size_t i = 0; i < requests.size(); ++i) results_[i].resize(requests[i].keys.size());
    }

    std::vector<std::vector<Continuation>> finish() {
        for (admit(); !slots_.empty(); admit()) decode();
        ledger::count(ledger::Work::generated, static_cast<double>(drawn_));
        return std::move(results_);
    }

private:
    /// Fills free slots, prefilling prompts as needed. A sequence that ends at once takes no slot.
    void admit() {
        while (slots_.size() < owner_.slots_ && next_request_ < requests_.size()) {
            if (next_request_ == prefilled_) prefill();
            Group& group = groups_[next_request_];
            const Request& request = requests_[next_request_];
            if (group.next_sample < request.keys.size()) {
                Slot slot{next_request_, group.next_sample, Random(request.keys[group.next_sample]),
                          decoder_.open(group.prompt_segment)};
                ++group.next_sample;
                ++group.open_samples;
                const auto choice = decoder_.draw(group.prompt_segment, slot.random, request.first_counter);
                if (take(slot, choice)) slots_.push_back(slot);
            }
            if (group.next_sample == request.keys.size()) {
                ++next_request_;
                if (group.prompt_segment >= 0) decoder_.forget(group.prompt_segment);
                close_if_done(group, request);
            }
        }
    }

    void close_if_done(Group& group, const Request& request) {
        const bool done = group.next_sample == request.keys.size() && group.open_samples == 0;
        if (!done || group.prompt_segment < 0) return;
        if (request.segment < 0) decoder_.close(group.prompt_segment);
        group.prompt_segment = -1;
    }

    /// Caches the next prompts in one pass.
    void prefill() {
        std::vector<engine::Append> runs;
        std::size_t tokens = 0, samples = 0;
        while (prefilled_ < requests_.size() &&
               (runs.empty() ||
                (tokens < std::size_t{kPrefillTokens} && samples < owner_.slots_ && runs.size() < kPrefillPrompts))) {
            const Request& request = requests_[prefilled_];
            const int segment = request.segment >= 0 ? request.segment : decoder_.open();
            groups_[prefilled_].prompt_segment = segment;
            runs.push_back({segment, request.prompt});
            tokens += request.prompt.size();
            samples += request.keys.size();
            ++prefilled_;
        }
        decoder_.prefill(runs);
    }

    /// One more token for every slot.
    void decode() {
        steps_.clear();
        for (const Slot& slot : slots_) {
            const auto& ids = results_[slot.request][slot.sample].ids;
            steps_.push_back(
                {slot.segment, ids.back(), slot.random, requests_[slot.request].first_counter + ids.size()});
        }
        const auto choices = decoder_.step(steps_);
        std::size_t kept = 0;
        for (std::size_t i = 0; i < slots_.size(); ++i)
            if (take(slots_[i], choices[i])) slots_[kept++] = slots_[i];
        slots_.erase(slots_.begin() + static_cast<std::ptrdiff_t>(kept), slots_.end());
    }

    /// The slot's next token. @return false if the sequence is finished
    bool take(const Slot& slot, const engine::Choice& choice) {
        const Request& request = requests_[slot.request];
        Continuation& result = results_[slot.request][slot.sample];
        result.ids.push_back(choice.token);
        result.logprob.push_back(choice.logprob);
        if (owner_.sampler_.truncates()) result.logprob_sampled.push_back(choice.logprob_sampled);
        ++drawn_;
        const auto& ends = owner_.end_tokens_;
        result.ended = std::find(ends.begin(), ends.end(), choice.token) != ends.end();
        const bool full = result.ids.size() >= static_cast<std::size_t>(request.max_tokens);
        if (!result.ended && !full && !(request.stop && request.stop(slot.sample, choice.token))) return true;
        if (request.keep) {
            result.segment = slot.segment;
            ++owner_.kept_;
        } else {
            decoder_.close(slot.segment);
        }
        Group& group = groups_[slot.request];
        --group.open_samples;
        close_if_done(group, request);
        if (on_finished_) on_finished_();
        return false;
    }

    Generator& owner_;
    std::span<const Request> requests_;
    const std::function<void()>& on_finished_;
    engine::Decoder& decoder_;
    std::vector<Group> groups_;
    std::vector<std::vector<Continuation>> results_;
    std::int64_t drawn_ = 0;  ///< tokens
    std::vector<Slot> slots_;
    std::size_t next_request_ = 0;  ///< first with samples that haven't started
    std::size_t prefilled_ = 0;     ///< requests whose prompt was cached
    std::vector<engine::DecodeStep> steps_;
};

Generator::Generator(engine::Engine& engine, const engine::SamplerOptions& sampler,
                     std::vector<std::int32_t> end_tokens, int slots)
    : engine_(engine), sampler_(sampler), end_tokens_(std::move(end_tokens)), slots_(static_cast<std::size_t>(slots)) {
    ensure(engine.spec().head == model::Head::language, "a generator needs a model with a language head");
}

std::int64_t generation_tokens(int slots, std::int64_t longest_prompt, std::int64_t longest_answer) {
    return slots * (longest_answer + engine::kPageTokens) +
           (slots + static_cast<std::int64_t>(kPrefillPrompts)) * (longest_prompt + engine::kPageTokens);
}

void Generator::reserve(std::int64_t tokens) {
    if (decoder_ && decoder_->free_tokens() >= tokens) return;
    ensure(kept_ == 0, "room is reserved before segments are kept");
    decoder_ = nullptr;  // two caches at a time would be one too many
    decoder_ = engine_.decoder(tokens, sampler_);
}

int Generator::open(int parent) {
    ++kept_;
    return decoder_->open(parent);
}

void Generator::close(int segment) {
    --kept_;
    decoder_->close(segment);
}

std::vector<std::vector<Continuation>> Generator::run(std::span<const Request> requests,
                                                      const std::function<void()>& on_finished) {
    if (requests.empty()) return {};
    std::int64_t prompt = 0, answer = 0;
    for (const Request& request : requests) {
        ensure(!request.prompt.empty(), "a generation request has no prompt");
        prompt = std::max(prompt, std::ssize(request.prompt));
        answer = std::max<std::int64_t>(answer, request.max_tokens);
    }
    if (kept_ == 0) reserve(generation_tokens(static_cast<int>(slots_), prompt, answer));
    return Run(*this, requests, on_finished).finish();
}

}  // namespace tdrm::rollout
