#include "tdrm/model/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "tdrm/base/bfloat16.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/files.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/text.hpp"
#include "tdrm/store/directory.hpp"

namespace tdrm::model {
namespace {

using nlohmann::json;
static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");

constexpr std::uint64_t kLongestHeader = 100'000'000;  ///< as the reference implementation allows
constexpr std::size_t kPiece = std::size_t{1} << 20;   ///< elements that are converted at once

struct Format {
    std::string_view name;
    std::uint64_t bytes;
};
constexpr std::array kFormats{Format{"F32", 4},  Format{"BF16", 2},    Format{"F16", 2},    Format{"F64", 8},
                              Format{"I64", 8},  Format{"I32", 4},     Format{"I16", 2},    Format{"I8", 1},
                              Format{"U64", 8},  Format{"U32", 4},     Format{"U16", 2},    Format{"U8", 1},
                              Format{"BOOL", 1}, Format{"F8_E4M3", 1}, Format{"F8_E5M2", 1}};

[[noreturn]] void refuse(const std::string& origin, const std::string& what) {
    throw DataError(cat(origin, " is no whole safetensors file: ", what, ". Fetch or convert it again."));
}

/// a * b, or the largest number if that is too large.
std::uint64_t times(std::uint64_t a, std::uint64_t b) {
    std::uint64_t product = 0;
    return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<std::uint64_t>::max() : product;
}

StoredTensor parse_entry(const std::string& name, const json& entry, std::uint64_t data_size,
                         const std::string& origin) {
    const auto wrong = [&](const std::string& what) { refuse(origin, cat("tensor ", shortened(name), " ", what)); };
    if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets"))
        wrong("lacks dtype, shape or data_offsets");
    const json& dtype = entry["dtype"];
    const json& shape = entry["shape"];
    const json& offsets = entry["data_offsets"];
    const auto whole = [](const json& j) { return j.is_number_unsigned(); };
    if (!dtype.is_string()) wrong("has a dtype that is no text");
    if (!shape.is_array() || !std::all_of(shape.begin(), shape.end(), whole))
        wrong("has a shape that isn't a list of sizes");
    if (!offsets.is_array() || offsets.size() != 2 || !std::all_of(offsets.begin(), offsets.end(), whole))
        wrong("has data_offsets that aren't two positions");
    StoredTensor tensor;
    tensor.dtype = dtype.get<std::string>();
    const auto format =
        std::find_if(kFormats.begin(), kFormats.end(), [&](const Format& f) { return f.name == tensor.dtype; });
    if (format == kFormats.end()) wrong(cat("has the unknown dtype ", shortened(tensor.dtype, 40)));
    tensor.size = 1;
    for (const json& extent : shape) {
        const auto n = extent.get<std::uint64_t>();
        if (n > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) wrong("has a size beyond 2^63");
        tensor.shape.push_back(static_cast<std::int64_t>(n));
        tensor.size = times(tensor.size, n);
    }
    tensor.begin = offsets[0].get<std::uint64_t>();
    const auto end = offsets[1].get<std::uint64_t>();
    if (end < tensor.begin || end > data_size)
        wrong(cat("lies at ", tensor.begin, " to ", end, " of ", data_size, " bytes of data (is the file cut off?)"));
    if (times(tensor.size, format->bytes) != end - tensor.begin)
        wrong(cat("of shape ", shortened(shape.dump()), " and dtype ", tensor.dtype, " has ", end - tensor.begin,
                  " bytes"));
    return tensor;
}

/// No gap, no overlap, nothing behind.
void check_cover(const std::map<std::string, StoredTensor>& tensors, std::uint64_t data_size,
                 const std::string& origin) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
    for (const auto& [name, t] : tensors) {
        const std::string& dtype = t.dtype;
        const auto format =
            std::find_if(kFormats.begin(), kFormats.end(), [&](const Format& f) { return f.name == dtype; });
        ranges.emplace_back(t.begin, t.begin + t.size * format->bytes);
    }
    std::sort(ranges.begin(), ranges.end());
    std::uint64_t at = 0;
    for (const auto& [begin, end] : ranges) {
        if (begin != at)
            refuse(origin, cat("its tensors ", begin < at ? "overlap" : "leave a gap", " at byte ", std::min(begin, at),
                               " of the data"));
        at = end;
    }
    if (at != data_size) refuse(origin, cat("its tensors end at byte ", at, " of ", data_size, " bytes of data"));
}

float half_to_float(std::uint16_t bits) {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16U;
    const std::uint32_t exponent = (bits >> 10U) & 0x1FU;
    const std::uint32_t fraction = bits & 0x3FFU;
    if (exponent == 0) {  // zero and subnormal: fraction * 2^-24
        const float value = std::ldexp(static_cast<float>(fraction), -24);
        return sign != 0 ? -value : value;
    }
    const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
    return std::bit_cast<float>(sign | wide << 23U | fraction << 13U);
}

std::uint16_t float_to_half(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const auto sign = static_cast<std::uint16_t>(bits >> 16U & 0x8000U);
    const float size = std::fabs(x);
    if (std::isnan(x)) return static_cast<std::uint16_t>(sign | 0x7E00U);
    if (size >= 65520.0F) return static_cast<std::uint16_t>(sign | 0x7C00U);
    if (size < 6.103515625e-05F)  // below 2^-14: a multiple of 2^-24
        return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(std::ldexp(size, 24))));
    const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
    const std::uint32_t rounded = magnitude + 0xFFFU + (magnitude >> 13U & 1U);
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>((rounded >> 13U) - (112U << 10U)));
}

constexpr const char* kWhy = "it holds weights";

}  // namespace

std::size_t size_of(Dtype dtype) { return dtype == Dtype::f32 ? 4 : 2; }

void to_float(float* out, const std::byte* in, std::size_t n, Dtype dtype) {
    if (dtype == Dtype::f32) {
        std::memcpy(out, in, n * sizeof(float));
        return;
    }
    for (std::size_t i = 0; i < n; ++i) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, in + 2 * i, 2);
        out[i] = dtype == Dtype::bf16 ? to_float(BFloat16{bits}) : half_to_float(bits);
    }
}

void from_float(std::byte* out, const float* in, std::size_t n, Dtype dtype) {
    if (dtype == Dtype::f32) {
        std::memcpy(out, in, n * sizeof(float));
        return;
    }
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint16_t bits = dtype == Dtype::bf16 ? to_bfloat16(in[i]).bits : float_to_half(in[i]);
        std::memcpy(out + 2 * i, &bits, 2);
    }
}

std::map<std::string, StoredTensor> parse_safetensors_header(std::string_view header, std::uint64_t data_begin,
                                                             std::uint64_t data_size, const std::string& origin) {
    const json root = parse_json_or_discard(header);
    if (!root.is_object()) refuse(origin, "its header isn't a JSON object");
    std::map<std::string, StoredTensor> tensors;
    for (const auto& [name, entry] : root.items())
        if (name != "__metadata__") tensors.emplace(name, parse_entry(name, entry, data_size, origin));
    check_cover(tensors, data_size, origin);
    for (auto& [name, tensor] : tensors) tensor.begin += data_begin;
    return tensors;
}

SafetensorsFile::SafetensorsFile(std::filesystem::path path) : path_(std::move(path)) {
    const RegularFile file(path_, kWhy);
    const std::uint64_t size = file.size();
    std::string beginning(std::min<std::uint64_t>(size, 64), '\0');
    (void)file.read_at(0, std::as_writable_bytes(std::span(beginning)));
    refuse_lfs_pointer(path_, beginning);
    std::uint64_t length = 0;
    if (size < sizeof length) refuse(path_.string(), cat("it has ", size, " bytes"));
    std::memcpy(&length, beginning.data(), sizeof length);
    if (length > kLongestHeader || length > size - sizeof length)
        refuse(path_.string(), cat("its header would have ", length, " bytes, the file has ", size));
    std::string header(length, '\0');
    if (file.read_at(sizeof length, std::as_writable_bytes(std::span(header))) != length)
        throw IoError(cat("can't read the header of ", path_.string(), " (has the file changed?)."));
    tensors_ = parse_safetensors_header(header, sizeof length + length, size - sizeof length - length, path_.string());
}

void SafetensorsFile::rename(const std::map<std::string, std::string>& names) {
    std::map<std::string, StoredTensor> renamed;
    for (auto& [name, tensor] : tensors_) {
        const auto found = names.find(name);
        renamed[found == names.end() ? name : found->second] = std::move(tensor);
    }
    tensors_ = std::move(renamed);
}

void SafetensorsFile::drop(const std::vector<std::string>& names) {
    for (const std::string& name : names) tensors_.erase(name);
}

void SafetensorsFile::read(const std::string& name, std::uint64_t first, std::span<float> out) const {
    const auto found = tensors_.find(name);
    ensure(found != tensors_.end() && first + out.size() <= found->second.size, "a tensor's range lies in its file");
    const StoredTensor& tensor = found->second;
    const auto names = std::find_if(kDtypes.begin(), kDtypes.end(),
                                    [&](const DtypeNames& n) { return n.safetensors == tensor.dtype; });
    if (names == kDtypes.end())
        throw DataError(cat(path_.string(), ": tensor ", name, " is stored as ", tensor.dtype,
                            " (only F32, BF16 and F16 can be computed with). Convert the model."));
    const Dtype dtype = names->dtype;
    const RegularFile file(path_, kWhy);
    std::uint64_t place = tensor.begin + first * size_of(dtype);
    std::vector<std::byte> bytes;
    for (std::size_t at = 0; at < out.size(); at += kPiece) {
        const std::size_t n = std::min(kPiece, out.size() - at);
        bytes.resize(n * size_of(dtype));
        if (file.read_at(place, bytes) != bytes.size())
            throw IoError(cat("can't read tensor ", name, " of ", path_.string(), " (has the file changed?)."));
        place += bytes.size();
        to_float(out.data() + at, bytes.data(), n, dtype);
    }
}

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors, Dtype dtype) {
    nlohmann::ordered_json header{{"__metadata__", {{"format", "pt"}}}};
    std::uint64_t at = 0;
    const auto elements = [](const NamedTensor& t) {
        std::uint64_t n = 1;
        for (const auto extent : t.shape) n *= static_cast<std::uint64_t>(extent);
        return n;
    };
    for (const NamedTensor& tensor : tensors) {
        const std::uint64_t end = at + elements(tensor) * size_of(dtype);
        header[tensor.name] = {
            {"dtype", names_of(dtype).safetensors}, {"shape", tensor.shape}, {"data_offsets", {at, end}}};
        at = end;
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    std::ofstream file(path, std::ios::binary);
    const std::uint64_t length = text.size();
    file.write(reinterpret_cast<const char*>(&length), sizeof length);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    std::vector<float> values;
    std::vector<std::byte> bytes;
    for (const NamedTensor& tensor : tensors)
        for (std::uint64_t first = 0; first < elements(tensor); first += kPiece) {
            const std::size_t n = std::min<std::size_t>(kPiece, elements(tensor) - first);
            bytes.resize(n * size_of(dtype));
            values.resize(n);
            tensor.read(static_cast<std::int64_t>(first), values);
            from_float(bytes.data(), values.data(), n, dtype);
            file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        }
    file.close();
    if (!file)
        throw IoError(cat("can't write ", path.string(), " (", std::strerror(errno), "). Is there room on the disk?"));
    store::sync(path);
}

}  // namespace tdrm::model
