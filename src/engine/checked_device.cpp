#include "checked_device.hpp"

#include <new>
#include <stdexcept>

#include "tdrm/base/errors.hpp"

namespace tdrm::engine {

template <class Work>
auto CheckedDevice::checked(Work&& work) const {
    try {
        return work();
    } catch (const std::runtime_error& error) {
        throw CommError(cat("the device ", name(), " failed: ", error.what(),
                            " (what this rank was computing is lost, commits are whole). Start the same command again; "
                            "if it fails again, look at the device."));
    }
}

void* CheckedDevice::allocate(std::size_t bytes, const char* what) {
    try {
        void* memory = checked([&] { return device_->allocate(bytes, what); });
        sizes_[memory] = bytes;
        allocated_ += bytes;
        return memory;
    } catch (const std::bad_alloc&) {
        constexpr double mib = 1 << 20;
        throw ConfigError(cat("the memory of ", name(), " is used up: ", static_cast<double>(bytes) / mib,
                              " MiB more were asked for, for ", what, ", beside ",
                              static_cast<double>(allocated_) / mib,
                              " MiB (weights, training state, activations and caches lie there). Lower unit_tokens or "
                              "slots, or use a smaller model."));
    }
}

void CheckedDevice::release(void* memory) noexcept {
    if (const auto found = sizes_.find(memory); found != sizes_.end()) {
        allocated_ -= found->second;
        sizes_.erase(found);
    }
    device_->release(memory);
}

void CheckedDevice::upload(void* to, const void* from, std::size_t bytes) {
    checked([&] { device_->upload(to, from, bytes); });
}
void CheckedDevice::download(void* to, const void* from, std::size_t bytes) {
    checked([&] { device_->download(to, from, bytes); });
}
void CheckedDevice::copy(void* to, const void* from, std::size_t bytes) {
    checked([&] { device_->copy(to, from, bytes); });
}
void CheckedDevice::zero(void* to, std::size_t bytes) {
    checked([&] { device_->zero(to, bytes); });
}
void CheckedDevice::run(const gpu::Operation& operation) {
    checked([&] { device_->run(operation); });
}
void CheckedDevice::multiply(const gpu::Gemm& gemm) {
    checked([&] { device_->multiply(gemm); });
}
void CheckedDevice::wait() {
    checked([&] { device_->wait(); });
}
std::size_t CheckedDevice::used_bytes() {
    return checked([&] {
        const std::size_t used = device_->used_bytes();
        return used > 0 ? used : allocated_;
    });
}
std::string CheckedDevice::place() const {
    return checked([&] { return device_->place(); });
}

}  // namespace tdrm::engine
