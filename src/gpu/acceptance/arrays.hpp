// Arrays of an acceptance run: random numbers, the same on both devices, and results brought back.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <vector>

#include "tdrm/base/bfloat16.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::gpu {

/// Makes arrays on one device; a run on another device with the same seed gets the same numbers.
class Arrays {
public:
    Arrays(Device& device, std::uint64_t seed) : device_(device), state_(seed) {}

    [[nodiscard]] Device& device() { return device_; }
    bf16* bf16s(std::size_t n, float spread = 1) {
        std::vector<bf16> values(n);
        for (bf16& value : values) value = {to_bfloat16(spread * normal()).bits};
        return place(values);
    }
    /// Random numbers that repeat, for speeds: products of zeros are faster than others.
    bf16* many_bf16s(std::size_t n) {
        constexpr std::size_t stretch = 1 << 20;
        const bf16* some = bf16s(std::min(n, stretch));
        bf16* all = room<bf16>(n);
        for (std::size_t first = 0; first < n; first += stretch)
            device_.copy(all + first, some, std::min(stretch, n - first) * sizeof(bf16));
        return all;
    }
    float* floats(std::size_t n, float spread = 1) {
        std::vector<float> values(n);
        for (float& value : values) value = spread * normal();
        return place(values);
    }
    template <class T>
    T* place(const std::vector<T>& values) {
        T* memory = room<T>(values.size());
        device_.upload(memory, values.data(), values.size() * sizeof(T));
        return memory;
    }
    template <class T>
    T* room(std::size_t n) {
        return reinterpret_cast<T*>(memory_.emplace_back(device_, n * sizeof(T)).data());
    }
    template <class T>
    std::vector<T> back(const T* from, std::size_t n) {
        std::vector<T> values(n);
        device_.download(values.data(), from, n * sizeof(T));
        device_.wait();
        return values;
    }
    int below(int n) { return static_cast<int>(next() % static_cast<std::uint64_t>(n)); }

private:
    std::uint64_t next() {  // SplitMix64
        std::uint64_t x = state_ += 0x9e3779b97f4a7c15U;
        x = (x ^ x >> 30U) * 0xbf58476d1ce4e5b9U;
        x = (x ^ x >> 27U) * 0x94d049bb133111ebU;
        return x ^ x >> 31U;
    }
    float normal() {
        const auto uniform = [&] { return static_cast<double>(next() >> 11U) * 0x1p-53; };
        const double r = std::sqrt(-2 * std::log(1 - uniform()));
        return static_cast<float>(r * std::cos(6.283185307179586 * uniform()));
    }

    Device& device_;
    std::uint64_t state_;
    std::deque<Memory<char>> memory_;
};

inline double number(float x) { return static_cast<double>(x); }
inline double number(double x) { return x; }
inline double number(bf16 x) { return static_cast<double>(to_float(BFloat16{x.bits})); }
inline double number(std::int64_t x) { return static_cast<double>(x); }
inline double number(std::uint32_t x) { return static_cast<double>(x); }

/// Numbers of results, one behind the other, for comparison.
template <class T>
void append(std::vector<double>& to, const std::vector<T>& values) {
    for (const T& value : values) to.push_back(number(value));
}

}  // namespace tdrm::gpu
