#include "tdrm/rollout/search.hpp"

#include <gtest/gtest.h>

#include <algorithm>

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

/// The search of one problem as its declaration says it, one continuation at a time.
SearchTree naive_search(const Setting& s, const task::Problem& problem) {
    SearchTree tree;
    // Up to and with each node.
    std::vector<task::Tokens> answers;
    std::vector<std::vector<float>> logprobs;
    std::vector<bool> ended;
    std::int32_t path = -1;
    task::Tokens ids;
    std::vector<float> logprob;
    std::uint64_t branches = 1;
    for (int depth = 0; depth < s.plan.depth; ++depth) {
        std::int32_t chosen = -1, chosen_branch = 0;
        for (int b = 0; b < s.plan.branch; ++b) {
            const auto child = draw(s, problem, ids, branch_hash(branches, b), depth + 1 == s.plan.depth);
            answers.push_back(joined(ids, child.ids));
            logprobs.push_back(joined(logprob, child.logprob));
            ended.push_back(child.ended);
            const bool full = std::ssize(answers.back()) == s.task.max_answer_tokens();
            const auto node = static_cast<std::int32_t>(tree.nodes.size());
            tree.nodes.push_back({path, child.ids, value_of(s, problem, answers.back()), child.ended || full, false});
            if (tree.nodes.back().terminal) continue;
            if (chosen >= 0 && tree.nodes.back().value <= tree.nodes[static_cast<std::size_t>(chosen)].value) continue;
            chosen = node;
            chosen_branch = b;
        }
        if (chosen < 0) break;
        path = chosen;
        ids = answers[static_cast<std::size_t>(chosen)];
        logprob = logprobs[static_cast<std::size_t>(chosen)];
        branches = branch_hash(branches, chosen_branch);
    }
    std::int32_t best = -1;
    for (std::int32_t n = 0; n < std::ssize(tree.nodes); ++n)
        if (tree.nodes[static_cast<std::size_t>(n)].terminal &&
            (best < 0 ||
             tree.nodes[static_cast<std::size_t>(n)].value >= tree.nodes[static_cast<std::size_t>(best)].value))
            best = n;
    const std::int32_t leaf = best >= 0 ? best : path;
    tree.answer.ids = answers[static_cast<std::size_t>(leaf)];
    tree.answer.logprob = logprobs[static_cast<std::size_t>(leaf)];
    tree.answer.finish = best >= 0 && ended[static_cast<std::size_t>(best)] ? task::Finish::stop : task::Finish::length;
    for (std::int32_t n = leaf; n >= 0; n = tree.nodes[static_cast<std::size_t>(n)].parent)
        tree.nodes[static_cast<std::size_t>(n)].on_path = true;
    return tree;
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
    [[nodiscard]] Setting setting(int branch, int depth) const {
        return {{&task_, branch, depth, {.temperature = 0.9}, 4}, *policy_, *value_, task_};
    }
    [[nodiscard]] std::vector<SearchTree> search(const Setting& s, const ValueView& reading = {}) const {
        Generator generator(*policy_, s.plan.sampler, task_.end_tokens(), 7);
        Scorer scorer(*value_, task_.probe(), 100);
        scorer.show(reading);
        return greedy_search(s.plan, generator, scorer, problems(task_));
    }

    ToyTask task_{24};
    std::unique_ptr<engine::Engine> policy_ = toy_model(), value_ = toy_model(model::Head::value, 2);
};

TEST_F(Search, FindsWhatTheNaiveSearchFinds) {
    for (const auto& [branch, depth] : {std::pair{1, 4}, {3, 30}, {4, 2}, {5, 1}}) {
        SCOPED_TRACE(testing::Message() << branch << " branches, " << depth << " steps");
        const auto s = setting(branch, depth);
        const auto trees = search(s);
        ASSERT_EQ(std::ssize(trees), ToyTask::kProblems);
        for (std::size_t p = 0; p < trees.size(); ++p) {
            SCOPED_TRACE(p);
            expect_same(trees[p], naive_search(s, problems(task_)[p]));
        }
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

}  // namespace
}  // namespace tdrm::rollout
