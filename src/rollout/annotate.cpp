#include "tdrm/rollout/annotate.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "tdrm/base/hash.hpp"

namespace tdrm::rollout {
namespace {

constexpr std::int64_t kCacheTokens = std::int64_t{1} << 17;  ///< of the states that are open together

/// A state of a problem, whichever answers pass through it.
struct State {
    int parent = -1;        ///< the state before; -1: this is the prompt
    task::Tokens ids = {};  ///< of the answer up to here
    std::size_t step = 0;   ///< how many of them are its last step
    int segment = -1;       ///< of the cache: prompt and ids but for the last token
    bool open = true;       ///< something may follow
    std::int32_t successes = 0, tries = 0;
};

class ProblemStates {
public:
    ProblemStates(const AnnotatePlan& plan, const Trajectories& data, std::size_t begin, std::size_t end,
                  int max_tokens)
        : plan_(plan), begin_(begin), end_(end), problem_(data.problem_of(begin)), max_tokens_(max_tokens) {
        states_.emplace_back();
        for (std::size_t r = begin; r < end; ++r) add(data.ids(r), data.step_ends(r));
        for (State& state : states_) judge_if_over(state);
    }

    /// Tokens of all states in the cache, in whole pages.
    [[nodiscard]] std::int64_t cache_tokens() const {
        std::int64_t tokens = std::ssize(problem_.prompt) + engine::kPageTokens;
        for (const State& state : states_) tokens += static_cast<std::int64_t>(state.step) + engine::kPageTokens;
        // Each state's last token has a segment of its own in a round.
        return tokens + std::ssize(states_) * engine::kPageTokens;
    }

    /// Opens the segments of all states, parents first, and says how they are filled.
    void open(Generator& generator, std::vector<Request>& requests) {
        for (State& state : states_) {
            const bool is_prompt = state.parent < 0;
            state.segment = is_prompt ? generator.open() : generator.open(states_[index(state.parent)].segment);
            Request fill;
            fill.segment = state.segment;
            fill.max_tokens = 1;
            if (is_prompt) {
                fill.prompt.assign(problem_.prompt.begin(), problem_.prompt.end() - 1);
            } else {
                fill.prompt.push_back(last_token(states_[index(state.parent)]));
                fill.prompt.insert(fill.prompt.end(), state.ids.end() - static_cast<std::ptrdiff_t>(state.step),
                                   state.ids.end() - 1);
            }
            if (!fill.prompt.empty()) requests.push_back(std::move(fill));
        }
    }

    /// The next round: tries of all states that are open, unless the budget is spent.
    void next_round(Generator& generator, std::vector<Request>& requests,
                    std::vector<std::pair<ProblemStates*, int>>& of) {
        if (plan_.budget > 0 && generated_ >= plan_.budget) return;
        for (int s = 0; s < static_cast<int>(states_.size()); ++s) {
            State& state = states_[index(s)];
            if (!state.open || state.tries >= plan_.tries) continue;
            Request request;
            request.prompt = {last_token(state)};
            request.segment = generator.open(state.segment);
            request.first_counter = state.ids.size();
            request.max_tokens = max_tokens_ - static_cast<int>(state.ids.size());
            const int tries = plan_.budget > 0 ? 1 : plan_.tries;
            for (int i = 0; i < tries; ++i)
                request.keys.push_back(random_key(plan_.seed, "annotate", problem_.id, hash_of(state),
                                                  static_cast<std::uint64_t>(state.tries + i)));
            requests.push_back(std::move(request));
            of.emplace_back(this, s);
        }
    }

    void judge(int s, const std::vector<Continuation>& continuations) {
        State& state = states_[index(s)];
        for (const Continuation& c : continuations) {
            task::Tokens answer = state.ids;
            answer.insert(answer.end(), c.ids.begin(), c.ids.end());
            state.successes += plan_.task->verdict(problem_, answer).correct ? 1 : 0;
            state.tries += 1;
            generated_ += std::ssize(c.ids);
        }
    }

    void close(Generator& generator) {
        for (auto state = states_.rbegin(); state != states_.rend(); ++state) generator.close(state->segment);
    }

    void read(const Trajectories& data, Annotation& annotation) const {
        for (std::size_t row = begin_; row < end_; ++row) {
            int s = 0;
            const auto note = [&] {
                annotation.successes.push_back(states_[index(s)].successes);
                annotation.tries.push_back(states_[index(s)].tries);
            };
            note();
            std::int32_t from = 0;
            for (const std::int32_t to : data.step_ends(row)) {
                s = find_.at({s, step_of(data.ids(row), from, to)});
                note();
                from = to;
            }
        }
        annotation.generated += generated_;
    }

private:
    static std::size_t index(int s) { return static_cast<std::size_t>(s); }
    static task::Tokens step_of(task::TokenSpan ids, std::int32_t from, std::int32_t to) {
        return {ids.begin() + from, ids.begin() + to};
    }
    [[nodiscard]] std::int32_t last_token(const State& state) const {
        return state.ids.empty() ? problem_.prompt.back() : state.ids.back();
    }
    static std::uint64_t hash_of(const State& state) {
        return hash64({reinterpret_cast<const char*>(state.ids.data()), state.ids.size() * sizeof(task::Token)});
    }

    void add(task::TokenSpan ids, std::span<const std::int32_t> ends) {
        int s = 0;
        std::int32_t from = 0;
        for (const std::int32_t to : ends) {
            const auto [at, is_new] = find_.try_emplace({s, step_of(ids, from, to)}, static_cast<int>(states_.size()));
            if (is_new) {
                State state;
                state.parent = s;
                state.ids.assign(ids.begin(), ids.begin() + to);
                state.step = static_cast<std::size_t>(to - from);
                states_.push_back(std::move(state));
            }
            s = at->second;
            from = to;
        }
    }

    void judge_if_over(State& state) const {
        const auto ends = plan_.task->end_tokens();
        const bool ended = !state.ids.empty() && std::find(ends.begin(), ends.end(), state.ids.back()) != ends.end();
        if (!ended && static_cast<int>(state.ids.size()) < max_tokens_) return;
        state.open = false;
        state.tries = plan_.tries;
        state.successes = plan_.task->verdict(problem_, state.ids).correct ? plan_.tries : 0;
    }

    const AnnotatePlan& plan_;
    std::size_t begin_, end_;  ///< rows
    task::Problem problem_;
    int max_tokens_;
    std::vector<State> states_;
    std::map<std::pair<int, task::Tokens>, int> find_;  ///< (state, next step) -> state
    std::int64_t generated_ = 0;
};

/// All tries of some problems, which share passes.
void annotate_together(Generator& generator, std::span<ProblemStates> problems, const std::function<void()>& alive) {
    std::vector<Request> requests;
    for (ProblemStates& problem : problems) problem.open(generator, requests);
    (void)generator.run(requests);
    for (;;) {
        requests.clear();
        std::vector<std::pair<ProblemStates*, int>> of;
        for (ProblemStates& problem : problems) problem.next_round(generator, requests, of);
        if (requests.empty()) break;
        const auto drawn = generator.run(requests, alive);
        for (std::size_t i = 0; i < requests.size(); ++i) {
            of[i].first->judge(of[i].second, drawn[i]);
            generator.close(requests[i].segment);
        }
    }
    for (ProblemStates& problem : problems) problem.close(generator);
}

}  // namespace

void Annotation::append(const Annotation& more) {
    successes.insert(successes.end(), more.successes.begin(), more.successes.end());
    tries.insert(tries.end(), more.tries.begin(), more.tries.end());
    generated += more.generated;
}

std::int64_t annotate_tokens(int slots, std::int64_t prompt, std::int64_t answer) {
    return kCacheTokens + prompt + answer + slots * (answer + engine::kPageTokens);
}

Annotation annotate(const AnnotatePlan& plan, Generator& generator, const Trajectories& data, std::size_t begin,
                    std::size_t end, const std::function<void()>& on_finished) {
    const int max_tokens = plan.sampler.longest(plan.task->max_answer_tokens());
    const auto groups = data.groups();
    Annotation annotation;
    for (std::size_t p = begin; p < end;) {
        std::vector<ProblemStates> together;
        std::int64_t tokens = 0;
        for (; p < end; ++p) {
            if (groups[p].first == groups[p].second) continue;
            ProblemStates problem(plan, data, groups[p].first, groups[p].second, max_tokens);
            if (!together.empty() && tokens + problem.cache_tokens() > kCacheTokens) break;
            tokens += problem.cache_tokens();
            together.push_back(std::move(problem));
        }
        generator.reserve(tokens + generator.slots() * std::int64_t{max_tokens + engine::kPageTokens});
        annotate_together(generator, together, on_finished);
        for (const ProblemStates& problem : together) problem.read(data, annotation);
    }
    return annotation;
}

}  // namespace tdrm::rollout
