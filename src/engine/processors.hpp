// Which processors this process runs on.
#pragma once

#include <string_view>
#include <vector>

namespace tdrm::engine {

/// Of a list as Linux writes it, e.g. 0-3,8. What isn't one is left out.
[[nodiscard]] std::vector<int> listed_processors(std::string_view list);
/// Keeps this process to those of a list that it may use; to all if it may use none of them.
void run_on(std::string_view list);

}  // namespace tdrm::engine
