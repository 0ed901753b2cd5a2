#include "tdrm/rollout/tables.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "../task/helpers.hpp"
#include "tdrm/rollout/answers.hpp"
#include "tdrm/rollout/search.hpp"
#include "tdrm/rollout/state_tree.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::rollout {
namespace {

namespace fs = std::filesystem;

class TablesTest : public testing::Test {
protected:
    void SetUp() override { fs::create_directories(folder); }
    void TearDown() override { fs::remove_all(folder); }
    [[nodiscard]] store::FileReader open(const char* name) const { return store::FileReader(folder / name); }

    const fs::path folder = fs::temp_directory_path() / ("tdrm_tables_test_" + std::to_string(getpid()));
    const std::unique_ptr<task::Task> task = task::chain();
};

/// Demonstrations of the first problems of a split, as a policy might have answered.
Trajectories demonstrations(const task::Task& task, std::int64_t problems) {
    Trajectories table;
    for (std::int64_t p = 0; p < problems; ++p) {
        const auto problem = task.problem("dev", p);
        table.add_problem(p, problem);
        Trajectory t;
        t.ids = task.demonstration(problem, 1, 0);
        t.logprob.assign(t.ids.size(), -1);
        t.step_ends = task.step_ends(t.ids);
        t.verdict = task.verdict(problem, t.ids);
        table.add(t);
    }
    return table;
}

TEST_F(TablesTest, AnswersAreWrittenWithWhatMadeThemAndTheirTruth) {
    const auto data = demonstrations(*task, 3);
    engine::SamplerOptions sampler;
    sampler.top_k = 7;
    const auto attributes = answer_attributes(*task, {"base", "1234"}, "dev", sampler, 5);
    write_answers(folder, *task, data, state_labels(*task, data), attributes);
    EXPECT_TRUE(store::verify(folder).empty());
    const auto file = open("trajectories.h5");
    EXPECT_EQ(Trajectories::read(file).pack(), data.pack());
    EXPECT_EQ(file.attribute<std::string>("/", "schema"), "tdrm-trajectories-1");
    EXPECT_EQ(file.attribute<std::string>("/", "task"), "chain");
    EXPECT_EQ(file.attribute<std::string>("/", "template"), "none");
    EXPECT_EQ(file.attribute<std::string>("/", "policy"), "base");
    EXPECT_EQ(file.attribute<std::string>("/", "policy_hash"), "1234");
    EXPECT_EQ(file.attribute<std::int64_t>("/", "top_k"), 7);
    EXPECT_TRUE(file.attribute<std::string>("/", "verdict_reasons").starts_with("correct,correct_despite_error,"));
    const auto labels = load_labels(folder, *task, data);
    EXPECT_EQ(labels.kind, "no_error_so_far");
    EXPECT_EQ(labels.truth, std::vector<float>(state_offsets(data).back(), 1.0F));
}

TEST_F(TablesTest, VocabularyIsTheIdsThatOccurWithTheBytesThatEachAdds) {
    const auto data = demonstrations(*task, 1);
    write_answers(folder, *task, data, {}, {});
    const auto file = open("trajectories.h5");
    const auto id = file.read<std::int32_t>("vocabulary/id");
    const auto offset = file.read<std::int64_t>("vocabulary/text_offset");
    const auto bytes = file.read<std::uint8_t>("vocabulary/text");
    EXPECT_TRUE(std::is_sorted(id.begin(), id.end()));
    std::string text;
    for (const std::int32_t token : data.ids(0)) {
        const auto at = static_cast<std::size_t>(std::find(id.begin(), id.end(), token) - id.begin());
        ASSERT_LT(at, id.size());
        text.append(bytes.begin() + offset[at], bytes.begin() + offset[at + 1]);
    }
    EXPECT_EQ(text, " " + task->text(data.ids(0)));
    EXPECT_FALSE(fs::exists(folder / "labels.h5"));  // labels without a kind say nothing
}

TEST_F(TablesTest, LabelsFromElsewhereAreKeptAndComeBeforeTheTasksOwnTruth) {
    const auto data = demonstrations(*task, 2);
    StateLabels labels = state_labels(*task, data);
    labels.kind = "local";
    labels.source = "somebody";
    labels.truth.assign(labels.truth.size(), 0.25F);
    labels.truth.front() = std::nanf("");
    labels.outcome_known = {1, 0};
    write_answers(folder, *task, data, labels, {});
    const auto loaded = load_labels(folder, *task, data);
    EXPECT_EQ(loaded.kind, "local");
    EXPECT_EQ(loaded.source, "somebody");
    EXPECT_TRUE(std::isnan(loaded.truth.front()));
    EXPECT_EQ(loaded.truth.back(), 0.25F);
    EXPECT_EQ(loaded.outcome_known, labels.outcome_known);
    EXPECT_EQ(loaded.step_right, labels.step_right);
    fs::remove(folder / "labels.h5");
    EXPECT_EQ(load_labels(folder, *task, data).truth, state_labels(*task, data).truth);
}

TEST_F(TablesTest, LabelsOfOtherTrajectoriesAreRefused) {
    const auto data = demonstrations(*task, 2);
    write_labels(folder / "labels.h5", data, state_labels(*task, data));
    EXPECT_THROW((void)read_labels(folder / "labels.h5", demonstrations(*task, 3)), DataError);
    auto changed = data;
    changed.token.back() += 1;  // as many states, other answers
    EXPECT_THROW((void)read_labels(folder / "labels.h5", changed), DataError);
}

TEST_F(TablesTest, ValuesComeBackAndSayWhoseTheyAreAndWhatTheyCost) {
    const auto data = demonstrations(*task, 2);
    ValueTable table{{std::vector<float>(state_offsets(data).back()), {70, 80}, {7, 8}}, {}, 2e6};
    auto& logits = table.scores.logits;
    for (std::size_t s = 0; s < logits.size(); ++s) logits[s] = static_cast<float>(s) / 8;
    write_values(folder, data, table, {"td", "77"});
    EXPECT_TRUE(store::verify(folder).empty());
    const auto found = load_values(folder);
    EXPECT_EQ(found.scores.logits, logits);
    EXPECT_EQ(found.scores.scored_tokens, table.scores.scored_tokens);
    EXPECT_EQ(found.scores.shared_tokens, table.scores.shared_tokens);
    EXPECT_EQ(found.read_flop, 2e6);
    EXPECT_TRUE(found.deviation.empty());
    EXPECT_EQ(open("values.h5").attribute<std::string>("/", "describes"), content_hash(data));
    EXPECT_EQ(open("values.h5").attribute<std::string>("/", "model"), "td");
    logits.pop_back();
    EXPECT_THROW(write_values(folder, data, table, {"td", "77"}), BugError);
}

TEST_F(TablesTest, TreesOfASearchComeBackWithTheirCostAndTheirSeparation) {
    SearchTree tree;
    tree.nodes.resize(4);
    const float values[] = {0.5F, 1.5F, 3.5F, 0.5F};
    for (std::size_t n = 0; n < 4; ++n) {
        tree.nodes[n].ids = task::Tokens(n + 1, static_cast<task::Token>(n));
        tree.nodes[n].value = values[n];
        tree.nodes[n].terminal = n > 0;
        tree.nodes[n].correct = n == 1 || n == 2;
        tree.nodes[n].visits = static_cast<std::int32_t>(n);
    }
    tree.nodes[1].parent = 0;
    tree.cost = {10, 3, 20};
    SearchTable table;
    table.add(tree);
    table.add(tree);
    EXPECT_EQ(table.tree_offset, (std::vector<std::int64_t>{0, 4, 8}));
    EXPECT_EQ(table.token_offset, (std::vector<std::int64_t>{0, 1, 3, 6, 10, 11, 13, 16, 20}));
    EXPECT_EQ(table.nodes().get<std::int32_t>("parent")[5], 0);
    const auto data = demonstrations(*task, 2);
    const auto entry = write_search(folder, *task, data, table.nodes(), table.trees(), task_attributes(*task));
    EXPECT_EQ(entry.name, "search.h5");
    const auto file = open("search.h5");
    EXPECT_EQ(file.attribute<std::string>("/", "schema"), "tdrm-search-1");
    EXPECT_EQ(file.attribute<std::string>("/", "describes"), content_hash(data));
    EXPECT_EQ(cost_of(file).generated, 20);
    EXPECT_EQ(cost_of(file).scored, 40);
    // Terminal: 1.5 and 3.5 right, 0.5 wrong. Gap 2; deviations 1, 1, 0 with one degree of freedom a tree: sqrt 2.
    const auto found = separation_of(file);
    EXPECT_DOUBLE_EQ(found.gap, 2);
    EXPECT_DOUBLE_EQ(found.noise, std::sqrt(2.0));
    EXPECT_DOUBLE_EQ(found.critical_width, std::exp(1));
}

TEST(Forks, LeaveTheFirstAnswerAStepLaterEachAndGoOnAsTheScriptedPolicyDoes) {
    const auto walk = task::walk(4);
    RolloutPlan plan{walk.get(), "dev", 10, {}, 9};
    plan.scripted = plan.forks = true;
    const auto data = scripted_answers(plan, std::vector<task::Draw>{{3, 1}});
    const auto problem = data.problem_of(0);
    const auto first = data.ids(0);
    EXPECT_EQ(task::Tokens(first.begin(), first.end()), walk->demonstration(problem, 9, 10));
    std::set<std::size_t> left_at;
    for (std::size_t s = 1; s < data.size(); ++s) {
        const auto kept = first.first((s - 1) % 4 * 4);
        task::Tokens ids(kept.begin(), kept.end());
        const auto rest = walk->scripted_rest(problem, kept, 9, 10 + s);
        ids.insert(ids.end(), rest.begin(), rest.end());
        const auto fork = data.ids(s);
        EXPECT_EQ(task::Tokens(fork.begin(), fork.end()), ids) << s;
        left_at.insert(
            static_cast<std::size_t>(std::mismatch(fork.begin(), fork.end(), first.begin()).first - fork.begin()) / 4);
    }
    EXPECT_GT(left_at.size(), 2U);
}

TEST(StateTree, EqualStatesOfAProblemAreOneNodeUnderTheSameParent) {
    const auto walk = task::walk(4);
    RolloutPlan plan{walk.get(), "dev", 8, {}, 9};
    plan.scripted = plan.forks = true;
    const auto data = scripted_answers(plan, std::vector<task::Draw>{{0, 0}, {1, 0}});
    const auto tree = state_tree(data);
    const auto offsets = state_offsets(data);
    ASSERT_EQ(tree.node_S.size(), offsets.back());
    std::map<std::pair<std::int32_t, task::Tokens>, std::int32_t> seen;  // problem and ids so far
    std::set<std::int32_t> nodes;
    for (std::size_t row = 0; row < data.size(); ++row) {
        std::int32_t parent = -1;
        for (std::size_t t = 0; t <= data.step_ends(row).size(); ++t) {
            const auto ids = data.ids(row).first(t == 0 ? 0 : static_cast<std::size_t>(data.step_ends(row)[t - 1]));
            const std::int32_t node = tree.node_S[offsets[row] + t];
            const auto [known, is_new] = seen.try_emplace({data.problem[row], {ids.begin(), ids.end()}}, node);
            EXPECT_EQ(known->second, node);
            EXPECT_EQ(nodes.insert(node).second, is_new);
            EXPECT_EQ(tree.parent_N[static_cast<std::size_t>(node)], parent);
            EXPECT_LE(tree.first_N[static_cast<std::size_t>(node)], offsets[row] + t);
            EXPECT_EQ(tree.first_N[static_cast<std::size_t>(node)] == offsets[row] + t, is_new);
            parent = node;
        }
    }
    EXPECT_EQ(nodes.size(), tree.parent_N.size());
    EXPECT_LT(nodes.size(), tree.node_S.size());
}

TEST_F(TablesTest, ExactValuesContinuationsAndTrueVerdictsComeBackWithTheLabels) {
    const auto walk = task::walk(4);
    RolloutPlan plan{walk.get(), "dev", 3, {}, 9};
    plan.scripted = true;
    auto data = scripted_answers(plan, std::vector<task::Draw>{{0, 0}, {5, 2}});
    ASSERT_EQ(data.size(), 6U);
    EXPECT_EQ(data.sample[4], 1);
    EXPECT_EQ(data.visit[4], 2);
    const auto problem = data.problem_of(4);
    const auto ids = data.ids(4);
    EXPECT_EQ(task::Tokens(ids.begin(), ids.end()), walk->demonstration(problem, 9, 7));  // visit 2, sample 1 of 3
    EXPECT_EQ(data.outcome[4] > 0, walk->verdict(problem, ids).correct);
    auto labels = state_labels(*walk, data, true);
    EXPECT_EQ(labels.v_pi_policy, "uniform offsets");
    ASSERT_EQ(labels.v_pi.size(), state_offsets(data).back());
    EXPECT_EQ(labels.v_pi[4 * 5], walk->scripted_value(problem, ids, data.step_ends(4))[0]);
    EXPECT_TRUE(state_labels(*walk, data).v_pi.empty()) << "another policy's answers have other values";
    labels.successes.assign(labels.v_pi.size(), 1);
    labels.tries.assign(labels.v_pi.size(), 4);
    flip_verdicts(data, labels, 0.5, 3);
    write_answers(folder, *walk, data, labels, task_attributes(*walk));
    const auto read = load_labels(folder, *walk, data);
    EXPECT_EQ(read.v_pi, labels.v_pi);
    EXPECT_EQ(read.v_pi_policy, labels.v_pi_policy);
    EXPECT_EQ(read.true_outcome, labels.true_outcome);
    EXPECT_EQ(success_rates(read), std::vector<float>(labels.v_pi.size(), 0.25F));
    EXPECT_EQ(Trajectories::read(open("trajectories.h5")).outcome, data.outcome);
}

TEST_F(TablesTest, LabelsThatCantBeAreRefused) {
    const auto data = demonstrations(*task, 2);
    StateLabels labels = state_labels(*task, data);
    labels.successes.assign(labels.truth.size(), 3);
    labels.tries.assign(labels.truth.size(), 2);
    write_labels(folder / "labels.h5", data, labels);
    EXPECT_NE(
        task::message_of<DataError>([&] { (void)read_labels(folder / "labels.h5", data); }).find("3 successes in 2"),
        std::string::npos);
    labels.tries.pop_back();
    write_labels(folder / "labels.h5", data, labels);
    EXPECT_THROW((void)read_labels(folder / "labels.h5", data), DataError);
    EXPECT_THROW((void)read_labels(folder / "labels.h5", demonstrations(*task, 3)), DataError);
}

TEST(FlipVerdicts, FlipsTheGivenShareByWhoseAnswerItIs) {
    const auto walk = task::walk(2);
    RolloutPlan plan{walk.get(), "test", 8, {}, 9};
    std::vector<task::Draw> all, some;
    for (std::int64_t p = 0; p < 300; ++p) all.push_back({p, 0});
    some.assign(all.begin() + 100, all.begin() + 120);
    const auto flips = [&](std::span<const task::Draw> draws, double rate, std::uint64_t seed) {
        auto data = scripted_answers(plan, draws);
        const auto before = data.outcome;
        StateLabels labels;
        flip_verdicts(data, labels, rate, seed);
        std::vector<int> flipped;
        for (std::size_t row = 0; row < data.size(); ++row) {
            EXPECT_EQ(labels.true_outcome[row], before[row] > 0 ? 1 : 0);
            flipped.push_back(data.outcome[row] == before[row] ? 0 : 1);
        }
        return flipped;
    };
    const auto flipped = flips(all, 0.2, 1);
    EXPECT_NEAR(std::count(flipped.begin(), flipped.end(), 1), 480, 4 * std::sqrt(2400 * 0.16));
    EXPECT_EQ(flips(some, 0.2, 1), std::vector<int>(flipped.begin() + 800, flipped.begin() + 960)) << "in any company";
    EXPECT_NE(flips(all, 0.2, 2), flipped);
    const auto more = flips(all, 0.3, 1);  // what is flipped at a low rate is flipped at a higher one
    for (std::size_t i = 0; i < more.size(); ++i) EXPECT_GE(more[i], flipped[i]);
    const auto none = flips(all, 0, 1);
    EXPECT_EQ(std::count(none.begin(), none.end(), 1), 0);
}

TEST(AppendProblem, KeepsSoftOutcomes) {
    const auto chain = task::chain();
    auto data = demonstrations(*chain, 2);
    data.outcome = {0.25F, 0.75F};
    Trajectories copy;
    copy.append_problem(data, 1, 1, 2);
    EXPECT_EQ(copy.outcome, std::vector<float>{0.75F});
}

}  // namespace
}  // namespace tdrm::rollout
