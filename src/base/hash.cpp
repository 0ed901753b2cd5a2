#include "tdrm/base/hash.hpp"

#define XXH_STATIC_LINKING_ONLY  // the state as a member
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/files.hpp"

namespace tdrm {

struct Hasher::State {
    XXH3_state_t xxh;
};

Hasher::Hasher() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->xxh); }
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(const void* data, std::size_t bytes) { XXH3_128bits_update(&state_->xxh, data, bytes); }

std::string Hasher::hex() const {
    const XXH128_hash_t digest = XXH3_128bits_digest(&state_->xxh);
    std::array<char, 33> text{};
    std::snprintf(text.data(), text.size(), "%016llx%016llx", static_cast<unsigned long long>(digest.high64),
                  static_cast<unsigned long long>(digest.low64));
    return text.data();
}

std::string hash_hex(std::string_view text) {
    Hasher hasher;
    hasher.update(text);
    return hasher.hex();
}

std::string hash_file(const std::filesystem::path& path) {
    const RegularFile file(path);
    Hasher hasher;
    std::vector<std::byte> block(1 << 20);
    std::uint64_t place = 0;
    while (const std::size_t got = file.read_at(place, block)) {
        hasher.update(block.data(), got);
        place += got;
    }
    return hasher.hex();
}

std::uint64_t hash64(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

}  // namespace tdrm
