// Aligned host memory that grows and is reused: no allocation in a steady training or decoding loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
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
            const std::size_t bytes = (n * sizeof(T) + 127) / 64 * 64;
            data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
            if (!data_) throw std::bad_alloc();
            capacity_ = n;
        }
        size_ = n;
        return data_.get();
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
