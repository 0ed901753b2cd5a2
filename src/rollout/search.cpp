#include "tdrm/rollout/search.hpp"

#include <algorithm>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"

namespace tdrm::rollout {
namespace {

/// A problem's path so far.
struct Path {
    Path(const task::Problem* p, std::unique_ptr<task::StepTracker> s) : problem(p), steps(std::move(s)) {}

    const task::Problem* problem;
    std::unique_ptr<task::StepTracker> steps;
    SearchTree tree = {};
    std::int32_t node = -1;  ///< last node of the path
    task::Tokens ids = {};   ///< of the whole path
    std::vector<float> logprob = {};
    std::uint64_t branches = 1;  ///< hash of the branch indices
    bool live = true;
    std::vector<int> policy_segments = {};  ///< from the prompt to the last node, in the generator's cache
    std::vector<int> value_segments = {};   ///< the same in the value model's, if it is used
};

struct Terminal {
    float value = 0;
    std::int32_t node = -1;
    task::Tokens ids;
    std::vector<float> logprob;
    bool ended = false;
};

/// What a child looks like to the search.
struct Judged {
    float value;
    int segment = -1;  ///< of the value model's cache
    std::int32_t end = 0;
};

class GreedySearch {
public:
    GreedySearch(const SearchPlan& plan, Generator& generator, Scorer& scorer, std::span<const task::Problem> problems)
        : plan_(plan),
          task_(*plan.task),
          generator_(generator),
          scorer_(scorer),
          cached_(scorer),
          best_(problems.size()),
          max_tokens_(plan.sampler.max_tokens > 0 ? plan.sampler.max_tokens : task_.max_answer_tokens()) {
        for (const auto& problem : problems) paths_.emplace_back(&problem, task_.track_steps());
    }

    std::vector<SearchTree> run() {
        begin();
        for (int depth = 0;
             depth < plan_.depth && std::any_of(paths_.begin(), paths_.end(), [](const Path& p) { return p.live; });
             ++depth)
            round(depth + 1 == plan_.depth);
        std::vector<SearchTree> trees;
        for (std::size_t i = 0; i < paths_.size(); ++i) trees.push_back(finish(paths_[i], best_[i]));
        return trees;
    }

private:
    [[nodiscard]] bool caches_values() const { return !scorer_.needs_all_states(); }

    /// Makes room for all paths with their children, and caches the prompts.
    void begin() {
        const std::int64_t depth = std::min(plan_.depth, max_tokens_);
        const std::int64_t children = plan_.branch * std::int64_t{max_tokens_ + engine::kPageTokens};
        std::int64_t policy = 0, value = 0;
        std::vector<task::TokenSpan> prompts;
        for (const Path& path : paths_) {
            const auto& prompt = path.problem->prompt;
            prompts.push_back(prompt);
            policy += std::ssize(prompt) + max_tokens_ + (depth + 1) * engine::kPageTokens + children;
            if (caches_values()) value += cached_.path_tokens(prompt, max_tokens_, depth) + children;
        }
        generator_.reserve(policy);
        for (Path& path : paths_) path.policy_segments.push_back(generator_.open());
        if (!caches_values()) return;
        cached_.reserve(value);
        const auto segments = cached_.begin(prompts);
        for (std::size_t i = 0; i < paths_.size(); ++i) paths_[i].value_segments.push_back(segments[i]);
    }

    void round(bool last) {
        std::vector<std::size_t> live;
        std::vector<Request> requests;
        std::vector<std::vector<std::unique_ptr<task::StepTracker>>> trackers(paths_.size());
        for (std::size_t i = 0; i < paths_.size(); ++i) {
            if (!paths_[i].live) continue;
            live.push_back(i);
            requests.push_back(request_for(paths_[i]));
            if (last) continue;
            for (int b = 0; b < plan_.branch; ++b) trackers[i].push_back(paths_[i].steps->clone());
            requests.back().stop = [&steps = trackers[i]](std::size_t sample, std::int32_t token) {
                return steps[sample]->push(token);
            };
        }
        const auto children = drawn(requests);
        const auto judged = judge(live, children);
        for (std::size_t i = 0; i < live.size(); ++i) choose_step(live[i], children[i], judged[i]);
    }

    Request request_for(const Path& path) const {
        Request request;
        // The cache holds the path up to its last token.
        if (path.ids.empty()) {
            request.prompt = path.problem->prompt;
        } else {
            request.prompt = {path.ids.back()};
        }
        request.segment = path.policy_segments.back();
        request.keep = true;
        request.first_counter = path.ids.size();
        request.max_tokens = max_tokens_ - static_cast<int>(path.ids.size());
        for (int b = 0; b < plan_.branch; ++b)
            request.keys.push_back(
                random_key(plan_.seed, "search", path.problem->id, 0, branch_hash(path.branches, b)));
        return request;
    }

    static std::uint64_t branch_hash(std::uint64_t path, int branch) {
        const auto word = Random(random_key(path, "branch", static_cast<std::uint64_t>(branch))).words(0);
        return static_cast<std::uint64_t>(word[0]) << 32 | word[1];
    }

    using Children = std::vector<std::vector<Continuation>>;

    Children drawn(std::span<const Request> requests) {
        const ledger::In section(ledger::Section::generate);
        return generator_.run(requests);
    }

    /// Values of the states after all children of a round.
    std::vector<std::vector<Judged>> judge(std::span<const std::size_t> live, const Children& children) {
        const ledger::In section(ledger::Section::score);
        std::vector<std::vector<Judged>> result(live.size());
        if (!caches_values()) {
            for (std::size_t i = 0; i < live.size(); ++i) result[i] = judge_whole(paths_[live[i]], children[i]);
            return result;
        }
        std::vector<PathScorer::Step> steps;
        for (std::size_t i = 0; i < live.size(); ++i)
            for (const Continuation& child : children[i])
                steps.push_back({paths_[live[i]].value_segments.back(), child.ids, state_end(paths_[live[i]], child)});
        const auto scored = cached_.score(steps);
        std::size_t at = 0;
        for (std::size_t i = 0; i < live.size(); ++i)
            for (std::size_t c = 0; c < children[i].size(); ++c, ++at)
                result[i].push_back({scored[at].value, scored[at].path, steps[at].end});
        return result;
    }

    /// The same where a value depends on all steps: of the answers from their beginning.
    std::vector<Judged> judge_whole(const Path& path, const std::vector<Continuation>& children) {
        std::vector<task::Tokens> whole;
        std::vector<ScoredAnswer> states;
        for (const Continuation& child : children) whole.push_back(behind(path, child));
        for (const auto& ids : whole) {
            auto ends = task_.step_ends(ids);
            if (ends.empty()) ends.push_back(0);
            states.push_back({ids, std::move(ends)});
        }
        std::vector<Judged> result;
        for (const auto& values : scorer_.score(path.problem->prompt, states)) result.push_back({values.back()});
        return result;
    }

    static task::Tokens behind(const Path& path, const Continuation& child) {
        task::Tokens whole = path.ids;
        whole.insert(whole.end(), child.ids.begin(), child.ids.end());
        return whole;
    }

    /// End, within the child, of the last state of path + child; 0 if the child adds none.
    std::int32_t state_end(const Path& path, const Continuation& child) const {
        const auto ends = task_.step_ends(behind(path, child));
        const std::int32_t last = ends.empty() ? 0 : ends.back();
        return std::max(0, last - static_cast<std::int32_t>(path.ids.size()));
    }

    /// Notes the children; the best that goes on becomes the path, terminal ones wait for the final choice.
    void choose_step(std::size_t index, const std::vector<Continuation>& children, const std::vector<Judged>& judged) {
        Path& path = paths_[index];
        const auto first = static_cast<std::int32_t>(path.tree.nodes.size());
        int chosen = -1;
        for (std::size_t c = 0; c < children.size(); ++c) {
            const float value = judged[c].value;
            const bool full = path.ids.size() + children[c].ids.size() >= static_cast<std::size_t>(max_tokens_);
            const bool terminal = children[c].ended || full;
            path.tree.nodes.push_back({path.node, children[c].ids, value, terminal, false});
            if (terminal) {
                keep_terminal(best_[index], path, children[c], value, first + static_cast<std::int32_t>(c));
            } else if (chosen < 0 || value > judged[static_cast<std::size_t>(chosen)].value) {
                chosen = static_cast<int>(c);
            }
        }
        for (std::size_t c = 0; c < children.size(); ++c) {
            if (static_cast<int>(c) == chosen) continue;
            generator_.close(children[c].segment);
            if (caches_values()) cached_.close(judged[c].segment);
        }
        path.live = chosen >= 0;
        if (path.live) {
            const auto c = static_cast<std::size_t>(chosen);
            go_on(path, children[c], judged[c], first + chosen, branch_hash(path.branches, chosen));
        } else {
            close(path);
        }
    }

    void go_on(Path& path, const Continuation& step, const Judged& judged, std::int32_t node, std::uint64_t branches) {
        path.node = node;
        path.branches = branches;
        path.ids.insert(path.ids.end(), step.ids.begin(), step.ids.end());
        path.logprob.insert(path.logprob.end(), step.logprob.begin(), step.logprob.end());
        for (const std::int32_t id : step.ids) path.steps->push(id);
        path.policy_segments.push_back(step.segment);
        if (!caches_values()) return;
        path.value_segments.push_back(judged.segment);
        cached_.append(judged.segment, std::span(step.ids).subspan(static_cast<std::size_t>(judged.end)));
    }

    void close(Path& path) {
        for (; !path.policy_segments.empty(); path.policy_segments.pop_back())
            generator_.close(path.policy_segments.back());
        for (; !path.value_segments.empty(); path.value_segments.pop_back()) cached_.close(path.value_segments.back());
    }

    static void keep_terminal(Terminal& best, const Path& path, const Continuation& child, float value,
                              std::int32_t node) {
        if (best.node >= 0 && value < best.value) return;
        best = {value, node, path.ids, path.logprob, child.ended};
        best.ids.insert(best.ids.end(), child.ids.begin(), child.ids.end());
        best.logprob.insert(best.logprob.end(), child.logprob.begin(), child.logprob.end());
    }

    SearchTree finish(Path& path, const Terminal& best) {
        close(path);
        const bool found = best.node >= 0;
        Trajectory& t = path.tree.answer;
        t.ids = found ? best.ids : path.ids;
        t.logprob = found ? best.logprob : path.logprob;
        t.step_ends = task_.step_ends(t.ids);
        t.verdict = task_.verdict(*path.problem, t.ids);
        t.finish = found && best.ended ? task::Finish::stop : task::Finish::length;
        for (std::int32_t n = found ? best.node : path.node; n >= 0;
             n = path.tree.nodes[static_cast<std::size_t>(n)].parent)
            path.tree.nodes[static_cast<std::size_t>(n)].on_path = true;
        return std::move(path.tree);
    }

    const SearchPlan& plan_;
    const task::Task& task_;
    Generator& generator_;
    Scorer& scorer_;
    PathScorer cached_;
    std::vector<Path> paths_;
    std::vector<Terminal> best_;
    int max_tokens_;
};

}  // namespace

int problems_together(int slots, int branch) { return std::max(1, slots / branch); }

std::int64_t search_tokens(const SearchPlan& plan, int slots, std::int64_t prompt, std::int64_t answer) {
    const std::int64_t depth = std::min<std::int64_t>(plan.depth, answer);
    const std::int64_t path = prompt + answer + (depth + 1) * engine::kPageTokens;
    return problems_together(slots, plan.branch) * (path + plan.branch * (answer + engine::kPageTokens));
}

std::vector<SearchTree> greedy_search(const SearchPlan& plan, Generator& generator, Scorer& scorer,
                                      std::span<const task::Problem> problems) {
    ensure(plan.branch > 0, "a search without branches");
    const auto together = static_cast<std::size_t>(problems_together(generator.slots(), plan.branch));
    std::vector<SearchTree> trees;
    for (std::size_t first = 0; first < problems.size(); first += together) {
        const auto some = problems.subspan(first, std::min(together, problems.size() - first));
        for (SearchTree& tree : GreedySearch(plan, generator, scorer, some).run()) trees.push_back(std::move(tree));
    }
    return trees;
}

}  // namespace tdrm::rollout
