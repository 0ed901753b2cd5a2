// What the tests of kernels share: random numbers, and schedules under which a kernel's bits must be the same.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "../../src/gpu/emulator/cuda.hpp"

namespace tdrm::gpu {

/// Random numbers of a test, by its seed.
class Numbers {
public:
    explicit Numbers(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {  // SplitMix64
        std::uint64_t x = state_ += 0x9e3779b97f4a7c15U;
        x = (x ^ x >> 30U) * 0xbf58476d1ce4e5b9U;
        x = (x ^ x >> 27U) * 0x94d049bb133111ebU;
        return x ^ x >> 31U;
    }
    int below(int n) { return static_cast<int>(next() % static_cast<std::uint64_t>(n)); }
    double uniform() { return static_cast<double>(next() >> 11U) * 0x1p-53; }
    float normal(float spread = 1) {
        const double r = std::sqrt(-2 * std::log(1 - uniform()));
        return spread * static_cast<float>(r * std::cos(6.283185307179586 * uniform()));
    }
    std::vector<bf16> bf16s(std::size_t n, float spread = 1) {
        std::vector<bf16> values(n);
        for (auto& value : values) value = to_bf16(normal(spread));
        return values;
    }
    std::vector<float> floats(std::size_t n, float spread = 1) {
        std::vector<float> values(n);
        for (auto& value : values) value = normal(spread);
        return values;
    }

private:
    std::uint64_t state_;
};

/// Memory as a device hands it out: NaN.
template <class T>
std::vector<T> poisoned(std::size_t n) {
    std::vector<T> values(n);
    std::memset(static_cast<void*>(values.data()), 0xff, n * sizeof(T));
    return values;
}

inline double number(bf16 x) { return static_cast<double>(to_float(x)); }
inline double number(float x) { return static_cast<double>(x); }

inline constexpr double kBf16Step = 0x1p-8;  ///< half a step of bf16, relative

/// Schedules that differ in the order of threads and in when copies happen.
inline std::vector<emulator::Schedule> schedules() { return {{1, true}, {2, false}, {3, true}, {4, false}}; }

/// Runs `work` as threads are numbered, and under every schedule. What it returns, numbers, must have the same bits
/// each time, and so must the arrays that it fills besides.
template <class Work, class... Arrays>
auto under_all_schedules(Work&& work, const Arrays&... besides) {
    const auto bits = [](const auto&... arrays) {
        std::string bytes;
        (bytes.append(reinterpret_cast<const char*>(arrays.data()), arrays.size() * sizeof(arrays[0])), ...);
        return bytes;
    };
    auto first = work();
    const std::string expected = bits(first, besides...);
    for (const auto& schedule : schedules()) {
        emulator::set_schedule(schedule);
        const auto again = work();
        EXPECT_TRUE(bits(again, besides...) == expected)
            << "seed " << schedule.seed << (schedule.early_copies ? ", early copies" : ", late copies");
    }
    emulator::set_schedule({});
    return first;
}

}  // namespace tdrm::gpu
