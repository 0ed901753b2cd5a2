#include "tdrm/rollout/search.hpp"

#include <algorithm>
#include <memory>
#include <optional>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/eval/selection.hpp"
#include "tdrm/rollout/search_policy.hpp"

namespace tdrm::rollout {
namespace {

constexpr std::int64_t kCacheTokens = std::int64_t{1} << 18;

std::uint64_t branch_hash(std::uint64_t path, int branch) {
    const auto word = Random(random_key(path, "branch", static_cast<std::uint64_t>(branch))).words(0);
    return static_cast<std::uint64_t>(word[0]) << 32 | word[1];
}

/// Paths that are open at a time.
std::int64_t open_paths(const SearchPlan& plan) {
    switch (plan.kind) {
        case SearchKind::greedy:
            return 1;
        case SearchKind::beam:
        case SearchKind::dvts:
            return plan.paths / plan.branch;
        case SearchKind::smc:
            return plan.paths;
        case SearchKind::mcts:
            return 0;  // see below
    }
    return 0;
}

/// A problem's share of a cache: its prompt, its open paths as if they shared nothing else, and their children.
std::int64_t tokens_of_problem(const SearchPlan& plan, std::int64_t prompt, std::int64_t answer) {
    const std::int64_t depth = std::min<std::int64_t>(plan.depth, answer);
    const std::int64_t child = answer + engine::kPageTokens;
    const std::int64_t root = prompt + engine::kPageTokens;
    if (plan.kind == SearchKind::mcts) {
        // Any node may go on: all are kept.
        const std::int64_t step = plan.step_tokens > 0 ? plan.step_tokens + engine::kPageTokens : child;
        return root + plan.simulations * std::int64_t{plan.branch} * step + child;
    }
    return root + open_paths(plan) * (answer + depth * engine::kPageTokens) + search_width(plan) * child;
}

/// What the driver knows of a node beside the tree: where it lies in the caches, and how it would go on.
struct Place {
    int policy = -1;  ///< segment of the generator's cache, which holds all ids but the last; -1: closed
    int value = -1;   ///< the same of the value model's, which holds the first `value_end` ids of the step
    std::int32_t value_end = 0;
    int open_children = 0;    ///< that hang on these segments
    std::int32_t length = 0;  ///< answer tokens up to here
    std::int32_t depth = 0;   ///< steps up to here
    std::uint64_t branches = 1;
    std::unique_ptr<task::StepTracker> steps = nullptr;
    std::vector<float> logprob = {}, logprob_sampled = {};  ///< of this step
};

/// A problem's search.
struct Tree {
    const task::Problem* problem;
    std::unique_ptr<SearchPolicy> policy;
    SearchTree tree = {};
    std::vector<Place> places = {};  ///< of the prompt, then of the nodes
    bool over = false;

    Place& place(std::int32_t node) { return places[static_cast<std::size_t>(node + 1)]; }
    SearchNode& node(std::int32_t n) { return tree.nodes[static_cast<std::size_t>(n)]; }
    [[nodiscard]] std::int32_t size() const { return static_cast<std::int32_t>(tree.nodes.size()); }

    /// Ids of the answer up to and with a node.
    task::Tokens ids(std::int32_t n) {
        std::vector<std::int32_t> way;
        for (; n != kRoot; n = node(n).parent) way.push_back(n);
        task::Tokens all;
        for (auto it = way.rbegin(); it != way.rend(); ++it)
            all.insert(all.end(), node(*it).ids.begin(), node(*it).ids.end());
        return all;
    }
    /// The open node of largest value, the later of equals.
    std::optional<std::int32_t> best_open() {
        std::optional<std::int32_t> best;
        for (const std::int32_t n : policy->open())
            if (!best || *best == kRoot || node(n).value >= node(*best).value) best = n;
        return best;
    }
};

/// One expansion of a round, and what came of it.
struct Growth {
    Tree* tree;
    Expansion expansion;
    bool last;                ///< runs to the end of the answer
    std::int32_t first = -1;  ///< its first child
    std::vector<std::unique_ptr<task::StepTracker>> steps = {};
};

class Driver {
public:
    Driver(const SearchPlan& plan, Generator& generator, Scorer& scorer, std::span<const task::Problem> problems)
        : plan_(plan),
          task_(*plan.task),
          generator_(generator),
          scorer_(scorer),
          cached_(scorer),
          max_tokens_(plan.sampler.longest(task_.max_answer_tokens())) {
        for (const auto& problem : problems) {
            trees_.push_back({&problem, make_search_policy(plan, problem.id)});
            trees_.back().places.resize(1);
            trees_.back().places[0].steps = task_.track_steps();
        }
    }

    std::vector<SearchTree> run() {
        begin();
        for (auto round = next_round(); !round.empty(); round = next_round()) grow(round);
        std::vector<SearchTree> found;
        for (Tree& tree : trees_) found.push_back(finish(tree));
        return found;
    }

private:
    [[nodiscard]] bool caches_values() const { return !scorer_.needs_all_states(); }

    /// Makes room for all that will be open, and caches the prompts.
    void begin() {
        std::int64_t policy = 0, value = 0;
        std::vector<task::TokenSpan> prompts;
        for (const Tree& tree : trees_) {
            const auto& prompt = tree.problem->prompt;
            prompts.emplace_back(prompt);
            policy += tokens_of_problem(plan_, std::ssize(prompt), max_tokens_);
            if (caches_values()) value += tokens_of_problem(plan_, cached_.prompt_tokens(prompt), max_tokens_);
        }
        generator_.reserve(policy);
        for (Tree& tree : trees_) tree.place(kRoot).policy = generator_.open();
        if (!caches_values()) return;
        cached_.reserve(value);
        const auto segments = cached_.begin(prompts);
        for (std::size_t i = 0; i < trees_.size(); ++i) {
            trees_[i].place(kRoot).value = segments[i];
            trees_[i].tree.cost.scored += cached_.prompt_tokens(prompts[i]);
        }
    }

    std::vector<Growth> next_round() {
        std::vector<Growth> round;
        for (Tree& tree : trees_) {
            if (tree.over) continue;
            const bool in_budget = plan_.budget == 0 || tree.tree.cost.generated < plan_.budget;
            const auto expansions = in_budget ? tree.policy->expand(tree.tree) : std::vector<Expansion>();
            for (const Expansion& e : expansions)
                round.push_back({&tree, e, tree.place(e.node).depth + 1 == plan_.depth});
            if (!expansions.empty()) continue;
            tree.over = true;
            // Without any answer the best path runs to its end.
            const auto terminal = [](const SearchNode& node) { return node.terminal; };
            if (std::any_of(tree.tree.nodes.begin(), tree.tree.nodes.end(), terminal)) continue;
            if (const auto best = tree.best_open()) round.push_back({&tree, {*best, 1}, true});
        }
        return round;
    }

    void grow(std::vector<Growth>& round) {
        draw(round);
        judge(round);
        for (auto g = round.begin(); g != round.end();) {
            Tree& tree = *g->tree;
            if (!tree.over) tree.policy->update(tree.tree, g->first);
            while (g != round.end() && g->tree == &tree) ++g;
            forget(tree);
        }
    }

    void draw(std::vector<Growth>& round) {
        const ledger::In section(ledger::Section::generate);
        std::vector<Request> requests;
        for (Growth& growth : round) requests.push_back(request_for(growth));
        auto drawn = generator_.run(requests);
        for (std::size_t i = 0; i < round.size(); ++i) add_children(round[i], drawn[i]);
    }

    Request request_for(Growth& growth) const {
        Tree& tree = *growth.tree;
        const Place& place = tree.place(growth.expansion.node);
        Request request;
        // The cache holds the path up to its last token.
        if (growth.expansion.node == kRoot) {
            request.prompt = tree.problem->prompt;
            tree.tree.cost.prompt += std::ssize(request.prompt);
        } else {
            request.prompt = {tree.node(growth.expansion.node).ids.back()};
        }
        request.segment = place.policy;
        request.keep = true;
        request.first_counter = static_cast<std::uint64_t>(place.length);
        request.max_tokens = max_tokens_ - place.length;
        for (int b = 0; b < growth.expansion.children; ++b)
            request.keys.push_back(
                random_key(plan_.seed, "search", tree.problem->id, 0, branch_hash(place.branches, b)));
        for (int b = 0; b < growth.expansion.children; ++b) growth.steps.push_back(place.steps->clone());
        if (!growth.last) request.stop = stop_at_step(growth);
        return request;
    }

    std::function<bool(std::size_t, std::int32_t)> stop_at_step(Growth& growth) const {
        if (plan_.step_tokens == 0)
            return [&growth](std::size_t sample, std::int32_t token) { return growth.steps[sample]->push(token); };
        return [n = plan_.step_tokens, count = std::vector<int>(growth.steps.size())](
                   std::size_t sample, std::int32_t) mutable { return ++count[sample] == n; };
    }

    void add_children(Growth& growth, std::vector<Continuation>& drawn) {
        Tree& tree = *growth.tree;
        const std::int32_t parent = growth.expansion.node;
        growth.first = tree.size();
        for (std::size_t b = 0; b < drawn.size(); ++b) {
            Continuation& c = drawn[b];
            Place place;
            place.policy = c.segment;
            place.length = tree.place(parent).length + static_cast<std::int32_t>(c.ids.size());
            place.depth = tree.place(parent).depth + 1;
            place.branches = branch_hash(tree.place(parent).branches, static_cast<int>(b));
            place.steps = std::move(growth.steps[b]);
            place.logprob = std::move(c.logprob);
            place.logprob_sampled = std::move(c.logprob_sampled);
            tree.tree.cost.generated += std::ssize(c.ids);
            SearchNode node;
            node.parent = parent;
            node.terminal = c.ended || place.length >= max_tokens_;
            node.ended = c.ended;
            node.ids = std::move(c.ids);
            tree.tree.nodes.push_back(std::move(node));
            tree.places.push_back(std::move(place));
            ++tree.place(parent).open_children;
        }
    }

    /// Values of the states after all children of a round.
    void judge(std::vector<Growth>& round) {
        const ledger::In section(ledger::Section::score);
        if (!caches_values()) {
            for (const Growth& growth : round) judge_whole(growth);
            return;
        }
        std::vector<PathScorer::Step> steps;
        for (const Growth& growth : round) {
            Tree& tree = *growth.tree;
            const int behind = value_path(tree, growth.expansion.node);
            for (std::int32_t n = growth.first; n < growth.first + growth.expansion.children; ++n) {
                tree.place(n).value_end = state_end(tree, n);
                steps.push_back({behind, tree.node(n).ids, tree.place(n).value_end});
            }
        }
        const auto scored = cached_.score(steps);
        auto next = scored.begin();
        for (const Growth& growth : round)
            for (std::int32_t n = growth.first; n < growth.first + growth.expansion.children; ++n, ++next) {
                Tree& tree = *growth.tree;
                tree.node(n).value = next->value;
                tree.place(n).value = next->path;
                tree.tree.cost.scored += tree.place(n).value_end + cached_.probe_tokens();
            }
    }

    /// The value model's segment of a node that goes on, which gets what was left of the step.
    int value_path(Tree& tree, std::int32_t node) {
        Place& place = tree.place(node);
        if (node == kRoot) return place.value;
        const auto rest = std::span(tree.node(node).ids).subspan(static_cast<std::size_t>(place.value_end));
        cached_.append(place.value, rest);
        tree.tree.cost.scored += std::ssize(rest);
        return place.value;
    }

    /// The same where a value depends on all steps: of the answers from their beginning.
    void judge_whole(const Growth& growth) {
        Tree& tree = *growth.tree;
        std::vector<task::Tokens> whole;
        std::vector<ScoredAnswer> states;
        for (std::int32_t n = growth.first; n < growth.first + growth.expansion.children; ++n)
            whole.push_back(tree.ids(n));
        for (std::size_t c = 0; c < whole.size(); ++c)
            states.push_back({whole[c], ends_of(tree, growth.first + static_cast<std::int32_t>(c), whole[c])});
        const auto before = scorer_.tokens();
        const auto values = scorer_.score(tree.problem->prompt, states);
        tree.tree.cost.scored += scorer_.tokens() - before;
        for (std::size_t c = 0; c < whole.size(); ++c)
            tree.node(growth.first + static_cast<std::int32_t>(c)).value = values[c].back();
    }

    /// Ends of the states of the answer up to a node: of the task's steps, or of blocks.
    std::vector<std::int32_t> ends_of(Tree& tree, std::int32_t node, task::TokenSpan whole) const {
        std::vector<std::int32_t> ends = task_.step_ends(whole);
        if (plan_.step_tokens > 0) {
            const std::int32_t last = ends.empty() ? 0 : ends.back();
            ends.clear();
            const auto end = tree.node(node).terminal ? last : tree.place(node).length;
            for (std::int32_t e = plan_.step_tokens; e < end; e += plan_.step_tokens) ends.push_back(e);
            if (end > 0) ends.push_back(end);
        }
        if (ends.empty()) ends.push_back(0);
        return ends;
    }

    /// End, within the node's own ids, of the last state up to it; 0 if it adds none.
    std::int32_t state_end(Tree& tree, std::int32_t node) const {
        const auto whole = tree.ids(node);
        const auto before = tree.place(node).length - static_cast<std::int32_t>(tree.node(node).ids.size());
        return std::max(0, ends_of(tree, node, whole).back() - before);
    }

    /// Closes the segments of nodes that nothing goes on from.
    void forget(Tree& tree) {
        std::vector<bool> open(tree.places.size());
        if (!tree.over)
            for (const std::int32_t n : tree.policy->open()) open[static_cast<std::size_t>(n + 1)] = true;
        for (std::int32_t n = tree.size() - 1; n >= kRoot; --n) {
            Place& place = tree.place(n);
            if (place.policy < 0 || open[static_cast<std::size_t>(n + 1)] || place.open_children > 0) continue;
            generator_.close(place.policy);
            if (place.value >= 0) cached_.close(place.value);
            place.policy = place.value = -1;
            place.steps = nullptr;
            if (n != kRoot) --tree.place(tree.node(n).parent).open_children;
        }
    }

    SearchTree finish(Tree& tree) {
        tree.over = true;
        forget(tree);
        std::vector<std::string> answers(tree.tree.nodes.size());
        for (std::int32_t n = 0; n < tree.size(); ++n) {
            if (!tree.node(n).terminal) continue;
            const auto verdict = task_.verdict(*tree.problem, tree.ids(n));
            tree.node(n).correct = verdict.correct;
            answers[static_cast<std::size_t>(n)] = verdict.answer;
        }
        auto candidates = tree.policy->candidates(tree.tree);
        if (candidates.empty()) candidates = tree.policy->SearchPolicy::candidates(tree.tree);
        const auto same = [this](std::string_view a, std::string_view b) { return task_.same_answer(a, b); };
        std::vector<std::int32_t> ids;
        if (plan_.answer != SearchAnswer::best) ids = eval::answer_ids(answers, same);
        const std::int32_t chosen = choose_answer(plan_.answer, tree.tree, candidates, ids);
        Trajectory& t = tree.tree.answer;
        t = judged(task_, *tree.problem, tree.ids(chosen), chosen >= 0 && tree.node(chosen).ended);
        std::vector<std::int32_t> way;
        for (std::int32_t n = chosen; n != kRoot; n = tree.node(n).parent) way.push_back(n);
        for (auto n = way.rbegin(); n != way.rend(); ++n) {
            tree.node(*n).on_path = true;
            const Place& place = tree.place(*n);
            t.logprob.insert(t.logprob.end(), place.logprob.begin(), place.logprob.end());
            t.logprob_sampled.insert(t.logprob_sampled.end(), place.logprob_sampled.begin(),
                                     place.logprob_sampled.end());
        }
        return std::move(tree.tree);
    }

    const SearchPlan& plan_;
    const task::Task& task_;
    Generator& generator_;
    Scorer& scorer_;
    PathScorer cached_;
    std::vector<Tree> trees_;
    int max_tokens_;
};

}  // namespace

int search_width(const SearchPlan& plan) {
    const bool many = plan.kind == SearchKind::beam || plan.kind == SearchKind::dvts || plan.kind == SearchKind::smc;
    return many ? plan.paths : plan.branch;
}

int problems_together(const SearchPlan& plan, int slots, std::int64_t prompt, std::int64_t answer) {
    const std::int64_t fit = kCacheTokens / tokens_of_problem(plan, prompt, answer);
    return static_cast<int>(std::clamp<std::int64_t>(slots / search_width(plan), 1, std::max<std::int64_t>(1, fit)));
}

std::int64_t search_tokens(const SearchPlan& plan, int slots, std::int64_t prompt, std::int64_t answer) {
    return problems_together(plan, slots, prompt, answer) * tokens_of_problem(plan, prompt, answer);
}

std::vector<SearchTree> search(const SearchPlan& plan, Generator& generator, Scorer& scorer,
                               std::span<const task::Problem> problems) {
    ensure(plan.branch > 0 && search_width(plan) > 0, "a search without branches");
    const task::Task& task = *plan.task;
    const std::int64_t answer = plan.sampler.longest(task.max_answer_tokens());
    const auto together =
        static_cast<std::size_t>(problems_together(plan, generator.slots(), task.max_prompt_tokens(), answer));
    std::vector<SearchTree> trees;
    for (std::size_t first = 0; first < problems.size(); first += together) {
        const auto some = problems.subspan(first, std::min(together, problems.size() - first));
        for (SearchTree& tree : Driver(plan, generator, scorer, some).run()) trees.push_back(std::move(tree));
    }
    return trees;
}

}  // namespace tdrm::rollout
