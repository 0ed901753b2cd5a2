// The acceptance of a device as a program of its own, which needs neither MPI nor HDF5 and may be carried elsewhere.
//
//   gpu_accept [--device cuda|emulated] [--quick]     quick: small shapes and no speeds, for checkers that are slow
//
// Ends with 0 if the device is accepted, 1 if not, 3 if it couldn't be tried.
#include <cstdio>
#include <cstring>
#include <exception>

#include "tdrm/gpu/acceptance.hpp"

int main(int argc, char** argv) {
    std::string kind = "cuda";
    bool quick = false;
    for (int i = 1; i < argc; ++i) {
        if (std::strcmp(argv[i], "--quick") == 0) quick = true;
        if (std::strcmp(argv[i], "--device") == 0 && i + 1 < argc) kind = argv[++i];
    }
    try {
        tdrm::gpu::Report report;
        tdrm::gpu::accept(report, kind, quick);
        return report.verdict() ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "gpu_accept: %s\n", error.what());
        return 3;
    }
}
