// Gradients of fine-tuning and of value models (gradient.hpp).
#include "gradient.hpp"

#include <gtest/gtest.h>

#include <map>

#include "tdrm/base/words.hpp"
#include "tdrm/rollout/features.hpp"

namespace tdrm::train {
namespace {

TEST(SftGradient, IsOfTheMeanOverTheLearntTokensOfTheBatch) {
    const ToyTask task;
    Learner trainee;
    const int batch = 9;
    const std::int64_t update = 1;  // its draws cross from the first to the second epoch
    const Twin twin(trainee);
    at::Tensor sum = at::zeros({}, at::kDouble);
    double tokens = 0;
    const Shuffle shuffle(5, ToyTask::kProblems);
    for (std::int64_t k = update * batch; k < (update + 1) * batch; ++k) {
        const task::Draw draw = shuffle(k);
        const auto problem = task.problem("all", draw.index);
        const auto visit = static_cast<std::uint64_t>(draw.visit);
        const auto answer = task.demonstration(problem, 5, visit);
        auto learnt = task.learnt_tokens(problem, 5, visit);
        if (learnt.empty()) learnt.assign(answer.size(), 1);
        const auto logp = twin.logprobs(problem.prompt, answer);
        for (std::size_t t = 0; t < answer.size(); ++t) {
            if (learnt[t] == 0) continue;
            sum = sum - logp[static_cast<std::int64_t>(t)];
            tokens += 1;
        }
    }
    const auto loss = sum / tokens;
    expect_twin(
        trainee, [&](int unit_tokens) { return sft_objective(trainee, task, 5, batch, unit_tokens); }, update,
        loss.item<double>(), twin.gradient(loss));
}

// Value models

/// Six answers of random tokens to two problems; some cut, some with a tail behind the last step, one without a step.
rollout::Trajectories random_answers(const ToyTask& task) {
    rollout::Trajectories table;
    Random random(random_key(6, "answers"));
    for (std::int64_t p = 0; p < 2; ++p) {
        table.add_problem(p, task.problem("all", p));
        for (std::int32_t s = 0; s < 3; ++s) {
            rollout::Trajectory t;
            t.sample = s;
            t.ids = rollout::toy_tokens(random, p == 1 && s == 0 ? 1 : 6 + random.next_below(14), 21);
            if (p == 1 && s == 0) t.ids = {3};
            t.logprob.assign(t.ids.size(), -1);
            t.step_ends = task.step_ends(t.ids);
            t.finish = s == 2 ? task::Finish::length : task::Finish::stop;
            t.verdict.correct = (p + s) % 2 == 0;
            table.add(t);
        }
    }
    return table;
}

/// A wrong answer of about 500 tokens: where the published shaping is small enough not to saturate targets.
rollout::Trajectories long_answer(const ToyTask& task) {
    rollout::Trajectories table;
    Random random(random_key(6, "long answer"));
    table.add_problem(0, task.problem("all", 0));
    rollout::Trajectory t;
    t.ids = rollout::toy_tokens(random, 505, 21);
    t.logprob.assign(t.ids.size(), -1);
    t.step_ends = {470, 490, 505};
    table.add(t);
    return table;
}

/// What a value model is trained on, and unit_tokens that make a few units of a batch.
struct ValueData {
    rollout::Trajectories answers;
    std::vector<std::size_t> rows;
    int batch, few_tokens;
};
ValueData short_data() { return {random_answers(ToyTask()), {0, 1, 2, 3, 5}, 7, 60}; }  // two rows twice
ValueData long_data() { return {long_answer(ToyTask()), {0}, 3, 1200}; }

/// One label a state: random, none for s_0 and a few others.
std::vector<float> random_labels(std::span<const std::size_t> offsets) {
    Random random(random_key(8, "labels"));
    std::vector<float> labels(offsets.back());
    for (float& label : labels) label = random.next_below(4) == 0 ? NAN : static_cast<float>(random.next_uniform());
    for (std::size_t row = 0; row + 1 < offsets.size(); ++row) labels[offsets[row]] = NAN;
    return labels;
}

struct State {
    double target, weight;
};

/// Targets of one answer, state by state from the definitions (docstring of reward::targets).
class NaiveTargets {
public:
    reward::TargetOptions o;
    std::vector<double> V;              ///< of the states s_0 ... s_T
    std::vector<std::int32_t> lengths;  ///< tokens of the answer before each
    double y;
    bool truncated;
    std::span<const float> labels;

    [[nodiscard]] State at(std::size_t t) const {
        using enum reward::TargetKind;
        State state{std::clamp(target(t), 0.0, 1.0), 1};
        if (o.kind == outcome_last && t < T()) state.weight = 0;
        if (o.kind == reward::TargetKind::reference && t == 0) state.weight = 0;
        if (t == T()) state.weight = o.terminal_weight;
        if (o.kind == step_label) {
            if (std::isnan(labels[t])) state = {0, 0};
        } else if (cut(reward::Truncated::bootstrap) && t == T()) {
            state.weight = 0;
        }
        if (cut(reward::Truncated::drop)) state.weight = 0;
        state.weight *= Y() * o.class_weight.right + (1 - Y()) * o.class_weight.wrong;
        return state;
    }

private:
    [[nodiscard]] std::size_t T() const { return V.size() - 1; }
    [[nodiscard]] bool cut(reward::Truncated rule) const { return truncated && o.truncated == rule; }
    [[nodiscard]] double Y() const {
        return cut(reward::Truncated::fail) ? 0 : cut(reward::Truncated::bootstrap) ? V[T()] : y;
    }
    [[nodiscard]] double U(std::size_t t) const {
        return t == T() && o.terminal == reward::Terminal::outcome ? Y() : V[t];
    }
    [[nodiscard]] double gamma() const { return o.kind == reward::TargetKind::reference ? 0.8 : o.gamma; }
    [[nodiscard]] double r(std::size_t t) const {
        if (t >= T()) return 0;
        const bool published = o.kind == reward::TargetKind::reference;
        if (published || o.shaping == reward::Shaping::cosine) return reward::cosine_reward(lengths[t], Y());
        return o.shaping == reward::Shaping::normalised ? (1 - o.gamma) * Y() : 0;
    }
    /// Return over n steps, which ends at s_T at the latest.
    [[nodiscard]] double G(std::size_t t, std::size_t n) const {
        const std::size_t m = std::min(n, T() - t);
        double sum = 0;
        for (std::size_t k = 0; k < m; ++k) sum += std::pow(gamma(), k) * r(t + k);
        return sum + std::pow(gamma(), m) * U(t + m);
    }
    [[nodiscard]] double target(std::size_t t) const {
        using enum reward::TargetKind;
        const auto n = static_cast<std::size_t>(o.n);
        if (o.kind == step_label) return static_cast<double>(labels[t]);
        if (t == T() || o.kind == outcome || o.kind == outcome_last) return Y();
        if (o.label_mix > 0 && !std::isnan(labels[t])) {
            NaiveTargets unmixed = *this;
            unmixed.o.label_mix = 0;
            return (1 - o.label_mix) * std::clamp(unmixed.target(t), 0.0, 1.0) +
                   o.label_mix * static_cast<double>(labels[t]);
        }
        if (o.kind == td_n) return G(t, n);
        if (o.kind == td_lambda) {  // the forward view: all n-step returns, weighted
            double sum = 0;
            for (std::size_t k = 1; k < T() - t; ++k) sum += (1 - o.lambda) * std::pow(o.lambda, k - 1) * G(t, k);
            return sum + std::pow(o.lambda, T() - t - 1) * G(t, T() - t);
        }
        double sum = 0;
        for (std::size_t k = 0; k < n; ++k) sum += std::pow(gamma(), k) * r(t + k);
        return sum + (t + n <= T() ? std::pow(gamma(), n) * V[t + n] : 0);
    }
};

void expect_value_twin(const reward::TargetOptions& options, const ValueData& value_data = short_data()) {
    SCOPED_TRACE(std::string(word_of(options.kind)));
    const ToyTask task;
    Learner trainee(model::Head::value);
    const auto& [data, rows, batch, few_tokens] = value_data;
    const auto offsets = rollout::state_offsets(data);
    const auto labels = random_labels(offsets);
    const Twin twin(trainee);
    const Shuffle shuffle(2, std::ssize(rows));
    at::Tensor sum = at::zeros({}, at::kDouble);
    double weight = 0, distance_to_target = 0, trained = 0;
    std::map<std::size_t, std::vector<at::Tensor>> logits_of;
    for (std::int64_t k = 0; k < batch; ++k) {
        const std::size_t row = rows[static_cast<std::size_t>(shuffle(k).index)];
        NaiveTargets naive{options,
                           {},
                           {0},
                           static_cast<double>(data.outcome[row]),
                           data.finish[row] == static_cast<std::uint8_t>(task::Finish::length),
                           std::span(labels).subspan(offsets[row], offsets[row + 1] - offsets[row])};
        for (const auto end : data.step_ends(row)) naive.lengths.push_back(end);
        auto& logits = logits_of[row];  // of its states
        for (std::size_t t = logits.size(); t < naive.lengths.size(); ++t)
            logits.push_back(twin.value_logit(data.prompt(static_cast<std::size_t>(data.problem[row])),
                                              data.ids(row).first(static_cast<std::size_t>(naive.lengths[t])),
                                              task.probe()));
        for (const at::Tensor& logit : logits) naive.V.push_back(logit.sigmoid().item<double>());
        for (std::size_t t = 0; t < logits.size(); ++t) {
            const State state = naive.at(t);
            const auto p = logits[t].sigmoid();
            sum = sum - state.weight * (state.target * p.log() + (1 - state.target) * (1 - p).log());
            weight += state.weight;
            if (state.weight == 0) continue;
            distance_to_target += std::abs(state.target - naive.V[t]);
            trained += 1;
        }
    }
    const auto loss = sum / weight;
    const auto make = [&, &data = data, &rows = rows, batch = batch](int unit_tokens) {
        return value_objective(trainee, task, data, rows, options.needs_labels() ? labels : std::vector<float>(),
                               options, 2, batch, unit_tokens);
    };
    expect_twin(trainee, make, 0, loss.item<double>(), twin.gradient(loss), few_tokens);
    const auto objective = make(100);
    objective->prepare(0);
    EXPECT_NEAR(gradient_of(trainee, *objective).metrics.get("target/mean_delta"), distance_to_target / trained, 1e-5);
}

TEST(ValueGradient, IsOfTheTargetsByTheirDefinition) {
    using enum reward::TargetKind;
    expect_value_twin({.kind = outcome_last});
    expect_value_twin({.kind = outcome});
    expect_value_twin({.kind = step_label, .terminal_weight = 0.5});
    expect_value_twin({.kind = td_n, .gamma = 0.9});
    expect_value_twin({.kind = td_n, .gamma = 0.9, .n = 2, .shaping = reward::Shaping::normalised});
    expect_value_twin({.kind = td_n, .gamma = 0.7, .n = 3, .shaping = reward::Shaping::cosine});
    expect_value_twin({.kind = td_lambda, .lambda = 0});
    expect_value_twin({.kind = td_lambda, .gamma = 0.9, .lambda = 0.6, .terminal_weight = 2});
    expect_value_twin({.kind = td_lambda, .lambda = 1});
    expect_value_twin({.kind = reference});
    expect_value_twin({.kind = reference, .n = 2});
    expect_value_twin({.kind = td_lambda, .lambda = 0.6, .terminal = reward::Terminal::value});
    expect_value_twin({.kind = td_n, .n = 2, .terminal = reward::Terminal::value, .label_mix = 0.3});
    expect_value_twin({.kind = td_lambda, .label_mix = 0.7, .class_weight = {2, 0.5}});
}

TEST(ValueGradient, OfHazardsIsThatOfTheLikelihoodOfTheFirstError) {
    const ToyTask task;
    Learner trainee(model::Head::value);
    const auto [data, rows, batch, few_tokens] = short_data();
    const Twin twin(trainee);
    const Shuffle shuffle(2, std::ssize(rows));
    at::Tensor sum = at::zeros({}, at::kDouble);
    double steps = 0;
    for (std::int64_t k = 0; k < batch; ++k) {
        const std::size_t row = rows[static_cast<std::size_t>(shuffle(k).index)];
        const bool cut = data.finish[row] == static_cast<std::uint8_t>(task::Finish::length);
        std::vector<std::int32_t> ends(data.step_ends(row).begin(), data.step_ends(row).end());
        if (ends.empty()) ends.push_back(0);  // one step, read at s_0
        auto survival = at::ones({}, at::kDouble);
        for (const std::int32_t end : ends)
            survival =
                survival * (1 - twin.value_logit(data.prompt(static_cast<std::size_t>(data.problem[row])),
                                                 data.ids(row).first(static_cast<std::size_t>(end)), task.probe())
                                    .sigmoid());
        sum = sum - (data.outcome[row] > 0 && !cut ? survival.log() : (1 - survival).log());
        steps += static_cast<double>(ends.size());
    }
    const auto loss = sum / steps;
    const auto make = [&, &data = data, &rows = rows, batch = batch](int unit_tokens) {
        return value_objective(trainee, task, data, rows, {}, {.kind = reward::TargetKind::hazard}, 2, batch,
                               unit_tokens);
    };
    expect_twin(trainee, make, 0, loss.item<double>(), twin.gradient(loss), few_tokens);
}

TEST(ValueGradient, OfAHeadOnStoredHiddenStatesIsTheHeadsShareOfTheWholeGradient) {
    const ToyTask task;
    Learner whole(model::Head::value);
    const auto [data, rows, batch, few_tokens] = short_data();
    rollout::Scorer scorer(whole.engine(), task.probe(), rollout::kScoreTokens);
    const auto table = rollout::state_features(scorer, data, 0, data.num_problems());
    const auto& features = table.features_SD;
    const auto width = static_cast<std::size_t>(whole.engine().spec().width);
    ASSERT_EQ(features.size(), rollout::state_offsets(data).back() * width);
    const auto head = engine::make_engine(head_spec(whole.engine().spec()));
    head->begin_training({});
    copy_head(whole.engine(), *head);
    const auto scores = rollout::score(scorer, data, 0, data.num_problems());
    EXPECT_EQ(rollout::head_logits(*head, features), scores.logits) << "the same bits as of the whole model";
    EXPECT_EQ(table.scored_tokens, scores.scored_tokens);
    EXPECT_EQ(table.shared_tokens, scores.shared_tokens);
    const reward::TargetOptions options{.kind = reward::TargetKind::td_lambda, .lambda = 0.4};
    const auto full = value_objective(whole, task, data, rows, {}, options, 2, batch, 10'000);
    ValueObjective alone(data, rows, {}, task, *head, options, 2, batch, 10'000);
    alone.learn_from(features);
    full->prepare(0);
    alone.prepare(0);
    const auto expected = gradient_of(whole, *full);
    head->begin_update();
    head->begin_unit();
    const auto sums = alone.differentiate(0);
    std::vector<float> gradient(width);
    head->read(engine::Array::gradient, head->layout().head, gradient);
    const auto begin = expected.gradient.begin() + whole.engine().layout().head;
    for (std::size_t i = 0; i < width; ++i) EXPECT_NEAR(gradient[i], begin[static_cast<std::ptrdiff_t>(i)], 1e-5F) << i;
    Metrics metrics;
    alone.metrics(sums, metrics);
    EXPECT_NEAR(metrics.get("loss"), expected.metrics.get("loss"), 1e-5);
    EXPECT_LT(head->num_parameters(), 3 * static_cast<std::int64_t>(width) + 1);
    // Back in a body, the head says there what it said alone.
    Learner body(model::Head::value, 1);
    copy_head(*head, body.engine());
    EXPECT_EQ(body.weights(), whole.weights());
}

TEST(ValueGradient, BacksUpTheValuesOfTheMovingAverage) {
    const ToyTask task;
    Learner trainee(model::Head::value), same(model::Head::value), average(model::Head::value, 7);
    const auto [data, rows, batch, few_tokens] = short_data();
    reward::TargetOptions options{.kind = reward::TargetKind::td_lambda, .lambda = 0.3};
    const auto plain = value_objective(same, task, data, rows, {}, options, 2, batch, few_tokens);
    options.bootstrap = reward::Bootstrap::ema;
    options.ema_decay = 0.75;
    ValueObjective followed(data, rows, {}, task, trainee.engine(), options, 2, batch, few_tokens, &average.engine());
    // Before the first update it is the model itself, so the gradient is that without it.
    followed.prepare(0);
    plain->prepare(0);
    EXPECT_EQ(average.weights(), trainee.weights());
    EXPECT_EQ(gradient_of(trainee, followed).gradient, gradient_of(same, *plain).gradient);
    // Later it follows, and its values are backed up instead of the model's.
    const auto before = average.weights();
    trainee.disturb(0.1);
    same.disturb(0.1);
    const auto moved = trainee.weights();
    followed.prepare(1);
    plain->prepare(1);
    const auto now = average.weights();
    for (std::size_t i = 0; i < now.size(); ++i) ASSERT_EQ(now[i], 0.75F * before[i] + 0.25F * moved[i]);
    EXPECT_NE(gradient_of(trainee, followed).gradient, gradient_of(same, *plain).gradient);
    EXPECT_EQ(average.weights(), now) << "a gradient doesn't move it";
}

TEST(ValueGradient, ShapesByTheTokensBeforeEachState) {
    expect_value_twin({.kind = reward::TargetKind::reference}, long_data());
    expect_value_twin({.kind = reward::TargetKind::td_n, .gamma = 0.9, .shaping = reward::Shaping::cosine},
                      long_data());
}

TEST(ValueGradient, TreatsCutAnswersAsTheOptionSays) {
    for (const auto truncated : {reward::Truncated::fail, reward::Truncated::bootstrap, reward::Truncated::drop})
        for (const auto kind :
             {reward::TargetKind::outcome, reward::TargetKind::td_lambda, reward::TargetKind::reference})
            expect_value_twin({.kind = kind, .truncated = truncated});
}

}  // namespace
}  // namespace tdrm::train
