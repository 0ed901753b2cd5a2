#include "hdf5.hpp"

#include "tdrm/base/errors.hpp"

namespace tdrm::store::hdf5 {

std::unique_lock<std::recursive_mutex> lock() {
    static std::recursive_mutex mutex;
    std::unique_lock held(mutex);
    static const bool quiet = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) >= 0;
    ensure(quiet, "HDF5 error printing can be switched off");
    return held;
}

std::string last_error() {
    std::string message;
    const auto take_first = [](unsigned depth, const H5E_error2_t* error, void* out) -> herr_t {
        if (depth == 0 && error->desc) *static_cast<std::string*>(out) = error->desc;
        return 0;
    };
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, &message);
    H5Eclear2(H5E_DEFAULT);
    // The rest of a failed read or write are addresses that help nobody.
    if (const auto detail = message.find(", file descriptor"); detail != std::string::npos) message.resize(detail);
    const std::string marker = "error message = '";
    if (const auto at = message.find(marker); at != std::string::npos) {
        const auto begin = at + marker.size();
        message = message.substr(begin, message.find('\'', begin) - begin);
    }
    return message.empty() ? "no reason given" : message;
}

Handle text_type() {
    Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    const bool made = H5Tset_size(type.id(), H5T_VARIABLE) >= 0 && H5Tset_cset(type.id(), H5T_CSET_UTF8) >= 0;
    ensure(made, "HDF5 has a text type");
    return type;
}

}  // namespace tdrm::store::hdf5
