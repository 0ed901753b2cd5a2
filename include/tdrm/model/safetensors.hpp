// The safetensors format: the length of a JSON header, the header, and the tensors' bytes one behind the other.
// Own code, because no library of the distribution reads it (docs/adr/0010). Local.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tdrm/model/spec.hpp"

namespace tdrm::model {

/// A tensor in a file.
struct StoredTensor {
    std::string dtype;                ///< as the file names it: F32, BF16, F16, ...
    std::vector<std::int64_t> shape;  ///< row-major
    std::uint64_t begin = 0;          ///< of its bytes in the file
    std::uint64_t size = 0;           ///< elements

    bool operator==(const StoredTensor&) const = default;
};

/// An opened file whose header was checked: sizes agree with shapes, and the tensors cover the data without gap or
/// overlap.
class SafetensorsFile {
public:
    /// @throws IoError if the file can't be read; DataError naming what is wrong with the header
    explicit SafetensorsFile(std::filesystem::path path);

    [[nodiscard]] const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    /// Elements [first, first + out.size()) of a tensor as fp32. @throws DataError for a format other than F32, BF16,
    /// F16
    void read(const std::string& name, std::uint64_t first, std::span<float> out) const;

    /// Calls tensors otherwise from now on: new names by old ones.
    void rename(const std::map<std::string, std::string>& names);
    /// Forgets tensors.
    void drop(const std::vector<std::string>& names);

private:
    std::filesystem::path path_;
    std::map<std::string, StoredTensor> tensors_;
};

/// Checks a header and places its tensors in a file whose data begins at `data_begin`.
/// @param data_size bytes behind the header @param origin names the file in messages @throws DataError
[[nodiscard]] std::map<std::string, StoredTensor> parse_safetensors_header(std::string_view header,
                                                                           std::uint64_t data_begin,
                                                                           std::uint64_t data_size,
                                                                           const std::string& origin);

/// A tensor to be written.
struct NamedTensor {
    std::string name;
    std::vector<std::int64_t> shape;
    /// Fills `out` with the tensor's elements from `first` on.
    std::function<void(std::int64_t first, std::span<float> out)> read;
};
/// Writes a file in the given format (bf16 and f16 rounded to nearest even), synced. @throws IoError
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors, Dtype dtype);

/// Conversions of n numbers; the bytes are little-endian as in the file. f32 copies.
void to_float(float* out, const std::byte* in, std::size_t n, Dtype dtype);
void from_float(std::byte* out, const float* in, std::size_t n, Dtype dtype);
/// Bytes of one number.
[[nodiscard]] std::size_t size_of(Dtype dtype);

}  // namespace tdrm::model
