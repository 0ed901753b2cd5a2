// Stage `best_of_n`: choosing among stored candidates by values, against majority vote and pass@N.
#include <algorithm>
#include <limits>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/eval/selection.hpp"
#include "tdrm/eval/value_report.hpp"
#include "tdrm/reward/loss.hpp"
#include "tdrm/reward/score.hpp"
#include "tdrm/stage/maps.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"

namespace tdrm::stage {
namespace {

using reward::ScoreAt;
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
        f("subsets", subsets, "random subsets that majority votes are averaged over", between(1, 1e9));
    }
};

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
            result.push_back(reward::score_of(at, logits.subspan(offsets_[row], offsets_[row + 1] - offsets_[row]),
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

nlohmann::json calibration_json(const eval::Calibration& calibration) {
    nlohmann::json bins = nlohmann::json::array();
    for (const auto& bin : calibration.bins)
        if (bin.count > 0)
            bins.push_back({{"low", bin.low},
                            {"high", bin.high},
                            {"count", bin.count},
                            {"prediction", bin.mean_prediction},
                            {"truth", bin.mean_truth}});
    return {{"bins", bins},
            {"ece", calibration.ece},
            {"brier", calibration.brier},
            {"log_loss", calibration.log_loss},
            {"auc", calibration.auc}};
}

/// Calibration of all states against the outcome and the truth, where known; smoothness of the values.
nlohmann::json value_report(const rollout::Trajectories& data, std::span<const float> logits,
                            const rollout::StateLabels& labels) {
    std::vector<double> value, outcome(data.outcome.begin(), data.outcome.end());
    for (const float logit : logits) value.push_back(reward::sigmoid(static_cast<double>(logit)));
    for (std::size_t row = 0; row < labels.outcome_known.size(); ++row)
        if (labels.outcome_known[row] == 0) outcome[row] = std::numeric_limits<double>::quiet_NaN();
    const std::vector<double> truth(labels.truth.begin(), labels.truth.end());
    const auto report = eval::value_report(value, rollout::state_offsets(data), outcome, truth);
    nlohmann::json json{{"states", report.states}, {"mean_value_change", report.mean_value_change}};
    if (report.outcome) json["outcome"] = calibration_json(*report.outcome);
    if (report.truth) json["truth"] = calibration_json(*report.truth);
    return json;
}

class BestOfNStage final : public Stage {
public:
    explicit BestOfNStage(BestOfNOptions options) : options_(std::move(options)) {}
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
        std::optional<Memory> most;  // one value model at a time
        for (std::size_t i = 0; i < options_.values.size(); ++i) {
            const auto spec = planned.model(cat("values[", i, "]"));
            if (!spec) return std::nullopt;
            const Memory memory =
                frozen_memory("a value model", *spec).add(scoring_memory(*spec, rollout::kScoreTokens));
            if (!most || memory.total() > most->total()) most = memory;
        }
        return most;
    }

private:
    [[nodiscard]] nlohmann::json report(StageContext& context, const rollout::Trajectories& data,
                                        const std::vector<std::vector<float>>& logits) const {
        const CandidateTable table(context.task, data);
        const auto sizes = eval::curve_sizes(table.most());
        eval::VoteOptions votes;
        votes.subsets = options_.subsets;
        votes.seed = context.seed;
        const auto labels = rollout::load_labels(context.input("data").directory, context.task, data);
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
            values[models[m].label] = value_report(data, logits[m], labels);
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
