#include "tdrm/train/rewards.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "tdrm/base/errors.hpp"
#include "tdrm/reward/loss.hpp"
#include "tdrm/train/rl.hpp"

namespace tdrm::train {
namespace {

/// Entries [begin, end) that each answer has among the scores of a grain.
std::vector<std::size_t> offsets_of(Grain grain, const rollout::Trajectories& answers) {
    if (grain == Grain::action) return rollout::state_offsets(answers);
    std::vector<std::size_t> offsets;
    for (std::size_t row = 0; row <= answers.size(); ++row)
        offsets.push_back(grain == Grain::answer ? row : static_cast<std::size_t>(answers.token_offset[row]));
    return offsets;
}

/// Brings the known scores to mean 0 and deviation 1 (ddof 0).
void normalise(std::span<double> scores, double floor) {
    double sum = 0, squares = 0, count = 0;
    for (const double s : scores) {
        if (std::isnan(s)) continue;
        sum += s;
        count += 1;
    }
    if (count == 0) return;
    const double mean = sum / count;
    for (const double s : scores) squares += std::isnan(s) ? 0 : (s - mean) * (s - mean);
    const double divisor = std::max(std::sqrt(squares / count), floor);
    for (double& s : scores) s = (s - mean) / divisor;
}

std::span<const float> logits_of(const RlBatch& batch, std::span<const std::size_t> states, std::size_t row) {
    const auto& logits = batch.judgement.empty() ? batch.values : batch.judgement;
    return std::span(logits).subspan(states[row], states[row + 1] - states[row]);
}

double in_scale(double logit, reward::ValueScale scale) {
    return scale == reward::ValueScale::logit ? logit : reward::sigmoid(logit);
}

/// V of the chosen state of each answer.
std::vector<double> state_scores(const RlBatch& batch, const ValueRewardOptions& options, const task::Task& task) {
    const auto& answers = batch.answers;
    const auto states = rollout::state_offsets(answers);
    std::vector<double> score;
    for (std::size_t row = 0; row < answers.size(); ++row)
        score.push_back(reward::value_score(logits_of(batch, states, row), options.at, options.scale,
                                            task.penultimate(answers.ids(row), answers.step_ends(row))));
    return score;
}

/// Less its mean among the answers of a group that have the same outcome.
void break_ties(std::vector<double>& score, const rollout::Trajectories& answers) {
    for (const auto& [begin, end] : answers.groups()) {
        std::vector<double> centred;
        for (std::size_t row = begin; row < end; ++row) {
            double sum = 0, count = 0;
            for (std::size_t other = begin; other < end; ++other) {
                if (answers.outcome[other] != answers.outcome[row]) continue;
                sum += score[other];
                count += 1;
            }
            centred.push_back(count > 1 ? score[row] - sum / count : 0);
        }
        std::copy(centred.begin(), centred.end(), score.begin() + static_cast<std::ptrdiff_t>(begin));
    }
}

RewardPart answer_part(std::string name, double weight, std::function<double(task::TokenSpan ids)> score) {
    return {std::move(name), weight, Grain::answer, {}, [score = std::move(score)](const RlBatch& batch) {
                std::vector<double> scores;
                for (std::size_t row = 0; row < batch.answers.size(); ++row)
                    scores.push_back(score(batch.answers.ids(row)));
                return scores;
            }};
}

}  // namespace

PartScores scores_of(const RewardPart& part, const RlBatch& batch) {
    PartScores found{part.name, part.weight, part.grain, part.score(batch), {}, {}};
    const auto offsets = offsets_of(part.grain, batch.answers);
    ensure(found.score.size() == offsets.back(), "a part of the reward scores the whole batch");
    found.reward = found.score;
    if (part.normalisation.over == Normalise::batch) normalise(found.reward, part.normalisation.floor);
    if (part.normalisation.over == Normalise::group)
        for (const auto& [begin, end] : batch.answers.groups())
            normalise(std::span(found.reward).subspan(offsets[begin], offsets[end] - offsets[begin]),
                      part.normalisation.floor);
    for (double& r : found.reward) r = part.weight == 0 || std::isnan(r) ? 0 : part.weight * r;
    for (std::size_t row = 0; row < batch.answers.size(); ++row) {
        double sum = 0;
        for (std::size_t i = offsets[row]; i < offsets[row + 1]; ++i) sum += found.reward[i];
        found.answer.push_back(sum);
    }
    return found;
}

RewardPart rule_reward(double weight) {
    return {"rule", weight, Grain::answer, {}, [](const RlBatch& batch) {
                return std::vector<double>(batch.answers.outcome.begin(), batch.answers.outcome.end());
            }};
}

std::vector<double> step_rewards(std::span<const float> value_logit_S, const ValueRewardOptions& options) {
    std::vector<double> logits(value_logit_S.begin(), value_logit_S.end());
    std::vector<double> rewards(logits.size(), 0.0);
    const std::size_t steps = logits.size() - 1;
    if (options.form == ValueForm::difference) {
        for (std::size_t t = 0; t < steps; ++t)
            rewards[t] = in_scale(logits[t + 1], options.scale) - in_scale(logits[t], options.scale);
        return rewards;
    }
    // A step is judged by the state behind it; an answer without one by s_0.
    const std::size_t first = steps == 0 ? 0 : 1;
    const std::size_t judged = std::max<std::size_t>(steps, 1);
    if (options.form == ValueForm::hazard) {
        for (std::size_t t = 0; t < judged; ++t) rewards[t] = -reward::softplus(logits[first + t]);
        return rewards;
    }
    double total = 0, lowest = 0;
    for (std::size_t t = 0; t < judged; ++t) {
        rewards[t] = in_scale(logits[first + t], options.scale);
        lowest = t == 0 ? rewards[0] : std::min(lowest, rewards[t]);
    }
    const auto share = [&](double r) { return std::exp((lowest - r) / options.temperature); };
    for (std::size_t t = 0; t < judged; ++t) total += share(rewards[t]);
    for (std::size_t t = 0; t < judged; ++t) rewards[t] *= share(rewards[t]) / total;
    return rewards;
}

RewardPart value_reward(double weight, const ValueRewardOptions& options, const task::Task& task) {
    if (options.form == ValueForm::state || options.form == ValueForm::tie_break)
        return {"value", weight, Grain::answer, {}, [options, &task](const RlBatch& batch) {
                    auto score = state_scores(batch, options, task);
                    if (options.form == ValueForm::tie_break) break_ties(score, batch.answers);
                    return score;
                }};
    return {"value", weight, Grain::action, {}, [options](const RlBatch& batch) {
                const auto states = rollout::state_offsets(batch.answers);
                std::vector<double> score;
                for (std::size_t row = 0; row < batch.answers.size(); ++row) {
                    auto of_steps = step_rewards(logits_of(batch, states, row), options);
                    if (of_steps.size() > 1) of_steps.back() = std::nan("");  // behind the last step nothing is judged
                    score.insert(score.end(), of_steps.begin(), of_steps.end());
                }
                return score;
            }};
}

RewardPart length_reward(double weight, int longest) {
    return answer_part("length", weight,
                       [longest](task::TokenSpan ids) { return -static_cast<double>(ids.size()) / longest; });
}

RewardPart overlong_reward(double weight, int longest, int buffer) {
    return answer_part("overlong", weight, [longest, buffer](task::TokenSpan ids) {
        return -std::clamp(static_cast<double>(std::ssize(ids) - (longest - buffer)) / buffer, 0.0, 1.0);
    });
}

RewardPart repetition_reward(double weight, int tokens) {
    return answer_part("repetition", weight, [tokens](task::TokenSpan ids) {
        const std::ptrdiff_t runs = std::ssize(ids) - tokens + 1;
        if (runs < 1) return 0.0;
        std::set<task::Tokens> seen;
        for (std::ptrdiff_t i = 0; i < runs; ++i) seen.emplace(ids.begin() + i, ids.begin() + i + tokens);
        return static_cast<double>(std::ssize(seen)) / static_cast<double>(runs) - 1;
    });
}

namespace {

/// An answer as a user's program gets it.
nlohmann::json item_of(const rollout::Trajectories& answers, std::size_t row, const task::Task& task) {
    const auto problem = static_cast<std::size_t>(answers.problem[row]);
    const auto ids = answers.ids(row);
    std::vector<std::string> steps;
    std::int32_t begin = 0;
    for (const std::int32_t end : answers.step_ends(row)) {
        steps.push_back(task.text(ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin))));
        begin = end;
    }
    return {{"problem", answers.problem_index[problem]},
            {"question", task.question_of(answers.prompt(problem))},
            {"gold", answers.problem_answer[problem]},
            {"answer", task.text(ids)},
            {"steps", steps},
            {"right", answers.outcome[row]}};
}

/// Scores of the rows [begin, end), by grain.
std::vector<double> ask(CommandPool& pool, Grain grain, const rollout::Trajectories& answers, std::size_t begin,
                        std::size_t end, const task::Task& task, const CommandPool::Alive& alive) {
    std::vector<nlohmann::json> items;
    for (std::size_t row = begin; row < end; ++row) items.push_back(item_of(answers, row, task));
    const auto steps = [&](std::size_t item) { return answers.step_ends(begin + item).size(); };
    const auto replies = pool.ask(items, alive, [&](std::size_t item, const nlohmann::json& reply) {
        if (grain == Grain::answer) {
            (void)score_of(reply);
        } else {
            (void)tdrm::scores_of(reply, steps(item));
        }
    });
    std::vector<double> scores;
    for (std::size_t item = 0; item < replies.size(); ++item) {
        if (grain == Grain::answer) {
            scores.push_back(score_of(replies[item]));
            continue;
        }
        const auto of_steps = tdrm::scores_of(replies[item], steps(item));
        scores.insert(scores.end(), of_steps.begin(), of_steps.end());
        scores.push_back(std::nan(""));  // behind the last step nothing is judged
    }
    return scores;
}

}  // namespace

RewardPart command_reward(double weight, Grain grain, std::shared_ptr<CommandPool> pool, comm::Communicator& ranks,
                          const task::Task& task) {
    return {"command", weight, grain, {}, [=, &ranks, &task](const RlBatch& batch) {
                const auto [begin, end] = rollout::share(batch.answers.size(), ranks.rank(), ranks.size());
                const auto mine = ranks.agree("asking the command of the reward", [&, b = begin, e = end] {
                    return ask(*pool, grain, batch.answers, b, e, task,
                               [&] { ranks.working_on("asking the command of the reward"); });
                });
                std::vector<double> all;
                for (const auto& part : ranks.all_gather(std::span<const double>(mine)))
                    all.insert(all.end(), part.begin(), part.end());
                return all;
            }};
}

RewardPart kl_reward(double weight) {
    return {"kl", weight, Grain::token, {}, [](const RlBatch& batch) {
                std::vector<double> score;
                for (const float kl : batch.divergence) score.push_back(-static_cast<double>(kl));
                return score;
            }};
}

}  // namespace tdrm::train
