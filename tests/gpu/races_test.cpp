// Planted races: kernels that lack a barrier, for ThreadSanitizer to find (sanitized.sh). Their results may be right.
#include "../../src/gpu/portable.hpp"
#include "kernel_fixture.hpp"

namespace tdrm::gpu {
namespace {

/// Each warp reads what the next one wrote, without a barrier in between.
__global__ void race_for_neighbours(int* out) {
    DYNAMIC_SHARED(int, shared);
    const unsigned t = threadIdx.x;
    shared[t] = static_cast<int>(t);
    __syncwarp();
    out[t] = shared[(t + 32) % blockDim.x];
}

TEST(Races, OfAMissingBarrier) {
    std::vector<int> out(128);
    launch(race_for_neighbours, 1, 128, 128 * sizeof(int), nullptr, out.data());
}

/// A double buffer whose next copy may overwrite what slow warps still read: the barrier behind the reading is missing.
__global__ void race_for_buffers(float* out, const float* in, int steps) {
    DYNAMIC_SHARED(float, shared);
    const int t = static_cast<int>(threadIdx.x), size = static_cast<int>(blockDim.x) * 4;
    float total = 0;
    cp_async_16(shared + 4 * t, in + 4 * t, true);
    cp_async_commit();
    for (int step = 0; step < steps; ++step) {
        const int next = step + 1;
        if (next < steps) cp_async_16(shared + next % 2 * size + 4 * t, in + next * size + 4 * t, true);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        for (int i = 0; i < 4; ++i) total += shared[step % 2 * size + (4 * t + i * 36) % size];
    }
    out[t] = total;
}

TEST(Races, OfADoubleBuffer) {
    constexpr int steps = 5, threads = 64;
    std::vector<uint4> memory(steps * threads);
    const auto* in = reinterpret_cast<const float*>(memory.data());
    std::vector<float> out(threads);
    for (const auto& schedule : schedules()) {
        emulator::set_schedule(schedule);
        launch(race_for_buffers, 1, threads, 2 * threads * sizeof(uint4), nullptr, out.data(), in, steps);
    }
    emulator::set_schedule({});
}

}  // namespace
}  // namespace tdrm::gpu
