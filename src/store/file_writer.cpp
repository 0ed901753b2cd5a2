#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <numeric>

#include "descriptor.hpp"
#include "disk_driver.hpp"
#include "file_types.hpp"
#include "hdf5.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/store/file.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::store {
namespace fs = std::filesystem;
using hdf5::Handle;

struct FileWriter::State {
    explicit State(const fs::path& final)
        : path(final), descriptor(temporary_of(final), O_RDWR | O_CREAT | O_TRUNC), disk{descriptor.id(), 0} {}

    fs::path path;
    Descriptor descriptor;
    hdf5::Disk disk;
    Handle file;

    void check_disk() const {
        errno = disk.error;
        if (errno != 0) throw_errno("write", path);
    }
    [[noreturn]] void fail(std::string_view name) const {
        throw IoError(cat("can't write ", name, " into ", path.string(), " (", hdf5::last_error(), ")."));
    }
    template <class Id>
    Handle own(Id id, herr_t (*close)(hid_t), std::string_view name) const {
        if (id < 0) fail(name);
        return {id, close};
    }
    Handle create_dataset(std::string_view name, hid_t type, const Handle& space, const Handle& options) const;
};

namespace {

Handle creation(hid_t kind) {
    Handle options(H5Pcreate(kind), H5Pclose);
    H5Pset_obj_track_times(options.id(), false);
    return options;
}

Handle making_groups() {
    Handle options(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
    H5Pset_create_intermediate_group(options.id(), 1);
    return options;
}

Handle space_of(const Shape& shape) {
    const std::vector<hsize_t> sizes(shape.begin(), shape.end());
    return {H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr), H5Sclose};
}

std::int64_t elements(const Shape& shape) {
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

// A box of a C-ordered array whose elements are consecutive.
struct Box {
    std::vector<hsize_t> start;
    std::vector<hsize_t> count;
};

// Cuts elements [begin, end) of the sub-array at `prefix` into boxes: a partial first row, whole rows, a partial last
// row.
void cut_into_boxes(const Shape& shape, const std::vector<hsize_t>& prefix, std::int64_t begin, std::int64_t end,
                    std::vector<Box>& boxes) {
    if (begin >= end) return;
    const std::size_t axis = prefix.size();
    const std::int64_t row = std::accumulate(shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, shape.end(),
                                             std::int64_t{1}, std::multiplies<>());
    const auto part_of_row = [&](std::int64_t index, std::int64_t from, std::int64_t to) {
        auto deeper = prefix;
        deeper.push_back(static_cast<hsize_t>(index));
        cut_into_boxes(shape, deeper, from, to, boxes);
    };
    if (begin % row != 0) {
        const std::int64_t index = begin / row;
        const std::int64_t stop = std::min(end, (index + 1) * row);
        part_of_row(index, begin - index * row, stop - index * row);
        begin = stop;
    }
    if (const std::int64_t rows = (end - begin) / row; rows > 0) {
        Box box{prefix, std::vector<hsize_t>(axis, 1)};
        box.start.push_back(static_cast<hsize_t>(begin / row));
        box.count.push_back(static_cast<hsize_t>(rows));
        for (std::size_t rest = axis + 1; rest < shape.size(); ++rest) {
            box.start.push_back(0);
            box.count.push_back(static_cast<hsize_t>(shape[rest]));
        }
        boxes.push_back(std::move(box));
        begin += rows * row;
    }
    if (begin < end) part_of_row(begin / row, 0, end - begin);
}

}  // namespace

FileWriter::FileWriter(const fs::path& path) : state_(std::make_unique<State>(path)) {
    const auto held = hdf5::lock();
    const Handle access = hdf5::writing_to(state_->disk);
    const Handle options = creation(H5P_FILE_CREATE);
    state_->file = state_->own(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, options.id(), access.id()), H5Fclose, "anything");
}

FileWriter::FileWriter(FileWriter&&) noexcept = default;

FileWriter::~FileWriter() {
    if (!state_ || state_->descriptor.id() < 0) return;
    const auto held = hdf5::lock();
    state_->file.reset();
    ::unlink(temporary_of(state_->path).c_str());
}

Handle FileWriter::State::create_dataset(std::string_view name, hid_t type, const Handle& space,
                                         const Handle& options) const {
    const Handle links = making_groups();
    return own(
        H5Dcreate2(file.id(), std::string(name).c_str(), type, space.id(), links.id(), options.id(), H5P_DEFAULT),
        H5Dclose, name);
}

void FileWriter::write_bytes(std::string_view name, Type type, const void* data, std::int64_t count,
                             const Shape& shape) {
    const auto held = hdf5::lock();
    ensure(shape.empty() || elements(shape) == count, "a dataset's shape fits its number of elements");
    const Handle space = space_of(shape.empty() ? Shape{count} : shape);
    const Handle options = creation(H5P_DATASET_CREATE);
    H5Pset_fill_time(options.id(), H5D_FILL_TIME_NEVER);  // everything is written at once
    const Handle dataset = state_->create_dataset(name, disk_type(type), space, options);
    if (count > 0 && H5Dwrite(dataset.id(), memory_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        state_->fail(name);
}

void FileWriter::write_strings(std::string_view name, const std::vector<std::string>& values) {
    const auto held = hdf5::lock();
    std::vector<const char*> texts;
    for (const std::string& value : values) {
        if (value.find('\0') != std::string::npos) {
            throw DataError(
                cat("a text of ", name, " in ", state_->path.string(),
                    " holds a NUL byte (HDF5 strings end there, the rest would be lost). Store it as uint8."));
        }
        texts.push_back(value.c_str());
    }
    const Handle type = hdf5::text_type();
    const Handle dataset = state_->create_dataset(name, type.id(), space_of({static_cast<std::int64_t>(values.size())}),
                                                  creation(H5P_DATASET_CREATE));
    if (!texts.empty() && H5Dwrite(dataset.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()) < 0)
        state_->fail(name);
}

void FileWriter::write_virtual(std::string_view name, Type type, const Shape& shape,
                               std::span<const VirtualPiece> pieces) {
    const auto held = hdf5::lock();
    if (elements(shape) == 0 || shape.empty()) {
        throw BugError(cat("virtual dataset ", name, " has no elements. This is a bug in tdrm; please report it."));
    }
    const Handle options = creation(H5P_DATASET_CREATE);
    const Handle space = space_of(shape);
    for (const VirtualPiece& piece : pieces) {
        std::vector<Box> boxes;
        cut_into_boxes(shape, {}, piece.begin, piece.begin + piece.count, boxes);
        const Handle source = space_of({piece.dataset_size});
        auto start = static_cast<hsize_t>(piece.source_begin);
        for (const Box& box : boxes) {
            const hsize_t count = std::accumulate(box.count.begin(), box.count.end(), hsize_t{1}, std::multiplies<>());
            const bool done =
                H5Sselect_hyperslab(source.id(), H5S_SELECT_SET, &start, nullptr, &count, nullptr) >= 0 &&
                H5Sselect_hyperslab(space.id(), H5S_SELECT_SET, box.start.data(), nullptr, box.count.data(), nullptr) >=
                    0 &&
                H5Pset_virtual(options.id(), space.id(), piece.file.c_str(), piece.dataset.c_str(), source.id()) >= 0;
            if (!done) state_->fail(name);
            start += count;
        }
    }
    H5Sselect_all(space.id());
    state_->create_dataset(name, disk_type(type), space, options);
}

void FileWriter::attribute(std::string_view object, std::string_view name, const Attribute& value) {
    const auto held = hdf5::lock();
    const std::string where(object);
    const std::string what = cat("attribute ", name, " of ", object);
    const hid_t file = state_->file.id();
    if (where != "/" && H5Lexists(file, where.c_str(), H5P_DEFAULT) <= 0) {
        H5Eclear2(H5E_DEFAULT);
        const Handle links = making_groups();
        const Handle options = creation(H5P_GROUP_CREATE);
        state_->own(H5Gcreate2(file, where.c_str(), links.id(), options.id(), H5P_DEFAULT), H5Gclose, what);
    }
    const Handle owner = state_->own(H5Oopen(file, where.c_str(), H5P_DEFAULT), H5Oclose, what);
    const auto write = [&](hid_t disk, hid_t memory, const void* data) {
        const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
        const Handle made =
            state_->own(H5Acreate2(owner.id(), std::string(name).c_str(), disk, space.id(), H5P_DEFAULT, H5P_DEFAULT),
                        H5Aclose, what);
        if (H5Awrite(made.id(), memory, data) < 0) state_->fail(what);
    };
    if (const auto* text = std::get_if<std::string>(&value)) {
        const char* characters = text->c_str();
        const Handle type = hdf5::text_type();
        write(type.id(), type.id(), &characters);
    } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
        write(H5T_STD_I64LE, H5T_NATIVE_INT64, number);
    } else {
        write(H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &std::get<double>(value));
    }
}

FileEntry FileWriter::close(Sync sync) {
    const auto held = hdf5::lock();
    const herr_t closed = state_->file.reset();
    state_->check_disk();
    if (closed < 0) state_->fail("the last data");
    const fs::path temporary = temporary_of(state_->path);
    FileEntry entry = entry_of(temporary);
    entry.name = state_->path.filename().string();
    if (sync == Sync::file_and_folder) {
        state_->descriptor.sync();
        rename_synced(temporary, state_->path);
    } else {
        rename_unsynced(temporary, state_->path);
        state_->descriptor.sync();  // after the rename, which touches the file's inode
    }
    state_->descriptor.reset();
    return entry;
}

}  // namespace tdrm::store
