// An emulated device that a test changes in part.
#pragma once

#include <memory>
#include <string>

#include "tdrm/gpu/device.hpp"

namespace tdrm::engine {

class ForwardingDevice : public gpu::Device {
public:
    [[nodiscard]] std::string name() const override { return device_->name(); }
    [[nodiscard]] void* allocate(std::size_t bytes, const char* what) override {
        return device_->allocate(bytes, what);
    }
    void release(void* memory) noexcept override { device_->release(memory); }
    void upload(void* to, const void* from, std::size_t bytes) override { device_->upload(to, from, bytes); }
    void download(void* to, const void* from, std::size_t bytes) override { device_->download(to, from, bytes); }
    void copy(void* to, const void* from, std::size_t bytes) override { device_->copy(to, from, bytes); }
    void zero(void* to, std::size_t bytes) override { device_->zero(to, bytes); }
    void run(const gpu::Operation& operation) override { device_->run(operation); }
    void multiply(const gpu::Gemm& gemm) override { device_->multiply(gemm); }
    void wait() override { device_->wait(); }

private:
    std::unique_ptr<gpu::Device> device_ = gpu::emulated_device();
};

}  // namespace tdrm::engine
