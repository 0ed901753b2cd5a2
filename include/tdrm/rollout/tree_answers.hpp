// Answers that share their beginnings: trunks, and branches that leave them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/model/forest.hpp"
#include "tdrm/rollout/answers.hpp"

namespace tdrm {
class Fields;
}

namespace tdrm::rollout {

/// Where branches leave an answer.
enum class BranchAt {
    steps,   ///< at the ends of its first steps
    tokens,  ///< before its least likely token, then the next least likely one
};
[[nodiscard]] constexpr auto enum_names(BranchAt) {
    return std::array<std::pair<BranchAt, std::string_view>, 2>{
        {{BranchAt::steps, "steps"}, {BranchAt::tokens, "tokens"}}};
}

struct TreeOptions {
    int width = 1;  ///< ways that go on from a branching; 1 = answers share nothing but the prompt
    int depth = 1;  ///< branchings between trunk and leaf
    int first = 1;  ///< step behind which the first branching of steps lies
    BranchAt at = BranchAt::steps;

    [[nodiscard]] bool branches() const { return width > 1; }
    /// Answers of a trunk at most: width ^ depth.
    [[nodiscard]] std::int64_t leaves() const;
    void fields(Fields& f);
};

/// Where an answer of a tree leaves another one.
struct Fork {
    std::int32_t parent = -1;  ///< row of the answer that it has its beginning from; -1: it is a trunk
    std::int32_t tokens = 0;   ///< that it has from there
    bool operator==(const Fork&) const = default;
};

/// The row whose own piece a token of an answer lies in: that which it was drawn for. @param forks may be empty
[[nodiscard]] std::size_t owner_of(std::span<const Fork> forks, std::size_t row, std::size_t token);

struct TreeAnswers {
    Trajectories answers;
    std::vector<Fork>
        forks;  ///< of each; empty where nothing branches. A tree's answers lie behind one another, parents first
    /// Appends others behind these.
    void append(const TreeAnswers& other);
    /// Appends a problem of others with its trajectories [begin, end).
    void append_problem(const TreeAnswers& other, std::size_t problem_row, std::size_t begin, std::size_t end);

private:
    void append_forks(std::span<const Fork> others, std::int32_t shift);
};

/// Collective. As sample_answers_together: plan.samples trunks a problem, and then `depth` times from each answer so
/// far width - 1 others, which share its tokens up to the branching. The d-th branching of steps lies at the end of the
/// answer's step first + d - 1; an answer without one there has no branch. Every answer is drawn from the policy.
[[nodiscard]] TreeAnswers tree_answers_together(comm::Communicator& ranks, const RolloutPlan& plan,
                                                Generator& generator, std::span<const task::Draw> draws,
                                                const TreeOptions& options);

/// Tokens to compute and to predict: answers under their prompts in a forest, shared beginnings once.
struct AnswerForest {
    model::Forest forest;
    std::vector<std::int32_t> rows, targets;  ///< of each predicted token: where it is predicted from, and what it is
    std::vector<std::size_t> first;           ///< in `tokens`, of each row; and their number at the end
    std::vector<std::size_t> tokens;  ///< of the table that a row stands for: one for each answer that shares it
};
/// Local. @param rows ascending; of a tree with all that they fork from. @param forks may be empty
[[nodiscard]] AnswerForest answer_forest(const Trajectories& data, std::span<const Fork> forks,
                                         std::span<const std::size_t> rows);

/// Collective. log softmax(logits / temperature) of every token of the table, by forward passes over whole answers
/// to a problem, of at most `unit_tokens` tokens where that is more than one tree.
[[nodiscard]] std::vector<float> token_logprobs_together(comm::Communicator& ranks, engine::Engine& model,
                                                         const Trajectories& data, std::span<const Fork> forks,
                                                         float temperature, int unit_tokens);

}  // namespace tdrm::rollout
