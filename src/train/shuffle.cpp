#include "tdrm/train/shuffle.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::train {

Shuffle::Shuffle(std::uint64_t seed, std::int64_t n) : seed_(seed), n_(n), half_bits_(1) {
    ensure(n >= 1, "a shuffle of nothing");
    while ((std::int64_t{1} << (2 * half_bits_)) < n) ++half_bits_;
}

task::Draw Shuffle::operator()(std::int64_t k) const {
    const std::int64_t visit = k / n_;
    const Random random(random_key(seed_, "shuffle", 0, static_cast<std::uint64_t>(visit)));
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    auto x = static_cast<std::uint64_t>(k % n_);
    do {  // the network permutes a power of four; walk until the image is an item
        std::uint64_t left = x >> half_bits_;
        std::uint64_t right = x & mask;
        for (std::uint64_t round = 0; round < 6; ++round) {
            const std::uint64_t mixed = left ^ (random.words(round << 32 | right)[0] & mask);
            left = right;
            right = mixed;
        }
        x = left << half_bits_ | right;
    } while (x >= static_cast<std::uint64_t>(n_));
    return {static_cast<std::int64_t>(x), visit};
}

}  // namespace tdrm::train
