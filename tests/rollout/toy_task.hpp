// A task over the vocabulary of the toy models, of which a random model solves about every second problem.
#pragma once

#include <numeric>
#include <string>
#include <vector>

#include "tdrm/base/random.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::rollout {

/// Tokens 0, 5, 10, 15 and 20 close a step; 6, 13 and 20 end the answer; it is right if its ids add up to an even
/// number.
class ToyTask : public task::Task {
public:
    static constexpr std::int64_t kProblems = 12;
    explicit ToyTask(int max_answer_tokens = 14) : max_answer_tokens_(max_answer_tokens) {}

    [[nodiscard]] std::string_view kind() const override { return "toy"; }
    [[nodiscard]] std::string fingerprint() const override { return "toy"; }
    [[nodiscard]] int vocab_size() const override { return 23; }
    [[nodiscard]] std::string vocabulary_fingerprint() const override { return "toy"; }
    [[nodiscard]] std::string token_text(task::Token token) const override { return std::to_string(token); }
    [[nodiscard]] std::string text(task::TokenSpan) const override { return ""; }
    [[nodiscard]] task::Tokens parse(std::string_view) const override { return {}; }
    [[nodiscard]] task::Token end_token() const override { return 20; }
    [[nodiscard]] task::Tokens end_tokens() const override { return {20, 13, 6}; }
    [[nodiscard]] task::TokenSpan probe() const override { return probe_; }

    [[nodiscard]] std::vector<std::string> split_names() const override { return {"all"}; }
    [[nodiscard]] std::int64_t split_size(std::string_view) const override { return kProblems; }
    [[nodiscard]] std::int64_t distinct_problems(std::string_view) const override { return kProblems; }
    [[nodiscard]] task::Problem problem(std::string_view, std::int64_t index) const override {
        Random random(random_key(7, "problem", static_cast<std::uint64_t>(index)));
        return {static_cast<std::uint64_t>(100 + index), tokens(random, 3 + random.next_below(4)), "even"};
    }
    [[nodiscard]] int max_prompt_tokens() const override { return 6; }
    [[nodiscard]] int max_answer_tokens() const override { return max_answer_tokens_; }

    [[nodiscard]] task::Tokens demonstration(const task::Problem& problem, std::uint64_t seed,
                                             std::uint64_t visit) const override {
        Random random(random_key(seed, "demonstration", problem.id, visit));
        auto answer = tokens(random, 1 + random.next_below(10));
        answer.push_back(end_token());
        return answer;
    }
    /// Of every second problem all but each third token are learnt, of the others all.
    [[nodiscard]] std::vector<std::uint8_t> learnt_tokens(const task::Problem& problem, std::uint64_t seed,
                                                          std::uint64_t visit) const override {
        if (problem.id % 2 == 0) return {};
        std::vector<std::uint8_t> learnt(demonstration(problem, seed, visit).size(), 1);
        for (std::size_t t = 1; t < learnt.size(); t += 3) learnt[t] = 0;
        return learnt;
    }
    [[nodiscard]] task::Verdict verdict(const task::Problem&, task::TokenSpan answer) const override {
        const bool right = std::accumulate(answer.begin(), answer.end(), 0) % 2 == 0;
        return {right, right ? "even" : "odd", right ? task::Reason::correct : task::Reason::wrong_answer};
    }
    [[nodiscard]] std::vector<std::int32_t> step_ends(task::TokenSpan answer) const override {
        std::vector<std::int32_t> ends;
        for (std::size_t i = 0; i < answer.size(); ++i)
            if (answer[i] % 5 == 0) ends.push_back(static_cast<std::int32_t>(i) + 1);
        return ends;
    }
    [[nodiscard]] std::unique_ptr<task::StepTracker> track_steps() const override {
        struct Steps final : task::StepTracker {
            bool push(task::Token token) override { return token % 5 == 0; }
            [[nodiscard]] std::unique_ptr<task::StepTracker> clone() const override {
                return std::make_unique<Steps>();
            }
        };
        return std::make_unique<Steps>();
    }
    [[nodiscard]] std::int64_t penultimate(task::TokenSpan, std::span<const std::int32_t> ends) const override {
        return std::ssize(ends) < 2 ? std::ssize(ends) : std::ssize(ends) - 1;
    }

    [[nodiscard]] task::TruthKind truth_kind() const override { return task::TruthKind::none; }
    [[nodiscard]] std::vector<float> truth(const task::Problem&, task::TokenSpan,
                                           std::span<const std::int32_t>) const override {
        return {};
    }
    [[nodiscard]] std::vector<std::uint8_t> step_right(const task::Problem&, task::TokenSpan,
                                                       std::span<const std::int32_t>) const override {
        return {};
    }

private:
    /// None of these ends an answer.
    static task::Tokens tokens(Random& random, std::size_t n) {
        task::Tokens tokens(n);
        for (auto& token : tokens) token = static_cast<task::Token>(1 + random.next_below(5));
        return tokens;
    }

    int max_answer_tokens_;
    task::Tokens probe_{22, 21};
};

}  // namespace tdrm::rollout
