#include "tdrm/rollout/search.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "tdrm/rollout/search_policy.hpp"
#include "toy.hpp"
#include "toy_task.hpp"

namespace tdrm::rollout {
namespace {

struct Setting {
    SearchPlan plan;
    engine::Engine& policy;
    engine::Engine& value;
    const ToyTask& task;
};

std::vector<task::Problem> problems(const ToyTask& task) {
    std::vector<task::Problem> all;
    for (std::int64_t i = 0; i < ToyTask::kProblems; ++i) all.push_back(task.problem("all", i));
    return all;
}

template <class T>
std::vector<T> joined(const std::vector<T>& a, const std::vector<T>& b) {
    auto both = a;
    both.insert(both.end(), b.begin(), b.end());
    return both;
}

/// Continuation number `branch` of a path, drawn alone.
Continuation draw(const Setting& s, const task::Problem& problem, const task::Tokens& path, std::uint64_t branches,
                  bool last) {
    Request request;
    request.prompt = joined(problem.prompt, path);
    request.keys = {random_key(s.plan.seed, "search", problem.id, 0, branches)};
    request.first_counter = path.size();
    request.max_tokens = s.task.max_answer_tokens() - static_cast<int>(path.size());
    if (!last) request.stop = [](std::size_t, std::int32_t token) { return token % 5 == 0; };  // a step of the toy task
    return Generator(s.policy, s.plan.sampler, s.task.end_tokens(), 1).run(std::span(&request, 1))[0][0];
}

/// Value of the last state of an answer, scored alone.
float value_of(const Setting& s, const task::Problem& problem, const task::Tokens& answer) {
    const auto ends = s.task.step_ends(answer);
    task::Tokens state = problem.prompt;
    if (!ends.empty()) state.insert(state.end(), answer.begin(), answer.begin() + ends.back());
    const std::vector<ScoredAnswer> nothing{{{}, {0}}};
    return Scorer(s.value, s.task.probe(), 1).score(state, nothing)[0][0];
}

std::uint64_t branch_hash(std::uint64_t path, int branch) {
    const auto word = Random(random_key(path, "branch", static_cast<std::uint64_t>(branch))).words(0);
    return static_cast<std::uint64_t>(word[0]) << 32 | word[1];
}

double probability(float logit) { return 1 / (1 + std::exp(-static_cast<double>(logit))); }

/// A tree that grows one continuation at a time, each drawn and scored from the beginning of its problem.
struct Slow {
    const Setting& s;
    const task::Problem& problem;
    SearchTree tree = {};
    // Up to and with each node.
    std::vector<task::Tokens> ids = {};
    std::vector<std::vector<float>> logprobs = {};
    std::vector<std::uint64_t> branches = {};
    std::vector<int> depth = {};
    std::vector<bool> ended = {};

    SearchNode& node(int n) { return tree.nodes[static_cast<std::size_t>(n)]; }
    bool terminal(int n) { return n >= 0 && node(n).terminal; }

    /// Children of a node, -1 for the prompt; their indices.
    std::vector<int> grow(int parent, int children, bool to_the_end = false) {
        const auto p = static_cast<std::size_t>(parent);
        const task::Tokens path = parent < 0 ? task::Tokens() : ids[p];
        const int level = parent < 0 ? 1 : depth[p] + 1;
        std::vector<int> added;
        for (int b = 0; b < children; ++b) {
            const auto hash = branch_hash(parent < 0 ? 1 : branches[p], b);
            const auto child = draw(s, problem, path, hash, to_the_end || level == s.plan.depth);
            added.push_back(static_cast<int>(tree.nodes.size()));
            ids.push_back(joined(path, child.ids));
            logprobs.push_back(joined(parent < 0 ? std::vector<float>() : logprobs[p], child.logprob));
            branches.push_back(hash);
            depth.push_back(level);
            ended.push_back(child.ended);
            SearchNode grown;
            grown.parent = parent;
            grown.ids = child.ids;
            grown.value = value_of(s, problem, ids.back());
            grown.terminal = child.ended || std::ssize(ids.back()) == s.task.max_answer_tokens();
            tree.nodes.push_back(grown);
            tree.cost.generated += std::ssize(child.ids);
        }
        return added;
    }

    /// Nodes by value, the largest first, the earlier of equals.
    std::vector<int> sorted(std::vector<int> nodes) {
        std::stable_sort(nodes.begin(), nodes.end(), [&](int a, int b) { return node(a).value > node(b).value; });
        return nodes;
    }

    /// The answer is the node of largest value, the later of equals.
    SearchTree answer_with(const std::vector<int>& nodes) {
        int best = -1;
        for (const int n : nodes)
            if (best < 0 || node(n).value > node(best).value || (node(n).value == node(best).value && n > best))
                best = n;
        const auto b = static_cast<std::size_t>(best);
        tree.answer.ids = ids[b];
        tree.answer.logprob = logprobs[b];
        tree.answer.finish = ended[b] ? task::Finish::stop : task::Finish::length;
        for (int n = best; n >= 0; n = node(n).parent) node(n).on_path = true;
        return std::move(tree);
    }
};

/// Greedy searches that never meet, each from its share of the first continuations.
SearchTree slow_greedy(const Setting& s, const task::Problem& problem, int trees) {
    Slow slow{s, problem};
    const int branch = s.plan.branch;
    const auto first = slow.grow(-1, branch * trees);
    std::vector<std::vector<int>> round;  // of each tree that goes on
    for (int t = 0; t < trees; ++t) round.emplace_back(first.begin() + t * branch, first.begin() + (t + 1) * branch);
    std::vector<int> answers;
    while (!round.empty()) {
        std::vector<int> paths;
        for (const auto& children : round) {
            const auto best = slow.sorted(children);
            for (const int n : best)
                if (slow.terminal(n)) answers.push_back(n);
            const auto on = std::find_if(best.begin(), best.end(), [&](int n) { return !slow.terminal(n); });
            if (on != best.end()) paths.push_back(*on);
        }
        round.clear();
        for (const int path : paths) round.push_back(slow.grow(path, branch));
    }
    return slow.answer_with(answers);
}

SearchTree slow_beam(const Setting& s, const task::Problem& problem) {
    Slow slow{s, problem};
    std::vector<int> answers, round = slow.grow(-1, s.plan.paths);
    while (!round.empty()) {
        std::vector<int> live;
        std::set<std::pair<int, task::Tokens>> seen;
        for (const int n : round) {
            if (!seen.emplace(slow.node(n).parent, slow.node(n).ids).second) continue;
            (slow.terminal(n) ? answers : live).push_back(n);
        }
        round.clear();
        if (std::ssize(answers) >= s.plan.paths) break;
        live = slow.sorted(live);
        for (std::size_t i = 0; i < live.size() && static_cast<int>(i) < s.plan.paths / s.plan.branch; ++i)
            for (const int n : slow.grow(live[i], s.plan.branch)) round.push_back(n);
    }
    return slow.answer_with(answers);
}

SearchTree slow_particles(const Setting& s, const task::Problem& problem) {
    Slow slow{s, problem};
    const auto n = static_cast<std::size_t>(s.plan.paths);
    std::vector<int> at(n, -1);
    std::vector<double> weight(n, 1);
    for (std::uint64_t round = 0;; ++round) {
        std::map<int, std::vector<std::size_t>> on;  // particles of each node
        std::vector<int> order;
        for (std::size_t i = 0; i < n; ++i) {
            if (slow.terminal(at[i])) continue;
            if (on[at[i]].empty()) order.push_back(at[i]);
            on[at[i]].push_back(i);
        }
        if (order.empty()) break;
        for (const int node : order) {
            const auto children = slow.grow(node, static_cast<int>(on[node].size()));
            for (std::size_t c = 0; c < children.size(); ++c) {
                const std::size_t i = on[node][c];
                const double before = node < 0 ? 1 : probability(slow.node(node).value);
                weight[i] *= std::pow(probability(slow.node(children[c]).value) / before, s.plan.exponent);
                at[i] = children[c];
            }
        }
        const double sum = std::accumulate(weight.begin(), weight.end(), 0.0);
        const double squares = std::inner_product(weight.begin(), weight.end(), weight.begin(), 0.0);
        const bool going = std::any_of(at.begin(), at.end(), [&](int node) { return !slow.terminal(node); });
        if (!going || sum * sum / squares >= static_cast<double>(n) / 2) continue;
        const double u = Random(random_key(s.plan.seed, "resample", problem.id, round)).uniform(0);
        std::vector<double> upto(n);
        std::partial_sum(weight.begin(), weight.end(), upto.begin());
        const auto old = at;
        for (std::size_t i = 0; i < n; ++i) {
            const double point = (u + static_cast<double>(i)) / static_cast<double>(n) * sum;
            const auto from = std::upper_bound(upto.begin(), upto.end() - 1, point) - upto.begin();
            at[i] = old[static_cast<std::size_t>(from)];
        }
        std::fill(weight.begin(), weight.end(), 1);
    }
    return slow.answer_with(at);
}

SearchTree slow_mcts(const Setting& s, const task::Problem& problem) {
    Slow slow{s, problem};
    std::map<int, std::vector<int>> children;
    std::map<int, std::vector<double>> values;  // that came up through each node
    const auto back_up = [&](int node) {
        const double value = probability(slow.node(node).value);
        for (int n = node; n >= 0; n = slow.node(n).parent) values[n].push_back(value);
        values[-1].push_back(value);
    };
    for (int simulation = 0; simulation < s.plan.simulations; ++simulation) {
        int node = -1;
        while (children.contains(node)) {
            const auto visits = static_cast<double>(values[node].size());
            std::vector<double> score;
            for (const int c : children[node]) {
                const auto n = static_cast<double>(values[c].size());
                score.push_back(std::accumulate(values[c].begin(), values[c].end(), 0.0) / n +
                                s.plan.exploration / s.plan.branch * std::sqrt(visits) / (1 + n));
            }
            node =
                children[node][static_cast<std::size_t>(std::max_element(score.begin(), score.end()) - score.begin())];
        }
        if (slow.terminal(node)) {
            back_up(node);
            continue;
        }
        children[node] = slow.grow(node, s.plan.branch);
        for (const int c : children[node]) back_up(c);
    }
    std::vector<int> answers, open;
    for (int n = 0; n < static_cast<int>(slow.tree.nodes.size()); ++n) (slow.terminal(n) ? answers : open).push_back(n);
    if (answers.empty()) {
        // The most promising path runs to its end.
        std::erase_if(open, [&](int n) { return children.contains(n); });
        int best = open.front();
        for (const int n : open)
            if (slow.node(n).value >= slow.node(best).value) best = n;
        answers = slow.grow(best, 1, true);
    }
    return slow.answer_with(answers);
}

SearchTree slow_search(const Setting& s, const task::Problem& problem) {
    switch (s.plan.kind) {
        case SearchKind::greedy:
            return slow_greedy(s, problem, 1);
        case SearchKind::dvts:
            return slow_greedy(s, problem, s.plan.paths / s.plan.branch);
        case SearchKind::beam:
            return slow_beam(s, problem);
        case SearchKind::smc:
            return slow_particles(s, problem);
        case SearchKind::mcts:
            return slow_mcts(s, problem);
    }
    return {};
}

void expect_same(const SearchTree& found, const SearchTree& expected) {
    ASSERT_EQ(found.nodes.size(), expected.nodes.size());
    for (std::size_t n = 0; n < found.nodes.size(); ++n) {
        const SearchNode &a = found.nodes[n], &b = expected.nodes[n];
        EXPECT_EQ(a.parent, b.parent) << n;
        EXPECT_EQ(a.ids, b.ids) << n;
        EXPECT_NEAR(a.value, b.value, 2e-5 * (1 + std::abs(static_cast<double>(b.value)))) << n;
        EXPECT_EQ(a.terminal, b.terminal) << n;
        EXPECT_EQ(a.on_path, b.on_path) << n;
    }
    EXPECT_EQ(found.answer.ids, expected.answer.ids);
    ASSERT_EQ(found.answer.logprob.size(), expected.answer.logprob.size());
    for (std::size_t t = 0; t < found.answer.logprob.size(); ++t)
        EXPECT_NEAR(found.answer.logprob[t], expected.answer.logprob[t], 1e-4) << t;
    EXPECT_EQ(found.answer.finish, expected.answer.finish);
}

class Search : public testing::Test {
protected:
    [[nodiscard]] Setting setting(int branch, int depth, SearchKind kind = SearchKind::greedy, int paths = 8) const {
        SearchPlan plan;
        plan.task = &task_;
        plan.kind = kind;
        plan.branch = branch;
        plan.paths = paths;
        plan.simulations = paths;
        plan.depth = depth;
        plan.sampler.temperature = 0.9;
        plan.seed = 4;
        return {plan, *policy_, *value_, task_};
    }
    [[nodiscard]] std::vector<SearchTree> search(const Setting& s, const ValueView& reading = {}, int slots = 7) const {
        Generator generator(*policy_, s.plan.sampler, task_.end_tokens(), slots);
        Scorer scorer(*value_, task_.probe(), 100);
        scorer.show(reading);
        return rollout::search(s.plan, generator, scorer, problems(task_));
    }
    /// The same as the slow search, problem by problem.
    void expect_slow(const Setting& s) const {
        const auto trees = search(s);
        ASSERT_EQ(std::ssize(trees), ToyTask::kProblems);
        for (std::size_t p = 0; p < trees.size(); ++p) {
            SCOPED_TRACE(p);
            const auto slow = slow_search(s, problems(task_)[p]);
            expect_same(trees[p], slow);
            EXPECT_EQ(trees[p].cost.generated, slow.cost.generated);
        }
    }

    ToyTask task_{24};
    std::unique_ptr<engine::Engine> policy_ = toy_model(), value_ = toy_model(model::Head::value, 2);
};

TEST_F(Search, GreedyFindsWhatTheSlowSearchFinds) {
    for (const auto& [branch, depth] : {std::pair{1, 4}, {3, 30}, {4, 2}, {5, 1}}) {
        SCOPED_TRACE(testing::Message() << branch << " branches, " << depth << " steps");
        expect_slow(setting(branch, depth));
    }
}

TEST_F(Search, BeamFindsWhatTheSlowSearchFinds) {
    for (const auto& [branch, paths] : {std::pair{2, 8}, {4, 4}, {3, 6}, {1, 3}}) {
        SCOPED_TRACE(testing::Message() << branch << " branches, " << paths << " paths");
        expect_slow(setting(branch, 30, SearchKind::beam, paths));
    }
}

TEST_F(Search, DiverseTreesFindWhatTheSlowSearchFinds) {
    for (const auto& [branch, paths] : {std::pair{2, 8}, {4, 4}, {3, 6}}) {
        SCOPED_TRACE(testing::Message() << branch << " branches, " << paths << " paths");
        expect_slow(setting(branch, 5, SearchKind::dvts, paths));
    }
}

TEST_F(Search, ParticlesFindWhatTheSlowSearchFinds) {
    for (const double exponent : {0.0, 1.0, 3.0}) {
        SCOPED_TRACE(exponent);
        auto s = setting(1, 30, SearchKind::smc, 6);
        s.plan.exponent = exponent;
        expect_slow(s);
    }
}

TEST_F(Search, MonteCarloTreesFindWhatTheSlowSearchFinds) {
    for (const auto& [branch, simulations] : {std::pair{2, 12}, {3, 1}, {4, 5}}) {
        SCOPED_TRACE(testing::Message() << branch << " branches, " << simulations << " simulations");
        expect_slow(setting(branch, 30, SearchKind::mcts, simulations));
    }
}

TEST_F(Search, TreesOfTheTestHoldEverySortOfChoice) {
    std::size_t went_on = 0, cut = 0, deep = 0, chose = 0;
    for (const SearchTree& tree : search(setting(3, 30))) {
        const auto rounds = tree.nodes.size() / 3;
        deep += rounds > 3 ? 1 : 0;
        chose += std::count_if(tree.nodes.begin(), tree.nodes.end(), [](auto& n) { return n.terminal; }) > 1 ? 1 : 0;
        cut += tree.answer.finish == task::Finish::length ? 1 : 0;
        // The answer ended before the last round: the path went on, and found nothing better.
        went_on += std::none_of(tree.nodes.end() - 3, tree.nodes.end(), [](auto& n) { return n.on_path; }) ? 1 : 0;
    }
    for (const std::size_t trees : {went_on, cut, deep, chose}) EXPECT_GT(trees, 0U);
}

TEST_F(Search, AnswerIsThePathAndIsJudged) {
    const auto trees = search(setting(3, 30));
    for (std::size_t p = 0; p < trees.size(); ++p) {
        const Trajectory& answer = trees[p].answer;
        task::Tokens on_path;
        for (const SearchNode& node : trees[p].nodes)
            if (node.on_path) on_path = joined(on_path, node.ids);
        EXPECT_EQ(on_path, answer.ids);
        EXPECT_EQ(answer.step_ends, task_.step_ends(answer.ids));
        EXPECT_EQ(answer.verdict.correct, task_.verdict(problems(task_)[p], answer.ids).correct);
    }
}

TEST_F(Search, ScoringAnswersFromTheirBeginningFindsTheSame) {
    const auto s = setting(3, 30);
    // A reading that changes nothing, but makes the search hand in whole answers with all their states.
    const ValueView whole{[](task::TokenSpan prompt) { return task::Tokens(prompt.begin(), prompt.end()); },
                          [](task::TokenSpan ids, std::span<const std::int32_t> ends) {
                              return task::AnswerIds{{ids.begin(), ids.end()}, {ends.begin(), ends.end()}};
                          }};
    const auto plain = search(s), read = search(s, whole);
    for (std::size_t p = 0; p < plain.size(); ++p) expect_same(read[p], plain[p]);
}

TEST_F(Search, CompanyDoesntChangeATree) {
    for (const SearchKind kind :
         {SearchKind::greedy, SearchKind::beam, SearchKind::dvts, SearchKind::smc, SearchKind::mcts}) {
        SCOPED_TRACE(static_cast<int>(kind));
        const auto s = setting(2, 30, kind, 4);
        const auto few = search(s, {}, 1), many = search(s, {}, 100);
        for (std::size_t p = 0; p < few.size(); ++p) {
            ASSERT_EQ(few[p].nodes.size(), many[p].nodes.size());
            for (std::size_t n = 0; n < few[p].nodes.size(); ++n) {
                EXPECT_EQ(few[p].nodes[n].ids, many[p].nodes[n].ids);
                EXPECT_EQ(few[p].nodes[n].value, many[p].nodes[n].value);  // the same bits
                EXPECT_EQ(few[p].nodes[n].weight, many[p].nodes[n].weight);
                EXPECT_EQ(few[p].nodes[n].visits, many[p].nodes[n].visits);
            }
            EXPECT_EQ(few[p].answer.ids, many[p].answer.ids);
        }
    }
}

TEST_F(Search, ParticlesAreDrawnAnewInSomeTreesAndNotInOthers) {
    int drawn = 0, kept = 0;
    for (const SearchTree& tree : search(setting(1, 30, SearchKind::smc, 6))) {
        const bool gone = std::any_of(tree.nodes.begin(), tree.nodes.end(),
                                      [](const SearchNode& n) { return n.terminal && n.visits == 0; });
        const bool twice = std::any_of(tree.nodes.begin(), tree.nodes.end(), [](auto& n) { return n.visits > 1; });
        (gone || twice ? drawn : kept) += 1;
        double weight = 0;
        for (const SearchNode& node : tree.nodes) weight += node.visits > 0 ? static_cast<double>(node.visits) : 0;
        EXPECT_EQ(weight, 6);  // no particle is lost
    }
    EXPECT_GT(drawn, 0);
    EXPECT_GT(kept, 0);
}

TEST_F(Search, BlocksOfTokensAreSteps) {
    for (const SearchKind kind : {SearchKind::greedy, SearchKind::mcts}) {
        auto s = setting(3, 30, kind, 4);
        s.plan.step_tokens = 4;
        std::size_t inner = 0;
        for (const SearchTree& tree : search(s))
            for (const SearchNode& node : tree.nodes) {
                EXPECT_LE(node.ids.size(), node.terminal ? 24U : 4U);
                inner += node.terminal ? 0 : 1;
                EXPECT_TRUE(node.terminal || node.ids.size() == 4) << node.ids.size();
            }
        EXPECT_GT(inner, 0U);
    }
}

TEST_F(Search, NoRoundBeginsBeyondTheBudgetAndOneAnswerIsThere) {
    const auto unbounded = search(setting(4, 30, SearchKind::beam, 8));
    auto s = setting(4, 30, SearchKind::beam, 8);
    s.plan.budget = 24;
    std::size_t shorter = 0;
    const auto trees = search(s);
    for (std::size_t p = 0; p < trees.size(); ++p) {
        EXPECT_TRUE(std::any_of(trees[p].nodes.begin(), trees[p].nodes.end(), [](auto& n) { return n.terminal; }));
        EXPECT_FALSE(trees[p].answer.ids.empty());
        shorter += trees[p].cost.generated < unbounded[p].cost.generated ? 1 : 0;
    }
    EXPECT_GT(shorter, 0U);
}

TEST_F(Search, CostCountsEveryTokenOnce) {
    std::int64_t read = 0;  // of answers, by the value model
    for (const SearchTree& tree : search(setting(3, 30))) {
        std::int64_t drawn = 0;
        for (const SearchNode& node : tree.nodes) drawn += std::ssize(node.ids);
        EXPECT_EQ(tree.cost.generated, drawn);
        // The value model reads the prompt, a probe of two tokens behind each node, and no token twice.
        const std::int64_t probes = 2 * std::ssize(tree.nodes);
        EXPECT_GE(tree.cost.scored, tree.cost.prompt + probes);
        EXPECT_LE(tree.cost.scored, tree.cost.prompt + probes + drawn);
        read += tree.cost.scored - tree.cost.prompt - probes;
    }
    EXPECT_GT(read, 0);
}

SearchTree tree_of(const std::vector<std::pair<float, bool>>& nodes) {
    SearchTree tree;
    for (const auto& [value, terminal] : nodes) {
        SearchNode node;
        node.value = value;
        node.terminal = terminal;
        tree.nodes.push_back(node);
    }
    return tree;
}

TEST(ChooseAnswer, TakesTheBestTheMostFrequentOrTheHeaviest) {
    // Logits 2, 1, 1, -3: probabilities .88, .73, .73, .05.
    const auto tree = tree_of({{2, true}, {1, true}, {1, true}, {-3, true}});
    const std::vector<SearchCandidate> all{{0}, {1}, {2}, {3}};
    EXPECT_EQ(choose_answer(SearchAnswer::best, tree, all, {0, 1, 1, 2}), 0);
    EXPECT_EQ(choose_answer(SearchAnswer::vote, tree, all, {0, 1, 1, 2}), 2);  // the later of equals
    EXPECT_EQ(choose_answer(SearchAnswer::vote, tree, all, {0, 2, 1, 2}), 1);
    EXPECT_EQ(choose_answer(SearchAnswer::weighted, tree, all, {0, 2, 1, 2}), 0);          // .88 against .78 and .73
    EXPECT_EQ(choose_answer(SearchAnswer::vote, tree, {{0}, {3, 5}}, {0, -1, -1, 2}), 3);  // five of them
    EXPECT_EQ(choose_answer(SearchAnswer::vote, tree, all, {-1, -1, -1, -1}), 0);          // nobody votes
    EXPECT_EQ(choose_answer(SearchAnswer::best, tree, {}, {}), -1);
}

}  // namespace
}  // namespace tdrm::rollout
