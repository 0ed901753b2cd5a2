// The emulator finds what it is there for.
#include <algorithm>
#include <set>

#include "../../src/gpu/eight.hpp"
#include "../../src/gpu/portable.hpp"
#include "../../src/gpu/warp_sums.hpp"
#include "kernel_fixture.hpp"
#include "tdrm/base/bfloat16.hpp"

namespace tdrm::gpu {
namespace {

__global__ void reverse_block(int* out, const int* in, bool with_barrier) {
    DYNAMIC_SHARED(int, shared);
    const unsigned t = threadIdx.x;
    shared[t] = in[blockIdx.x * blockDim.x + t];
    if (with_barrier) __syncthreads();
    out[blockIdx.x * blockDim.x + t] = shared[blockDim.x - 1 - t];
}

std::vector<int> reversed(bool with_barrier) {
    std::vector<int> in(3 * 96), out(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<int>(i);
    launch(reverse_block, 3, 96, 96 * sizeof(int), nullptr, out.data(), in.data(), with_barrier);
    return out;
}

TEST(Emulator, ThreadsOfABlockMeetAtBarriersUnderEverySchedule) {
    const auto out = under_all_schedules([] { return reversed(true); });
    for (int i = 0; i < 3 * 96; ++i) EXPECT_EQ(out[static_cast<std::size_t>(i)], i / 96 * 96 + 95 - i % 96);
}

TEST(Emulator, AForgottenBarrierReadsPoison) {
    const auto out = reversed(false);
    EXPECT_NE(std::count(out.begin(), out.end(), -1), 0) << "shared memory starts as ones in every bit";
}

__global__ void sum_lanes(double* out) {
    const double total = warp_sum(static_cast<double>(threadIdx.x + 1));
    const int most = warp_max(static_cast<int>(threadIdx.x));
    out[threadIdx.x] = total + 1000.0 * most;
}

TEST(Emulator, LanesExchangeNumbers) {
    const auto out = under_all_schedules([] {
        std::vector<double> values(64);
        launch(sum_lanes, 1, 64, 0, nullptr, values.data());
        return values;
    });
    EXPECT_EQ(out[5], 528 + 31000);
    EXPECT_EQ(out[40], 528 + 32 * 32 + 63000);
}

/// A is 16 x 16 row-major, B 8 x 16 (columns of the product), both read by ldmatrix from shared memory.
__global__ void multiply_once(float* c, const bf16* a, const bf16* b, bool transposed) {
    DYNAMIC_SHARED(bf16, shared);
    const int lane = static_cast<int>(threadIdx.x);
    for (int i = lane; i < 32 * 2; i += 32) cp_async_16(shared + i * 8, i < 32 ? a + i * 8 : b + (i - 32) * 8, true);
    cp_async_commit();
    cp_async_wait<0>();
    __syncwarp();
    std::uint32_t left[4], right[4];
    ldmatrix_x4(left, shared + lane % 16 * 16 + lane / 16 * 8);
    const bf16* rows = shared + 256;
    if (transposed) {
        ldmatrix_x4_trans(right, rows + lane % 16 * 16 + lane / 16 * 8);
    } else {
        ldmatrix_x4(right, rows + (lane / 16 * 8 + lane % 8) * 16 + lane / 8 % 2 * 8);
    }
    for (int half = 0; half < 2; ++half) {
        float sum[4] = {};
        const std::uint32_t columns[2] = {right[2 * half], right[2 * half + 1]};
        mma_16x8x16(sum, left, columns);
        for (int i = 0; i < 4; ++i) c[(lane / 4 + i / 2 * 8) * 16 + half * 8 + lane % 4 * 2 + i % 2] = sum[i];
    }
}

TEST(Emulator, FragmentsMultiplyAsMatrices) {
    Numbers numbers(1);
    const auto a = numbers.bf16s(256), b = numbers.bf16s(256);
    for (const bool transposed : {false, true}) {
        const auto c = under_all_schedules([&] {
            std::vector<float> result(256);
            launch(multiply_once, 1, 32, 512 * sizeof(bf16), nullptr, result.data(), a.data(), b.data(), transposed);
            return result;
        });
        for (std::size_t i = 0; i < 16; ++i)
            for (std::size_t j = 0; j < 16; ++j) {
                double sum = 0;
                for (std::size_t k = 0; k < 16; ++k)
                    sum += number(a[i * 16 + k]) * number(transposed ? b[k * 16 + j] : b[j * 16 + k]);
                EXPECT_NEAR(number(c[i * 16 + j]), sum, 1e-5);
            }
    }
}

/// Where CuTe (NVIDIA CUTLASS, MMA_Traits<SM80_16x8x16_F32BF16BF16F32_TN>) says that number `value` of lane `lane` is:
/// strides of (lane % 4, lane / 4) and of the bits of `value`, column by column.
struct CuteLayout {
    int low, high;
    int bits[3];
    [[nodiscard]] int operator()(int lane, int value) const {
        int at = lane % 4 * low + lane / 4 * high;
        for (int b = 0; b < 3; ++b) at += (value >> b & 1) * bits[b];
        return at;
    }
};
constexpr CuteLayout kCuteA{32, 1, {16, 8, 128}}, kCuteB{16, 1, {8, 64, 0}}, kCuteC{32, 1, {16, 8, 0}};

/// One product whose fragments are filled and read as CuTe lays them out. A is M x K, B N x K, C M x N by columns.
__global__ void multiply_as_cute(float* c, const bf16* a, const bf16* b) {
    const int lane = static_cast<int>(threadIdx.x);
    std::uint32_t left[4], right[2];
    const auto both = [&](const bf16* from, const CuteLayout& layout, int i) {
        return static_cast<std::uint32_t>(from[layout(lane, 2 * i)].bits) |
               static_cast<std::uint32_t>(from[layout(lane, 2 * i + 1)].bits) << 16U;
    };
    for (int i = 0; i < 4; ++i) left[i] = both(a, kCuteA, i);
    for (int i = 0; i < 2; ++i) right[i] = both(b, kCuteB, i);
    float sum[4] = {};
    mma_16x8x16(sum, left, right);
    for (int i = 0; i < 4; ++i) c[kCuteC(lane, i)] = sum[i];
}

TEST(Emulator, FragmentsLieWhereCuteSaysTheyDo) {
    Numbers numbers(4);
    const auto a = numbers.bf16s(256), b = numbers.bf16s(128);
    auto c = poisoned<float>(128);
    launch(multiply_as_cute, 1, 32, 0, nullptr, c.data(), a.data(), b.data());
    for (std::size_t m = 0; m < 16; ++m)
        for (std::size_t n = 0; n < 8; ++n) {
            double sum = 0;
            for (std::size_t k = 0; k < 16; ++k) sum += number(a[m + 16 * k]) * number(b[n + 8 * k]);
            EXPECT_NEAR(number(c[m + 16 * n]), sum, 1e-5);
        }
}

/// What happens on the thread that a rule names.
enum class Fault { none, barrier, leaving, collective, alignment, copy, load };
__global__ void break_a_rule(Fault fault) {
    DYNAMIC_SHARED(bf16, shared);
    const bool odd = threadIdx.x == 33;
    if (fault == Fault::barrier && odd) __syncthreads();
    if (fault == Fault::leaving && odd) return;
    if (fault == Fault::collective && odd) (void)__shfl_sync(kWholeWarp, 1, 0);
    std::uint32_t fragments[4];
    ldmatrix_x4(fragments, shared + threadIdx.x % 32 * 8 + (fault == Fault::alignment && odd ? 1 : 0));
    if (fault == Fault::copy && odd) cp_async_16(shared + 4, shared, true);
    float eight[kEight];
    if (fault == Fault::load && odd) load_eight(eight, shared + 4);
    __syncthreads();
}

std::string problem(Fault fault) {
    try {
        launch(break_a_rule, dim3(2), 64, 1024, nullptr, fault);
    } catch (const emulator::KernelError& error) {
        return error.what();
    }
    return "";
}

TEST(Emulator, NamesTheThreadThatBreaksARule) {
    EXPECT_EQ(problem(Fault::none), "");
    EXPECT_NE(problem(Fault::barrier).find("threads wait at different barriers in block ("), std::string::npos)
        << problem(Fault::barrier);
    EXPECT_NE(problem(Fault::leaving).find("a lane left while its warp waits"), std::string::npos);
    EXPECT_NE(problem(Fault::leaving).find("thread (33, 0, 0)"), std::string::npos);
    EXPECT_NE(problem(Fault::collective).find("different paths to a collective"), std::string::npos);
    EXPECT_NE(problem(Fault::alignment).find("isn't aligned"), std::string::npos);
    EXPECT_NE(problem(Fault::copy).find("asynchronous copy isn't aligned"), std::string::npos);
    EXPECT_NE(problem(Fault::load).find("16 bytes are moved from an address between them"), std::string::npos);
    EXPECT_EQ(problem(Fault::none), "") << "the machine goes on";
}

TEST(Emulator, RefusesWhatDevicesHaveNoRoomFor) {
    const auto start = [](dim3 grid, std::size_t shared) {
        launch(break_a_rule, grid, 64, shared, nullptr, Fault::none);
    };
    EXPECT_NO_THROW(start(dim3(1), 99 << 10));
    EXPECT_THROW(start(dim3(1), (99 << 10) + 1), emulator::KernelError);
    EXPECT_THROW(start(dim3(1, 65536), 1024), emulator::KernelError);
}

/// Writes the number of its block behind what the blocks before it wrote.
__global__ void note_block(int* order, int* count) {
    order[(*count)++] = static_cast<int>(blockIdx.x + 3 * blockIdx.y);
}

TEST(Emulator, RunsBlocksInEveryOrder) {
    std::set<std::vector<int>> orders;
    for (unsigned seed = 0; seed < 8; ++seed) {
        emulator::set_schedule({seed});
        std::vector<int> order(6);
        int count = 0;
        launch(note_block, dim3(3, 2), 1, 0, nullptr, order.data(), &count);
        orders.insert(order);
        std::sort(order.begin(), order.end());
        EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
    }
    emulator::set_schedule({});
    EXPECT_GT(orders.size(), 3U);
}

/// Reads what a copy brings, waiting for it or not.
__global__ void read_copy(float* out, const float* in, bool waits) {
    DYNAMIC_SHARED(float, shared);
    const int t = static_cast<int>(threadIdx.x);
    cp_async_16(shared + 4 * t, in + 4 * t, t % 2 == 0);
    cp_async_commit();
    if (waits) cp_async_wait<0>();
    for (int i = 0; i < 4; ++i) out[4 * t + i] = shared[4 * t + i];
}

TEST(Emulator, LateCopiesShowAForgottenWait) {
    Numbers numbers(2);
    alignas(16) float in[128];
    for (float& x : in) x = numbers.normal();
    std::vector<float> out(128);
    launch(read_copy, 1, 32, sizeof in, nullptr, out.data(), in, true);
    for (std::size_t i = 0; i < 128; ++i) EXPECT_EQ(out[i], i / 4 % 2 == 0 ? in[i] : 0.0F);
    launch(read_copy, 1, 32, sizeof in, nullptr, out.data(), in, false);
    for (const float x : out) EXPECT_TRUE(std::isnan(x));
}

TEST(Emulator, RoundsToBf16AsHostsDo) {
    Numbers numbers(3);
    for (int i = 0; i < 100000; ++i) {
        const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(numbers.next()));
        if (std::isnan(x)) {
            EXPECT_TRUE(std::isnan(to_float(to_bf16(x))));
        } else {
            EXPECT_EQ(to_bf16(x).bits, to_bfloat16(x).bits) << x;
        }
    }
}

}  // namespace
}  // namespace tdrm::gpu
