#include "cuda_device.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <fstream>
#include <new>
#include <stdexcept>

#include "../kernels.hpp"
#include "tdrm/gpu/plugin.hpp"

#if TDRM_HAS_NCCL
#include "nccl_peers.hpp"
#endif

namespace tdrm::gpu {
namespace {

constexpr std::size_t kWorkspaceBytes = 32 << 20;

void check(cudaError_t status, const char* what) {
    if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

}  // namespace

CudaDevice::CudaDevice(int ordinal) : ordinal_(ordinal) {
    check(cudaSetDevice(ordinal), "choosing a device");
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, ordinal), "asking a device");
    if (properties.major < 8)
        throw std::runtime_error(std::string(properties.name) +
                                 " can't compute in bf16 (compute capability 8.0 or later is needed)");
    reads_pageable_memory_ = properties.pageableMemoryAccess != 0;
    int library = 0;
    cudaRuntimeGetVersion(&library);
    name_ = std::string(properties.name) + ", " + std::to_string(properties.multiProcessorCount) +
            " multiprocessors, capability " + std::to_string(properties.major) + "." +
            std::to_string(properties.minor) + ", CUDA " + std::to_string(library) + ", cuBLASLt " +
            std::to_string(cublasLtGetVersion());
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
    check(cublasLtCreate(&handle_), "opening cuBLASLt");
    workspace_ = allocate(kWorkspaceBytes, "products");
}

CudaDevice::~CudaDevice() {
    cudaStreamSynchronize(stream_);
    release(workspace_);
    cublasLtDestroy(handle_);
    cudaStreamDestroy(stream_);
}

void* CudaDevice::allocate(std::size_t bytes, const char*) {
    void* memory = nullptr;
    if (bytes == 0) return memory;
    const cudaError_t status = cudaMalloc(&memory, bytes);
    if (status == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();  // the device goes on
        throw std::bad_alloc();
    }
    check(status, "allocating");
    return memory;
}

void CudaDevice::release(void* memory) noexcept { cudaFree(memory); }

void CudaDevice::upload(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "copying to the device");
    // Elsewhere the driver has staged the host's pages when the call returns.
    if (reads_pageable_memory_) wait();
}
void CudaDevice::download(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the device");
}
void CudaDevice::copy(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "copying on the device");
}
void CudaDevice::zero(void* to, std::size_t bytes) {
    if (bytes > 0) check(cudaMemsetAsync(to, 0, bytes, stream_), "clearing");
}

void CudaDevice::run(const Operation& operation) {
    std::visit([this](const auto& op) { start(op, stream_); }, operation);
}

const cublasLtMatmulAlgo_t& CudaDevice::algorithm(const Gemm& gemm) {
    const Kind kind{gemm.product, gemm.m,       gemm.n,      gemm.k, gemm.c_float != nullptr,
                    gemm.a_pitch, gemm.b_pitch, gemm.c_pitch};
    const auto found = algorithms_.find(kind);
    if (found != algorithms_.end()) return found->second;
    const LtProduct product(gemm);
    const LtPreference preference(kWorkspaceBytes);
    std::array<cublasLtMatmulHeuristicResult_t, 16> results{};
    int count = 0;
    check(
        cublasLtMatmulAlgoGetHeuristic(handle_, product.operation(), product.a(), product.b(), product.c(), product.c(),
                                       preference.get(), static_cast<int>(results.size()), results.data(), &count),
        "choosing an algorithm");
    for (int i = 0; i < count; ++i)
        if (const auto& algo = results[static_cast<std::size_t>(i)].algo; keeps_sums_whole(algo))
            return algorithms_.emplace(kind, algo).first->second;
    throw std::runtime_error("cuBLASLt has no algorithm without split sums for a product");
}

void CudaDevice::multiply(const Gemm& gemm) {
    const LtProduct product(gemm);
    void* c = gemm.c_float != nullptr ? static_cast<void*>(gemm.c_float) : gemm.c;
    const auto by = [&](const Gemm& asked) {
        return cublasLtMatmul(handle_, product.operation(), &gemm.alpha, gemm.b, product.a(), gemm.a, product.b(),
                              &gemm.beta, c, product.c(), c, product.c(), &algorithm(asked), workspace_,
                              kWorkspaceBytes, stream_);
    };
    auto status = by(representative(gemm));
    // The algorithm of many shapes may not do for this one, which is asked for before anything is started.
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) status = by(gemm);
    check(status, "multiplying");
}

void CudaDevice::wait() { check(cudaStreamSynchronize(stream_), "computing on the device"); }

std::size_t CudaDevice::used_bytes() {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "asking for free memory");
    return total - free;
}

std::string CudaDevice::bus() const {
    char bus[32] = "";
    check(cudaDeviceGetPCIBusId(bus, sizeof bus, ordinal_), "asking a device for its place");
    return bus;
}

std::string CudaDevice::processors() const {
    std::string folder = bus(), list;
    for (char& letter : folder) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    std::ifstream file("/sys/bus/pci/devices/" + folder + "/local_cpulist");
    std::getline(file, list);
    return list;
}

std::string CudaDevice::place() const {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    return std::string(host) + " " + bus();
}

#if TDRM_HAS_NCCL
PeersId CudaDevice::new_peers_id() const { return new_nccl_id(); }
std::unique_ptr<Peers> CudaDevice::connect(const PeersId& id, int rank, int size) {
    return std::make_unique<NcclPeers>(id, rank, size, stream_);
}
#else
PeersId CudaDevice::new_peers_id() const { return {}; }
std::unique_ptr<Peers> CudaDevice::connect(const PeersId&, int, int) { return nullptr; }
#endif

}  // namespace tdrm::gpu

namespace {

void say(const std::string& text, char* to, std::size_t bytes) {
    const std::size_t n = std::min(text.size(), bytes - 1);
    std::memcpy(to, text.data(), n);
    to[n] = '\0';
}

}  // namespace

/// Number of devices, or -1 with the reason in `error`.
extern "C" [[gnu::visibility("default")]] int tdrm_cuda_devices(int interface, char* error, std::size_t error_bytes) {
    if (interface != tdrm::gpu::kPluginInterface) {
        say("libtdrm_cuda.so is of another version", error, error_bytes);
        return -1;
    }
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaSuccess) return count;
    say(cudaGetErrorString(status), error, error_bytes);
    return -1;
}

/// A device, or null with the reason in `error`.
extern "C" [[gnu::visibility("default")]] tdrm::gpu::Device* tdrm_cuda_open(int ordinal, char* error,
                                                                            std::size_t error_bytes) {
    try {
        return new tdrm::gpu::CudaDevice(ordinal);
    } catch (const std::bad_alloc&) {
        say("its memory is used up, by another process or another model of this one", error, error_bytes);
        return nullptr;
    } catch (const std::exception& failure) {
        say(failure.what(), error, error_bytes);
        return nullptr;
    }
}

/// As NCCL counts, 22809 for 2.28.9; 0: it is built without.
extern "C" [[gnu::visibility("default")]] int tdrm_cuda_nccl_version() {
#if TDRM_HAS_NCCL
    return tdrm::gpu::nccl_version_number();
#else
    return 0;
#endif
}
