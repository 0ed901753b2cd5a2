#include "tdrm/rollout/search.hpp"

#include <algorithm>

#include "tdrm/base/errors.hpp"

namespace tdrm::rollout {
namespace {

/// A problem's path so far.
struct Path {
    const task::Problem* problem;
    SearchTree tree;
    std::int32_t node = -1;  ///< last node of the path
    task::Tokens ids;        ///< of the whole path
    std::vector<float> logprob;
    std::uint64_t branches = 1;  ///< hash of the branch indices
    bool live = true;
};

struct Terminal {
    float value = 0;
    std::int32_t node = -1;
    task::Tokens ids;
    std::vector<float> logprob;
    bool ended = false;
};

class GreedySearch {
public:
    GreedySearch(const SearchPlan& plan, Generator& generator, Scorer& scorer, std::span<const task::Problem> problems)
        : plan_(plan),
          task_(*plan.task),
          generator_(generator),
          scorer_(scorer),
          best_(problems.size()),
          max_tokens_(plan.sampler.max_tokens > 0 ? plan.sampler.max_tokens : task_.max_answer_tokens()) {
        for (const auto& problem : problems) paths_.push_back({&problem, {}, -1, {}, {}, 1, true});
    }

    std::vector<SearchTree> run() {
        for (int depth = 0;
             depth < plan_.depth && std::any_of(paths_.begin(), paths_.end(), [](const Path& p) { return p.live; });
             ++depth)
            round(depth + 1 == plan_.depth);
        std::vector<SearchTree> trees;
        for (std::size_t i = 0; i < paths_.size(); ++i) trees.push_back(finish(paths_[i], best_[i]));
        return trees;
    }

private:
    void round(bool last) {
        std::vector<std::size_t> live;
        std::vector<Request> requests;
        for (std::size_t i = 0; i < paths_.size(); ++i) {
            if (!paths_[i].live) continue;
            live.push_back(i);
            requests.push_back(request_for(paths_[i], last));
        }
        const auto continuations = generator_.run(requests);
        for (std::size_t i = 0; i < live.size(); ++i) choose_step(live[i], requests[i].prompt, continuations[i]);
    }

    Request request_for(const Path& path, bool last) const {
        Request request;
        request.prompt = path.problem->prompt;
        request.prompt.insert(request.prompt.end(), path.ids.begin(), path.ids.end());
        request.first_counter = path.ids.size();
        request.max_tokens = max_tokens_ - static_cast<int>(path.ids.size());
        for (int b = 0; b < plan_.branch; ++b)
            request.keys.push_back(
                random_key(plan_.seed, "search", path.problem->id, 0, branch_hash(path.branches, b)));
        if (!last) {
            request.stop = [this, &path](std::span<const std::int32_t> ids) {
                task::Tokens whole = path.ids;
                whole.insert(whole.end(), ids.begin(), ids.end());
                const auto ends = task_.step_ends(whole);
                return !ends.empty() && ends.back() == static_cast<std::int32_t>(whole.size()) &&
                       ends.back() > static_cast<std::int32_t>(path.ids.size());
            };
        }
        return request;
    }

    static std::uint64_t branch_hash(std::uint64_t path, int branch) {
        const auto word = Random(random_key(path, "branch", static_cast<std::uint64_t>(branch))).words(0);
        return static_cast<std::uint64_t>(word[0]) << 32 | word[1];
    }

    /// Values of the children, the best that goes on, and terminal ones for the final choice.
    void choose_step(std::size_t index, task::TokenSpan prompt, const std::vector<Continuation>& children) {
        Path& path = paths_[index];
        std::vector<ScoredAnswer> states;
        std::vector<task::Tokens> whole;  // where a value depends on all steps, the answers from their beginning
        if (scorer_.needs_all_states()) {
            for (const Continuation& child : children) {
                whole.push_back(path.ids);
                whole.back().insert(whole.back().end(), child.ids.begin(), child.ids.end());
            }
            for (const auto& ids : whole) {
                auto ends = task_.step_ends(ids);
                if (ends.empty()) ends.push_back(0);
                states.push_back({ids, std::move(ends)});
            }
            prompt = paths_[index].problem->prompt;
        } else {
            for (const Continuation& child : children) states.push_back({child.ids, {state_end(path, child)}});
        }
        const auto values = scorer_.score(prompt, states);
        const auto first = static_cast<std::int32_t>(path.tree.nodes.size());
        int chosen = -1;
        for (std::size_t c = 0; c < children.size(); ++c) {
            const float value = values[c].back();
            const bool full = path.ids.size() + children[c].ids.size() >= static_cast<std::size_t>(max_tokens_);
            const bool terminal = children[c].ended || full;
            path.tree.nodes.push_back({path.node, children[c].ids, value, terminal, false});
            if (terminal) {
                keep_terminal(best_[index], path, children[c], value, first + static_cast<std::int32_t>(c));
            } else if (chosen < 0 || value > values[static_cast<std::size_t>(chosen)].back()) {
                chosen = static_cast<int>(c);
            }
        }
        path.live = chosen >= 0;
        if (!path.live) return;
        const Continuation& step = children[static_cast<std::size_t>(chosen)];
        path.node = first + chosen;
        path.branches = branch_hash(path.branches, chosen);
        path.ids.insert(path.ids.end(), step.ids.begin(), step.ids.end());
        path.logprob.insert(path.logprob.end(), step.logprob.begin(), step.logprob.end());
    }

    /// End, within the child, of the last state of path + child; 0 if the child adds none.
    std::int32_t state_end(const Path& path, const Continuation& child) const {
        task::Tokens whole = path.ids;
        whole.insert(whole.end(), child.ids.begin(), child.ids.end());
        const auto ends = task_.step_ends(whole);
        const std::int32_t last = ends.empty() ? 0 : ends.back();
        return std::max(0, last - static_cast<std::int32_t>(path.ids.size()));
    }

    static void keep_terminal(Terminal& best, const Path& path, const Continuation& child, float value,
                              std::int32_t node) {
        if (best.node >= 0 && value < best.value) return;
        best = {value, node, path.ids, path.logprob, child.ended};
        best.ids.insert(best.ids.end(), child.ids.begin(), child.ids.end());
        best.logprob.insert(best.logprob.end(), child.logprob.begin(), child.logprob.end());
    }

    SearchTree finish(Path& path, const Terminal& best) const {
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
    std::vector<Path> paths_;
    std::vector<Terminal> best_;
    int max_tokens_;
};

}  // namespace

std::vector<SearchTree> greedy_search(const SearchPlan& plan, Generator& generator, Scorer& scorer,
                                      std::span<const task::Problem> problems) {
    ensure(plan.branch > 0, "a search without branches");
    return GreedySearch(plan, generator, scorer, problems).run();
}

}  // namespace tdrm::rollout
