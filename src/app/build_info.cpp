#include <hdf5.h>
#include <mpi.h>

#include <fstream>

#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/comm/collectives.hpp"

namespace tdrm::app {
namespace {

std::string processor() {
    std::ifstream file("/proc/cpuinfo");
    std::string line, model, flags;
    while (std::getline(file, line)) {
        if (model.empty() && line.starts_with("model name")) model = line.substr(line.find(':') + 2);
        if (flags.empty() && line.starts_with("flags")) flags = line;
    }
    return cat(model, " (features ", hash_hex(flags).substr(0, 8), ")");
}

}  // namespace

std::string build_info() {
    return cat("tdrm " TDRM_VERSION " (", TDRM_REVISION, "), g++ ", __VERSION__, ", " TDRM_ARCH, ", HDF5 ",
               H5_VERS_MAJOR, ".", H5_VERS_MINOR, ".", H5_VERS_RELEASE, ", Open MPI ", OMPI_MAJOR_VERSION, ".",
               OMPI_MINOR_VERSION, ".", OMPI_RELEASE_VERSION,
               comm::built_with_nccl() ? ", with NCCL" : ", without NCCL");
}

std::string fingerprint() { return build_info() + "; " + processor(); }

}  // namespace tdrm::app
