// A device: memory, a queue of operations, matrix products. What an engine does with it is the same for a GPU and for
// the emulated device; nothing that it hands over is more than numbers and addresses.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tdrm/gpu/attention.hpp"
#include "tdrm/gpu/gemm.hpp"
#include "tdrm/gpu/head.hpp"
#include "tdrm/gpu/rows.hpp"
#include "tdrm/gpu/sums.hpp"

namespace tdrm::gpu {

/// All that a device computes beside products.
using Operation =
    std::variant<GatherRows, ScatterRows, EmbedBackward, RmsNorm, RmsNormBackward, ColumnSums, AddPartials, AddBias,
                 TurnHeads, Gate, GateBackward, Attend, AttendOnce, AttendDelta, AttendQueries, AttendKeys,
                 AttendReduce, LogSoftmax, LogSoftmaxBackward, Sample, ReadValues, ReadValuesBackward, Round, Widen,
                 ExactAdd, ExactToFloat, FastAdd, GradientFigures, AdamWUpdate>;

/// How ranks find each other: made by one, handed to all.
using PeersId = std::array<char, 128>;

/// The devices of all ranks, one a rank, which exchange numbers without a detour through their hosts. Exchanges come
/// after what the device was asked for before, one after the other, and beside what it is asked for next: that mustn't
/// touch their numbers before `join`. All ranks queue the same.
/// @throws std::runtime_error with the reason if a peer is lost or silent; no further exchange is possible then
class Peers {
public:
    virtual ~Peers() = default;
    /// Adds in place, integers modulo 2^64. @param receiver rank that gets the sum, the others' values are lost; -1:
    /// all do
    virtual void sum(std::int64_t* values, std::size_t n, int receiver) = 0;
    virtual void sum(float* values, std::size_t n, int receiver) = 0;
    virtual void broadcast(void* bytes, std::size_t n, int from) = 0;
    /// What the device is asked for next comes after all exchanges so far.
    virtual void join() = 0;
    /// Until all exchanges are done.
    virtual void wait() = 0;
};

/// Whatever is queued happens in order. Errors of what was queued before may come with any call.
/// @throws std::runtime_error with the device's words; std::bad_alloc if its memory is used up
class Device {
public:
    virtual ~Device() = default;

    [[nodiscard]] virtual std::string name() const = 0;

    /// Memory of whatever content, aligned to 256 bytes. @param what it is for, in words
    [[nodiscard]] virtual void* allocate(std::size_t bytes, const char* what) = 0;
    virtual void release(void* memory) noexcept = 0;

    // Queued. `from` of an upload may change when the call returns; `to` of a download is there after `wait`.
    virtual void upload(void* to, const void* from, std::size_t bytes) = 0;
    virtual void download(void* to, const void* from, std::size_t bytes) = 0;
    virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
    virtual void zero(void* to, std::size_t bytes) = 0;
    virtual void run(const Operation& operation) = 0;
    virtual void multiply(const Gemm& gemm) = 0;

    /// Until everything queued is done.
    virtual void wait() = 0;
    /// Bytes of the device's memory that are in use, by whomever; 0: it doesn't say.
    [[nodiscard]] virtual std::size_t used_bytes() { return 0; }

    /// Processors on its side of the machine, as Linux lists them, e.g. 0-3,8; "": it doesn't say.
    [[nodiscard]] virtual std::string processors() const { return ""; }
    /// What tells this device from all others of a job; "": it connects with nobody, sums go through the hosts.
    [[nodiscard]] virtual std::string place() const { return ""; }
    [[nodiscard]] virtual PeersId new_peers_id() const { return {}; }
    /// Collective. No two ranks have the same place. The device must outlive its peers. @return null: it can't
    [[nodiscard]] virtual std::unique_ptr<Peers> connect(const PeersId&, int /*rank*/, int /*size*/) { return nullptr; }
};

/// The kernels on this machine's processor, as slow as that is: what tests run, and `device: emulated`.
[[nodiscard]] std::unique_ptr<Device> emulated_device();

/// An array on a device.
template <class T>
class Memory {
public:
    /// @param what it is for, as an error says when there is no room for it
    explicit Memory(Device& device, const char* what = "activations") : device_(&device), what_(what) {}
    Memory(Device& device, std::size_t n, const char* what = "activations") : Memory(device, what) { resize(n); }
    ~Memory() { device_->release(data_); }
    Memory(Memory&& other) noexcept
        : device_(other.device_),
          what_(other.what_),
          data_(std::exchange(other.data_, nullptr)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    Memory& operator=(Memory&&) = delete;

    /// Room for n numbers, whose content is lost if it has to grow. Small room grows twofold: what a sequence needs
    /// becomes more with every token. @return data()
    T* resize(std::size_t n) {
        constexpr std::size_t kSmall = std::size_t{1} << 20;
        if (n > capacity_) {
            if (capacity_ > 0 && n * sizeof(T) < kSmall) n *= 2;
            release();
            data_ = static_cast<T*>(device_->allocate(n * sizeof(T), what_));
            capacity_ = n;
        }
        return data_;
    }
    /// Becomes a copy of host values. @return data()
    T* assign(std::span<const T> values) {
        resize(values.size());
        device_->upload(data_, values.data(), values.size_bytes());
        return data_;
    }
    /// Gives the memory back.
    void release() {
        device_->release(std::exchange(data_, nullptr));
        capacity_ = 0;
    }
    [[nodiscard]] T* data() const { return data_; }
    [[nodiscard]] std::size_t capacity() const { return capacity_; }

private:
    Device* device_;
    const char* what_;
    T* data_ = nullptr;
    std::size_t capacity_ = 0;
};

}  // namespace tdrm::gpu
