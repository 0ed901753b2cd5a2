// The machine under the emulator: blocks run one after another, a block's threads as fibers that switch at barriers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>

namespace tdrm::gpu::emulator {

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
    Dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}  // as CUDA's: from one number too
};

/// What hardware leaves open. A right kernel gives the same bits under every schedule.
struct Schedule {
    std::uint32_t seed = 0;     ///< permutes the threads of each block; 0: as they are numbered
    bool early_copies = false;  ///< asynchronous copies happen at once; otherwise as late as the program allows
};
void set_schedule(const Schedule& schedule);

/// A kernel broke a rule of the machine: threads wait at different barriers, lanes of a warp take different paths to a
/// collective, an address is misaligned. Names block and thread.
class KernelError : public std::logic_error {
    using std::logic_error::logic_error;
};

/// Runs `body` once for each thread of each block. Shared memory is NaN in every format when a block starts.
/// @throws KernelError; the machine can be used again
void run_grid(Dim3 grid, Dim3 block, std::size_t shared_bytes, const std::function<void()>& body);
/// Ends the grid if 16 bytes can't be moved from or to there at once.
void check_aligned(const void* address);

// What a running thread sees.
[[nodiscard]] const Dim3& thread_index();
[[nodiscard]] const Dim3& block_index();
[[nodiscard]] const Dim3& block_size();
[[nodiscard]] const Dim3& grid_size();
[[nodiscard]] int lane();
[[nodiscard]] void* shared_memory();
void block_barrier();
void warp_barrier();

/// Gives each lane the words that lane `from` brings. Of the whole warp, as all collectives.
void exchange(const std::uint32_t (&mine)[2], int from, std::uint32_t (&theirs)[2]);
/// c += A B with A 16 x 16, B 16 x 8 in bf16, C in fp32: fragments as PTX's mma.m16n8k16 has them.
void mma(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]);
/// Four 8 x 8 matrices of 16-bit numbers, whose rows lie where lanes 8 m + i say: PTX's ldmatrix.x4.
void ldmatrix(std::uint32_t (&fragments)[4], const void* row, bool transposed);

/// 16 bytes, zeros if `from` is null, some time before the wait that covers the thread's group of copies.
void copy_async(void* to, const void* from);
void copy_commit();
/// Until at most `pending` of the thread's groups are under way.
void copy_wait(int pending);

}  // namespace tdrm::gpu::emulator
