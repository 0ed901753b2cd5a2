#include "file_types.hpp"

#include "tdrm/base/errors.hpp"

namespace tdrm::store {
namespace {

/// Sign, 8 bits of exponent with bias 127, 7 of mantissa. Lives as long as the process.
hid_t bfloat16_type() {
    static const hid_t type = [] {
        const hid_t made = H5Tcopy(H5T_IEEE_F32LE);
        H5Tset_fields(made, 15, 7, 8, 0, 7);
        H5Tset_precision(made, 16);
        H5Tset_size(made, 2);
        return made;
    }();
    return type;
}

}  // namespace

hid_t disk_type(Type type) {
    switch (type) {
        case Type::int8:
            return H5T_STD_I8LE;
        case Type::uint8:
            return H5T_STD_U8LE;
        case Type::uint16:
            return H5T_STD_U16LE;
        case Type::int32:
            return H5T_STD_I32LE;
        case Type::int64:
            return H5T_STD_I64LE;
        case Type::uint64:
            return H5T_STD_U64LE;
        case Type::bfloat16:
            return bfloat16_type();
        case Type::float32:
            return H5T_IEEE_F32LE;
        case Type::float64:
            return H5T_IEEE_F64LE;
        case Type::text:
            break;
    }
    throw BugError("texts have no fixed HDF5 type. This is a bug in tdrm; please report it.");
}

hid_t memory_type(Type type) {
    switch (type) {
        case Type::int8:
            return H5T_NATIVE_INT8;
        case Type::uint8:
            return H5T_NATIVE_UINT8;
        case Type::uint16:
            return H5T_NATIVE_UINT16;
        case Type::int32:
            return H5T_NATIVE_INT32;
        case Type::int64:
            return H5T_NATIVE_INT64;
        case Type::uint64:
            return H5T_NATIVE_UINT64;
        case Type::bfloat16:
            return bfloat16_type();
        case Type::float32:
            return H5T_NATIVE_FLOAT;
        case Type::float64:
            return H5T_NATIVE_DOUBLE;
        case Type::text:
            break;
    }
    throw BugError("texts have no fixed HDF5 type. This is a bug in tdrm; please report it.");
}

const char* name_of(Type type) {
    switch (type) {
        case Type::int8:
            return "int8";
        case Type::uint8:
            return "uint8";
        case Type::uint16:
            return "uint16";
        case Type::int32:
            return "int32";
        case Type::int64:
            return "int64";
        case Type::uint64:
            return "uint64";
        case Type::bfloat16:
            return "bfloat16";
        case Type::float32:
            return "float32";
        case Type::float64:
            return "float64";
        case Type::text:
            return "text";
    }
    return "unknown";
}

}  // namespace tdrm::store
