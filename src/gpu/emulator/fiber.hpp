// Threads of a block as fibers: stacks that take turns on one thread of the system. Sanitizers are told of each turn.
#pragma once

#include <cstddef>
#include <memory>

namespace tdrm::gpu::emulator {

/// A stack and where it stopped. The first switch to it calls `entry`, which never returns.
class Fiber {
public:
    /// The stack of whoever calls.
    Fiber();
    /// @param stagger cache lines by which the stack's top is moved, so that equal frames don't fight for one set
    Fiber(void (*entry)(), std::size_t stagger);
    ~Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;

    /// Goes on with `to` until somebody switches back to this one, which runs now.
    void switch_to(Fiber& to);
    /// The next switch calls `entry` again.
    void restart();
    /// Must be the first call of an entry.
    static void arrived();

private:
    static constexpr std::size_t kStackBytes = 96 << 10;

    void (*entry_)() = nullptr;
    std::size_t stagger_ = 0;
    std::unique_ptr<char[]> stack_;
    void* top_ = nullptr;  ///< where it stopped
    const void* bottom_ = nullptr;
    std::size_t bytes_ = 0;
    [[maybe_unused]] void* tsan_ = nullptr;
};

/// What TSan is told of memory that is touched for a fiber by code that it doesn't see, and of an order that it can't.
void note_read(const void* from, std::size_t bytes);
void note_write(void* to, std::size_t bytes);
void acquire(void* sync);
void release(void* sync);

}  // namespace tdrm::gpu::emulator
