#include "tdrm/rollout/answers.hpp"

#include <limits>

namespace tdrm::rollout {
namespace {

/// The first (s - 1) mod T of the T steps of the answer that stands s rows before the next one.
task::Tokens begin_of_fork(const Trajectories& table, int s) {
    const std::size_t first = table.size() - static_cast<std::size_t>(s);
    const auto ends = table.step_ends(first);
    const auto steps = ends.empty() ? 0 : static_cast<std::size_t>(s - 1) % ends.size();
    const auto ids = table.ids(first).first(steps == 0 ? 0 : static_cast<std::size_t>(ends[steps - 1]));
    return {ids.begin(), ids.end()};
}

}  // namespace

Trajectory judged(const task::Task& task, const task::Problem& problem, task::Tokens ids, bool ended) {
    Trajectory t;
    t.step_ends = task.step_ends(ids);
    t.verdict = task.verdict(problem, ids);
    t.finish = ended ? task::Finish::stop : task::Finish::length;
    t.ids = std::move(ids);
    return t;
}

Trajectories scripted_answers(const RolloutPlan& plan, std::span<const task::Draw> draws) {
    Trajectories table;
    for (const task::Draw& draw : draws) {
        const auto problem = plan.task->problem(plan.split, draw.index);
        table.add_problem(draw.index, problem);
        for (int s = 0; s < plan.samples; ++s) {
            const auto visit = static_cast<std::uint64_t>(draw.visit) * static_cast<std::uint64_t>(plan.samples) +
                               static_cast<std::uint64_t>(s);
            auto ids = plan.forks && s > 0 ? begin_of_fork(table, s) : task::Tokens();
            const auto rest = plan.task->scripted_rest(problem, ids, plan.seed, visit);
            ids.insert(ids.end(), rest.begin(), rest.end());
            auto t = judged(*plan.task, problem, std::move(ids), true);
            t.visit = static_cast<std::int32_t>(draw.visit);
            t.sample = static_cast<std::int32_t>(s);
            t.logprob.assign(t.ids.size(), std::numeric_limits<float>::quiet_NaN());
            table.add(t);
        }
    }
    return table;
}

Trajectories sample_answers(const RolloutPlan& plan, Generator& generator, std::span<const task::Draw> draws,
                            const std::function<void()>& on_finished) {
    const task::Task& task = *plan.task;
    std::vector<task::Problem> problems;
    std::vector<Request> requests;
    for (const task::Draw& draw : draws) {
        problems.push_back(task.problem(plan.split, draw.index));
        Request request;
        request.prompt = problems.back().prompt;
        request.max_tokens = plan.sampler.longest(task.max_answer_tokens());
        for (int s = 0; s < plan.samples; ++s)
            request.keys.push_back(random_key(plan.seed, plan.purpose, problems.back().id,
                                              static_cast<std::uint64_t>(draw.visit), static_cast<std::uint64_t>(s)));
        requests.push_back(std::move(request));
    }
    auto continuations = generator.run(requests, on_finished);
    Trajectories table;
    for (std::size_t p = 0; p < problems.size(); ++p) {
        table.add_problem(draws[p].index, problems[p]);
        for (std::size_t s = 0; s < continuations[p].size(); ++s) {
            Continuation& c = continuations[p][s];
            Trajectory t = judged(task, problems[p], std::move(c.ids), c.ended);
            t.visit = static_cast<std::int32_t>(draws[p].visit);
            t.sample = static_cast<std::int32_t>(s);
            t.logprob = std::move(c.logprob);
            t.logprob_sampled = std::move(c.logprob_sampled);
            table.add(t);
        }
    }
    return table;
}

std::pair<std::size_t, std::size_t> share(std::size_t n, int rank, int ranks) {
    const auto r = static_cast<std::size_t>(rank);
    const auto size = static_cast<std::size_t>(ranks);
    return {n * r / size, n * (r + 1) / size};
}

Trajectories sample_answers_together(comm::Communicator& ranks, const RolloutPlan& plan, Generator& generator,
                                     std::span<const task::Draw> draws) {
    const auto [begin, end] = share(draws.size(), ranks.rank(), ranks.size());
    const std::string mine = ranks.agree("generating answers", [&, b = begin, e = end] {
        return sample_answers(plan, generator, draws.subspan(b, e - b), [&] { ranks.working_on("generating answers"); })
            .pack();
    });
    Trajectories table;
    for (const std::string& bytes : ranks.all_gather_bytes(mine)) table.append(Trajectories::unpack(bytes));
    return table;
}

AnswerFigures figures_of(const Trajectories& answers) {
    AnswerFigures figures;
    for (std::size_t row = 0; row < answers.size(); ++row) {
        figures.right += static_cast<double>(answers.outcome[row]);
        figures.cut += answers.finish[row] == static_cast<std::uint8_t>(task::Finish::length) ? 1 : 0;
    }
    for (const auto& [begin, end] : answers.groups()) {
        bool any = false;
        for (std::size_t row = begin; row < end; ++row) any = any || answers.outcome[row] > 0;
        figures.solved += any ? 1 : 0;
    }
    const auto n = static_cast<double>(answers.size());
    return {figures.right / n, figures.solved / static_cast<double>(answers.num_problems()),
            static_cast<double>(answers.token.size()) / n, figures.cut / n};
}

Scores score(Scorer& scorer, const Trajectories& data, std::size_t begin, std::size_t end,
             const std::function<void()>& on_problem) {
    const auto groups = data.groups();
    Scores scores;
    for (std::size_t p = begin; p < end; ++p) {
        if (on_problem) on_problem();
        std::vector<ScoredAnswer> answers;
        for (std::size_t row = groups[p].first; row < groups[p].second; ++row) answers.push_back(all_states(data, row));
        const std::int64_t before = scorer.tokens();
        for (const auto& states : scorer.score(data.prompt(p), answers))
            scores.logits.insert(scores.logits.end(), states.begin(), states.end());
        scores.scored_tokens.push_back(scorer.tokens() - before);
        scores.shared_tokens.push_back(answers.empty() ? 0 : scorer.shared_tokens(data.prompt(p)));
    }
    return scores;
}

std::vector<float> score_together(comm::Communicator& ranks, Scorer& scorer, const Trajectories& data) {
    const auto [begin, end] = share(data.num_problems(), ranks.rank(), ranks.size());
    const auto mine = ranks.agree("scoring", [&, b = begin, e = end] {
        return score(scorer, data, b, e, [&] { ranks.working_on("scoring"); }).logits;
    });
    std::vector<float> values;
    for (const auto& part : ranks.all_gather(std::span<const float>(mine)))
        values.insert(values.end(), part.begin(), part.end());
    return values;
}

}  // namespace tdrm::rollout
