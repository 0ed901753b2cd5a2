#include "tdrm/train/sft.hpp"

#include <algorithm>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"

namespace tdrm::train {

SftObjective::SftObjective(const task::Task& task, std::string split, const model::Model& model, std::uint64_t seed,
                           int batch, int unit_tokens)
    : task_(task),
      split_(std::move(split)),
      model_(model),
      transformer_(model),
      shuffle_(seed, task.split_size(split_)),
      seed_(seed),
      batch_(batch),
      unit_tokens_(static_cast<std::size_t>(unit_tokens)) {}

void SftObjective::prepare(std::int64_t update) {
    examples_.clear();
    answer_tokens_ = 0;
    std::vector<std::size_t> lengths;
    for (int i = 0; i < batch_; ++i) {
        const Draw draw = shuffle_(update * batch_ + i);
        const task::Problem problem = task_.problem(split_, draw.index);
        Example example{draw.index, problem.prompt.size(), problem.prompt, {}};
        const auto answer = task_.demonstration(problem, seed_, static_cast<std::uint64_t>(draw.visit));
        example.tokens.insert(example.tokens.end(), answer.begin(), answer.end());
        example.learnt = task_.learnt_tokens(problem, seed_, static_cast<std::uint64_t>(draw.visit));
        ensure(example.learnt.empty() || example.learnt.size() == answer.size(),
               "a mark for each token of a demonstration");
        answer_tokens_ +=
            static_cast<double>(example.learnt.empty() ? static_cast<std::ptrdiff_t>(answer.size())
                                                       : std::count(example.learnt.begin(), example.learnt.end(), 1));
        lengths.push_back(example.tokens.size());
        examples_.push_back(std::move(example));
    }
    first_ = cut_units(lengths, unit_tokens_);
}

double SftObjective::unit_cost(std::size_t unit) const {
    double tokens = 0;
    for (std::size_t i = first_[unit]; i < first_[unit + 1]; ++i)
        tokens += static_cast<double>(examples_[i].tokens.size());
    return tokens;
}

double SftObjective::unit_samples(std::size_t unit) const {
    return static_cast<double>(first_[unit + 1] - first_[unit]);
}

std::string SftObjective::unit_name(std::size_t unit) const {
    return cat("unit ", unit, " (", split_, " problems from ", examples_[first_[unit]].index, ")");
}

std::vector<double> SftObjective::differentiate(std::size_t unit, float* gradient) {
    model::Forest forest;
    std::vector<std::int32_t> rows, targets;
    for (std::size_t i = first_[unit]; i < first_[unit + 1]; ++i) {
        const Example& example = examples_[i];
        const int segment = forest.add(example.tokens);
        for (std::size_t t = example.prompt_tokens; t < example.tokens.size(); ++t) {
            if (!example.learnt.empty() && example.learnt[t - example.prompt_tokens] == 0) continue;
            rows.push_back(forest.token_index(segment, static_cast<int>(t) - 1));
            targets.push_back(example.tokens[t]);
        }
    }
    const float* hidden = transformer_.forward(forest, rows, work_, true);
    d_hidden_.resize(rows.size() * static_cast<std::size_t>(model_.spec().width));
    double loss = 0;
    double entropies = 0;
    const auto coefficient = static_cast<float>(-1.0 / answer_tokens_);
    model::token_loss(
        model_, hidden, targets, 1.0F,
        [&](int, float logp, float entropy) {
            loss -= static_cast<double>(logp);
            entropies += static_cast<double>(entropy);
            return coefficient;
        },
        d_hidden_.data(), gradient, work_);
    transformer_.backward(forest, rows, d_hidden_.data(), gradient, work_);
    ledger::count(ledger::Work::trained, forest.num_tokens());
    return {loss, entropies, static_cast<double>(rows.size()), static_cast<double>(forest.num_tokens())};
}

void SftObjective::metrics(const std::vector<double>& sums, Metrics& out) const {
    out.set("loss", sums[0] / sums[2]);
    out.set("entropy", sums[1] / sums[2]);
    out.set("num_tokens", sums[3]);
}

}  // namespace tdrm::train
