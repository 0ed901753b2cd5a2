// What an engine's products are like on this machine.
#pragma once

#include <string>

namespace tdrm::engine {

/// Floating-point operations a second of this process's matrix products; takes about a tenth of a second. On all ranks
/// at once it is what they get beside each other.
[[nodiscard]] double product_rate();
/// Whether a row's product has the same bits for any number of rows; exact mode rests on it.
[[nodiscard]] bool rows_are_invariant();
/// Loads what only training loads. @throws MissingError if it isn't there
void load_libraries();
/// Version of libtorch.
[[nodiscard]] std::string torch_version();

}  // namespace tdrm::engine
