// Sums over GPUs by NCCL. The communicator never blocks: every call is followed by polling with a deadline, so that a
// lost peer ends in an error instead of a hang. It has run on no hardware yet.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>

#include "tdrm/gpu/device.hpp"

namespace tdrm::gpu {

/// @throws std::runtime_error with NCCL's words
[[nodiscard]] PeersId new_nccl_id();
/// As NCCL counts: 22809 is 2.28.9.
[[nodiscard]] int nccl_version_number();

class NcclPeers final : public Peers {
public:
    /// @param compute the stream that numbers are made on, and read from afterwards
    NcclPeers(const PeersId& id, int rank, int size, cudaStream_t compute);
    ~NcclPeers() override;
    NcclPeers(const NcclPeers&) = delete;
    NcclPeers& operator=(const NcclPeers&) = delete;

    void sum(std::int64_t* values, std::size_t n, int receiver) override { add(values, n, ncclInt64, receiver); }
    void sum(float* values, std::size_t n, int receiver) override { add(values, n, ncclFloat32, receiver); }
    void broadcast(void* bytes, std::size_t n, int from) override;
    void join() override;
    void wait() override;

private:
    using Clock = std::chrono::steady_clock;

    void add(void* values, std::size_t n, ncclDataType_t type, int receiver);
    /// Our stream goes on when the numbers are made.
    void begin();
    /// Polls until the library has taken a call.
    void settle(ncclResult_t result, const char* name);
    [[noreturn]] void fail(const std::string& reason);

    ncclComm_t comm_ = nullptr;
    cudaStream_t compute_, exchange_ = nullptr;
    cudaEvent_t made_ = nullptr, there_ = nullptr;
};

}  // namespace tdrm::gpu
