#include "tdrm/rollout/scorer.hpp"

#include "tdrm/base/errors.hpp"

namespace tdrm::rollout {

void add_states(model::Forest& forest, task::TokenSpan prompt, std::span<const ScoredAnswer> answers, task::TokenSpan probe,
                std::vector<std::int32_t>& rows) {
    const auto probe_row = [&](int segment) { return forest.token_index(segment, static_cast<int>(probe.size()) - 1); };
    const int root = forest.add(prompt);
    int start_probe = -1;  // s_0 is the same state for all answers
    for (const ScoredAnswer& answer : answers) {
        const int trunk = answer.ids.empty() ? -1 : forest.add(answer.ids, root);
        for (const std::int32_t end : answer.ends) {
            if (end == 0) {
                if (start_probe < 0) start_probe = forest.add(probe, root);
                rows.push_back(probe_row(start_probe));
            } else {
                rows.push_back(probe_row(forest.add(probe, trunk, end)));
            }
        }
    }
}

ScoredAnswer all_states(const Trajectories& data, std::size_t row) {
    ScoredAnswer answer{data.ids(row), {0}};
    const auto ends = data.step_ends(row);
    answer.ends.insert(answer.ends.end(), ends.begin(), ends.end());
    // Nothing after the last state is read.
    answer.ids = answer.ids.first(static_cast<std::size_t>(answer.ends.back()));
    return answer;
}

std::size_t forest_tokens(const ScoredAnswer& answer, std::size_t probe_tokens) {
    return answer.ids.size() + answer.ends.size() * probe_tokens;
}

Scorer::Scorer(const model::Model& model, task::TokenSpan probe, int unit_tokens)
    : transformer_(model), probe_(probe), unit_tokens_(static_cast<std::size_t>(unit_tokens)) {
    ensure(model.spec().head == model::Head::value, "a scorer needs a model with a value head");
}

std::vector<std::vector<float>> Scorer::score(task::TokenSpan prompt, std::span<const ScoredAnswer> answers) {
    std::vector<std::vector<float>> result;
    result.reserve(answers.size());
    for (std::size_t first = 0; first < answers.size();) {
        std::size_t last = first;
        std::size_t tokens = prompt.size();
        while (last < answers.size() && (last == first || tokens + forest_tokens(answers[last], probe_.size()) <= unit_tokens_))
            tokens += forest_tokens(answers[last++], probe_.size());
        forest_.clear();
        rows_.clear();
        add_states(forest_, prompt, answers.subspan(first, last - first), probe_, rows_);
        const float* hidden = transformer_.forward(forest_, rows_, work_, false);
        std::vector<float> logits(rows_.size());
        model::value_logits(transformer_.model(), hidden, static_cast<int>(rows_.size()), logits.data());
        auto next = logits.begin();
        for (; first < last; ++first) {
            const auto states = static_cast<std::ptrdiff_t>(answers[first].ends.size());
            result.emplace_back(next, next + states);
            next += states;
        }
    }
    return result;
}

}  // namespace tdrm::rollout
