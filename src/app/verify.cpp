#include "tdrm/math/verify.hpp"

#include <cstdio>
#include <ostream>

#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::app {

int verify(const std::string& file, std::ostream& out) {
    const auto counts = math::verify_file(file, out);
    if (!out.flush()) throw IoError("the output can't be written (its reader is gone or the disk is full).");
    std::fprintf(stderr, "%llu pairs, %llu equal\n", static_cast<unsigned long long>(counts.pairs),
                 static_cast<unsigned long long>(counts.equal));
    return 0;
}

}  // namespace tdrm::app
