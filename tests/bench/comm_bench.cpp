// Prints the speed of the large sums against MPI_Allreduce, of the fixed-point sum against memory, and of small things.
// Interleaved, best of several: mpirun --bind-to none -np 2 comm_bench
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <vector>

#include "tdrm/comm/exact_sum.hpp"
#include "tdrm/comm/session.hpp"
#include "tdrm/comm/watchdog.hpp"
#include "tdrm/comm/work_counter.hpp"

namespace {

using tdrm::comm::Communicator;

double seconds(const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Best {
    double value = std::numeric_limits<double>::infinity();
    void note(double seconds) { value = std::min(value, seconds); }
};

template <class T>
void large_sum(Communicator& shared, Communicator& network, std::size_t count, const char* type, auto&& sum) {
    std::vector<T> data(count, T{1});
    Best by_memory;
    Best by_mpi;
    for (int pair = 0; pair < 9; ++pair) {
        for (auto [ranks, best] : {std::pair{&shared, &by_memory}, {&network, &by_mpi}}) {
            ranks->barrier();
            best->note(seconds([&, ranks = ranks] {
                sum(*ranks, std::span(data));
                ranks->barrier();
            }));
        }
    }
    if (shared.root()) {
        std::printf("%s sum of %.1f M: %.2f ms; MPI_Allreduce in pieces %.2f ms; ratio %.2f\n", type,
                    static_cast<double>(count) / 1e6, by_memory.value * 1e3, by_mpi.value * 1e3,
                    by_mpi.value / by_memory.value);
    }
}

void fixed_point(Communicator& ranks, std::size_t count) {
    const std::vector<float> values(count, 0.25F);
    tdrm::comm::ExactSum sum(count);
    std::vector<float> result(count);
    std::vector<std::int64_t> other(count, 1);
    Best add;
    Best to_float;
    Best copy;
    for (int repeat = 0; repeat < 7; ++repeat) {
        add.note(seconds([&] { sum.add(values, "unit"); }));
        to_float.note(seconds([&] { sum.to_float(result); }));
        copy.note(seconds([&] { std::memcpy(other.data(), sum.quanta().data(), count * sizeof(std::int64_t)); }));
    }
    if (!ranks.root()) return;
    const double n = static_cast<double>(count) / 1e9;
    std::printf("fixed point, %.1f M values: add %.1f GB/s, to_float %.1f GB/s, memcpy %.1f GB/s\n", n * 1e3,
                20 * n / add.value, 12 * n / to_float.value, 16 * n / copy.value);
}

void small_things(Communicator& ranks) {
    constexpr int kTimes = 20000;
    tdrm::comm::WorkCounter counter(ranks);
    const double draw = seconds([&] {
        for (int i = 0; i < kTimes; ++i) [[maybe_unused]] const auto drawn = counter.next();
    });
    const double bare = seconds([&] {
        for (int i = 0; i < kTimes; ++i) ranks.barrier();
    });
    const auto directory = std::filesystem::temp_directory_path() / "tdrm-comm-bench";
    double notes = 0.0;
    {
        tdrm::comm::Watchdog watchdog(ranks, directory);
        notes = seconds([&] {
            for (int i = 0; i < kTimes; ++i) {
                watchdog.enter("bench", 8);
                watchdog.leave();
            }
        });
    }
    ranks.barrier();
    if (!ranks.root()) return;
    std::filesystem::remove_all(directory);
    std::printf("work counter %.2f us; barrier %.2f us; watchdog, per collective %.3f us\n", draw / kTimes * 1e6,
                bare / kTimes * 1e6, notes / kTimes * 1e6);
}

int run(Communicator& shared) {
    Communicator network({.shared_memory = false});
    for (const std::size_t count : {800'000UL, 30'000'000UL}) {
        large_sum<std::int64_t>(shared, network, count, "int64", [](Communicator& r, auto data) { r.exact_sum(data); });
        large_sum<float>(shared, network, count, "fp32", [](Communicator& r, auto data) { r.fast_sum(data); });
    }
    for (const std::size_t count : {800'000UL, 100'000'000UL}) {
        if (shared.root()) fixed_point(shared, count);
        shared.barrier();
    }
    small_things(shared);
    return 0;
}

}  // namespace

int main(int argc, char** argv) { return tdrm::comm::run_guarded(argc, argv, run); }
