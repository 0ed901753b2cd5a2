#include "tdrm/rollout/generator.hpp"

#include <algorithm>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"

namespace tdrm::rollout {

/// A request whose prompt is in the cache.
struct Generator::Group {
    int prompt_segment = -1;
    std::size_t next_sample = 0;
    std::size_t open_samples = 0;
    std::vector<float> first_logits;  ///< after the prompt
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
          cache_(reserve(owner)),
          groups_(requests.size()),
          results_(requests.size()) {
        for (std::size_t i = 0; i < requests.size(); ++i) results_[i].resize(requests[i].keys.size());
    }

    std::vector<std::vector<Continuation>> finish() {
        const std::int64_t before = owner_.stats_.tokens;
        for (admit(); !slots_.empty(); admit()) decode();
        ledger::count(ledger::Work::generated, static_cast<double>(owner_.stats_.tokens - before));
        return std::move(results_);
    }

private:
    /// Prompts prefilled together: enough for big matrix products.
    static constexpr std::size_t kPrefillTokens = 1024;
    static constexpr std::size_t kPrefillPrompts = 64;

    /// Room for all slots and for the prompts that may be open with them, in whole pages.
    [[nodiscard]] std::int64_t cache_tokens() const {
        std::int64_t longest_prompt = 0;
        std::int64_t longest_answer = 0;
        for (const Request& request : requests_) {
            ensure(!request.prompt.empty(), "a generation request has no prompt");
            longest_prompt = std::max(longest_prompt, static_cast<std::int64_t>(request.prompt.size()));
            longest_answer = std::max<std::int64_t>(longest_answer, request.max_tokens);
        }
        const auto slots = static_cast<std::int64_t>(owner_.slots_);
        const std::int64_t page = model::ops::kPageTokens;
        return slots * (longest_answer + page) +
               (slots + static_cast<std::int64_t>(kPrefillPrompts)) * (longest_prompt + page);
    }

    [[nodiscard]] model::KvCache& reserve(Generator& owner) const {
        const std::int64_t tokens = cache_tokens();
        if (!owner.cache_ || owner.cache_->free_tokens() < tokens) owner.cache_.emplace(owner.model_->spec(), tokens);
        return *owner.cache_;
    }

    /// Fills free slots, prefilling prompts as needed. A sequence that ends at once takes no slot.
    void admit() {
        while (slots_.size() < owner_.slots_ && next_request_ < requests_.size()) {
            if (next_request_ == prefilled_) prefill();
            Group& group = groups_[next_request_];
            const Request& request = requests_[next_request_];
            if (group.next_sample < request.keys.size()) {
                Slot slot{next_request_, group.next_sample, Random(request.keys[group.next_sample]),
                          cache_.open(group.prompt_segment)};
                ++group.next_sample;
                ++group.open_samples;
                if (draw(slot, group.first_logits)) slots_.push_back(slot);
            }
            if (group.next_sample == request.keys.size()) {
                ++next_request_;
                close_if_done(group, request);
            }
        }
    }

    void close_if_done(Group& group, const Request& request) {
        if (group.next_sample == request.keys.size() && group.open_samples == 0 && group.prompt_segment >= 0) {
            cache_.close(group.prompt_segment);
            group.prompt_segment = -1;
            group.first_logits = {};
        }
    }

    /// Caches the next prompts in one pass and keeps the logits after each.
    void prefill() {
        std::vector<std::int32_t> tokens, segments, last_rows;
        const std::size_t first = prefilled_;
        std::size_t samples = 0;
        while (prefilled_ < requests_.size() &&
               (prefilled_ == first ||
                (tokens.size() < kPrefillTokens && samples < owner_.slots_ && last_rows.size() < kPrefillPrompts))) {
            const Request& request = requests_[prefilled_];
            const int segment = cache_.open();
            groups_[prefilled_].prompt_segment = segment;
            tokens.insert(tokens.end(), request.prompt.begin(), request.prompt.end());
            segments.resize(tokens.size(), segment);
            last_rows.push_back(static_cast<std::int32_t>(tokens.size()) - 1);
            samples += request.keys.size();
            ++prefilled_;
        }
        const auto vocab = static_cast<std::size_t>(owner_.model_->spec().vocab);
        const float* logits = compute(tokens, segments, last_rows);
        for (std::size_t i = 0; i < last_rows.size(); ++i)
            groups_[first + i].first_logits.assign(logits + i * vocab, logits + (i + 1) * vocab);
        owner_.stats_.prompt_tokens += static_cast<std::int64_t>(tokens.size());
    }

    /// One more token for every slot.
    void decode() {
        std::vector<std::int32_t>& tokens = tokens_;
        tokens.clear();
        segments_.clear();
        rows_.clear();
        for (const Slot& slot : slots_) {
            rows_.push_back(static_cast<std::int32_t>(tokens.size()));
            tokens.push_back(results_[slot.request][slot.sample].ids.back());
            segments_.push_back(slot.segment);
        }
        const float* logits = compute(tokens, segments_, rows_);
        const auto vocab = static_cast<std::size_t>(owner_.model_->spec().vocab);
        std::size_t kept = 0;
        for (std::size_t i = 0; i < slots_.size(); ++i) {
            const bool goes_on = draw(slots_[i], std::span(logits + i * vocab, vocab));
            if (goes_on) slots_[kept++] = slots_[i];
        }
        slots_.erase(slots_.begin() + static_cast<std::ptrdiff_t>(kept), slots_.end());
        ++owner_.stats_.passes;
        owner_.stats_.rows += static_cast<std::int64_t>(tokens.size());
    }

    /// Logits of the given rows after appending tokens to their segments.
    const float* compute(std::span<const std::int32_t> tokens, std::span<const std::int32_t> segments,
                         std::span<const std::int32_t> rows) {
        const float* hidden = owner_.transformer_.extend(cache_, tokens, segments, rows, owner_.work_);
        const auto& spec = owner_.model_->spec();
        owner_.logits_.resize(rows.size() * static_cast<std::size_t>(spec.vocab));
        model::token_logits(*owner_.model_, hidden, static_cast<int>(rows.size()), owner_.logits_.data());
        return owner_.logits_.data();
    }

    /// Draws the slot's next token. @return false if the sequence is finished (its cache is then freed)
    bool draw(Slot& slot, std::span<const float> logits) {
        const Request& request = requests_[slot.request];
        Continuation& result = results_[slot.request][slot.sample];
        const double uniform = slot.random.uniform(request.first_counter + result.ids.size());
        const Choice choice = choose(logits, owner_.sampler_, uniform, owner_.scratch_);
        result.ids.push_back(choice.token);
        result.logprob.push_back(choice.logprob);
        if (owner_.sampler_.truncates()) result.logprob_sampled.push_back(choice.logprob_sampled);
        ++owner_.stats_.tokens;
        const auto& ends = owner_.end_tokens_;
        result.ended = std::find(ends.begin(), ends.end(), choice.token) != ends.end();
        const bool full = result.ids.size() >= static_cast<std::size_t>(request.max_tokens);
        if (!result.ended && !full && !(request.stop && request.stop(result.ids))) return true;
        cache_.close(slot.segment);
        Group& group = groups_[slot.request];
        --group.open_samples;
        close_if_done(group, request);
        if (on_finished_) on_finished_();
        return false;
    }

    Generator& owner_;
    std::span<const Request> requests_;
    const std::function<void()>& on_finished_;
    model::KvCache& cache_;
    std::vector<Group> groups_;
    std::vector<std::vector<Continuation>> results_;
    std::vector<Slot> slots_;
    std::size_t next_request_ = 0;  ///< first with samples that haven't started
    std::size_t prefilled_ = 0;     ///< requests whose prompt was cached
    std::vector<std::int32_t> tokens_, segments_, rows_;
};

Generator::Generator(const model::Model& model, const SamplerOptions& sampler, std::vector<std::int32_t> end_tokens,
                     int slots)
    : model_(&model),
      transformer_(model),
      sampler_(sampler),
      end_tokens_(std::move(end_tokens)),
      slots_(static_cast<std::size_t>(slots)) {
    ensure(model.spec().head == model::Head::language, "a generator needs a model with a language head");
}

std::vector<std::vector<Continuation>> Generator::run(std::span<const Request> requests,
                                                      const std::function<void()>& on_finished) {
    if (requests.empty()) return {};
    return Run(*this, requests, on_finished).finish();
}

}  // namespace tdrm::rollout
