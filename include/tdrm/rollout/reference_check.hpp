// A model against what another implementation computed with it: log-probs and greedy continuations, or values.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tdrm/engine/engine.hpp"

namespace tdrm::rollout {

/// One sequence with what the other implementation says about it; all but the ids may be empty.
struct ReferenceCase {
    std::vector<std::int32_t> ids;
    std::vector<double> logprobs_of_next = {};  ///< of ids[1], ids[2], ... given what is before
    std::vector<double> last_logprobs = {};     ///< of all tokens after the whole sequence
    std::vector<std::int32_t> greedy = {};      ///< most likely continuation, token by token

    std::vector<std::int32_t> positions = {};      ///< indices of ids at which a value is read; empty: the last
    std::vector<double> values = {};               ///< there, as probabilities
    std::vector<std::vector<double>> logits = {};  ///< there: the value's logit, or those of the head's labels
    std::vector<std::int32_t> tokens = {};         ///< of a language head: those that mean right and wrong
    std::vector<double> bins = {};                 ///< as model::ReadOut has them

    [[nodiscard]] bool has_values() const { return !values.empty() || !logits.empty(); }
};

/// Reads a JSON list of {"input_ids", "logprobs_of_next", "last_logprobs", "greedy"} or {"input_ids", "positions",
/// "values", "logits", "tokens", "bins"}. @throws IoError, or DataError naming the case and key that is broken
[[nodiscard]] std::vector<ReferenceCase> read_reference(const std::filesystem::path& path);

/// What check_reference found.
struct ReferenceReport {
    std::int64_t logprobs = 0;          ///< compared
    std::int64_t values = 0;            ///< compared, logits too
    double largest_difference = 0;      ///< of any of them
    std::size_t worst_case = 0;         ///< where that was
    double squares = 0;                 ///< of all differences, added up
    std::int64_t greedy_tokens = 0;     ///< compared
    std::int64_t different_tokens = 0;  ///< from the first one that differs to the end of its continuation
    std::vector<std::string> problems;  ///< which continuations differ, where, and how

    [[nodiscard]] double rms() const {
        return std::sqrt(squares / static_cast<double>(std::max<std::int64_t>(logprobs + values, 1)));
    }
    [[nodiscard]] bool agrees(double tolerance) const {
        return largest_difference <= tolerance && different_tokens == 0;
    }
};

/// Forward pass of the forest for log-probs and values, cached decoding for the continuations. Local.
/// @throws ConfigError if the model hasn't the head that a case asks for, DataError if a case has ids beyond the
/// vocabulary, lists of wrong length or values outside [0, 1]
[[nodiscard]] ReferenceReport check_reference(engine::Engine& engine, const std::vector<ReferenceCase>& cases);

}  // namespace tdrm::rollout
