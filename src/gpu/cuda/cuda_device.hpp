// A GPU. What of this is more than calls of CUDA and cuBLASLt has its tests on the emulated device; these calls
// themselves have run on no hardware yet.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <tuple>

#include "lt_product.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::gpu {

class CudaDevice final : public Device {
public:
    /// @param ordinal among the process's visible devices @throws std::runtime_error with CUDA's words
    explicit CudaDevice(int ordinal);
    ~CudaDevice() override;
    CudaDevice(const CudaDevice&) = delete;
    CudaDevice& operator=(const CudaDevice&) = delete;

    [[nodiscard]] std::string name() const override { return name_; }
    [[nodiscard]] void* allocate(std::size_t bytes, const char*) override;
    void release(void* memory) noexcept override;
    void upload(void* to, const void* from, std::size_t bytes) override;
    void download(void* to, const void* from, std::size_t bytes) override;
    void copy(void* to, const void* from, std::size_t bytes) override;
    void zero(void* to, std::size_t bytes) override;
    void run(const Operation& operation) override;
    void multiply(const Gemm& gemm) override;
    void wait() override;
    [[nodiscard]] std::size_t used_bytes() override;
    [[nodiscard]] std::string processors() const override;
    [[nodiscard]] std::string place() const override;
    [[nodiscard]] PeersId new_peers_id() const override;
    [[nodiscard]] std::unique_ptr<Peers> connect(const PeersId& id, int rank, int size) override;

private:
    /// What an algorithm is chosen for, once (representative()).
    using Kind = std::tuple<Product, int, int, int, bool, int, int, int>;
    [[nodiscard]] const cublasLtMatmulAlgo_t& algorithm(const Gemm& gemm);

    /// Its place on the bus, as CUDA writes it.
    [[nodiscard]] std::string bus() const;

    int ordinal_;
    std::string name_;
    bool reads_pageable_memory_ = false;
    cudaStream_t stream_ = nullptr;
    cublasLtHandle_t handle_ = nullptr;
    void* workspace_ = nullptr;
    std::map<Kind, cublasLtMatmulAlgo_t> algorithms_;
};

}  // namespace tdrm::gpu
