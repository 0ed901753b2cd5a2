// HDF5 files: written once from front to back by one process, read by anybody. libhdf5 isn't thread-safe, so every
// function here holds one process-wide lock while it calls it; still, prefer one thread for all files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "tdrm/base/bfloat16.hpp"

namespace tdrm::store {

/// Element type of a dataset; little-endian on disk. bfloat16 is a float of HDF5 with its own fields, which other
/// programs read as float32.
enum class Type { int8, uint8, uint16, int32, int64, uint64, bfloat16, float32, float64, text };

template <class T>
[[nodiscard]] constexpr Type type_of() {
    if constexpr (std::is_same_v<T, std::int8_t>) return Type::int8;
    if constexpr (std::is_same_v<T, std::uint8_t>) return Type::uint8;
    if constexpr (std::is_same_v<T, std::uint16_t>) return Type::uint16;
    if constexpr (std::is_same_v<T, std::int32_t>) return Type::int32;
    if constexpr (std::is_same_v<T, std::int64_t>) return Type::int64;
    if constexpr (std::is_same_v<T, std::uint64_t>) return Type::uint64;
    if constexpr (std::is_same_v<T, BFloat16>) return Type::bfloat16;
    if constexpr (std::is_same_v<T, float>) return Type::float32;
    if constexpr (std::is_same_v<T, double>) return Type::float64;
}

using Attribute = std::variant<std::string, std::int64_t, double>;
using Shape = std::vector<std::int64_t>;

/// How much of a finished file is on disk when close() returns. `file` is for files in a folder that commit_directory
/// syncs: it saves a journal commit each.
enum class Sync { file_and_folder, file };

/// What a manifest says about a file.
struct FileEntry {
    std::string name;  ///< relative to the folder
    std::int64_t bytes = 0;
    std::string hash;  ///< tdrm::hash_file
};

/// A run of elements of a virtual dataset, taken from a one-dimensional dataset of another file.
struct VirtualPiece {
    std::string file;               ///< relative to the folder of the virtual dataset's file
    std::string dataset;            ///< one-dimensional
    std::int64_t dataset_size = 0;  ///< its number of elements
    std::int64_t source_begin = 0;  ///< first element in it
    std::int64_t begin = 0;         ///< first element in the virtual dataset, counted in C order
    std::int64_t count = 0;
};

/// Writes `path`.tmp and renames it to `path` in close(). Without close() nothing remains. Equal calls give equal
/// bytes. Groups are made as needed. Local. All functions throw IoError, naming the file, if the file system refuses (a
/// full disk, say); the writer is of no use then except to be destroyed.
class FileWriter {
public:
    explicit FileWriter(const std::filesystem::path& path);
    ~FileWriter();
    FileWriter(FileWriter&&) noexcept;
    FileWriter& operator=(FileWriter&&) = delete;

    /// Writes a whole dataset; without a shape it has one dimension. Stored contiguously, without compression:
    /// mantissas don't shrink, and a contiguous dataset can be read in ranges at the speed of the disk.
    template <class T>
    void write(std::string_view name, std::span<const T> values, const Shape& shape = {}) {
        write_bytes(name, type_of<T>(), values.data(), static_cast<std::int64_t>(values.size()), shape);
    }
    template <class T>
    void write(std::string_view name, const std::vector<T>& values, const Shape& shape = {}) {
        write(name, std::span<const T>(values), shape);
    }
    /// UTF-8 texts without NUL bytes, as variable-length strings. @throws DataError on a NUL byte
    void write_strings(std::string_view name, const std::vector<std::string>& values);
    /// A dataset of `shape` whose elements lie in other files. The pieces must cover it.
    void write_virtual(std::string_view name, Type type, const Shape& shape, std::span<const VirtualPiece> pieces);
    /// An attribute of the root, or of an existing dataset or a group, which is made if missing.
    void attribute(std::string_view name, const Attribute& value) { attribute("/", name, value); }
    void attribute(std::string_view object, std::string_view name, const Attribute& value);

    /// Writes, hashes and fsyncs the file, renames it, fsyncs its folder. Nothing can be written after it.
    FileEntry close(Sync sync = Sync::file_and_folder);

private:
    void write_bytes(std::string_view name, Type type, const void* data, std::int64_t count, const Shape& shape);
    struct State;
    std::unique_ptr<State> state_;
};

/// Reads a file whose manifest was verified. Local. @throws IoError if there is no such file, DataError (naming file
/// and dataset) if it is damaged, or a dataset is missing or has another type.
class FileReader {
public:
    explicit FileReader(const std::filesystem::path& path);
    ~FileReader();
    FileReader(FileReader&&) noexcept;
    FileReader& operator=(FileReader&&) = delete;

    /// True if there is a dataset or group of this name.
    [[nodiscard]] bool has(std::string_view name) const;
    /// Names of the datasets and groups directly in `group`, sorted.
    [[nodiscard]] std::vector<std::string> names(std::string_view group = "/") const;
    [[nodiscard]] Shape shape(std::string_view name) const;
    [[nodiscard]] Type type(std::string_view name) const;
    /// Number of elements of a dataset.
    [[nodiscard]] std::int64_t size(std::string_view name) const;

    template <class T>
    [[nodiscard]] std::vector<T> read(std::string_view name) const {
        std::vector<T> values(static_cast<std::size_t>(stored_size(name, type_of<T>())));
        read_bytes(name, type_of<T>(), 0, static_cast<std::int64_t>(values.size()), values.data());
        return values;
    }
    /// Elements [offset, offset + count) of a one-dimensional dataset.
    template <class T>
    [[nodiscard]] std::vector<T> read_range(std::string_view name, std::int64_t offset, std::int64_t count) const {
        check_range(name, offset, count);
        std::vector<T> values(static_cast<std::size_t>(count));
        read_bytes(name, type_of<T>(), offset, count, values.data());
        return values;
    }
    /// The same into memory of the caller: elements [offset, offset + values.size()).
    template <class T>
    void read_into(std::string_view name, std::int64_t offset, std::span<T> values) const {
        check_range(name, offset, static_cast<std::int64_t>(values.size()));
        read_bytes(name, type_of<T>(), offset, static_cast<std::int64_t>(values.size()), values.data());
    }
    [[nodiscard]] std::vector<std::string> read_strings(std::string_view name) const;

    [[nodiscard]] bool has_attribute(std::string_view object, std::string_view name) const;
    /// Names of all attributes of the root, sorted.
    [[nodiscard]] std::vector<std::string> attribute_names() const;
    [[nodiscard]] Attribute attribute(std::string_view object, std::string_view name) const;
    /// The same with the type that the caller expects: std::string, std::int64_t or double.
    template <class T>
    [[nodiscard]] T attribute(std::string_view object, std::string_view name) const {
        const Attribute value = attribute(object, name);
        if (const T* typed = std::get_if<T>(&value)) return *typed;
        throw_attribute_type(object, name);
    }

private:
    // Number of elements, after checking that type and file size allow it.
    [[nodiscard]] std::int64_t stored_size(std::string_view name, Type expected) const;
    void check_range(std::string_view name, std::int64_t offset, std::int64_t count) const;
    void read_bytes(std::string_view name, Type type, std::int64_t offset, std::int64_t count, void* data) const;
    [[noreturn]] void throw_attribute_type(std::string_view object, std::string_view name) const;
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace tdrm::store
