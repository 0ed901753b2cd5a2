#include "tdrm/base/random.hpp"

#include <cmath>

#include "tdrm/base/hash.hpp"

namespace tdrm {
namespace {

// Finaliser of SplitMix64: a bijection with good avalanche.
std::uint64_t mix(std::uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ULL;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

std::uint64_t absorb(std::uint64_t state, std::uint64_t word) { return mix(state + 0x9e3779b97f4a7c15ULL + mix(word)); }

std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t high, std::uint64_t low) {
    std::array<std::uint32_t, 4> x{static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(low >> 32),
                                   static_cast<std::uint32_t>(high), static_cast<std::uint32_t>(high >> 32)};
    auto k0 = static_cast<std::uint32_t>(key);
    auto k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = 0xD2511F53ULL * x[0];
        const std::uint64_t b = 0xCD9E8D57ULL * x[2];
        x = {static_cast<std::uint32_t>(b >> 32) ^ x[1] ^ k0, static_cast<std::uint32_t>(b),
             static_cast<std::uint32_t>(a >> 32) ^ x[3] ^ k1, static_cast<std::uint32_t>(a)};
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
    return x;
}

}  // namespace

Random::Random(const RandomKey& key) : key_(0), stream_(0x243f6a8885a308d3ULL) {
    for (const std::uint64_t word : {key.seed, key.purpose, key.problem, key.visit, key.path}) {
        key_ = absorb(key_, word);
        stream_ = absorb(stream_, word ^ key_);
    }
}

std::array<std::uint32_t, 4> Random::words(std::uint64_t counter) const { return philox(key_, stream_, counter); }

double Random::uniform(std::uint64_t counter) const {
    const auto w = words(counter);
    const std::uint64_t bits = (static_cast<std::uint64_t>(w[0]) << 32 | w[1]) >> 11;
    return static_cast<double>(bits) * 0x1.0p-53;
}

std::uint64_t Random::next_below(std::uint64_t n) {
    const std::uint64_t limit = -n % n;  // (2^64 - n) mod n: below it a draw would favour small results
    for (;;) {
        const auto w = words(counter_++);
        const std::uint64_t draw = static_cast<std::uint64_t>(w[0]) << 32 | w[1];
        if (draw >= limit) return draw % n;
    }
}

double Random::next_normal() {
    constexpr double two_pi = 6.283185307179586;
    const double u = 1.0 - next_uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(two_pi * next_uniform());
}

RandomKey random_key(std::uint64_t seed, std::string_view purpose, std::uint64_t problem, std::uint64_t visit,
                     std::uint64_t path) {
    return {seed, hash64(purpose), problem, visit, path};
}

}  // namespace tdrm
