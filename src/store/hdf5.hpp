// Handles, errors and the lock around libhdf5. Private to this room.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

namespace tdrm::store::hdf5 {

/// Held during every call of the library, which isn't thread-safe. Also keeps it from printing its errors.
[[nodiscard]] std::unique_lock<std::recursive_mutex> lock();

/// Innermost message of the library's last error, for example "file write failed: ... No space left on device".
[[nodiscard]] std::string last_error();

/// An identifier of the library that closes itself.
class Handle {
public:
    Handle() = default;
    Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
    ~Handle() { reset(); }
    Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
    Handle& operator=(Handle&& other) noexcept {
        if (this != &other) {
            reset();
            id_ = std::exchange(other.id_, -1);
            close_ = other.close_;
        }
        return *this;
    }
    [[nodiscard]] hid_t id() const { return id_; }
    explicit operator bool() const { return id_ >= 0; }
    /// Closes now; negative if the library reports an error.
    herr_t reset() { return id_ >= 0 ? close_(std::exchange(id_, -1)) : 0; }

private:
    hid_t id_ = -1;
    herr_t (*close_)(hid_t) = nullptr;
};

/// UTF-8 text of variable length.
[[nodiscard]] Handle text_type();

}  // namespace tdrm::store::hdf5
