// Compiled only where the CUDA toolkit and NCCL are. The NCCL communicator is non-blocking: every call is followed by
// polling with a deadline, so that a lost peer ends in an error instead of a hang.
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <thread>

#include "mpi.hpp"
#include "nccl.hpp"

namespace tdrm::comm {
namespace {

using Clock = std::chrono::steady_clock;

void check_cuda(cudaError_t code, const char* call) {
    if (code == cudaSuccess) return;
    throw CommError(cat(call, " failed: ", cudaGetErrorString(code),
                        " (the GPU can't be used any further). Look at the GPU with nvidia-smi, then start again."));
}

// Selects the GPU and returns a name that tells it from every other one of the job.
std::string take_device(int device) {
    int count = 0;
    const cudaError_t code = cudaGetDeviceCount(&count);
    if (code != cudaSuccess || count == 0) {
        throw ConfigError(cat("NCCL was asked for, but there is no usable CUDA GPU (",
                              code == cudaSuccess ? "no device" : cudaGetErrorString(code),
                              "). Choose the transport mpi, or run on a machine with a GPU and its driver."));
    }
    if (device < 0 || device >= count) {
        throw ConfigError(cat("CUDA device ", device, " doesn't exist (this rank sees ", count,
                              "). Start at most one rank for each GPU of a node."));
    }
    check_cuda(cudaSetDevice(device), "cudaSetDevice");
    std::array<char, 32> bus{};
    check_cuda(cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), device), "cudaDeviceGetPCIBusId");
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    return cat(host.data(), " ", bus.data());
}

// NCCL would refuse with a message that names nobody.
void refuse_shared_devices(const std::vector<std::string>& devices) {
    for (std::size_t a = 0; a < devices.size(); ++a) {
        for (std::size_t b = a + 1; b < devices.size(); ++b) {
            if (devices[a] != devices[b]) continue;
            throw ConfigError(cat("ranks ", a, " and ", b, " share the GPU ", devices[a],
                                  " (NCCL needs one for each rank). Start fewer ranks, or choose the transport mpi."));
        }
    }
}

class NcclCollectives final : public Collectives {
public:
    NcclCollectives(Communicator& ranks, const CollectivesOptions& options, const ncclUniqueId& id)
        : ranks_(ranks),
          caller_stream_(static_cast<cudaStream_t>(options.caller_stream)),
          deadline_(options.deadline),
          exceptions_at_birth_(std::uncaught_exceptions()) {
        check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
        check_cuda(cudaEventCreateWithFlags(&ready_, cudaEventDisableTiming), "cudaEventCreate");
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 0;
        const auto start = Clock::now();
        settle(ncclCommInitRankConfig(&comm_, ranks.size(), id, ranks.rank(), &config), "ncclCommInitRank", start);
    }

    ~NcclCollectives() override {
        if (std::uncaught_exceptions() > exceptions_at_birth_) abort();
        if (comm_ != nullptr) {
            const auto start = Clock::now();
            try {
                settle(ncclCommFinalize(comm_), "ncclCommFinalize", start);
                ncclCommDestroy(comm_);
            } catch (const CommError&) {  // settle has aborted it
            }
        }
        if (ready_ != nullptr) cudaEventDestroy(ready_);
        if (stream_ != nullptr) cudaStreamDestroy(stream_);
    }

    void all_reduce_sum(float* data, std::size_t count) override {
        run("ncclAllReduce", count * sizeof(float),
            [&] { return ncclAllReduce(data, data, count, ncclFloat32, ncclSum, comm_, stream_); });
    }

    void all_reduce_sum(std::int64_t* data, std::size_t count) override {
        run("ncclAllReduce", count * sizeof(std::int64_t),
            [&] { return ncclAllReduce(data, data, count, ncclInt64, ncclSum, comm_, stream_); });
    }

    void broadcast(void* data, std::size_t bytes, int root) override {
        run("ncclBroadcast", bytes, [&] { return ncclBroadcast(data, data, bytes, ncclInt8, root, comm_, stream_); });
    }

    void all_gather(const void* mine, void* all, std::size_t bytes) override {
        run("ncclAllGather", bytes, [&] { return ncclAllGather(mine, all, bytes, ncclInt8, comm_, stream_); });
    }

    void abort() noexcept override {
        if (comm_ != nullptr) ncclCommAbort(comm_);
        comm_ = nullptr;
    }

private:
    template <class Call>
    void run(const char* name, std::size_t bytes, Call&& call) {
        const CollectiveScope scope(ranks_.impl(), name, bytes);
        if (comm_ == nullptr) fail(name, "an earlier collective failed");
        // The buffers must be finished on the caller's stream; ours must be done before the caller goes on.
        check_cuda(cudaEventRecord(ready_, caller_stream_), "cudaEventRecord");
        check_cuda(cudaStreamWaitEvent(stream_, ready_, 0), "cudaStreamWaitEvent");
        const auto start = Clock::now();
        settle(call(), name, start);
        finish(name, start);
    }

    // Polls until the call has been issued.
    void settle(ncclResult_t result, const char* name, Clock::time_point start) {
        while (result == ncclInProgress) {
            if (Clock::now() - start > deadline_) fail(name, "a peer doesn't answer");
            std::this_thread::yield();
            if (const ncclResult_t query = ncclCommGetAsyncError(comm_, &result); query != ncclSuccess) result = query;
        }
        if (result != ncclSuccess) fail(name, ncclGetErrorString(result));
    }

    // Polls until the GPU has done it.
    void finish(const char* name, Clock::time_point start) {
        for (;;) {
            const cudaError_t state = cudaStreamQuery(stream_);
            if (state == cudaSuccess) return;
            if (state != cudaErrorNotReady) fail(name, cudaGetErrorString(state));
            ncclResult_t result = ncclSuccess;
            const ncclResult_t query = ncclCommGetAsyncError(comm_, &result);
            if (query != ncclSuccess) fail(name, ncclGetErrorString(query));
            if (result != ncclSuccess && result != ncclInProgress) fail(name, ncclGetErrorString(result));
            if (Clock::now() - start > deadline_) fail(name, "a peer doesn't answer");
            std::this_thread::yield();
        }
    }

    [[noreturn]] void fail(const char* name, const char* reason) {
        abort();
        throw CommError(
            cat(name, " failed: ", reason,
                " (the ranks can't go on together). Set NCCL_DEBUG=INFO to learn more; the same command resumes."));
    }

    Communicator& ranks_;
    ncclComm_t comm_ = nullptr;
    cudaStream_t stream_ = nullptr;
    cudaEvent_t ready_ = nullptr;
    cudaStream_t caller_stream_;
    std::chrono::seconds deadline_;
    int exceptions_at_birth_;
};

ncclUniqueId share_unique_id(Communicator& ranks) {
    ncclUniqueId id{};
    ranks.agree("starting NCCL", [&] {
        if (!ranks.root()) return;
        const ncclResult_t result = ncclGetUniqueId(&id);
        if (result != ncclSuccess) throw CommError(cat("ncclGetUniqueId failed: ", ncclGetErrorString(result), "."));
    });
    ranks.broadcast(std::as_writable_bytes(std::span(&id, 1)));
    return id;
}

}  // namespace

bool built_with_nccl() noexcept { return true; }

std::string nccl_version() {
    int version = 0;  // 21803 is 2.18.3
    ncclGetVersion(&version);
    return cat(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

std::unique_ptr<Collectives> make_nccl_collectives(Communicator& ranks, const CollectivesOptions& options) {
    const std::string device = ranks.agree("looking for a GPU", [&] { return take_device(options.device); });
    const auto devices = ranks.all_gather_bytes(device);
    ranks.agree("giving out the GPUs", [&] { refuse_shared_devices(devices); });
    const ncclUniqueId id = share_unique_id(ranks);
    return ranks.agree("connecting the GPUs", [&]() -> std::unique_ptr<Collectives> {
        return std::make_unique<NcclCollectives>(ranks, options, id);
    });
}

}  // namespace tdrm::comm
