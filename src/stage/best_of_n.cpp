// Stage `best_of_n`: choosing among stored candidates by values, against majority vote and pass@N.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <unordered_map>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/base/words.hpp"
#include "tdrm/eval/selection.hpp"
#include "tdrm/eval/value_report.hpp"
#include "tdrm/reward/loss.hpp"
#include "tdrm/reward/score.hpp"
#include "tdrm/rollout/state_tree.hpp"
#include "tdrm/stage/cost.hpp"
#include "tdrm/stage/maps.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/train/value.hpp"

namespace tdrm::stage {
namespace {

using reward::ScoreAt;

/// Choices that need no value model.
enum class Baseline {
    log_prob,       ///< the policy's log-prob of the answer, sum over its tokens
    mean_log_prob,  ///< mean over its tokens
    shortest,       ///< fewest tokens
};
constexpr auto enum_names(Baseline) {
    return std::array<std::pair<Baseline, std::string_view>, 3>{{{Baseline::log_prob, "log_prob"},
                                                                 {Baseline::mean_log_prob, "mean_log_prob"},
                                                                 {Baseline::shortest, "shortest"}}};
}

/// One number an answer, the larger the better; NaN where the answer has no log-probs.
std::vector<double> baseline_scores(Baseline baseline, const rollout::Trajectories& data) {
    std::vector<double> scores;
    for (std::size_t row = 0; row < data.size(); ++row) {
        const auto logprobs = data.logprobs(row);
        const auto tokens = static_cast<double>(logprobs.size());
        const double sum = std::accumulate(logprobs.begin(), logprobs.end(), 0.0);
        scores.push_back(baseline == Baseline::shortest   ? -tokens
                         : baseline == Baseline::log_prob ? sum
                                                          : sum / std::max(tokens, 1.0));
    }
    return scores;
}

struct BestOfNOptions {
    std::string data;
    std::vector<std::string> values;
    std::vector<Baseline> baselines;
    std::vector<ScoreAt> at{ScoreAt::last};
    rollout::ReadOutOptions read_out;
    int subsets = 256;
    std::vector<eval::VoteWeight> votes;
    double power = 2;
    std::string difficulty;
    double caution = 0;

    void fields(Fields& f) {
        f("data", data, "candidates: a rollout stage, or file:trajectories.h5").required();
        f("values", values, "value models that choose").required();
        f("baselines", baselines,
          "choices without a value model beside them: by the policy's log-prob of the answer, in sum or mean, or by "
          "length");
        f("at", at,
          "score of an answer: value of its last or penultimate state; minimum, mean or product over its steps; of "
          "models of hazards their survival");
        f("read_out", read_out, "how value models named hf:DIR are read");
        f("subsets", subsets, "random subsets that votes are averaged over", between(1, 1e9));
        f("votes", votes, "votes among equal answers, too, each weighed by the candidate's score");
        f("power", power, "exponent of votes: power", above(0));
        f("difficulty", difficulty,
          "answers of the base policy to the same problems: its pass rates cut curves into fifths; none = no fifths");
        f("caution", caution, "deviations of an ensemble's members that are taken off its values before they choose",
          at_least(0));
    }
};

/// The candidates as eval::selection_curve wants them.
class CandidateTable {
public:
    /// A candidate is right if its verdict is, before flips.
    CandidateTable(const task::Task& task, const rollout::Trajectories& data, const rollout::StateLabels& labels)
        : task_(task), data_(data), offsets_(rollout::state_offsets(data)) {
        correct_.assign(data.outcome.begin(), data.outcome.end());
        if (!labels.true_outcome.empty()) correct_.assign(labels.true_outcome.begin(), labels.true_outcome.end());
        answer_.resize(data.size());
        const auto same = [&task](std::string_view a, std::string_view b) { return task.same_answer(a, b); };
        for (const auto& [begin, end] : data.groups()) {
            const auto ids = eval::answer_ids(std::span(data.answer).subspan(begin, end - begin), same);
            std::copy(ids.begin(), ids.end(), answer_.begin() + static_cast<std::ptrdiff_t>(begin));
        }
    }

    /// One number an answer: reward::score_of or reward::probability_of.
    template <class Score>
    [[nodiscard]] std::vector<double> scores(Score score, ScoreAt at, std::span<const float> logits) const {
        std::vector<double> result;
        for (std::size_t row = 0; row < data_.size(); ++row)
            result.push_back(score(at, logits.subspan(offsets_[row], offsets_[row + 1] - offsets_[row]),
                                   task_.penultimate(data_.ids(row), data_.step_ends(row))));
        return result;
    }

    /// @param scores of all candidates, or weights of their votes; empty where neither counts
    [[nodiscard]] std::vector<eval::Candidates> with(std::span<const double> scores) const {
        std::vector<eval::Candidates> result;
        const auto groups = data_.groups();
        for (std::size_t p = 0; p < groups.size(); ++p) {
            const auto [begin, end] = groups[p];
            const auto n = end - begin;
            result.push_back({std::span(correct_).subspan(begin, n), scores.empty() ? scores : scores.subspan(begin, n),
                              std::span(answer_).subspan(begin, n), static_cast<std::uint64_t>(data_.problem_id[p]),
                              scores.empty() ? scores : scores.subspan(begin, n)});
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

/// Points of the problems in one fifth, at every N.
nlohmann::json fifth_json(const eval::SelectionCurve& curve, std::span<const int> quintile, int which) {
    nlohmann::json points = nlohmann::json::array();
    for (std::size_t i = 0; i < curve.n.size(); ++i) {
        std::vector<double> of_fifth;
        for (std::size_t p = 0; p < quintile.size(); ++p)
            if (quintile[p] == which) of_fifth.push_back(curve.accuracy[i][p]);
        auto point = interval_json(eval::mean_interval(of_fifth));
        point["n"] = curve.n[i];
        points.push_back(point);
    }
    return points;
}

/// @param quintile fifth of each problem; empty = curves aren't cut
/// @param values of the model that chooses; null if none does
nlohmann::json curve_json(const std::string& method, const eval::SelectionCurve& curve, std::span<const int> quintile,
                          const SelectionCost& cost, const rollout::ValueTable* values) {
    nlohmann::json points = nlohmann::json::array();
    for (std::size_t i = 0; i < curve.n.size(); ++i) {
        auto point = interval_json(curve.at(i));
        point["n"] = curve.n[i];
        point.update(cost.json_at(curve.n[i], values));
        if (curve.sampling[i] > 0) point["sampling"] = curve.sampling[i];
        points.push_back(point);
    }
    // Per problem at the largest N, so that methods can be compared in pairs.
    nlohmann::json json{{"method", method}, {"points", points}, {"per_problem", curve.accuracy.back()}};
    for (int fifth = 0; fifth < 5 && !quintile.empty(); ++fifth)
        json["quintiles"].push_back(fifth_json(curve, quintile, fifth));
    return json;
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
            {"auc", calibration.auc},
            {"auc_within", calibration.auc_within},
            {"explained_variance", calibration.explained_variance}};
}

/// Null without a pair of siblings. `per_problem`: the same mse of each problem, null where it has no pair.
nlohmann::json siblings_json(const rollout::StateTree& tree, std::span<const double> value,
                             std::span<const double> truth) {
    const auto all = eval::sibling_figures(value, truth, tree.parent_N);
    if (!all) return nullptr;
    nlohmann::json per_problem = nlohmann::json::array();
    for (std::size_t begin = 0, end = 1; begin < value.size(); begin = end++) {
        while (end < value.size() && tree.parent_N[end] >= 0) ++end;  // to the next prompt
        std::vector<std::int32_t> parent;
        for (std::size_t n = begin; n < end; ++n) parent.push_back(tree.parent_N[n] - static_cast<std::int32_t>(begin));
        const auto one =
            eval::sibling_figures(value.subspan(begin, end - begin), truth.subspan(begin, end - begin), parent);
        per_problem.push_back(one ? nlohmann::json(one->mse) : nlohmann::json());
    }
    return {{"pairs", all->pairs}, {"mse", all->mse}, {"order", all->order}, {"per_problem", per_problem}};
}

/// Calibration of all states against everything that is known about them, each figure under the name of what it is
/// compared with (the task's or the importer's labels as `truth`); smoothness of the values.
nlohmann::json value_report(const rollout::Trajectories& data, std::span<const float> logits,
                            const rollout::StateLabels& labels, bool hazards) {
    const auto values = train::state_values(data, logits, hazards);
    const std::vector<double> nothing(data.size(), std::numeric_limits<double>::quiet_NaN());
    const auto report = eval::value_report(values, rollout::state_offsets(data), nothing, {});
    const auto tree = rollout::state_tree(data);
    nlohmann::json json{{"states", report.states}, {"mean_value_change", report.mean_value_change}};
    for (const auto& [name, meaning, truth] : rollout::estimands(data, labels, hazards)) {
        const auto calibration =
            eval::calibrate(values, std::vector<double>(truth.begin(), truth.end()), train::problem_states(data));
        if (!calibration) continue;
        auto& entry = json[name == labels.kind ? "truth" : name] = calibration_json(*calibration);
        entry["estimand"] = name;
        entry["meaning"] = meaning;
        // The verdict of one answer is nothing that its states have: siblings are compared where states are judged.
        if (name.find("outcome") != std::string::npos) continue;
        if (auto siblings = siblings_json(tree, tree.by_node(values), tree.by_node(truth)); !siblings.is_null())
            entry["siblings"] = std::move(siblings);
    }
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
        std::vector<Judge> judges;
        for (const Input& value : context.inputs_of("values")) {
            judges.push_back({value.label, score_map(context, data, value, context.node.name + " " + value.label,
                                                     context.directory / value.label, options_.read_out)});
            judges.back().hazards = check_kind(context, value);
            if (options_.caution > 0 && judges.back().table.deviation.empty())
                context.ranks.fail_together(ConfigError(
                    cat("stage ", context.node.name, ": caution is ", options_.caution, ", but ", value.label,
                        " is no ensemble (one model has no deviation to take off). Leave caution out, or train with "
                        "members: 2.")));
        }
        const auto quintile = quintiles(context, data);
        nlohmann::json headline = nlohmann::json::object();
        context.ranks.agree("best-of-N curves", [&] {
            if (!context.ranks.root()) return;
            const auto results = report(context, data, judges, quintile);
            write_results(context.directory, results);
            headline = headline_of(results);
        });
        return {0, -1, headline};
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
    /// Accuracy with all candidates, by method: without value models, and of each model by its first score.
    [[nodiscard]] static nlohmann::json headline_of(const nlohmann::json& results) {
        nlohmann::json headline = nlohmann::json::object();
        std::set<std::string> models;
        for (const auto& curve : results.at("curves")) {
            if (curve.contains("vote") || curve.at("points").empty()) continue;
            if (curve.contains("model") && !models.insert(curve.at("model")).second) continue;
            const auto& last = curve.at("points").back();
            headline["N"] = last.at("n");
            headline[curve.at("method").get<std::string>()] = last.at("mean");
        }
        return headline;
    }

    /// A value model, and what it says of the candidates.
    struct Judge {
        std::string label;
        rollout::ValueTable table;
        bool hazards = false;
    };

    /// What a token of the policy costs that made the candidates.
    [[nodiscard]] static std::optional<TokenFlop> policy_flop(const Input& data) {
        const bool folder = std::filesystem::is_directory(data.directory);
        return stage::policy_flop(store::FileReader(folder ? data.directory / "trajectories.h5" : data.directory));
    }

    /// Logits of V - caution x deviation; hazards are raised instead.
    [[nodiscard]] std::vector<float> lowered(std::span<const float> logits, std::span<const float> deviation,
                                             bool hazards) const {
        std::vector<float> result;
        for (std::size_t s = 0; s < logits.size(); ++s) {
            const double off = options_.caution * static_cast<double>(deviation[s]) * (hazards ? -1 : 1);
            const double p = std::clamp(reward::sigmoid(static_cast<double>(logits[s])) - off, 1e-9, 1 - 1e-9);
            result.push_back(static_cast<float>(std::log(p) - std::log1p(-p)));
        }
        return result;
    }

    /// Whether scores are of models like this one: survival of hazards, everything else of values.
    [[nodiscard]] static bool fits(ScoreAt at, bool hazards) { return (at == ScoreAt::survival) == hazards; }

    /// Collective. Whether a model is one of hazards. @throws ConfigError if `at` names no score for it
    bool check_kind(StageContext& context, const Input& value) const {
        const bool hazards = is_of_hazards(context, value);
        const bool any =
            std::any_of(options_.at.begin(), options_.at.end(), [&](ScoreAt at) { return fits(at, hazards); });
        if (!any)
            context.ranks.fail_together(ConfigError(
                cat("stage ", context.node.name, ": ", value.label,
                    hazards ? " is a model of hazards" : " isn't a model of hazards",
                    " (so none of the scores in `at` can be had from it). Add ", hazards ? "survival." : "last.")));
        return hazards;
    }

    /// Collective. The fifth of each problem by the base policy's pass rate; empty if `difficulty` names nothing.
    [[nodiscard]] std::vector<int> quintiles(StageContext& context, const rollout::Trajectories& data) const {
        if (options_.difficulty.empty()) return {};
        const auto base = load_trajectories(context, context.input("difficulty"));
        return context.ranks.agree("difficulty of problems", [&] {
            const auto labels = rollout::load_labels(context.input("difficulty").directory, context.task, base);
            std::unordered_map<std::int64_t, double> rate;
            const auto groups = base.groups();
            for (std::size_t p = 0; p < groups.size(); ++p) {
                const auto [begin, end] = groups[p];
                double right = 0;
                for (std::size_t row = begin; row < end; ++row)
                    right += labels.true_outcome.empty() ? double{base.outcome[row]}
                                                         : static_cast<double>(labels.true_outcome[row]);
                if (end > begin) rate[base.problem_id[p]] = right / static_cast<double>(end - begin);
            }
            std::vector<double> rates;
            for (const std::int64_t id : data.problem_id) {
                const auto found = rate.find(id);
                if (found == rate.end())
                    throw DataError(cat(context.input("difficulty").label, " has no answer to problem ", id, " of ",
                                        context.input("data").label,
                                        " (its difficulty is the base policy's pass rate). Name answers to the same "
                                        "problems."));
                rates.push_back(found->second);
            }
            return eval::difficulty_quintiles(rates);
        });
    }

    [[nodiscard]] nlohmann::json report(StageContext& context, const rollout::Trajectories& data,
                                        std::span<const Judge> judges, std::span<const int> quintile) const {
        const auto labels = rollout::load_labels(context.input("data").directory, context.task, data);
        const CandidateTable table(context.task, data, labels);
        const auto sizes = eval::curve_sizes(table.most());
        eval::VoteOptions votes;
        votes.subsets = options_.subsets;
        votes.seed = context.seed;
        const SelectionCost cost(data, policy_flop(context.input("data")));
        const auto curve = [&](const std::string& method, eval::Selection selection, std::span<const double> scores,
                               const rollout::ValueTable* values) {
            return curve_json(method, eval::selection_curve(selection, table.with(scores), sizes, votes), quintile,
                              cost, values);
        };
        nlohmann::json curves = nlohmann::json::array();
        curves.push_back(curve("majority", eval::Selection::majority, {}, nullptr));
        curves.push_back(curve("pass@N", eval::Selection::pass_at_n, {}, nullptr));
        for (const Baseline baseline : options_.baselines) {
            const auto scores = baseline_scores(baseline, data);
            if (std::any_of(scores.begin(), scores.end(), [](double score) { return std::isnan(score); }))
                throw ConfigError(cat("stage ", context.node.name, ": candidates of ", context.input("data").label,
                                      " have no log-probs (they are scripted or from elsewhere), which baseline ",
                                      word_of(baseline), " needs. Leave it out."));
            curves.push_back(curve(std::string(word_of(baseline)), eval::Selection::best_of_n, scores, nullptr));
            curves.back()["baseline"] = word_of(baseline);
        }
        nlohmann::json values = nlohmann::json::object();
        for (const Judge& judge : judges) {
            const auto& logits = judge.table.scores.logits;
            const auto& deviation = judge.table.deviation;
            const auto cautious = options_.caution > 0 ? lowered(logits, deviation, judge.hazards) : logits;
            for (const ScoreAt at : options_.at) {
                if (!fits(at, judge.hazards)) continue;
                const auto add = [&](const std::string& suffix, eval::Selection selection,
                                     std::span<const double> scores) -> nlohmann::json& {
                    curves.push_back(
                        curve(cat(judge.label, " ", word_of(at), suffix), selection, scores, &judge.table));
                    curves.back()["model"] = judge.label;
                    curves.back()["at"] = word_of(at);
                    return curves.back();
                };
                add("", eval::Selection::best_of_n, table.scores(reward::score_of, at, cautious));
                for (const eval::VoteWeight weight : options_.votes) {
                    const auto name = word_of(weight);
                    const auto weights =
                        eval::vote_weights(weight, table.scores(reward::probability_of, at, cautious), options_.power);
                    add(cat(" vote ", name), eval::Selection::weighted, weights)["vote"] = name;
                }
            }
            auto& entry = values[judge.label] = value_report(data, logits, labels, judge.hazards);
            if (!deviation.empty())
                entry["mean_deviation"] =
                    std::accumulate(deviation.begin(), deviation.end(), 0.0) / static_cast<double>(deviation.size());
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
    return kind_of<BestOfNOptions, BestOfNStage>("selection among stored candidates by value models", kNothing,
                                                 {{"data", kAnswers}, {"values[]", kValues}, {"difficulty", kAnswers}});
}

}  // namespace tdrm::stage
