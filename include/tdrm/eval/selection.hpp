// Selecting one of N candidates: best-of-N by a score, majority votes, and the limit pass@N, as curves over N. Each
// point is averaged over the N-subsets of a problem's candidates, not read off one ordering, and kept per problem so
// that intervals and paired differences can be had.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/eval/intervals.hpp"

namespace tdrm::eval {

/// How one of N candidates is chosen.
enum class Selection {
    best_of_n,  ///< the highest score
    majority,   ///< the most frequent answer
    pass_at_n,  ///< a right one if there is any: no selection does better
    weighted,   ///< the answer whose candidates weigh most
};
[[nodiscard]] constexpr auto enum_names(Selection) {
    using enum Selection;
    return std::array<std::pair<Selection, std::string_view>, 4>{
        {{best_of_n, "best_of_n"}, {majority, "majority"}, {pass_at_n, "pass_at_n"}, {weighted, "weighted"}}};
}

/// The M candidates of one problem, in file order.
struct Candidates {
    std::span<const double> correct_M;       ///< 0 or 1 (anything in [0, 1] but for pass_at_n)
    std::span<const double> score_M;         ///< higher is better; best_of_n only
    std::span<const std::int32_t> answer_M;  ///< equal answers have equal ids, -1 = no answer; votes only
    std::uint64_t problem = 0;               ///< key of the subsets that votes draw
    std::span<const double> weight_M = {};   ///< of each candidate's vote, of either sign; weighted only
};

/// Whether two answers, neither empty, say the same.
using SameAnswer = std::function<bool(std::string_view, std::string_view)>;

/// Ids 0, 1, ... of answers by first occurrence; the empty text gets -1. An answer belongs to the first class whose
/// first answer says the same (`same` need not be transitive). Without `same` texts are compared.
[[nodiscard]] std::vector<std::int32_t> answer_ids(std::span<const std::string> answers, const SameAnswer& same = {});

/// How a candidate's chance p of being right becomes the weight of its vote.
enum class VoteWeight {
    value,     ///< p
    power,     ///< p^power
    log_odds,  ///< logit(p) - logit(mean p over all candidates of all problems): naive Bayes, also negative
};
[[nodiscard]] constexpr auto enum_names(VoteWeight) {
    using enum VoteWeight;
    return std::array<std::pair<VoteWeight, std::string_view>, 3>{
        {{value, "value"}, {power, "power"}, {log_odds, "log_odds"}}};
}
/// p in [0, 1]; log-odds take it between 1e-9 and 1 - 1e-9. Source of negative weights: arXiv 2510.13918.
/// @throws DataError for p outside [0, 1] or NaN
[[nodiscard]] std::vector<double> vote_weights(VoteWeight weight, std::span<const double> probability, double power);

/// Expected correctness of the highest-scored of N candidates drawn without replacement, over all C(M, N) subsets:
/// sum over groups of equal scores, best first, of [C(M - a, N) - C(M - a - g, N)] / C(M, N) * mean correctness of the
/// group, with a candidates above it and g in it. Equals share the choice. Exact, O(M log M).
/// @throws BugError unless 1 <= N <= M and lengths agree; DataError if a score is NaN.
[[nodiscard]] double best_of_n(const Candidates& candidates, std::int64_t n);

struct VoteOptions {
    int subsets = 256;       ///< drawn per problem and N; N = 1 and N = M are exact
    std::uint64_t seed = 0;  ///< subsets depend on (seed, problem, N) alone: all methods see the same ones
};
/// Correctness of the answer with the most votes, averaged over random N-subsets. Equals share the choice; candidates
/// without an answer have no vote, and if nobody votes the result is 0. The correctness of an answer is the mean over
/// the subset's candidates that give it.
[[nodiscard]] double majority_vote(const Candidates& candidates, std::int64_t n, const VoteOptions& options = {});

/// A mean over subsets.
struct SubsetMean {
    double mean = 0;
    double variance = 0;  ///< of this mean, since subsets were drawn; 0 where it is exact
};
/// Correctness of the answer whose candidates in the subset weigh most together: majority_vote is the case of equal
/// weights. An answer of negative weight wins if all others weigh less. @throws DataError if a weight isn't finite
[[nodiscard]] SubsetMean weighted_vote(const Candidates& candidates, std::int64_t n, const VoteOptions& options = {});

/// A curve over N; accuracy[i][p] is that of problem p at N = n[i].
struct SelectionCurve {
    std::vector<std::int64_t> n;
    std::vector<std::vector<double>> accuracy;
    /// Half-width of the 95 % interval of each point for the drawing of subsets alone; 0 where it is exact.
    std::vector<double> sampling{};

    /// Mean over problems with its 95 % interval (normal), at n[i].
    [[nodiscard]] Interval at(std::size_t i) const { return mean_interval(accuracy.at(i)); }
};

/// 1, 2, 4, ... up to max, and max itself.
[[nodiscard]] std::vector<std::int64_t> curve_sizes(std::int64_t max);

/// @throws DataError if a problem has fewer candidates than the largest N.
[[nodiscard]] SelectionCurve selection_curve(Selection selection, std::span<const Candidates> problems,
                                             std::span<const std::int64_t> sizes, const VoteOptions& options = {});

/// Fifths of the problems by difficulty, 0 the hardest: rank by the base policy's pass rate, equals by their order.
/// @throws DataError for rates outside [0, 1] or NaN
[[nodiscard]] std::vector<int> difficulty_quintiles(std::span<const double> pass_rate);

}  // namespace tdrm::eval
