#include "nccl_peers.hpp"

#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

namespace tdrm::gpu {
namespace {

constexpr std::chrono::seconds kDeadline{600};  ///< of one exchange

void check(cudaError_t status, const char* what) {
    if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

static_assert(sizeof(ncclUniqueId) == sizeof(PeersId));

}  // namespace

PeersId new_nccl_id() {
    ncclUniqueId id{};
    const ncclResult_t result = ncclGetUniqueId(&id);
    if (result != ncclSuccess) throw std::runtime_error(std::string("ncclGetUniqueId: ") + ncclGetErrorString(result));
    PeersId bytes{};
    std::memcpy(bytes.data(), &id, sizeof id);
    return bytes;
}

int nccl_version_number() {
    int version = 0;
    ncclGetVersion(&version);
    return version;
}

NcclPeers::NcclPeers(const PeersId& id, int rank, int size, cudaStream_t compute) : compute_(compute) {
    check(cudaStreamCreateWithFlags(&exchange_, cudaStreamNonBlocking), "making a stream");
    check(cudaEventCreateWithFlags(&made_, cudaEventDisableTiming), "making an event");
    check(cudaEventCreateWithFlags(&there_, cudaEventDisableTiming), "making an event");
    ncclUniqueId unique{};
    std::memcpy(&unique, id.data(), sizeof unique);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    settle(ncclCommInitRankConfig(&comm_, size, unique, rank, &config), "ncclCommInitRank");
}

NcclPeers::~NcclPeers() {
    // While an error is on its way the peers may be elsewhere: nobody waits for them.
    if (comm_ != nullptr && std::uncaught_exceptions() > 0) {
        ncclCommAbort(comm_);
    } else if (comm_ != nullptr) {
        try {
            settle(ncclCommFinalize(comm_), "ncclCommFinalize");
            ncclCommDestroy(comm_);
        } catch (const std::runtime_error&) {  // it is aborted
        }
    }
    if (there_ != nullptr) cudaEventDestroy(there_);
    if (made_ != nullptr) cudaEventDestroy(made_);
    if (exchange_ != nullptr) cudaStreamDestroy(exchange_);
}

void NcclPeers::begin() {
    if (comm_ == nullptr) throw std::runtime_error("an earlier exchange failed");
    check(cudaEventRecord(made_, compute_), "recording an event");
    check(cudaStreamWaitEvent(exchange_, made_, 0), "waiting for an event");
}

void NcclPeers::join() {
    check(cudaEventRecord(there_, exchange_), "recording an event");
    check(cudaStreamWaitEvent(compute_, there_, 0), "waiting for an event");
}

void NcclPeers::add(void* values, std::size_t n, ncclDataType_t type, int receiver) {
    begin();
    if (receiver < 0) {
        settle(ncclAllReduce(values, values, n, type, ncclSum, comm_, exchange_), "ncclAllReduce");
    } else {
        settle(ncclReduce(values, values, n, type, ncclSum, receiver, comm_, exchange_), "ncclReduce");
    }
}

void NcclPeers::broadcast(void* bytes, std::size_t n, int from) {
    begin();
    settle(ncclBroadcast(bytes, bytes, n, ncclInt8, from, comm_, exchange_), "ncclBroadcast");
}

void NcclPeers::settle(ncclResult_t result, const char* name) {
    const auto start = Clock::now();
    while (result == ncclInProgress) {
        if (Clock::now() - start > kDeadline) fail(std::string(name) + ": a peer doesn't answer");
        std::this_thread::yield();
        if (const ncclResult_t query = ncclCommGetAsyncError(comm_, &result); query != ncclSuccess) result = query;
    }
    if (result != ncclSuccess) fail(std::string(name) + ": " + ncclGetErrorString(result));
}

void NcclPeers::wait() {
    const auto start = Clock::now();
    for (;;) {
        const cudaError_t state = cudaStreamQuery(exchange_);
        if (state == cudaSuccess) return;
        if (state != cudaErrorNotReady) fail(cudaGetErrorString(state));
        ncclResult_t result = ncclSuccess;
        const ncclResult_t query = ncclCommGetAsyncError(comm_, &result);
        if (query != ncclSuccess) fail(ncclGetErrorString(query));
        if (result != ncclSuccess && result != ncclInProgress) fail(ncclGetErrorString(result));
        if (Clock::now() - start > kDeadline) fail("a peer doesn't answer");
        std::this_thread::yield();
    }
}

void NcclPeers::fail(const std::string& reason) {
    if (comm_ != nullptr) ncclCommAbort(comm_);
    comm_ = nullptr;
    throw std::runtime_error("NCCL: " + reason + " (NCCL_DEBUG=INFO tells more)");
}

}  // namespace tdrm::gpu
