#include "tdrm/train/sft.hpp"

#include <algorithm>
#include <array>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"

namespace tdrm::train {

namespace {
constexpr std::array<std::string_view, 4> kSums{"loss", "entropy", "rows", "tokens"};
}

SftObjective::SftObjective(const task::Task& task, std::string split, engine::Engine& policy, std::uint64_t seed,
                           int batch, int unit_tokens)
    : task_(task),
      split_(std::move(split)),
      policy_(policy),
      shuffle_(seed, task.split_size(split_)),
      seed_(seed),
      batch_(batch),
      unit_tokens_(static_cast<std::size_t>(unit_tokens)) {}

void SftObjective::prepare(std::int64_t update) {
    examples_.clear();
    answer_tokens_ = 0;
    std::vector<std::size_t> lengths;
    for (int i = 0; i < batch_; ++i) {
        const task::Draw draw = shuffle_(update * batch_ + i);
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
    units_ = Units(std::move(lengths), unit_tokens_);
}

std::span<const std::string_view> SftObjective::sum_names() const { return kSums; }

std::string SftObjective::unit_name(std::size_t unit) const {
    return cat("unit ", unit, " (", split_, " problems from ", examples_[units_.begin(unit)].index, ")");
}

Sums SftObjective::differentiate(std::size_t unit) {
    model::Forest forest;
    std::vector<std::int32_t> rows, targets;
    for (std::size_t i = units_.begin(unit); i < units_.end(unit); ++i) {
        const Example& example = examples_[i];
        const int segment = forest.add(example.tokens);
        for (std::size_t t = example.prompt_tokens; t < example.tokens.size(); ++t) {
            if (!example.learnt.empty() && example.learnt[t - example.prompt_tokens] == 0) continue;
            rows.push_back(forest.token_index(segment, static_cast<int>(t) - 1));
            targets.push_back(example.tokens[t]);
        }
    }
    const auto states = policy_.forward(forest, rows, engine::Keep::activations);
    Sums sums(kSums);
    double& loss = sums["loss"];
    double& entropies = sums["entropy"];
    const auto coefficient = static_cast<float>(-1.0 / answer_tokens_);
    policy_.token_loss(states, targets, 1.0F, [&](int, float logp, float entropy) {
        loss -= static_cast<double>(logp);
        entropies += static_cast<double>(entropy);
        return coefficient;
    });
    policy_.backward(forest);
    ledger::count(ledger::Work::trained, forest.num_tokens());
    sums["rows"] = static_cast<double>(rows.size());
    sums["tokens"] = static_cast<double>(forest.num_tokens());
    return sums;
}

void SftObjective::metrics(const Sums& sums, Metrics& out) const {
    out.set("loss", sums["loss"] / sums["rows"]);
    out.set("entropy", sums["entropy"] / sums["rows"]);
    out.set("num_tokens", sums["tokens"]);
}

}  // namespace tdrm::train
