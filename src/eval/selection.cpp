#include "tdrm/eval/selection.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/eval/pass_at_k.hpp"

namespace tdrm::eval {
namespace {

std::size_t checked_size(const Candidates& candidates, std::int64_t n, bool scored) {
    const std::size_t size = candidates.correct_M.size();
    ensure(n >= 1 && static_cast<std::size_t>(n) <= size, "one chooses among 1 to M candidates");
    if (!scored) return size;
    ensure(candidates.score_M.size() == size, "scores come one per candidate");
    if (std::any_of(candidates.score_M.begin(), candidates.score_M.end(), [](double s) { return std::isnan(s); })) {
        throw DataError(cat("a candidate of problem ", candidates.problem,
                            " has no score (NaN can't be ranked). Score the candidates again."));
    }
    return size;
}

/// Counts the votes of subsets of one problem's candidates.
class Poll {
public:
    /// @param weighted votes count as weight_M says, else one each
    Poll(const Candidates& candidates, bool weighted) : candidates_(candidates), weighted_(weighted) {
        ensure(candidates.answer_M.size() == candidates.correct_M.size(), "answers come one per candidate");
        std::int32_t largest = -1;
        for (const std::int32_t answer : candidates.answer_M) largest = std::max(largest, answer);
        tallies_.resize(static_cast<std::size_t>(largest + 1));
    }

    /// Expected correctness of the answer with the most weight among `voters`, equals sharing the choice.
    double result(std::span<const std::size_t> voters) {
        std::fill(tallies_.begin(), tallies_.end(), Tally{});
        for (const std::size_t voter : voters) {
            const std::int32_t answer = candidates_.answer_M[voter];
            if (answer < 0) continue;
            Tally& tally = tallies_[static_cast<std::size_t>(answer)];
            tally.voters += 1;
            tally.weight += weighted_ ? candidates_.weight_M[voter] : 1;
            tally.correct += candidates_.correct_M[voter];
        }
        double most = -std::numeric_limits<double>::infinity();
        double sum = 0;
        double winners = 0;
        for (const Tally& tally : tallies_) {
            if (tally.voters == 0 || tally.weight < most) continue;
            if (tally.weight > most) sum = winners = 0;
            most = tally.weight;
            sum += tally.correct / tally.voters;
            winners += 1;
        }
        return winners > 0 ? sum / winners : 0;
    }

private:
    struct Tally {
        double voters = 0;
        double weight = 0;
        double correct = 0;
    };
    const Candidates& candidates_;
    bool weighted_;
    std::vector<Tally> tallies_;  // per answer id
};

double pass_at_n(const Candidates& candidates, std::int64_t n) {
    const double correct = std::accumulate(candidates.correct_M.begin(), candidates.correct_M.end(), 0.0);
    for (const double c : candidates.correct_M) ensure(c == 0 || c == 1, "pass@N counts right and wrong answers");
    return pass_at_k(static_cast<std::int64_t>(candidates.correct_M.size()), std::llround(correct), n);
}

/// Votes of random subsets; n = 1 and n = M are exact.
SubsetMean vote(const Candidates& candidates, std::int64_t n, const VoteOptions& options, bool weighted) {
    const std::size_t size = checked_size(candidates, n, false);
    Poll poll(candidates, weighted);
    std::vector<std::size_t> voters(size);
    std::iota(voters.begin(), voters.end(), 0);
    const auto drawn = static_cast<std::size_t>(n);
    if (drawn == size) return {poll.result(voters), 0};
    double sum = 0, squares = 0;
    if (drawn == 1) {
        for (const std::size_t voter : voters) sum += poll.result({&voter, 1});
        return {sum / static_cast<double>(size), 0};
    }
    ensure(options.subsets >= 1, "a vote is averaged over at least one subset");
    Random random(random_key(options.seed, "vote", candidates.problem, static_cast<std::uint64_t>(n)));
    for (int subset = 0; subset < options.subsets; ++subset) {
        for (std::size_t i = 0; i < drawn; ++i) std::swap(voters[i], voters[i + random.next_below(size - i)]);
        const double result = poll.result({voters.data(), drawn});
        sum += result;
        squares += result * result;
    }
    const double mean = sum / options.subsets;
    return {mean, std::max(0.0, squares / options.subsets - mean * mean) / options.subsets};
}

SubsetMean select(Selection selection, const Candidates& candidates, std::int64_t n, const VoteOptions& options) {
    switch (selection) {
        case Selection::best_of_n:
            return {best_of_n(candidates, n), 0};
        case Selection::pass_at_n:
            return {pass_at_n(candidates, n), 0};
        case Selection::weighted:
            return weighted_vote(candidates, n, options);
        default:
            return vote(candidates, n, options, false);
    }
}

}  // namespace

std::vector<std::int32_t> answer_ids(std::span<const std::string> answers, const SameAnswer& same) {
    std::unordered_map<std::string_view, std::int32_t> known;
    std::vector<std::string_view> classes;  // their first answers
    std::vector<std::int32_t> ids;
    for (const std::string& answer : answers) {
        if (answer.empty()) {
            ids.push_back(-1);
            continue;
        }
        const auto [place, is_new] = known.emplace(answer, 0);
        if (is_new) {
            auto found = classes.end();
            if (same)
                found = std::find_if(classes.begin(), classes.end(),
                                     [&](std::string_view first) { return same(first, answer); });
            place->second = static_cast<std::int32_t>(found - classes.begin());
            if (found == classes.end()) classes.push_back(place->first);
        }
        ids.push_back(place->second);
    }
    return ids;
}

std::vector<double> vote_weights(VoteWeight weight, std::span<const double> probability, double power) {
    double mean = 0;
    for (const double p : probability) {
        if (!(p >= 0 && p <= 1))
            throw DataError(cat("a score is ", p,
                                ", outside [0, 1] (a vote is weighed by a probability). Score the "
                                "candidates again."));
        mean += p / static_cast<double>(probability.size());
    }
    const auto logit = [](double p) {
        const double inside = std::clamp(p, 1e-9, 1 - 1e-9);
        return std::log(inside) - std::log1p(-inside);
    };
    std::vector<double> result;
    for (const double p : probability)
        result.push_back(weight == VoteWeight::value   ? p
                         : weight == VoteWeight::power ? std::pow(p, power)
                                                       : logit(p) - logit(mean));
    return result;
}

double best_of_n(const Candidates& candidates, std::int64_t n) {
    const std::size_t size = checked_size(candidates, n, true);
    std::vector<std::size_t> order(size);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return candidates.score_M[a] > candidates.score_M[b]; });
    double result = 0;
    double rest = 1;  // C(m, n) / C(M, n): probability that all n are among the m candidates from `begin` on
    for (std::size_t begin = 0; begin < size && rest > 0;) {
        const double score = candidates.score_M[order[begin]];
        const double rest_before = rest;
        double correct = 0;
        std::size_t end = begin;
        for (; end < size && candidates.score_M[order[end]] == score; ++end) {
            correct += candidates.correct_M[order[end]];
            const auto m = static_cast<double>(size - end);
            rest *= std::max(0.0, m - static_cast<double>(n)) / m;
        }
        result += (rest_before - rest) * correct / static_cast<double>(end - begin);
        begin = end;
    }
    return result;
}

double majority_vote(const Candidates& candidates, std::int64_t n, const VoteOptions& options) {
    return vote(candidates, n, options, false).mean;
}

SubsetMean weighted_vote(const Candidates& candidates, std::int64_t n, const VoteOptions& options) {
    ensure(candidates.weight_M.size() == candidates.correct_M.size(), "weights come one per candidate");
    for (const double weight : candidates.weight_M)
        if (!std::isfinite(weight))
            throw DataError(cat("a vote on problem ", candidates.problem, " weighs ", weight,
                                " (it can't be added up). Score the candidates again."));
    return vote(candidates, n, options, true);
}

std::vector<std::int64_t> curve_sizes(std::int64_t max) {
    std::vector<std::int64_t> sizes;
    for (std::int64_t n = 1; n < max; n *= 2) sizes.push_back(n);
    if (max >= 1) sizes.push_back(max);
    return sizes;
}

SelectionCurve selection_curve(Selection selection, std::span<const Candidates> problems,
                               std::span<const std::int64_t> sizes, const VoteOptions& options) {
    const std::int64_t largest = sizes.empty() ? 0 : *std::max_element(sizes.begin(), sizes.end());
    SelectionCurve curve{{sizes.begin(), sizes.end()},
                         std::vector<std::vector<double>>(sizes.size()),
                         std::vector<double>(sizes.size(), 0.0)};
    for (const Candidates& candidates : problems) {
        if (static_cast<std::int64_t>(candidates.correct_M.size()) < largest) {
            throw DataError(cat("problem ", candidates.problem, " has ", candidates.correct_M.size(),
                                " candidates, but ", largest,
                                " are to be chosen from (a curve needs them for every problem). Lower the "
                                "largest N, or sample more candidates."));
        }
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            const SubsetMean point = select(selection, candidates, sizes[i], options);
            curve.accuracy[i].push_back(point.mean);
            curve.sampling[i] += point.variance;
        }
    }
    for (double& variance : curve.sampling)
        variance = kZ95 * std::sqrt(variance) / static_cast<double>(problems.size());
    return curve;
}

std::vector<int> difficulty_quintiles(std::span<const double> pass_rate) {
    for (const double rate : pass_rate)
        if (!(rate >= 0 && rate <= 1))
            throw DataError(cat("a pass rate is ", rate, ", outside [0, 1] (problems are ranked by it)."));
    std::vector<std::size_t> order(pass_rate.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return pass_rate[a] < pass_rate[b]; });
    std::vector<int> quintile(order.size());
    for (std::size_t rank = 0; rank < order.size(); ++rank)
        quintile[order[rank]] = static_cast<int>(rank * 5 / order.size());
    return quintile;
}

}  // namespace tdrm::eval
