#include "disk_driver.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tdrm/base/errors.hpp"
#if H5_VERSION_GE(1, 14, 0)
#include <H5FDdevelop.h>
#endif

namespace tdrm::store::hdf5 {
namespace {

struct OpenFile {
    H5FD_t base{};  // the library's part, which comes first
    Disk* disk = nullptr;
    haddr_t allocated = 0;
    haddr_t written = 0;
};

OpenFile& own(H5FD_t* file) { return *reinterpret_cast<OpenFile*>(file); }
const OpenFile& own(const H5FD_t* file) { return *reinterpret_cast<const OpenFile*>(file); }

H5FD_t* open_file(const char*, unsigned, hid_t access, haddr_t) {
    auto* file = new OpenFile;
    file->disk = *static_cast<Disk* const*>(H5Pget_driver_info(access));
    return &file->base;
}

herr_t close_file(H5FD_t* file) {
    delete &own(file);
    return 0;
}

herr_t read_file(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t at, std::size_t bytes, void* data) {
    char* next = static_cast<char*>(data);
    while (bytes > 0) {
        const ssize_t got = ::pread(own(file).disk->descriptor, next, bytes, static_cast<off_t>(at));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        next += got;
        at += static_cast<haddr_t>(got);
        bytes -= static_cast<std::size_t>(got);
    }
    std::memset(next, 0, bytes);  // behind the end
    return 0;
}

herr_t write_file(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t at, std::size_t bytes, const void* data) {
    Disk& disk = *own(file).disk;
    own(file).written = std::max(own(file).written, at + bytes);
    const char* next = static_cast<const char*>(data);
    while (bytes > 0 && disk.error == 0) {
        const ssize_t put = ::pwrite(disk.descriptor, next, bytes, static_cast<off_t>(at));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            disk.error = errno;
            break;
        }
        next += put;
        at += static_cast<haddr_t>(put);
        bytes -= static_cast<std::size_t>(put);
    }
    return 0;
}

herr_t truncate_file(H5FD_t* file, hid_t, hbool_t) {
    OpenFile& opened = own(file);
    if (opened.written == opened.allocated) return 0;
    Disk& disk = *opened.disk;
    if (disk.error == 0 && ::ftruncate(disk.descriptor, static_cast<off_t>(opened.allocated)) != 0) disk.error = errno;
    opened.written = opened.allocated;
    return 0;
}

H5FD_class_t driver_class() {
    H5FD_class_t driver{};
#if H5_VERSION_GE(1, 14, 0)
    driver.version = H5FD_CLASS_VERSION;
    driver.value = static_cast<H5FD_class_value_t>(600);  // of the range for private drivers
#endif
    driver.name = "tdrm";
    driver.maxaddr = (haddr_t{1} << 62) - 1;
    driver.fc_degree = H5F_CLOSE_STRONG;
    driver.fapl_size = sizeof(void*);  // a Disk*
    driver.open = open_file;
    driver.close = close_file;
    driver.query = [](const H5FD_t*, unsigned long* features) -> herr_t {
        if (features) *features = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA;
        return 0;
    };
    driver.get_eoa = [](const H5FD_t* file, H5FD_mem_t) { return own(file).allocated; };
    driver.set_eoa = [](H5FD_t* file, H5FD_mem_t, haddr_t end) -> herr_t {
        own(file).allocated = end;
        return 0;
    };
    driver.get_eof = [](const H5FD_t* file, H5FD_mem_t) { return own(file).written; };
    driver.read = read_file;
    driver.write = write_file;
    driver.truncate = truncate_file;
    const H5FD_mem_t map[] = H5FD_FLMAP_DICHOTOMY;
    std::copy(std::begin(map), std::end(map), driver.fl_map);
    return driver;
}

}  // namespace

Handle writing_to(Disk& disk) {
    static const H5FD_class_t driver = driver_class();
    static const hid_t registered = H5FDregister(&driver);
    Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    Disk* target = &disk;
    ensure(registered >= 0 && H5Pset_driver(access.id(), registered, &target) >= 0, "HDF5 takes our file driver");
    H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
    return access;
}

}  // namespace tdrm::store::hdf5
