#include <algorithm>
#include <limits>

#include "file_types.hpp"
#include "hdf5.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/files.hpp"
#include "tdrm/store/file.hpp"

namespace tdrm::store {
namespace fs = std::filesystem;
using hdf5::Handle;

struct FileReader::State {
    fs::path path;
    Handle file;
    std::int64_t bytes = 0;

    [[noreturn]] void fail(std::string_view name, std::string_view problem) const {
        H5Eclear2(H5E_DEFAULT);
        throw DataError(cat(name, " in ", path.string(), " ", problem, "."));
    }
    [[noreturn]] void fail_reading(std::string_view name) const {
        fail(name, cat("can't be read (", hdf5::last_error(), ")"));
    }

    [[nodiscard]] bool has(std::string_view name) const {
        // Every group on the way has to be asked for.
        const std::string whole(name);
        for (std::size_t slash = whole.find('/', 1);; slash = whole.find('/', slash + 1)) {
            const std::string step = whole.substr(0, slash);
            if (step != "/" && !step.empty() && H5Lexists(file.id(), step.c_str(), H5P_DEFAULT) <= 0) return false;
            if (slash == std::string::npos) return true;
        }
    }
    [[nodiscard]] Handle open_dataset(std::string_view name) const {
        if (!has(name)) fail(name, "is missing");
        Handle dataset(H5Dopen2(file.id(), std::string(name).c_str(), H5P_DEFAULT), H5Dclose);
        if (!dataset) fail(name, "isn't a dataset");
        return dataset;
    }
    [[nodiscard]] Type type_of_dataset(const Handle& dataset, std::string_view name) const {
        const Handle type(H5Dget_type(dataset.id()), H5Tclose);
        if (H5Tget_class(type.id()) == H5T_STRING) return Type::text;
        for (const Type known : {Type::int8, Type::uint8, Type::uint16, Type::int32, Type::int64, Type::uint64,
                                 Type::bfloat16, Type::float32, Type::float64}) {
            if (H5Tequal(type.id(), disk_type(known)) > 0) return known;
        }
        fail(name, "has an element type that tdrm doesn't use");
    }
    // Elements of the dataset, refused if the file can't hold them: a damaged size mustn't exhaust the memory.
    [[nodiscard]] std::int64_t count(const Handle& dataset, std::string_view name, Type expected) const {
        const Type found = type_of_dataset(dataset, name);
        if (found != expected) fail(name, cat("holds ", name_of(found), ", expected ", name_of(expected)));
        const Handle space(H5Dget_space(dataset.id()), H5Sclose);
        const Handle options(H5Dget_create_plist(dataset.id()), H5Pclose);
        const hssize_t size = H5Sget_simple_extent_npoints(space.id());
        if (size < 0) fail_reading(name);
        if (H5Pget_layout(options.id()) == H5D_CONTIGUOUS) {
            const Handle type(H5Dget_type(dataset.id()), H5Tclose);
            if (static_cast<std::uint64_t>(size) > static_cast<std::uint64_t>(bytes) / H5Tget_size(type.id())) {
                fail(name, "claims to be larger than the file, which is damaged");
            }
        }
        return size;
    }
};

FileReader::FileReader(const fs::path& path) : state_(std::make_unique<State>()) {
    const auto held = hdf5::lock();
    std::error_code error;
    state_->path = path;
    state_->bytes = static_cast<std::int64_t>(fs::file_size(path, error));
    if (error) throw IoError(cat("can't read ", path.string(), " (", error.message(), ")."));
    (void)RegularFile(path);  // the library would wait for a pipe's writer
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 10, 7)
    H5Pset_file_locking(access.id(), false,
                        true);  // nobody writes a finished file, and some file systems have no locks
#endif
    state_->file = Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id()), H5Fclose);
    if (!state_->file) {
        throw DataError(cat(path.string(), " isn't a readable HDF5 file (", hdf5::last_error(),
                            "). It is damaged or of another kind; make it again."));
    }
}

FileReader::FileReader(FileReader&&) noexcept = default;

FileReader::~FileReader() {
    if (!state_) return;
    const auto held = hdf5::lock();
    state_->file.reset();
}

bool FileReader::has(std::string_view name) const {
    const auto held = hdf5::lock();
    return state_->has(name);
}

std::vector<std::string> FileReader::names(std::string_view group) const {
    const auto held = hdf5::lock();
    if (!state_->has(group)) state_->fail(group, "is missing");
    const Handle opened(H5Gopen2(state_->file.id(), std::string(group).c_str(), H5P_DEFAULT), H5Gclose);
    if (!opened) state_->fail(group, "isn't a group");
    std::vector<std::string> names;
    const auto take = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
        static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        return 0;
    };
    if (H5Literate(opened.id(), H5_INDEX_NAME, H5_ITER_INC, nullptr, take, &names) < 0) state_->fail_reading(group);
    std::sort(names.begin(), names.end());
    return names;
}

Shape FileReader::shape(std::string_view name) const {
    const auto held = hdf5::lock();
    const Handle dataset = state_->open_dataset(name);
    const Handle space(H5Dget_space(dataset.id()), H5Sclose);
    std::vector<hsize_t> sizes(static_cast<std::size_t>(std::max(0, H5Sget_simple_extent_ndims(space.id()))));
    if (H5Sget_simple_extent_dims(space.id(), sizes.data(), nullptr) < 0) state_->fail_reading(name);
    return {sizes.begin(), sizes.end()};
}

Type FileReader::type(std::string_view name) const {
    const auto held = hdf5::lock();
    return state_->type_of_dataset(state_->open_dataset(name), name);
}

std::int64_t FileReader::size(std::string_view name) const {
    const auto held = hdf5::lock();
    const Handle dataset = state_->open_dataset(name);
    return state_->count(dataset, name, state_->type_of_dataset(dataset, name));
}

std::int64_t FileReader::stored_size(std::string_view name, Type expected) const {
    const auto held = hdf5::lock();
    return state_->count(state_->open_dataset(name), name, expected);
}

void FileReader::check_range(std::string_view name, std::int64_t offset, std::int64_t count) const {
    const Shape extent = shape(name);
    if (extent.size() != 1)
        state_->fail(name, cat("has ", extent.size(), " dimensions, so that it can't be read in ranges"));
    if (offset < 0 || count < 0 || offset > extent[0] || count > extent[0] - offset) {
        state_->fail(name, cat("has ", extent[0], " elements, but ", count, " from ", offset, " on were asked for"));
    }
}

void FileReader::read_bytes(std::string_view name, Type type, std::int64_t offset, std::int64_t count,
                            void* data) const {
    const auto held = hdf5::lock();
    const Handle dataset = state_->open_dataset(name);
    const std::int64_t size = state_->count(dataset, name, type);
    if (count == 0) return;
    herr_t status = 0;
    if (count == size) {
        status = H5Dread(dataset.id(), memory_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    } else {
        const auto start = static_cast<hsize_t>(offset);
        const auto extent = static_cast<hsize_t>(count);
        const Handle space(H5Dget_space(dataset.id()), H5Sclose);
        const Handle memory(H5Screate_simple(1, &extent, nullptr), H5Sclose);
        status = H5Sselect_hyperslab(space.id(), H5S_SELECT_SET, &start, nullptr, &extent, nullptr);
        if (status >= 0) status = H5Dread(dataset.id(), memory_type(type), memory.id(), space.id(), H5P_DEFAULT, data);
    }
    if (status < 0) state_->fail_reading(name);
}

namespace {

// Text attributes and datasets of others may have a fixed length; the library converts neither into the other.
std::string text_of(const char* data, std::size_t limit) { return {data, std::find(data, data + limit, '\0')}; }

}  // namespace

std::vector<std::string> FileReader::read_strings(std::string_view name) const {
    const auto held = hdf5::lock();
    const Handle dataset = state_->open_dataset(name);
    const auto count = static_cast<std::size_t>(state_->count(dataset, name, Type::text));
    const Handle stored(H5Dget_type(dataset.id()), H5Tclose);
    std::vector<std::string> values;
    if (count == 0) return values;
    values.reserve(count);
    if (H5Tis_variable_str(stored.id()) > 0) {
        std::vector<char*> texts(count);
        if (H5Dread(dataset.id(), stored.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()) < 0)
            state_->fail_reading(name);
        for (const char* text : texts) values.emplace_back(text ? text : "");
        const Handle space(H5Dget_space(dataset.id()), H5Sclose);
        H5Dvlen_reclaim(stored.id(), space.id(), H5P_DEFAULT, texts.data());
    } else {
        const std::size_t length = H5Tget_size(stored.id());
        std::vector<char> texts(count * length);
        if (H5Dread(dataset.id(), stored.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()) < 0)
            state_->fail_reading(name);
        for (std::size_t i = 0; i < count; ++i) values.push_back(text_of(texts.data() + i * length, length));
    }
    return values;
}

bool FileReader::has_attribute(std::string_view object, std::string_view name) const {
    const auto held = hdf5::lock();
    return state_->has(object) && H5Aexists_by_name(state_->file.id(), std::string(object).c_str(),
                                                    std::string(name).c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::string> FileReader::attribute_names() const {
    const auto held = hdf5::lock();
    std::vector<std::string> names;
    const auto take = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
        static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        return 0;
    };
    if (H5Aiterate2(state_->file.id(), H5_INDEX_NAME, H5_ITER_INC, nullptr, take, &names) < 0)
        state_->fail_reading("attributes");
    std::sort(names.begin(), names.end());
    return names;
}

Attribute FileReader::attribute(std::string_view object, std::string_view name) const {
    const auto held = hdf5::lock();
    const std::string what = cat("attribute ", name, " of ", object);
    if (!has_attribute(object, name)) state_->fail(what, "is missing");
    const Handle found(H5Aopen_by_name(state_->file.id(), std::string(object).c_str(), std::string(name).c_str(),
                                       H5P_DEFAULT, H5P_DEFAULT),
                       H5Aclose);
    if (!found) state_->fail_reading(what);
    const Handle type(H5Aget_type(found.id()), H5Tclose);
    const Handle space(H5Aget_space(found.id()), H5Sclose);
    if (H5Sget_simple_extent_npoints(space.id()) != 1) state_->fail(what, "isn't a single value");
    const auto read = [&](hid_t memory, void* data) {
        if (H5Aread(found.id(), memory, data) < 0) state_->fail_reading(what);
    };
    const H5T_class_t kind = H5Tget_class(type.id());
    if (kind == H5T_STRING && H5Tis_variable_str(type.id()) > 0) {
        char* characters = nullptr;
        read(type.id(), &characters);
        std::string text(characters ? characters : "");
        H5free_memory(characters);
        return text;
    }
    if (kind == H5T_STRING) {
        std::vector<char> characters(H5Tget_size(type.id()));
        read(type.id(), characters.data());
        return text_of(characters.data(), characters.size());
    }
    if (kind == H5T_INTEGER) {
        std::int64_t number = 0;
        read(H5T_NATIVE_INT64, &number);
        return number;
    }
    if (kind != H5T_FLOAT) state_->fail(what, "has a type that tdrm doesn't use");
    double number = 0;
    read(H5T_NATIVE_DOUBLE, &number);
    return number;
}

void FileReader::throw_attribute_type(std::string_view object, std::string_view name) const {
    state_->fail(cat("attribute ", name, " of ", object), "has another type than expected");
}

}  // namespace tdrm::store
