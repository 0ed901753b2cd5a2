// The slow readable twins of the training losses: one sequence at a time, in double, differentiated by libtorch.
#pragma once

#include <ATen/Parallel.h>

#include <cmath>

#include "../model/oracle.hpp"
#include "fixture.hpp"

namespace tdrm::train {

/// A loss of a model's weights, and its gradient.
class Twin {
public:
    explicit Twin(const Learner& learner) : model_(learner.engine().spec()), oracle_(with_weights(learner)) {
        at::set_num_threads(1);  // its tensors are too small to share
    }

    /// log p(id | before) of an answer's ids, T numbers.
    [[nodiscard]] at::Tensor logprobs(task::TokenSpan prompt, task::TokenSpan ids, double temperature = 1) const {
        task::Tokens before(prompt.begin(), prompt.end());
        before.insert(before.end(), ids.begin(), ids.end() - 1);
        const auto hidden = hidden_of(before).narrow(0, std::ssize(prompt) - 1, std::ssize(ids));
        const auto logits = hidden.matmul(oracle_.parameter("lm_head.weight").t()) / temperature;
        const auto targets = at::tensor(std::vector<std::int64_t>(ids.begin(), ids.end())).unsqueeze(1);
        return at::log_softmax(logits, -1).gather(1, targets).squeeze(1);
    }
    /// Value logit behind a state's tokens and the probe.
    [[nodiscard]] at::Tensor value_logit(task::TokenSpan prompt, task::TokenSpan state, task::TokenSpan probe) const {
        task::Tokens tokens(prompt.begin(), prompt.end());
        tokens.insert(tokens.end(), state.begin(), state.end());
        tokens.insert(tokens.end(), probe.begin(), probe.end());
        return hidden_of(tokens).select(0, std::ssize(tokens) - 1).dot(oracle_.parameter("score.weight").view({-1}));
    }
    [[nodiscard]] std::vector<double> gradient(const at::Tensor& loss) const {
        loss.backward();
        const double* values = oracle_.gradient().data_ptr<double>();
        return {values, values + oracle_.gradient().numel()};
    }

private:
    [[nodiscard]] at::Tensor hidden_of(const task::Tokens& tokens) const {
        model::Forest forest;
        forest.add(tokens);
        return oracle_.forward(forest);
    }

    const model::Model& with_weights(const Learner& learner) {
        learner.engine().read(engine::Array::weights, 0, model_.values());
        return model_;
    }

    model::Model model_;
    model::Oracle oracle_;
};

}  // namespace tdrm::train
