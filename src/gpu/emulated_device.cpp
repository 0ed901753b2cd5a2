#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::gpu {
namespace {

constexpr int kPoison = 0xff;  // NaN in every format
constexpr std::size_t kAlign = 256;

/// Memory is this process's. Fresh memory is poisoned, and so is the target of a download until the next wait: what
/// is used too early shows.
class EmulatedDevice final : public Device {
public:
    [[nodiscard]] std::string name() const override { return "emulated"; }

    [[nodiscard]] void* allocate(std::size_t bytes, const char*) override {
        void* memory = std::aligned_alloc(kAlign, (bytes + kAlign - 1) / kAlign * kAlign);
        if (memory == nullptr && bytes > 0) throw std::bad_alloc();
        if (memory != nullptr) std::memset(memory, kPoison, bytes);
        return memory;
    }
    void release(void* memory) noexcept override { std::free(memory); }

    void upload(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }
    void download(void* to, const void* from, std::size_t bytes) override {
        if (bytes == 0) return;
        const auto* begin = static_cast<const char*>(from);
        downloads_.push_back({to, std::vector<char>(begin, begin + bytes)});
        std::memset(to, kPoison, bytes);
    }
    void copy(void* to, const void* from, std::size_t bytes) override {
        if (bytes > 0) std::memcpy(to, from, bytes);
    }
    void zero(void* to, std::size_t bytes) override {
        if (bytes > 0) std::memset(to, 0, bytes);
    }
    void run(const Operation& operation) override {
        std::visit([](const auto& op) { start(op, nullptr); }, operation);
    }
    void multiply(const Gemm& gemm) override { reference_product(gemm); }
    void wait() override {
        for (const Download& download : downloads_)
            std::memcpy(download.to, download.bytes.data(), download.bytes.size());
        downloads_.clear();
    }

private:
    struct Download {
        void* to;
        std::vector<char> bytes;
    };
    std::vector<Download> downloads_;
};

}  // namespace

std::unique_ptr<Device> emulated_device() { return std::make_unique<EmulatedDevice>(); }

}  // namespace tdrm::gpu
