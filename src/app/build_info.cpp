#include <hdf5.h>
#include <mpi.h>

#include <fstream>
#include <sstream>

#include "machine.hpp"
#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/engine/self_test.hpp"
#include "tdrm/gpu/plugin.hpp"

namespace tdrm::app {
namespace {

/// What /proc/cpuinfo says of the first processor.
struct Processor {
    std::string model, flags;
};

Processor processor() {
    std::ifstream file("/proc/cpuinfo");
    Processor found;
    for (std::string line; std::getline(file, line);) {
        if (found.model.empty() && line.starts_with("model name")) found.model = line.substr(line.find(':') + 2);
        if (found.flags.empty() && line.starts_with("flags")) found.flags = line;
    }
    return found;
}

std::string features_hash(const Processor& processor) { return hash_hex(processor.flags).substr(0, 8); }

/// Those features of the processor that decide how fast and with which instructions it multiplies.
std::string vector_features(const Processor& processor) {
    std::string found;
    std::istringstream flags(processor.flags);
    for (std::string flag; flags >> flag;)
        if (flag.starts_with("avx") || flag.starts_with("amx") || flag == "fma" || flag == "f16c")
            found += (found.empty() ? "" : " ") + flag;
    return found.empty() ? "none" : found;
}

std::string hdf5_library() {
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    return cat(major, ".", minor, ".", release);
}

}  // namespace

std::string build_info() {
    return cat("tdrm " TDRM_VERSION " (", TDRM_REVISION, "), g++ ", __VERSION__, ", " TDRM_ARCH, ", HDF5 ",
               H5_VERS_MAJOR, ".", H5_VERS_MINOR, ".", H5_VERS_RELEASE, ", Open MPI ", OMPI_MAJOR_VERSION, ".",
               OMPI_MINOR_VERSION, ".", OMPI_RELEASE_VERSION);
}

std::string about() {
    const Processor cpu = processor();
    const std::string plugin = gpu::plugin_file();
    return cat("tdrm " TDRM_VERSION " (" TDRM_REVISION ")", "\ncompiler    g++ ", __VERSION__, ", " TDRM_FLAGS,
               "\nprocessor   ", cpu.model, " (features ", features_hash(cpu), ": ", vector_features(cpu), ")",
               "\nMPI         ", mpi_library(), ", built with ", OMPI_MAJOR_VERSION, ".", OMPI_MINOR_VERSION, ".",
               OMPI_RELEASE_VERSION, "\nHDF5        ", hdf5_library(), ", built with ", H5_VERS_MAJOR, ".",
               H5_VERS_MINOR, ".", H5_VERS_RELEASE, "\nlibtorch    ", engine::torch_version(), "\nGPUs        ",
               plugin.empty() ? "no libtdrm_cuda.so" : plugin + "; not tried on hardware yet");
}

std::string processor_info() {
    const Processor cpu = processor();
    return cat(cpu.model, " (features ", features_hash(cpu), ")");
}

std::string fingerprint() { return cat(build_info(), "; ", processor_info()); }

}  // namespace tdrm::app
