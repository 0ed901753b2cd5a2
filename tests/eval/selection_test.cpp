#include "tdrm/eval/selection.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/eval/pass_at_k.hpp"

namespace tdrm::eval {
namespace {

using Members = std::vector<std::size_t>;

/// Mean of f over all subsets of n among `size` items, by enumeration.
double over_all_subsets(std::size_t size, std::int64_t n, const std::function<double(const Members&)>& f) {
    double sum = 0;
    double count = 0;
    for (std::uint32_t mask = 0; mask < 1U << size; ++mask) {
        if (std::popcount(mask) != n) continue;
        Members members;
        for (std::size_t i = 0; i < size; ++i) {
            if (mask >> i & 1U) members.push_back(i);
        }
        sum += f(members);
        count += 1;
    }
    return sum / count;
}

/// Candidates with few distinct scores and answers, so that equals are frequent.
struct Example {
    Example(std::size_t size, std::uint64_t seed) {
        Random random(random_key(seed, "example"));
        for (std::size_t i = 0; i < size; ++i) {
            score.push_back(static_cast<double>(random.next_below(4)) / 4);
            answer.push_back(static_cast<std::int32_t>(random.next_below(4)) - 1);
            correct.push_back(answer.back() == 1 ? 1 : 0);
        }
    }
    [[nodiscard]] Candidates candidates(std::uint64_t problem = 0) const { return {correct, score, answer, problem}; }
    std::vector<double> correct, score;
    std::vector<std::int32_t> answer;
};

double best_twin(const Example& example, const Members& members) {
    double highest = -1;
    for (const std::size_t i : members) highest = std::max(highest, example.score[i]);
    double sum = 0, count = 0;
    for (const std::size_t i : members) {
        if (example.score[i] == highest) sum += example.correct[i], count += 1;
    }
    return sum / count;
}

double vote_twin(const Example& example, const Members& members) {
    std::map<std::int32_t, double> votes;
    for (const std::size_t i : members) {
        if (example.answer[i] >= 0) votes[example.answer[i]] += 1;
    }
    double most = -1;
    for (const auto& [answer, count] : votes) most = std::max(most, count);
    double sum = 0, winners = 0;
    for (const auto& [answer, count] : votes) {
        if (count == most) sum += answer == 1 ? 1 : 0, winners += 1;
    }
    return winners > 0 ? sum / winners : 0;
}

}  // namespace

TEST(BestOfN, EqualsTheMeanOverAllSubsets) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const Example example(9, seed);
        for (std::int64_t n = 1; n <= 9; ++n) {
            const double twin = over_all_subsets(9, n, [&](const Members& m) { return best_twin(example, m); });
            EXPECT_NEAR(best_of_n(example.candidates(), n), twin, 1e-12) << "seed " << seed << " n " << n;
        }
    }
}

TEST(BestOfN, WithEqualScoresIsTheMeanCorrectness) {
    const std::vector<double> correct{1, 0, 0, 1, 1}, score(5, 0.5);
    for (std::int64_t n = 1; n <= 5; ++n) EXPECT_NEAR(best_of_n({correct, score, {}}, n), 0.6, 1e-12);
}

TEST(BestOfN, ByThePerfectScoreIsPassAtN) {
    const Example example(12, 3);
    for (std::int64_t n = 1; n <= 12; ++n) {
        double right = 0;
        for (const double c : example.correct) right += c;
        EXPECT_NEAR(best_of_n({example.correct, example.correct, {}}, n),
                    pass_at_k(12, static_cast<std::int64_t>(right), n), 1e-12);
    }
}

TEST(BestOfN, OfAThousandCandidatesStaysExact) {
    std::vector<double> correct(1024, 0.0), score(1024);
    for (std::size_t i = 0; i < 1024; ++i) score[i] = static_cast<double>(i);
    correct.back() = 1;  // the best one is in an n-subset with probability n / M
    for (const std::int64_t n : {1, 2, 128, 512, 1024}) {
        EXPECT_NEAR(best_of_n({correct, score, {}}, n), static_cast<double>(n) / 1024, 1e-12);
    }
}

TEST(BestOfN, RefusesWhatItCanNotRank) {
    const std::vector<double> correct{1, 0}, score{0.5, std::numeric_limits<double>::quiet_NaN()};
    EXPECT_THROW((void)best_of_n({correct, score, {}}, 1), DataError);
    EXPECT_THROW((void)best_of_n({correct, correct, {}}, 3), BugError);
    EXPECT_THROW((void)best_of_n({correct, correct, {}}, 0), BugError);
}

TEST(MajorityVote, ApproachesTheMeanOverAllSubsets) {
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
        const Example example(10, seed);
        for (std::int64_t n = 1; n <= 10; ++n) {
            const double twin = over_all_subsets(10, n, [&](const Members& m) { return vote_twin(example, m); });
            const double vote = majority_vote(example.candidates(), n, {.subsets = 20000, .seed = 7});
            EXPECT_NEAR(vote, twin, n == 1 || n == 10 ? 1e-12 : 0.02) << "seed " << seed << " n " << n;
        }
    }
}

TEST(MajorityVote, DependsOnSeedAndProblemAlone) {
    const Example example(16, 1);
    const double vote = majority_vote(example.candidates(5), 4, {.subsets = 50, .seed = 1});
    EXPECT_EQ(majority_vote(example.candidates(5), 4, {.subsets = 50, .seed = 1}), vote);
    EXPECT_NE(majority_vote(example.candidates(6), 4, {.subsets = 50, .seed = 1}), vote);
    EXPECT_NE(majority_vote(example.candidates(5), 4, {.subsets = 50, .seed = 2}), vote);
}

TEST(MajorityVote, OfNobodyIsWrong) {
    const std::vector<double> correct{0, 0, 0};
    const std::vector<std::int32_t> answer{-1, -1, -1};
    for (std::int64_t n = 1; n <= 3; ++n) EXPECT_EQ(majority_vote({correct, {}, answer}, n), 0);
}

TEST(MajorityVote, IgnoresTheScores) {
    const std::vector<double> correct{1, 0, 0}, score{0.9, 0.3, 0.2};
    const std::vector<std::int32_t> answer{0, 1, 1};
    EXPECT_EQ(majority_vote({correct, score, answer}, 3), 0);
}

/// Weighted votes by enumeration, over lists instead of tallies.
double weighted_twin(const Example& example, const std::vector<double>& weight, const Members& members) {
    std::map<std::int32_t, double> sum;
    for (const std::size_t i : members)
        if (example.answer[i] >= 0) sum[example.answer[i]] += weight[i];
    if (sum.empty()) return 0;
    double most = sum.begin()->second, right = 0, winners = 0;
    for (const auto& [answer, total] : sum) most = std::max(most, total);
    for (const auto& [answer, total] : sum)
        if (total == most) right += answer == 1 ? 1 : 0, winners += 1;
    return right / winners;
}

TEST(WeightedVote, ApproachesTheMeanOverAllSubsetsAlsoWithNegativeWeights) {
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
        const Example example(10, seed);
        std::vector<double> weight;
        for (const double score : example.score) weight.push_back(score - 0.5);  // quarters: sums are exact
        Candidates candidates = example.candidates();
        candidates.weight_M = weight;
        for (std::int64_t n = 1; n <= 10; ++n) {
            const double twin =
                over_all_subsets(10, n, [&](const Members& m) { return weighted_twin(example, weight, m); });
            const auto vote = weighted_vote(candidates, n, {.subsets = 20000, .seed = 7});
            const bool exact = n == 1 || n == 10;
            EXPECT_NEAR(vote.mean, twin, exact ? 1e-12 : 5 * std::sqrt(vote.variance) + 1e-9) << "seed " << seed;
            EXPECT_EQ(vote.variance == 0, exact || twin == 0 || twin == 1);
        }
    }
}

TEST(WeightedVote, OfEqualWeightsIsTheMajority) {
    const Example example(16, 4);
    const std::vector<double> ones(16, 1.0);
    Candidates candidates = example.candidates(3);
    candidates.weight_M = ones;
    for (const std::int64_t n : {1, 3, 8, 16})
        EXPECT_EQ(weighted_vote(candidates, n).mean, majority_vote(example.candidates(3), n));
}

TEST(WeightedVote, LetsAnAnswerOfLittleDoubtBeatAMoreFrequentOne) {
    const std::vector<double> correct{1, 0, 0}, certain{0.9, 0.3, 0.3}, bad{-0.5, -0.2, -0.2};
    const std::vector<std::int32_t> answer{0, 1, 1};
    EXPECT_EQ(weighted_vote({correct, {}, answer, 0, certain}, 3).mean, 1);
    EXPECT_EQ(weighted_vote({correct, {}, answer, 0, bad}, 3).mean, 0);  // -0.4 weighs more than -0.5
    const std::vector<double> endless{1, 2, std::numeric_limits<double>::infinity()};
    EXPECT_THROW((void)weighted_vote({correct, {}, answer, 0, endless}, 3), DataError);
    EXPECT_THROW((void)weighted_vote({correct, {}, answer, 0, {}}, 3), BugError);
}

TEST(VoteWeights, AreThoseComputedByHand) {
    const std::vector<double> p{0.2, 0.5, 0.8};
    EXPECT_EQ(vote_weights(VoteWeight::value, p, 9), p);
    EXPECT_NEAR(vote_weights(VoteWeight::power, p, 2)[0], 0.04, 1e-12);
    const auto odds = vote_weights(VoteWeight::log_odds, p, 1);  // the mean is 1/2
    EXPECT_NEAR(odds[0], -std::log(4), 1e-12);
    EXPECT_NEAR(odds[1], 0, 1e-12);
    EXPECT_NEAR(odds[2], std::log(4), 1e-12);
    for (const double weight : vote_weights(VoteWeight::log_odds, std::vector<double>{0, 1}, 1))
        EXPECT_TRUE(std::isfinite(weight));
    EXPECT_THROW((void)vote_weights(VoteWeight::value, std::vector<double>{-0.1}, 1), DataError);
    EXPECT_THROW((void)vote_weights(VoteWeight::log_odds, std::vector<double>{std::nan("")}, 1), DataError);
}

TEST(SelectionCurve, SaysHowMuchTheDrawnSubsetsLeaveOpen) {
    const Example a(12, 1), b(12, 2);
    const std::vector<Candidates> problems{a.candidates(0), b.candidates(1)};
    const std::vector<std::int64_t> sizes{1, 4, 12};
    const auto vote = selection_curve(Selection::majority, problems, sizes, {.subsets = 100});
    EXPECT_EQ(vote.sampling[0], 0);
    EXPECT_EQ(vote.sampling[2], 0);
    const auto first = [&](const Candidates& c) {
        const std::vector<double> ones(12, 1.0);
        Candidates weighted = c;
        weighted.weight_M = ones;
        return weighted_vote(weighted, 4, {.subsets = 100}).variance;
    };
    EXPECT_NEAR(vote.sampling[1], kZ95 * std::sqrt(first(problems[0]) + first(problems[1])) / 2, 1e-12);
    EXPECT_GT(vote.sampling[1], 0);
    EXPECT_EQ(selection_curve(Selection::best_of_n, problems, sizes).sampling, std::vector<double>(3, 0.0));
}

TEST(DifficultyQuintiles, RankByTheBasePolicysPassRate) {
    EXPECT_EQ(difficulty_quintiles(std::vector<double>{0.9, 0.1, 0.5, 0.3, 0.7}), (std::vector<int>{4, 0, 2, 1, 3}));
    // Equals are cut by their order, so fifths have the same size up to one.
    EXPECT_EQ(difficulty_quintiles(std::vector<double>(7, 0.0)), (std::vector<int>{0, 0, 1, 2, 2, 3, 4}));
    EXPECT_TRUE(difficulty_quintiles({}).empty());
    EXPECT_THROW((void)difficulty_quintiles(std::vector<double>{std::nan("")}), DataError);
}

TEST(AnswerIds, AreClassesOfTheTasksOwnEquality) {
    const std::vector<std::string> answers{"1/2", "", "0.5", "2", "0.5", "4/2", ".5"};
    const auto number = [](std::string_view text) {
        const auto slash = text.find('/');
        const double top = std::stod(std::string(text.substr(0, slash)));
        return slash == std::string_view::npos ? top : top / std::stod(std::string(text.substr(slash + 1)));
    };
    int asked = 0;
    const auto same = [&](std::string_view a, std::string_view b) { return ++asked, number(a) == number(b); };
    EXPECT_EQ(answer_ids(answers, same), (std::vector<std::int32_t>{0, -1, 0, 1, 0, 1, 0}));
    EXPECT_LE(asked, 6) << "equal texts are asked about once";
}

TEST(AnswerIds, AreEqualForEqualTexts) {
    const std::vector<std::string> answers{"7", "", "1/2", "7"};
    EXPECT_EQ(answer_ids(answers), (std::vector<std::int32_t>{0, -1, 1, 0}));
}

TEST(CurveSizes, DoubleUpToTheLargest) {
    EXPECT_EQ(curve_sizes(64), (std::vector<std::int64_t>{1, 2, 4, 8, 16, 32, 64}));
    EXPECT_EQ(curve_sizes(6), (std::vector<std::int64_t>{1, 2, 4, 6}));
    EXPECT_EQ(curve_sizes(1), std::vector<std::int64_t>{1});
    EXPECT_TRUE(curve_sizes(0).empty());
}

TEST(SelectionCurve, KeepsEveryProblem) {
    const Example a(8, 1), b(8, 2);
    const std::vector<Candidates> problems{a.candidates(0), b.candidates(1)};
    const auto sizes = curve_sizes(8);
    for (const auto& [selection, name] : enum_names(Selection{})) {
        if (selection == Selection::weighted) continue;  // has no weights here
        const SelectionCurve curve = selection_curve(selection, problems, sizes);
        ASSERT_EQ(curve.accuracy.size(), 4U);
        for (const auto& point : curve.accuracy) ASSERT_EQ(point.size(), 2U);
        const Interval interval = curve.at(3);
        EXPECT_DOUBLE_EQ(interval.mean, (curve.accuracy[3][0] + curve.accuracy[3][1]) / 2) << name;
    }
    const auto best = selection_curve(Selection::best_of_n, problems, sizes);
    EXPECT_EQ(best.accuracy[1][1], best_of_n(b.candidates(1), 2));
    const auto limit = selection_curve(Selection::pass_at_n, problems, sizes);
    for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t p = 0; p < 2; ++p) EXPECT_GE(limit.accuracy[i][p], best.accuracy[i][p] - 1e-12);
    }
}

TEST(SelectionCurve, NamesAProblemWithTooFewCandidates) {
    const Example example(4, 1);
    const std::vector<Candidates> problems{example.candidates(17)};
    try {
        (void)selection_curve(Selection::best_of_n, problems, curve_sizes(8));
        FAIL() << "8 of 4 candidates can't be had";
    } catch (const DataError& error) {
        EXPECT_NE(std::string(error.what()).find("problem 17 has 4"), std::string::npos) << error.what();
    }
}

TEST(PassAtK, EqualsTheMeanOverAllSubsets) {
    for (std::int64_t right = 0; right <= 8; ++right) {
        for (std::int64_t k = 1; k <= 8; ++k) {
            const double twin = over_all_subsets(8, k, [&](const Members& members) {
                return members.front() < static_cast<std::size_t>(right) ? 1.0 : 0.0;
            });
            EXPECT_NEAR(pass_at_k(8, right, k), twin, 1e-12);
        }
    }
}

TEST(PassAtK, OfLargeNumbersNeitherOverflowsNorLeavesItsRange) {
    EXPECT_NEAR(pass_at_k(100000, 1, 50000), 0.5, 1e-9);
    EXPECT_EQ(pass_at_k(100000, 99999, 2), 1);
    EXPECT_EQ(pass_at_k(100000, 0, 100000), 0);
    EXPECT_THROW((void)pass_at_k(4, 1, 5), BugError);
}

}  // namespace tdrm::eval
