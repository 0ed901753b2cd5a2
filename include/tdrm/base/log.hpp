// Messages for people, on standard error with the time of day. Local; safe from any thread.
#pragma once

#include <string_view>

namespace tdrm::log {

/// Who speaks. Until it is called, the process counts as rank 0.
void set_rank(int rank);
[[nodiscard]] int rank();

/// Rank 0 only.
void info(std::string_view text);
/// All ranks; those other than 0 say who they are.
void warn(std::string_view text);
/// All ranks; those other than 0 say who they are.
void error(std::string_view text);

}  // namespace tdrm::log
