// Collectives on raw buffers behind one interface: MPI for host memory, NCCL for GPU memory.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "tdrm/comm/communicator.hpp"

namespace tdrm::comm {

/// All functions but abort are collective, and are done when they return. Buffers are in the memory of the transport.
/// @throws CommError if a peer is gone or the transport fails; no further collective is possible then.
class Collectives {
public:
    Collectives() = default;
    virtual ~Collectives() = default;
    Collectives(const Collectives&) = delete;
    Collectives& operator=(const Collectives&) = delete;

    /// Adds in place; equal counts on all ranks. Equal bits on every rank.
    virtual void all_reduce_sum(float* data, std::size_t count) = 0;
    /// The same, modulo 2^64.
    virtual void all_reduce_sum(std::int64_t* data, std::size_t count) = 0;
    virtual void broadcast(void* data, std::size_t bytes, int root) = 0;
    /// `all` holds size() x bytes, in rank order; `mine` may be its own place in there.
    virtual void all_gather(const void* mine, void* all, std::size_t bytes) = 0;
    /// Local. Ends what is under way, so that this rank can report a failure instead of waiting for lost peers.
    virtual void abort() noexcept = 0;
};

enum class Transport { mpi, nccl };

struct CollectivesOptions {
    int device = 0;                      ///< CUDA device of this rank (NCCL)
    void* caller_stream = nullptr;       ///< cudaStream_t on which the buffers are produced; null: the default stream
    std::chrono::seconds deadline{600};  ///< of one collective (NCCL)
};

/// Whether this program was built with NCCL.
[[nodiscard]] bool built_with_nccl() noexcept;
/// Version of the NCCL library at run time, e.g. 2.18.3; "" if the program was built without.
[[nodiscard]] std::string nccl_version();

/// Collective. `ranks` must outlive the result.
/// @throws ConfigError on every rank if NCCL was asked for and the build has none, a rank finds no GPU, or two ranks
/// share one.
[[nodiscard]] std::unique_ptr<Collectives> make_collectives(Communicator& ranks, Transport transport,
                                                            const CollectivesOptions& options = {});

}  // namespace tdrm::comm
