// Trajectories in memory: flat arrays with offsets, in canonical order (problem, then sample). The same arrays are what
// an HDF5 file holds (docs/formats/trajectories.md) and what ranks send each other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tdrm/store/file.hpp"
#include "tdrm/store/table.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::rollout {

/// One answer of a policy to a problem, before it is put into the table.
struct Trajectory {
    std::int32_t visit = 0;
    std::int32_t sample = 0;
    task::Tokens ids;                    ///< with the end token if it was produced
    std::vector<float> logprob;          ///< of each id: log softmax(logits / temperature), full vocabulary
    std::vector<float> logprob_sampled;  ///< under the truncated distribution; empty without truncation
    std::vector<std::int32_t> step_ends;
    task::Finish finish = task::Finish::stop;
    task::Verdict verdict;
    std::optional<float> outcome = {};  ///< in [0, 1]; none: 1 if the verdict is right, else 0
};

/// A table of problems and their trajectories.
struct Trajectories {
    // Problems P.
    std::vector<std::int64_t> problem_index;     ///< within its split
    std::vector<std::int64_t> problem_id;        ///< unique over the task
    std::vector<std::string> problem_answer;     ///< gold
    std::vector<std::int64_t> prompt_offset{0};  ///< P + 1
    std::vector<std::int32_t> prompt_token;
    // Trajectories N.
    std::vector<std::int32_t> problem;  ///< row in the problem table
    std::vector<std::int32_t> visit, sample;
    std::vector<std::int64_t> token_offset{0};  ///< N + 1
    std::vector<std::int64_t> step_offset{0};   ///< N + 1
    std::vector<float> outcome;                 ///< 1 right, 0 wrong
    std::vector<std::uint8_t> finish;           ///< task::Finish
    std::vector<std::uint8_t> verdict_reason;   ///< task::Reason
    std::vector<std::string> answer;
    // Tokens and steps.
    std::vector<std::int32_t> token;
    std::vector<float> logprob;
    std::vector<float> logprob_sampled;  ///< empty if sampling wasn't truncated
    std::vector<std::int32_t> step_end;  ///< counted from the answer's first token

    [[nodiscard]] std::size_t num_problems() const { return problem_id.size(); }
    [[nodiscard]] std::size_t size() const { return problem.size(); }
    [[nodiscard]] task::TokenSpan prompt(std::size_t problem_row) const;
    [[nodiscard]] task::TokenSpan ids(std::size_t row) const;
    [[nodiscard]] std::span<const float> logprobs(std::size_t row) const;
    [[nodiscard]] std::span<const std::int32_t> step_ends(std::size_t row) const;
    /// Rows of each problem, [begin, end): trajectories of a problem lie behind one another.
    [[nodiscard]] std::vector<std::pair<std::size_t, std::size_t>> groups() const;
    [[nodiscard]] task::Problem problem_of(std::size_t row) const;

    void add_problem(std::int64_t index, const task::Problem& problem);
    /// Appends a trajectory of the last problem added.
    void add(const Trajectory& trajectory);
    /// Appends a problem row of another table with its trajectories [begin, end).
    void append_problem(const Trajectories& other, std::size_t problem_row, std::size_t begin, std::size_t end);
    /// Appends another table behind this one.
    void append(const Trajectories& other);

    /// Writes /problem, /trajectory, /token and /step.
    void write(store::FileWriter& file) const;
    /// @throws DataError if a dataset is missing or the offsets don't fit
    [[nodiscard]] static Trajectories read(const store::FileReader& file);
    [[nodiscard]] std::string pack() const;
    [[nodiscard]] static Trajectories unpack(std::string_view bytes);
};

/// First state of each trajectory in a flat array over states (T + 1 a trajectory), and the number of states at the
/// end.
[[nodiscard]] std::vector<std::size_t> state_offsets(const Trajectories& data);

/// Hash of what values and labels are aligned to: problems, samples, tokens, steps.
[[nodiscard]] std::string content_hash(const Trajectories& data);

}  // namespace tdrm::rollout
