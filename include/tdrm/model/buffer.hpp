// Aligned host memory that grows and is reused: no allocation in a steady training or decoding loop.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace tdrm::model {

/// Uninitialised storage of trivially copyable elements, 64-byte aligned. `resize` keeps no contents when it grows.
/// Kernels may read a whole vector at the last element: 64 bytes behind it are there.
template <class T>
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(std::size_t n) { resize(n); }

    T* resize(std::size_t n) {
        if (n > capacity_) {
            data_.reset();
            // Large buffers lie in huge pages where the kernel has them: a cache of keys is read all over. What doesn't
            // fill one lies in small pages, so that no more is taken than was asked for.
            constexpr std::size_t kHugePage = std::size_t{1} << 21;
            const std::size_t bytes = n * sizeof(T) + 64;
            void* memory = nullptr;
            if (posix_memalign(&memory, bytes < kHugePage ? 64 : kHugePage, bytes) != 0) throw std::bad_alloc();
            data_.reset(static_cast<T*>(memory));
            if (bytes >= kHugePage) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
            capacity_ = n;
        }
        size_ = n;
        return data_.get();
    }

    /// Sets n elements from `first` on to zero and gives their whole pages of memory back until they are written again.
    void give_back(std::size_t first, std::size_t n) {
        constexpr std::uintptr_t kPage = 4096;
        const auto begin = reinterpret_cast<std::uintptr_t>(data_.get() + first);
        const std::uintptr_t end = begin + n * sizeof(T);
        const std::uintptr_t from = (begin + kPage - 1) / kPage * kPage, to = end / kPage * kPage;
        if (from >= to || madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED) != 0)
            return static_cast<void>(std::memset(data_.get() + first, 0, n * sizeof(T)));
        std::memset(reinterpret_cast<void*>(begin), 0, from - begin);
        std::memset(reinterpret_cast<void*>(to), 0, end - to);
    }

    [[nodiscard]] T* data() { return data_.get(); }
    [[nodiscard]] const T* data() const { return data_.get(); }
    [[nodiscard]] std::size_t size() const { return size_; }
    T& operator[](std::size_t i) { return data_.get()[i]; }
    const T& operator[](std::size_t i) const { return data_.get()[i]; }

private:
    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T, Free> data_;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

using Floats = Buffer<float>;

}  // namespace tdrm::model
