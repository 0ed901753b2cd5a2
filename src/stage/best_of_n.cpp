// Stage `best_of_n`: choosing among stored candidates by values, against majority vote and pass@N.
#include <algorithm>
#include <cmath>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/eval/calibration.hpp"
#include "tdrm/eval/selection.hpp"
#include "tdrm/eval/smoothness.hpp"
#include "tdrm/reward/loss.hpp"
#include "tdrm/stage/maps.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"

namespace tdrm::stage {
namespace {

/// How the values of an answer's states become its score.
enum class ScoreAt { last, penultimate, minimum, mean, product };
constexpr auto enum_names(ScoreAt) {
    return std::array<std::pair<ScoreAt, std::string_view>, 5>{{{ScoreAt::last, "last"},
                                                                {ScoreAt::penultimate, "penultimate"},
                                                                {ScoreAt::minimum, "minimum"},
                                                                {ScoreAt::mean, "mean"},
                                                                {ScoreAt::product, "product"}}};
}
std::string_view word(ScoreAt at) { return enum_names(ScoreAt{})[static_cast<std::size_t>(at)].second; }

struct BestOfNOptions {
    std::string data;
    std::vector<std::string> values;
    std::vector<ScoreAt> at{ScoreAt::last};
    rollout::ReadOutOptions read_out;
    int subsets = 256;

    void fields(Fields& f) {
        f("data", data, "candidates: a rollout stage, or file:trajectories.h5").required();
        f("values", values, "value models that choose").required();
        f("at", at,
          "score of an answer: value of its last or penultimate state; minimum, mean or product over its steps");
        f("read_out", read_out, "how value models named hf:DIR are read");
        f("subsets", subsets, "random subsets that majority votes are averaged over", at_least(1));
    }
};

double score_of(ScoreAt at, std::span<const float> logits, std::int64_t penultimate) {
    const auto probability = [&](std::size_t s) { return reward::sigmoid(static_cast<double>(logits[s])); };
    if (at == ScoreAt::penultimate) return static_cast<double>(logits[static_cast<std::size_t>(penultimate)]);
    if (at == ScoreAt::last || logits.size() == 1) return static_cast<double>(logits.back());
    double lowest = 1, sum = 0, product = 1;
    for (std::size_t s = 1; s < logits.size(); ++s) {
        lowest = std::min(lowest, probability(s));
        sum += probability(s);
        product *= probability(s);
    }
    if (at == ScoreAt::minimum) return lowest;
    return at == ScoreAt::mean ? sum / static_cast<double>(logits.size() - 1) : product;
}

/// The candidates as eval::selection_curve wants them.
class CandidateTable {
public:
    CandidateTable(const task::Task& task, const rollout::Trajectories& data)
        : task_(task), data_(data), offsets_(rollout::state_offsets(data)) {
        correct_.assign(data.outcome.begin(), data.outcome.end());
        answer_.resize(data.size());
        for (const auto& [begin, end] : data.groups()) {
            const auto ids = eval::answer_ids(std::span(data.answer).subspan(begin, end - begin));
            std::copy(ids.begin(), ids.end(), answer_.begin() + static_cast<std::ptrdiff_t>(begin));
        }
    }

    [[nodiscard]] std::vector<double> scores(ScoreAt at, std::span<const float> logits) const {
        std::vector<double> result;
        for (std::size_t row = 0; row < data_.size(); ++row)
            result.push_back(score_of(at, logits.subspan(offsets_[row], offsets_[row + 1] - offsets_[row]),
                                      task_.penultimate(data_.ids(row), data_.step_ends(row))));
        return result;
    }

    [[nodiscard]] std::vector<eval::Candidates> with(std::span<const double> scores) const {
        std::vector<eval::Candidates> result;
        const auto groups = data_.groups();
        for (std::size_t p = 0; p < groups.size(); ++p) {
            const auto [begin, end] = groups[p];
            const auto n = end - begin;
            result.push_back({std::span(correct_).subspan(begin, n), scores.empty() ? scores : scores.subspan(begin, n),
                              std::span(answer_).subspan(begin, n), static_cast<std::uint64_t>(data_.problem_id[p])});
        }
        return result;
    }

    [[nodiscard]] std::int64_t most() const {
        std::int64_t fewest = static_cast<std::int64_t>(data_.size());
        for (const auto& [begin, end] : data_.groups())
            fewest = std::min(fewest, static_cast<std::int64_t>(end - begin));
        return fewest;
    }

private:
    const task::Task& task_;
    const rollout::Trajectories& data_;
    std::vector<std::size_t> offsets_;
    std::vector<double> correct_;
    std::vector<std::int32_t> answer_;
};

nlohmann::json interval_json(const eval::Interval& interval) {
    return {{"mean", interval.mean}, {"low", interval.low}, {"high", interval.high}, {"count", interval.count}};
}

nlohmann::json curve_json(const std::string& method, const eval::SelectionCurve& curve) {
    nlohmann::json points = nlohmann::json::array();
    for (std::size_t i = 0; i < curve.n.size(); ++i) {
        auto point = interval_json(curve.at(i));
        point["n"] = curve.n[i];
        points.push_back(point);
    }
    // Per problem at the largest N, so that methods can be compared in pairs.
    return {{"method", method}, {"points", points}, {"per_problem", curve.accuracy.back()}};
}

/// Calibration of all states against the outcome and, where known, the exact truth; smoothness of the values.
nlohmann::json value_report(const rollout::Trajectories& data, std::span<const float> logits,
                            std::span<const float> truth) {
    const auto offsets = rollout::state_offsets(data);
    std::vector<double> predicted, outcome, exact(truth.begin(), truth.end());
    double change = 0, transitions = 0;
    for (std::size_t row = 0; row < data.size(); ++row)
        for (std::size_t s = offsets[row]; s < offsets[row + 1]; ++s) {
            predicted.push_back(reward::sigmoid(static_cast<double>(logits[s])));
            outcome.push_back(static_cast<double>(data.outcome[row]));
            if (s > offsets[row] && s + 1 < offsets[row + 1]) {
                change += std::abs(predicted[s] - predicted[s - 1]);
                transitions += 1;
            }
        }
    const auto quality = [&](const std::vector<double>& against) {
        nlohmann::json bins = nlohmann::json::array();
        const auto reliability = eval::reliability_bins(predicted, against);
        for (const auto& bin : reliability)
            if (bin.count > 0)
                bins.push_back({{"low", bin.low},
                                {"high", bin.high},
                                {"count", bin.count},
                                {"prediction", bin.mean_prediction},
                                {"truth", bin.mean_truth}});
        return nlohmann::json{{"bins", bins},
                              {"ece", eval::expected_calibration_error(reliability)},
                              {"brier", eval::brier_score(predicted, against)},
                              {"log_loss", eval::log_loss(predicted, against)},
                              {"auc", eval::roc_auc(predicted, against)}};
    };
    nlohmann::json report{
        {"states", predicted.size()},
        {"outcome", quality(outcome)},
        {"mean_value_change", transitions > 0 ? nlohmann::json(change / transitions) : nlohmann::json()}};
    if (!exact.empty()) report["truth"] = quality(exact);
    return report;
}

class BestOfNStage final : public Stage {
public:
    explicit BestOfNStage(const BestOfNOptions& options) : options_(options) {}
    [[nodiscard]] std::string identity() const override { return tdrm::identity(options_); }
    void check(const task::Task& task, const std::string& path, Problems& problems) const override {
        rollout::check_read_out(options_.read_out, task, path + ".read_out", problems);
        if (options_.values.empty())
            problems.push_back(
                {"", path + ".values", "names no value model (nothing would choose). Name at least one."});
    }

    StageOutcome run(StageContext& context) override {
        const auto data = load_trajectories(context, context.input("data"));
        std::vector<std::vector<float>> logits;
        for (const Input& value : context.inputs_of("values"))
            logits.push_back(score_map(context, data, value, context.node.name + " " + value.label,
                                       context.directory / value.label, options_.read_out));
        context.ranks.agree("best-of-N curves", [&] {
            if (context.ranks.root()) write_results(context.directory, report(context, data, logits));
        });
        return {};
    }

    [[nodiscard]] std::string plan(const task::Task&) const override {
        return cat(options_.values.size(), " value models choose among the candidates of ", options_.data);
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        const auto spec = planned.model("values[0]");
        if (!spec) return std::nullopt;
        return frozen_memory("a value model", *spec).add(scoring_memory(*spec, rollout::kScoreTokens));
    }

private:
    [[nodiscard]] nlohmann::json report(StageContext& context, const rollout::Trajectories& data,
                                        const std::vector<std::vector<float>>& logits) const {
        const CandidateTable table(context.task, data);
        const auto sizes = eval::curve_sizes(table.most());
        eval::VoteOptions votes;
        votes.subsets = options_.subsets;
        votes.seed = context.seed;
        const auto truth = rollout::state_labels(context.task, data).truth;
        nlohmann::json curves = nlohmann::json::array();
        curves.push_back(
            curve_json("majority", eval::selection_curve(eval::Selection::majority, table.with({}), sizes, votes)));
        curves.push_back(
            curve_json("pass@N", eval::selection_curve(eval::Selection::pass_at_n, table.with({}), sizes, votes)));
        nlohmann::json values = nlohmann::json::object();
        const auto models = context.inputs_of("values");
        for (std::size_t m = 0; m < models.size(); ++m) {
            for (const ScoreAt at : options_.at) {
                const auto scores = table.scores(at, logits[m]);
                auto curve =
                    curve_json(cat(models[m].label, " ", word(at)),
                               eval::selection_curve(eval::Selection::best_of_n, table.with(scores), sizes, votes));
                curve["model"] = models[m].label;
                curve["at"] = word(at);
                curves.push_back(curve);
            }
            values[models[m].label] = value_report(data, logits[m], truth);
        }
        return {{"kind", "best_of_n"},
                {"data", context.input("data").label},
                {"problems", data.num_problems()},
                {"curves", curves},
                {"values", values}};
    }

    BestOfNOptions options_;
};

}  // namespace

StageKind best_of_n_kind() {
    return kind_of<BestOfNOptions, BestOfNStage>("selection among stored candidates by value models",
                                                 {"data", "values[]"});
}

}  // namespace tdrm::stage
