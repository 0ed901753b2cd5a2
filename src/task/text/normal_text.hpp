// Texts that are the same problem. Private to the room.
#pragma once

#include <string>
#include <string_view>

namespace tdrm::task {

/// Lower case (ASCII), without white space, mark-up ($ \ { }) and the punctuation of sentences, so that these don't
/// make two problems of one. Signs, operators, brackets and decimal points stay: they do.
[[nodiscard]] std::string normal_text(std::string_view text);

}  // namespace tdrm::task
