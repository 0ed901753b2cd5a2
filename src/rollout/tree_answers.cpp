#include "tdrm/rollout/tree_answers.hpp"

#include <algorithm>
#include <cmath>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/options.hpp"

namespace tdrm::rollout {
namespace {

/// An answer of one problem while its trees grow.
struct Leaf {
    Continuation answer;
    int parent = -1;  ///< among the problem's leaves
    int fork = 0;     ///< tokens from there
    int trunk = 0;
    std::vector<int> branched;  ///< tokens before its own branchings so far
};

/// Tokens before the d-th branching of an answer (d from 1); 0 if there is none. Something of the answer's own lies
/// before and behind it.
int branching(const task::Task& task, const Leaf& leaf, int d, const TreeOptions& options) {
    const auto& ids = leaf.answer.ids;
    const int last = static_cast<int>(ids.size()) - 1;
    if (options.at == BranchAt::steps) {
        const auto ends = task.step_ends(ids);
        const int step = options.first + d - 1;
        const int end = std::ssize(ends) < step ? 0 : ends[static_cast<std::size_t>(step - 1)];
        return end > leaf.fork && end <= last ? end : 0;
    }
    int found = 0;
    for (int t = leaf.fork + 1; t <= last; ++t) {
        if (std::ranges::find(leaf.branched, t) != leaf.branched.end()) continue;
        if (found == 0 ||
            leaf.answer.logprob[static_cast<std::size_t>(t)] < leaf.answer.logprob[static_cast<std::size_t>(found)])
            found = t;
    }
    return found;
}

/// The trees of some problems, grown a branching of each answer at a time.
class Forester {
public:
    Forester(const RolloutPlan& plan, Generator& generator, std::span<const task::Draw> draws,
             const TreeOptions& options, const std::function<void()>& on_finished)
        : plan_(plan), generator_(generator), draws_(draws), options_(options), on_finished_(on_finished) {
        for (const task::Draw& draw : draws) problems_.push_back(plan.task->problem(plan.split, draw.index));
        leaves_.resize(problems_.size());
    }

    TreeAnswers grow() {
        std::vector<Request> trunks;
        for (std::size_t p = 0; p < problems_.size(); ++p) {
            Request request = request_of(p, {});
            for (int s = 0; s < plan_.samples; ++s)
                request.keys.push_back(key(p, plan_.purpose, static_cast<std::uint64_t>(s)));
            trunks.push_back(std::move(request));
        }
        auto found = generator_.run(trunks, on_finished_);
        for (std::size_t p = 0; p < problems_.size(); ++p)
            for (auto& answer : found[p])
                leaves_[p].push_back({std::move(answer), -1, 0, static_cast<int>(leaves_[p].size()), {}});
        for (int d = 1; d <= options_.depth; ++d) branch(d);
        return table();
    }

private:
    [[nodiscard]] RandomKey key(std::size_t p, std::string_view purpose, std::uint64_t path) const {
        return random_key(plan_.seed, purpose, problems_[p].id, static_cast<std::uint64_t>(draws_[p].visit), path);
    }
    /// Goes on from an answer's beginning.
    [[nodiscard]] Request request_of(std::size_t p, task::TokenSpan beginning) const {
        const int longest = plan_.sampler.longest(plan_.task->max_answer_tokens());
        Request request;
        request.prompt = problems_[p].prompt;
        request.prompt.insert(request.prompt.end(), beginning.begin(), beginning.end());
        request.first_counter = beginning.size();
        request.max_tokens = longest - static_cast<int>(beginning.size());
        return request;
    }

    /// The d-th branching of all answers.
    void branch(int d) {
        std::vector<Request> requests;
        std::vector<std::pair<std::size_t, Leaf>> from;  // problem, and what a new leaf has of its parent
        for (std::size_t p = 0; p < problems_.size(); ++p) {
            for (std::size_t l = 0; l < leaves_[p].size(); ++l) {
                Leaf& leaf = leaves_[p][l];
                const int fork = branching(*plan_.task, leaf, d, options_);
                if (fork == 0) continue;
                leaf.branched.push_back(fork);
                Request request = request_of(p, task::TokenSpan(leaf.answer.ids).first(static_cast<std::size_t>(fork)));
                const auto from_here = (static_cast<std::uint64_t>(d - 1) << 32U) | (l << 16U);
                for (int way = 1; way < options_.width; ++way)
                    request.keys.push_back(key(p, "branch", from_here | static_cast<std::uint64_t>(way)));
                requests.push_back(std::move(request));
                from.emplace_back(p, Leaf{{}, static_cast<int>(l), fork, leaf.trunk, {}});
            }
        }
        const auto found = generator_.run(requests, on_finished_);
        for (std::size_t r = 0; r < requests.size(); ++r)
            for (const Continuation& rest : found[r]) add(from[r].first, from[r].second, rest);
    }

    void add(std::size_t p, Leaf leaf, const Continuation& rest) {
        const Continuation& parent = leaves_[p][static_cast<std::size_t>(leaf.parent)].answer;
        const auto join = [&](const auto& beginning, const auto& own) {
            auto whole = beginning;
            whole.resize(std::min(whole.size(), static_cast<std::size_t>(leaf.fork)));
            whole.insert(whole.end(), own.begin(), own.end());
            return whole;
        };
        leaf.answer.ids = join(parent.ids, rest.ids);
        leaf.answer.logprob = join(parent.logprob, rest.logprob);
        leaf.answer.logprob_sampled = join(parent.logprob_sampled, rest.logprob_sampled);
        leaf.answer.ended = rest.ended;
        leaves_[p].push_back(std::move(leaf));
    }

    [[nodiscard]] TreeAnswers table() const {
        TreeAnswers result;
        for (std::size_t p = 0; p < problems_.size(); ++p) {
            result.answers.add_problem(draws_[p].index, problems_[p]);
            const auto& leaves = leaves_[p];
            std::vector<std::size_t> order(leaves.size());
            for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
            std::stable_sort(order.begin(), order.end(),
                             [&](std::size_t a, std::size_t b) { return leaves[a].trunk < leaves[b].trunk; });
            std::vector<std::int32_t> row_of(leaves.size());
            for (std::size_t i = 0; i < order.size(); ++i) {
                const Leaf& leaf = leaves[order[i]];
                row_of[order[i]] = static_cast<std::int32_t>(result.answers.size());
                Trajectory t = judged(*plan_.task, problems_[p], leaf.answer.ids, leaf.answer.ended);
                t.visit = static_cast<std::int32_t>(draws_[p].visit);
                t.sample = static_cast<std::int32_t>(i);
                t.logprob = leaf.answer.logprob;
                t.logprob_sampled = leaf.answer.logprob_sampled;
                result.answers.add(t);
                result.forks.push_back(
                    {leaf.parent < 0 ? -1 : row_of[static_cast<std::size_t>(leaf.parent)], leaf.fork});
            }
        }
        return result;
    }

    const RolloutPlan& plan_;
    Generator& generator_;
    std::span<const task::Draw> draws_;
    const TreeOptions& options_;
    const std::function<void()>& on_finished_;
    std::vector<task::Problem> problems_;
    std::vector<std::vector<Leaf>> leaves_;
};

/// Adds rows to a forest, each behind what it forks from.
class ForestBuilder {
public:
    ForestBuilder(const Trajectories& data, std::span<const Fork> forks, std::size_t first_row, std::size_t end_row)
        : data_(data), forks_(forks), first_row_(first_row), segment_(end_row - first_row, -1) {}

    void add(std::size_t row) {
        const auto prompt = data_.prompt(static_cast<std::size_t>(data_.problem[row]));
        if (prompt_ < 0 || data_.problem[row] != problem_) prompt_ = result_.forest.add(prompt);
        problem_ = data_.problem[row];
        const auto ids = data_.ids(row);
        const std::size_t fork = fork_of(row);
        // The last token is predicted, but predicts nothing.
        if (ids.size() > fork + 1) {
            const auto own = ids.subspan(fork, ids.size() - 1 - fork);
            if (fork == 0) {
                segment(row) = result_.forest.add(own, prompt_);
            } else {
                const std::size_t owner = owner_of(row, fork - 1);
                segment(row) = result_.forest.add(own, segment(owner), static_cast<int>(fork - fork_of(owner)));
            }
        }
        const auto offset = static_cast<std::size_t>(data_.token_offset[row]);
        if (row_of_.size() <= row - first_row_) row_of_.resize(row - first_row_ + 1);
        for (std::size_t t = 0; t < ids.size(); ++t) {
            if (t < fork) {
                place(row_of_[owner_of(row, t) - first_row_] + t - fork_of(owner_of(row, t)), offset + t);
                continue;
            }
            if (t == fork) row_of_[row - first_row_] = result_.rows.size();
            result_.rows.push_back(t == 0 ? result_.forest.token_index(prompt_, static_cast<int>(prompt.size()) - 1)
                                          : token_index(row, t - 1));
            result_.targets.push_back(ids[t]);
            place(result_.rows.size() - 1, offset + t);
        }
    }

    AnswerForest finish() {
        if (!forks_.empty())
            std::stable_sort(places_.begin(), places_.end(),
                             [](const auto& a, const auto& b) { return a.first < b.first; });
        for (std::size_t i = 0; i < places_.size(); ++i) {
            if (i == 0 || places_[i].first != places_[i - 1].first) result_.first.push_back(i);
            result_.tokens.push_back(places_[i].second);
        }
        result_.first.push_back(places_.size());
        ensure(result_.first.size() == result_.rows.size() + 1, "every row stands for a token");
        return std::move(result_);
    }

private:
    [[nodiscard]] std::size_t fork_of(std::size_t row) const {
        return forks_.empty() ? 0 : static_cast<std::size_t>(forks_[row].tokens);
    }
    [[nodiscard]] std::size_t owner_of(std::size_t row, std::size_t token) const {
        return rollout::owner_of(forks_, row, token);
    }
    [[nodiscard]] int& segment(std::size_t row) { return segment_[row - first_row_]; }
    [[nodiscard]] int token_index(std::size_t row, std::size_t token) {
        const std::size_t owner = owner_of(row, token);
        return result_.forest.token_index(segment(owner), static_cast<int>(token - fork_of(owner)));
    }
    void place(std::size_t row, std::size_t token) { places_.emplace_back(row, token); }

    const Trajectories& data_;
    std::span<const Fork> forks_;
    std::size_t first_row_;
    std::vector<int> segment_;         ///< of each row's own piece
    std::vector<std::size_t> row_of_;  ///< of each row's first own token
    int prompt_ = -1;
    std::int32_t problem_ = -1;
    AnswerForest result_;
    std::vector<std::pair<std::size_t, std::size_t>> places_;  ///< row of the forest, token of the table
};

/// Rows [begin, end) that are computed together: trees, or single answers.
std::vector<std::pair<std::size_t, std::size_t>> trees(std::span<const Fork> forks, std::size_t begin,
                                                       std::size_t end) {
    std::vector<std::pair<std::size_t, std::size_t>> result;
    for (std::size_t row = begin; row < end; ++row) {
        if (forks.empty() || forks[row].parent < 0) result.emplace_back(row, row);
        result.back().second = row + 1;
    }
    return result;
}

}  // namespace

std::int64_t TreeOptions::leaves() const {
    std::int64_t leaves = 1;
    for (int d = 0; d < depth && width > 1; ++d) leaves *= width;
    return leaves;
}

void TreeOptions::fields(Fields& f) {
    f("width", width, "ways that go on from a branching; 1 = answers share the prompt alone", between(1, 64));
    f("depth", depth, "branchings between the beginning of an answer and its end", between(1, 16));
    f("first", first, "step behind whose end the first branching lies, with at: steps", between(1, 1e6));
    f("at", at, "where: at the ends of the first steps, or before the least likely token, then the next");
}

std::size_t owner_of(std::span<const Fork> forks, std::size_t row, std::size_t token) {
    while (!forks.empty() && token < static_cast<std::size_t>(forks[row].tokens))
        row = static_cast<std::size_t>(forks[row].parent);
    return row;
}

void TreeAnswers::append_forks(std::span<const Fork> others, std::int32_t shift) {
    for (const Fork& fork : others) forks.push_back({fork.parent < 0 ? -1 : fork.parent + shift, fork.tokens});
}

void TreeAnswers::append(const TreeAnswers& other) {
    const auto rows = static_cast<std::int32_t>(answers.size());
    answers.append(other.answers);
    append_forks(other.forks, rows);
}

void TreeAnswers::append_problem(const TreeAnswers& other, std::size_t problem_row, std::size_t begin,
                                 std::size_t end) {
    const auto shift = static_cast<std::int32_t>(answers.size()) - static_cast<std::int32_t>(begin);
    answers.append_problem(other.answers, problem_row, begin, end);
    if (!other.forks.empty()) append_forks(std::span(other.forks).subspan(begin, end - begin), shift);
}

TreeAnswers tree_answers_together(comm::Communicator& ranks, const RolloutPlan& plan, Generator& generator,
                                  std::span<const task::Draw> draws, const TreeOptions& options) {
    if (!options.branches()) return {sample_answers_together(ranks, plan, generator, draws), {}};
    const auto [begin, end] = share(draws.size(), ranks.rank(), ranks.size());
    TreeAnswers mine = ranks.agree("generating answers", [&, b = begin, e = end] {
        return Forester(plan, generator, draws.subspan(b, e - b), options,
                        [&] { ranks.working_on("generating answers"); })
            .grow();
    });
    std::vector<std::int32_t> forks;
    for (const Fork& fork : mine.forks) {
        forks.push_back(fork.parent);
        forks.push_back(fork.tokens);
    }
    const auto tables = ranks.all_gather_bytes(mine.answers.pack());
    const auto all_forks = ranks.all_gather(std::span<const std::int32_t>(forks));
    TreeAnswers all;
    for (std::size_t rank = 0; rank < tables.size(); ++rank) {
        TreeAnswers theirs{Trajectories::unpack(tables[rank]), {}};
        for (std::size_t i = 0; i < all_forks[rank].size(); i += 2)
            theirs.forks.push_back({all_forks[rank][i], all_forks[rank][i + 1]});
        all.append(theirs);
    }
    return all;
}

AnswerForest answer_forest(const Trajectories& data, std::span<const Fork> forks, std::span<const std::size_t> rows) {
    if (rows.empty()) return {};
    ForestBuilder builder(data, forks, rows.front(), rows.back() + 1);
    for (const std::size_t row : rows) builder.add(row);
    return builder.finish();
}

std::vector<float> token_logprobs_together(comm::Communicator& ranks, engine::Engine& model, const Trajectories& data,
                                           std::span<const Fork> forks, float temperature, int unit_tokens) {
    const auto groups = data.groups();
    const auto [begin, end] = share(groups.size(), ranks.rank(), ranks.size());
    const auto mine = ranks.agree("log-probs of answers", [&, b = begin, e = end] {
        std::vector<float> found;
        for (std::size_t p = b; p < e; ++p) {
            ranks.working_on("log-probs of answers");
            const std::size_t origin = found.size();
            const auto first_token = static_cast<std::size_t>(data.token_offset[groups[p].first]);
            found.resize(origin + static_cast<std::size_t>(data.token_offset[groups[p].second]) - first_token);
            std::vector<std::size_t> rows;
            std::size_t tokens = 0;  // of the rows, without the prompt
            const auto flush = [&] {
                const AnswerForest part = answer_forest(data, forks, rows);
                std::vector<float> logp(part.rows.size()), entropy(part.rows.size());
                model.token_logprobs(model.forward(part.forest, part.rows, engine::Keep::nothing), part.targets,
                                     temperature, logp, entropy);
                for (std::size_t r = 0; r < part.rows.size(); ++r)
                    for (std::size_t i = part.first[r]; i < part.first[r + 1]; ++i)
                        found[origin + part.tokens[i] - first_token] = logp[r];
                rows.clear();
                tokens = 0;
            };
            for (const auto& [from, to] : trees(forks, groups[p].first, groups[p].second)) {
                std::size_t more = 0;
                for (std::size_t row = from; row < to; ++row) more += data.ids(row).size();
                if (!rows.empty() && data.prompt(p).size() + tokens + more > static_cast<std::size_t>(unit_tokens))
                    flush();
                for (std::size_t row = from; row < to; ++row) rows.push_back(row);
                tokens += more;
            }
            if (!rows.empty()) flush();
        }
        return found;
    });
    std::vector<float> all;
    for (const auto& part : ranks.all_gather(std::span<const float>(mine)))
        all.insert(all.end(), part.begin(), part.end());
    return all;
}

}  // namespace tdrm::rollout
