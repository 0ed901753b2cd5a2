// 128-bit content hashes (XXH3), as 32 hexadecimal digits. They detect damage and name contents; they aren't
// meant to withstand an attacker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace tdrm {

/// Incremental hash; the digest depends on the bytes alone, not on how they were cut.
class Hasher {
public:
    Hasher();
    ~Hasher();
    Hasher(Hasher&&) noexcept;
    Hasher& operator=(Hasher&&) noexcept;
    void update(const void* data, std::size_t bytes);
    void update(std::string_view text) { update(text.data(), text.size()); }
    [[nodiscard]] std::string hex() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

[[nodiscard]] std::string hash_hex(std::string_view text);
/// Hash of a file's bytes. @throws IoError if it can't be read.
[[nodiscard]] std::string hash_file(const std::filesystem::path& path);
/// 64-bit hash of a short text, for random keys.
[[nodiscard]] std::uint64_t hash64(std::string_view text);

}  // namespace tdrm
