#include "tdrm/task/task.hpp"

#include <array>

#include "tdrm/base/errors.hpp"

namespace tdrm::task {

std::string_view name(Reason reason) {
    static constexpr std::array<std::string_view, kReasons> kNames = {
        "correct",          "correct_despite_error", "wrong_answer",    "no_answer",          "truncated",
        "trailing_tokens",  "malformed_step",        "number_reused",   "number_unavailable", "smaller_first",
        "inexact_division", "result_out_of_bounds",  "wrong_arithmetic"};
    const auto index = static_cast<std::size_t>(reason);
    return index < kNames.size() ? kNames[index] : "unknown";
}

Tokens Task::scripted_rest(const Problem&, TokenSpan, std::uint64_t, std::uint64_t) const {
    throw BugError(cat("the task ", kind(), " has no scripted policy"));
}

}  // namespace tdrm::task
