#include "tdrm/base/errors.hpp"

#include <filesystem>
#include <new>

#include "tdrm/base/text.hpp"

namespace tdrm {
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
    failure.message = printable(failure.message);  // which quotes what was read
    return failure;
}

}  // namespace tdrm
