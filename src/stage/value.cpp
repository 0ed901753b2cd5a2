// Stage `value`: a value model (process or outcome reward model) from judged trajectories.
#include "tdrm/train/value.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/base/words.hpp"
#include "tdrm/rollout/answers.hpp"
#include "tdrm/rollout/labels.hpp"
#include "tdrm/stage/models.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/stage/training.hpp"
#include "tdrm/train/value_data.hpp"
#include "value_team.hpp"

namespace tdrm::stage {
namespace {

enum class SelectBy { log_loss, brier, auc, accuracy };
constexpr auto enum_names(SelectBy) {
    return std::array<std::pair<SelectBy, std::string_view>, 4>{{{SelectBy::log_loss, "log_loss"},
                                                                 {SelectBy::brier, "brier"},
                                                                 {SelectBy::auc, "auc"},
                                                                 {SelectBy::accuracy, "accuracy"}}};
}

struct SelectOptions {
    double holdout = 0.1;
    SelectBy by = SelectBy::log_loss;
    std::int64_t every = 0;
    int patience = 0;
    void fields(Fields& f) {
        f("holdout", holdout, "share of the problems that is held out to choose the best update; 0 = none",
          from_to_below(0, 1));
        f("by", by, "figure on the held-out problems that chooses");
        f("every", every, "updates between measurements; 0 = an eighth of the training", between(0, 1e9));
        f("patience", patience, "stop after so many measurements without a new best; 0 = never", between(0, 1e9));
    }
};

/// What learns.
enum class Trained {
    all,
    head,  ///< on the frozen body's hidden states, which are computed once
};
constexpr auto enum_names(Trained) {
    return std::array<std::pair<Trained, std::string_view>, 2>{{{Trained::all, "all"}, {Trained::head, "head"}}};
}

struct ValueStageOptions {
    std::string init, data;
    Trained trained = Trained::all;
    std::string features;
    bool keep_body = true;
    train::LabelSource labels = train::LabelSource::truth;
    reward::TargetOptions target;
    std::optional<int> members;
    std::int64_t problems = 0;
    double epochs = 2;
    std::int64_t updates = 0;
    int batch = 32;
    int unit_tokens = 512;
    TrainFields learning{.optimizer = {.lr = 1e-3}, .precision = {}, .commit = {}};
    SelectOptions select;

    void fields(Fields& f) {
        f("init", init, "model whose body is the start (its head is replaced by a fresh one)").required();
        f("data", data, "judged trajectories").required();
        f("train", trained, "what learns: the whole model, or its head on the frozen body's hidden states");
        f("features", features, "stage that has these hidden states, for train: head; none = they are made here");
        f("keep_body", keep_body,
          "commits of heads hold the frozen body, too; false: they name it, and it must stay where it is");
        f("labels", labels, "what labels of states are: the truth of the data, exact values, sampled continuations");
        f("target", target, "what the values are trained towards");
        f("members", members,
          "models of an ensemble, each trained on its own part of the problems; none = one model on all of them",
          between(1, 1e3));
        f("problems", problems,
          "problems to train on: the first so many of the data that aren't held out; 0 = all. For asking how much data "
          "a target needs",
          between(0, 1e9));
        f("epochs", epochs, "passes over the trajectories", above_up_to(0, 1e6));
        f("updates", updates, "optimiser updates; 0 = as many as the epochs need", between(0, 1e9)).not_identity();
        f("batch", batch, "trajectories per update", between(1, 1e9));
        f("unit_tokens", unit_tokens, "tokens of a unit, the piece that one rank computes at once", between(1, 1e8));
        learning.fields(f);
        f("select", select, "held-out problems, and how they choose the best update");
    }
};

class ValueStage final : public Stage {
public:
    explicit ValueStage(ValueStageOptions options) : options_(std::move(options)) {}
    [[nodiscard]] std::string identity() const override {
        ValueStageOptions resolved = options_;
        resolved.learning = options_.learning.resolved(options_.updates);
        return tdrm::identity(resolved);
    }

    void check(const task::Task&, const std::string& path, Problems& problems) const override {
        if (options_.members == 1)
            problems.push_back({"", path + ".members",
                                "is 1 (an ensemble of one says nothing about its own doubt, it is a single "
                                "model). Leave it out, or set at least 2."});
        if (!options_.keep_body && options_.trained == Trained::all)
            problems.push_back({"", path + ".keep_body",
                                "is false, but the whole model is trained (the body is what is learnt). Set train: "
                                "head, or leave keep_body out."});
        if (options_.learning.lora.head)
            problems.push_back({"", path + ".lora.head",
                                "is for language heads (a value head always learns beside adapters). Leave it out, or "
                                "set train: head."});
        if (options_.learning.lora.rank > 0 &&
            (options_.trained == Trained::head || options_.target.bootstrap == reward::Bootstrap::ema))
            problems.push_back({"", path + ".lora",
                                "adapts the body, but the head alone learns, or a moving average of all weights is "
                                "kept (one excludes the other). Leave lora out, or train: all with bootstrap: same."});
        if (options_.learning.lora.rank > 0 && options_.members)
            problems.push_back(
                {"", path + ".lora", "is for one model (members of an ensemble learn whole). Leave members out."});
        if (!options_.features.empty() && options_.trained == Trained::all)
            problems.push_back({"", path + ".features",
                                "is given, but the whole model is trained (its hidden states change at every update). "
                                "Set train: head, or leave features out."});
    }

    [[nodiscard]] std::int64_t updates(const task::Task&) const override { return options_.updates; }

    StageOutcome run(StageContext& context) override {
        const auto data = load_trajectories(context, context.input("data"));
        const auto labels = context.ranks.agree("reading labels", [&] {
            return rollout::load_labels(context.input("data").directory, context.task, data);
        });
        auto given = train::value_labels(labels, options_.labels);
        require_known(context, data, labels, given);
        auto part = train::partition(data, train::truth_of(data, labels, options_.target, given.label),
                                     options_.target.kind == reward::TargetKind::step_label, options_.select.holdout,
                                     context.seed);
        if (options_.problems > 0) train::keep_first_problems(part.training_rows, data, options_.problems);
        if (part.training_rows.empty())
            context.ranks.fail_together(
                DataError(cat("stage ", context.node.name,
                              " has no trajectories to train on (all problems of its data are held out, or there "
                              "are none). Lower select.holdout or give it more data.")));
        warn_if_one_sided(context, data);
        if (!options_.target.needs_labels()) given = {};
        const auto team = make_value_team(context,
                                          {static_cast<std::size_t>(options_.members.value_or(1)),
                                           options_.target.bootstrap == reward::Bootstrap::ema, heads_alone(),
                                           options_.keep_body, options_.learning.lora},
                                          data);
        train::EnsembleObjective objective(objectives_of(context, data, part, given, team));
        objective.on_commit = [&team] { team.complete(); };
        const auto known = held_out_estimands(data, labels, part);
        nlohmann::json meanings = nlohmann::json::object();
        for (const auto& each : known) meanings[each.name] = each.meaning;
        const double rows = static_cast<double>(part.training_rows.size()) / static_cast<double>(team.models.size());
        const std::int64_t updates =
            options_.updates > 0 ? options_.updates
                                 : static_cast<std::int64_t>(std::ceil(options_.epochs * rows / options_.batch));
        return train_model(context, options_.learning, *team.models.front(), objective,
                           selection(context, data, part, known, team, updates), updates, {"loss", cat("eval/", by())},
                           {{"trajectories", part.training_rows.size()},
                            {"held_out_problems", part.held_out.num_problems()},
                            {"by", by()},
                            {"members", team.models.size()},
                            {"values", hazards() ? kHazards : kChances},
                            {"estimands", meanings}},
                           team.beside());
    }

    [[nodiscard]] std::string plan(const task::Task&) const override {
        return options_.updates > 0
                   ? cat(options_.updates, " updates of ", options_.batch, " trajectories")
                   : cat(options_.epochs, " epochs of its data, ", options_.batch, " trajectories an update");
    }

    [[nodiscard]] std::optional<model::ModelSpec> makes(const Planned& planned) const override {
        const auto body = planned.model("init");
        return body ? std::optional(value_spec(*body)) : std::nullopt;
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        const auto spec = makes(planned);
        if (!spec) return std::nullopt;
        if (heads_alone()) {
            Memory memory = training_memory(train::head_spec(*spec), options_.unit_tokens, 1, 0, planned,
                                            options_.learning.precision);
            const bool makes_features = options_.features.empty();
            if (options_.keep_body) memory.add(frozen_memory("the frozen model", *spec, model::Use::training));
            if (makes_features) memory.add(frozen_memory("the model of hidden states", *spec));
            if (makes_features) memory.add(scoring_memory(*spec, rollout::kScoreTokens));
            return memory;
        }
        const int sample = planned.task.max_prompt_tokens() + planned.task.max_answer_tokens();
        const bool averages = options_.target.bootstrap == reward::Bootstrap::ema;
        Planned around = planned;
        if (averages) around.ranks = 1;  // each rank needs the weights whole
        auto memory = training_memory(*spec, options_.unit_tokens, sample, rollout::kScoreTokens, around,
                                      options_.learning.precision, options_.learning.lora);
        if (averages)
            memory.add(frozen_memory("the moving average", *spec, model::Use::training))
                .add(scoring_memory(*spec, options_.unit_tokens + sample));
        Memory all;
        for (int m = 0; m < options_.members.value_or(1); ++m) all.add(memory);
        return all;
    }

private:
    [[nodiscard]] bool heads_alone() const { return options_.trained == Trained::head; }

    /// Collective. One for each model, with its part of the problems.
    [[nodiscard]] std::vector<std::unique_ptr<train::ValueObjective>> objectives_of(StageContext& context,
                                                                                    const rollout::Trajectories& data,
                                                                                    const train::Partition& part,
                                                                                    const train::ValueLabels& given,
                                                                                    const ValueTeam& team) const {
        std::vector<std::unique_ptr<train::ValueObjective>> result;
        const auto rows = train::member_rows(data, part.training_rows, team.models.size(), context.seed);
        for (std::size_t m = 0; m < team.models.size(); ++m) {
            if (rows[m].empty())
                context.ranks.fail_together(
                    DataError(cat("member ", m, " of stage ", context.node.name, " has no problem to learn from (",
                                  rows.size(), " members share those of ", context.input("data").label,
                                  "). Have fewer members, or more problems.")));
            result.push_back(std::make_unique<train::ValueObjective>(
                data, rows[m], given, context.task, *team.models[m], options_.target, context.seed, options_.batch,
                options_.unit_tokens, team.averages.empty() ? nullptr : team.averages[m].get()));
            if (heads_alone()) result.back()->learn_from(team.features);
        }
        return result;
    }

    [[nodiscard]] bool hazards() const { return options_.target.kind == reward::TargetKind::hazard; }

    /// What is known about the held-out states.
    [[nodiscard]] std::vector<rollout::Estimand> held_out_estimands(const rollout::Trajectories& data,
                                                                    const rollout::StateLabels& labels,
                                                                    const train::Partition& part) const {
        auto known = rollout::estimands(data, labels, hazards());
        for (auto& each : known) each.truth_S = train::states_of(data, each.truth_S, part.held_rows);
        std::erase_if(known, [](const auto& each) { return !train::any_known(each.truth_S); });
        return known;
    }

    /// Collective. Refuses data that lack what the target is made of.
    void require_known(StageContext& context, const rollout::Trajectories& data, const rollout::StateLabels& labels,
                       const train::ValueLabels& given) const {
        const auto& target = options_.target;
        const auto& label = context.input("data").label;
        if (data.step_end.empty() && data.size() > 0 && target.kind != reward::TargetKind::outcome_last)
            context.ranks.fail_together(DataError(
                cat("no trajectory of ", label,
                    " has a step (a value is of the state after a step, so there is nothing "
                    "between prompt and outcome to learn). Look at how the task cuts answers into steps, or train an "
                    "outcome model: target.kind: outcome_last.")));
        if (target.needs_labels() && !train::any_known(given.label))
            context.ranks.fail_together(DataError(
                cat(label, " has no step labels", options_.labels == train::LabelSource::truth ? "" : " of this source",
                    " (the targets are made of them). Use an outcome or TD target, or data with labels: imported, of a "
                    "built-in task, of scripted answers (labels: v_pi), or of continuations (labels: sampled).")));
        if (target.label_weight == reward::LabelWeight::tries && given.tries.empty())
            context.ranks.fail_together(DataError(
                cat("it isn't known how often the labels of ", label,
                    " were tried (target.label_weight: tries counts "
                    "them so often). Set labels to sampled, with data that have continuations, or leave label_weight "
                    "out.")));
        if (target.kind == reward::TargetKind::step_label) return;
        const auto unknown = std::count(labels.outcome_known.begin(), labels.outcome_known.end(), 0);
        if (unknown == 0 || target.truncated != reward::Truncated::fail) return;
        context.ranks.fail_together(DataError(
            cat("the outcome of ", unknown, " of ", data.size(), " solutions in ", context.input("data").label,
                " isn't known (target.truncated: fail would call them wrong). Set target.truncated to bootstrap or "
                "drop, or import them with another rule for outcomes.")));
    }

    static void warn_if_one_sided(const StageContext& context, const rollout::Trajectories& data) {
        const auto right = std::count_if(data.outcome.begin(), data.outcome.end(), [](float y) { return y > 0; });
        const auto wrong = std::count_if(data.outcome.begin(), data.outcome.end(), [](float y) { return y < 1; });
        if (context.ranks.root() && (right == 0 || wrong == 0))
            log::warn(
                cat("stage ", context.node.name, ": every answer in its data is ", right == 0 ? "wrong" : "right",
                    " (a value model learns nothing from that). Use problems that the policy solves now and then."));
    }

    [[nodiscard]] std::string by() const { return std::string(word_of(options_.select.by)); }

    train::Evaluation selection(StageContext& context, const rollout::Trajectories& data, const train::Partition& part,
                                const std::vector<rollout::Estimand>& known, const ValueTeam& team,
                                std::int64_t updates) const {
        train::Evaluation evaluation;
        if (part.held_out.size() == 0) return evaluation;
        if (!train::any_known(part.held_out_truth)) {
            if (context.ranks.root())
                log::warn(cat("stage ", context.node.name,
                              ": nothing is known about its held-out problems, so the last update is taken. Raise "
                              "select.holdout."));
            return evaluation;
        }
        evaluation.every = options_.select.every > 0 ? options_.select.every : std::max<std::int64_t>(1, updates / 8);
        evaluation.by = by();
        evaluation.higher_is_better = options_.select.by == SelectBy::auc || options_.select.by == SelectBy::accuracy;
        evaluation.patience = options_.select.patience;
        evaluation.measure = [this, &context, &data, &part, &known, &team](std::int64_t) {
            const auto logits = team.scores(context, data, part.held_rows, part.held_out);
            const auto values = train::state_values(part.held_out, logits, hazards());
            const auto quality = train::value_quality(values, part.held_out_truth);
            train::Metrics metrics;
            metrics.set("log_loss", quality.log_loss);
            metrics.set("brier", quality.brier);
            metrics.set("auc", quality.auc);
            metrics.set("accuracy", quality.accuracy);
            train::add_value_figures(part.held_out, values, known, metrics);
            return metrics;
        };
        return evaluation;
    }

    ValueStageOptions options_;
};

}  // namespace

StageKind value_kind() {
    return kind_of<ValueStageOptions, ValueStage>(
        "a value model: TD(lambda), n-step TD, or an outcome reward model", kValues,
        {{"init", kPolicy | kValues}, {"data", kAnswers}, {"features", kFeatures}}, true);
}

}  // namespace tdrm::stage
