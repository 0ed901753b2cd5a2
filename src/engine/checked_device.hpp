// A device whose failures are the program's: with an exit code, a reason, and what to do.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "tdrm/gpu/device.hpp"

namespace tdrm::engine {

/// Memory that is used up is a ConfigError, whatever else a device says a CommError: the rank has lost its device.
class CheckedDevice final : public gpu::Device {
public:
    explicit CheckedDevice(std::unique_ptr<gpu::Device> device) : device_(std::move(device)) {}

    [[nodiscard]] std::string name() const override { return device_->name(); }
    [[nodiscard]] void* allocate(std::size_t bytes, const char* what) override;
    void release(void* memory) noexcept override;
    void upload(void* to, const void* from, std::size_t bytes) override;
    void download(void* to, const void* from, std::size_t bytes) override;
    void copy(void* to, const void* from, std::size_t bytes) override;
    void zero(void* to, std::size_t bytes) override;
    void run(const gpu::Operation& operation) override;
    void multiply(const gpu::Gemm& gemm) override;
    void wait() override;
    /// What is allocated here, where the device doesn't say.
    [[nodiscard]] std::size_t used_bytes() override;
    [[nodiscard]] std::string place() const override;
    [[nodiscard]] gpu::PeersId new_peers_id() const override { return device_->new_peers_id(); }
    [[nodiscard]] std::unique_ptr<gpu::Peers> connect(const gpu::PeersId& id, int rank, int size) override {
        return device_->connect(id, rank, size);
    }

private:
    template <class Work>
    auto checked(Work&& work) const;

    std::unique_ptr<gpu::Device> device_;
    std::unordered_map<void*, std::size_t> sizes_;  ///< bytes of what is allocated
    std::size_t allocated_ = 0;                     ///< their sum
};

}  // namespace tdrm::engine
