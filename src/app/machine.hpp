// What the program runs on. Private to app.
#pragma once

#include <string>

#include "tdrm/comm/communicator.hpp"

namespace tdrm::app {

[[nodiscard]] std::string host_name();
/// "mpirun", "srun, Slurm job 1234", "none".
[[nodiscard]] std::string launcher();
/// Version of the MPI library at run time, e.g. "Open MPI v4.1.4". May be called before MPI starts.
[[nodiscard]] std::string mpi_library();
/// Top of a start's log: who runs what, where, on what, in about ten lines. Local.
[[nodiscard]] std::string start_header(const comm::Communicator& ranks);

}  // namespace tdrm::app
