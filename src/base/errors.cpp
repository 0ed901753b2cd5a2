#include "tdrm/base/errors.hpp"

#include <algorithm>
#include <filesystem>
#include <new>
#include <string_view>

#include "tdrm/base/text.hpp"

namespace tdrm {
namespace {

/// Bytes of the UTF-8 character at the beginning of a text; 0 if there is none.
std::size_t character(std::string_view text) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    const std::size_t size = byte(0) < 0x80 ? 1 : byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : byte(0) >= 0xC2 ? 2 : 0;
    if (size == 0 || byte(0) > 0xF4 || size > text.size()) return 0;
    for (std::size_t i = 1; i < size; ++i)
        if ((byte(i) & 0xC0U) != 0x80) return 0;
    return size;
}

/// A message quotes what was read: control characters and bytes that are no UTF-8 become \x1b.
std::string printable(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const std::size_t size = character(text);
        const auto first = static_cast<unsigned char>(text[0]);
        const bool plain = size > 1 || (size == 1 && first >= 0x20 && first != 0x7F) || first == '\n' || first == '\t';
        if (plain) {
            result += text.substr(0, size);
        } else {
            constexpr std::string_view kDigits = "0123456789abcdef";
            result += {'\\', 'x', kDigits[first >> 4U], kDigits[first & 15U]};
        }
        text.remove_prefix(std::max<std::size_t>(size, 1));
    }
    return result;
}

}  // namespace

Failure describe(const std::exception& error) {
    Failure failure{ExitCode::bug, error.what()};
    if (const auto* own = dynamic_cast<const Error*>(&error)) failure.code = own->code();
    if (dynamic_cast<const std::bad_alloc*>(&error)) {
        failure.message = "out of memory (an allocation was refused). Lower unit_tokens or slots, or use more ranks.";
    }
    if (const auto* refused = dynamic_cast<const std::filesystem::filesystem_error*>(&error)) {
        failure.code = ExitCode::io;
        failure.message = cat("the file system refused ", shortened(refused->path1().string(), 500), " (",
                              refused->code().message(), "). Check the path and its rights.");
    }
    try {
        std::rethrow_if_nested(error);
    } catch (const std::exception& cause) {
        failure.message += ": " + describe(cause).message;
    }
    failure.message = printable(failure.message);
    return failure;
}

}  // namespace tdrm
