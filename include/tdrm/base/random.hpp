// Random numbers by identity: a number is a pure function of (key, counter). There is no generator state to save,
// and no order of execution that could change a result. Philox4x32-10 (Salmon et al., SC 2011).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tdrm {

/// Who draws. Two draws with equal keys and counters are the same number.
struct RandomKey {
    std::uint64_t seed = 0;     ///< of the stage
    std::uint64_t purpose = 0;  ///< hash64 of a word such as "sample" or "shuffle"
    std::uint64_t problem = 0;  ///< problem id
    std::uint64_t visit = 0;    ///< how often the stage drew this problem before
    std::uint64_t path = 0;     ///< sample index; in search a hash of the branch indices
};

/// Numbers of one key. Cheap to construct and to copy.
class Random {
public:
    explicit Random(const RandomKey& key);

    /// Four independent 32-bit words for a counter (a token position, say).
    [[nodiscard]] std::array<std::uint32_t, 4> words(std::uint64_t counter) const;
    /// Uniform in [0, 1), 53 bits.
    [[nodiscard]] double uniform(std::uint64_t counter) const;

    /// The same as a stream: each call uses the next counter.
    double next_uniform() { return uniform(counter_++); }
    /// Uniform integer in [0, n), n > 0, without bias.
    std::uint64_t next_below(std::uint64_t n);
    /// Standard normal (Box-Muller).
    double next_normal();

private:
    std::uint64_t key_;
    std::uint64_t stream_;
    std::uint64_t counter_ = 0;
};

/// Key with a purpose given as a word.
[[nodiscard]] RandomKey random_key(std::uint64_t seed, std::string_view purpose, std::uint64_t problem = 0,
                                   std::uint64_t visit = 0, std::uint64_t path = 0);

}  // namespace tdrm
