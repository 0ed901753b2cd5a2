#include "tdrm/task/task.hpp"

#include <array>

namespace tdrm::task {

std::string_view name(Reason reason) {
    static constexpr std::array<std::string_view, kReasons> kNames = {
        "correct",          "correct_despite_error", "wrong_answer",    "no_answer",          "truncated",
        "trailing_tokens",  "malformed_step",        "number_reused",   "number_unavailable", "smaller_first",
        "inexact_division", "result_out_of_bounds",  "wrong_arithmetic"};
    const auto index = static_cast<std::size_t>(reason);
    return index < kNames.size() ? kNames[index] : "unknown";
}

}  // namespace tdrm::task
