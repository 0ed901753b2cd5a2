#include "tdrm/eval/prm_score.hpp"

#include <algorithm>

namespace tdrm::eval {
namespace {

double ratio(std::int64_t part, std::int64_t whole) {
    return whole == 0 ? -1 : static_cast<double>(part) / static_cast<double>(whole);
}

double f1_of(double precision, double recall) {
    return precision + recall == 0 ? -1 : 2 * precision * recall / (precision + recall);
}

}  // namespace

StepCounts& StepCounts::operator+=(const StepCounts& other) {
    tp += other.tp;
    fp += other.fp;
    tn += other.tn;
    fn += other.fn;
    return *this;
}

StepCounts count_steps(std::span<const double> value_T, std::span<const std::int64_t> error_steps, double threshold) {
    StepCounts counts;
    for (std::size_t t = 0; t < value_T.size(); ++t) {
        const bool called_right = value_T[t] > threshold;
        const bool wrong =
            std::find(error_steps.begin(), error_steps.end(), static_cast<std::int64_t>(t)) != error_steps.end();
        ++(wrong ? (called_right ? counts.fp : counts.tn) : (called_right ? counts.tp : counts.fn));
    }
    return counts;
}

PrmScore prm_score(const StepCounts& c) {
    PrmScore score;
    score.f1 = f1_of(ratio(c.tp, c.tp + c.fp), ratio(c.tp, c.tp + c.fn));
    score.negative_f1 = f1_of(ratio(c.tn, c.tn + c.fn), ratio(c.tn, c.tn + c.fp));
    score.prm_score = 0.5 * score.f1 + 0.5 * score.negative_f1;
    score.accuracy = ratio(c.tp + c.tn, c.tp + c.tn + c.fp + c.fn);
    score.accuracy_right = ratio(c.tp, c.tp + c.fn);
    score.accuracy_wrong = ratio(c.tn, c.tn + c.fp);
    return score;
}

}  // namespace tdrm::eval
