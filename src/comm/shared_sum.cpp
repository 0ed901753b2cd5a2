// Sums over the ranks of one node through shared memory: about memory speed, where MPI_Allreduce copies several times.
//
// The vector goes through the slab in chunks that stay in the caches. In turn i each rank writes its chunk i, adds its
// own slice of everybody's chunk i - 1 and reads everybody's finished slices of chunk i - 2; one barrier ends the turn.
// Three slots per rank keep the three apart.
#include <algorithm>
#include <cstring>

#include "mpi.hpp"

namespace tdrm::comm {
namespace {

constexpr std::size_t kSlots = 3;
constexpr std::size_t kLine = 64;                 // bytes of a cache line
constexpr std::size_t kMostChunk = 1UL << 20U;    // bytes; six of them stay in the third-level cache
constexpr std::size_t kLeastChunk = 64UL << 10U;  // bytes; below it barriers dominate
constexpr std::size_t kMostSlab = 48UL << 20U;    // bytes; containers often grant 64 MiB of shared memory

void allocate_slab(Communicator::Impl& impl) {
    const auto ranks = static_cast<std::size_t>(impl.size);
    const std::size_t chunk = std::clamp(kMostSlab / (kSlots * ranks) / kLine * kLine, kLeastChunk, kMostChunk);
    const std::size_t bytes = impl.rank == 0 ? kSlots * ranks * chunk + kLine : 0;
    void* mine = nullptr;
    check_mpi(
        MPI_Win_allocate_shared(static_cast<MPI_Aint>(bytes), 1, MPI_INFO_NULL, impl.comm, &mine, &impl.slab.window),
        "MPI_Win_allocate_shared");
    check_mpi(MPI_Win_set_errhandler(impl.slab.window, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler");
    MPI_Aint size = 0;
    int unit = 0;
    void* base = nullptr;
    check_mpi(MPI_Win_shared_query(impl.slab.window, 0, &size, &unit, &base), "MPI_Win_shared_query");
    check_mpi(MPI_Win_lock_all(MPI_MODE_NOCHECK, impl.slab.window), "MPI_Win_lock_all");
    // MPI promises no alignment of the window. Mappings start at pages, so every rank rounds up to the same place.
    const auto address = reinterpret_cast<std::uintptr_t>(base);
    impl.slab.base = reinterpret_cast<std::byte*>((address + kLine - 1) / kLine * kLine);
    impl.slab.slot_bytes = chunk;
}

struct Slice {
    std::size_t begin;
    std::size_t end;
};

// Slices end at cache lines, so that no two ranks write one line.
template <class T>
Slice slice_of(std::size_t rank, std::size_t ranks, std::size_t count) {
    constexpr std::size_t line = kLine / sizeof(T);
    const std::size_t lines = (count + line - 1) / line;
    return {std::min(count, lines * rank / ranks * line), std::min(count, lines * (rank + 1) / ranks * line)};
}

// Chunks and slots of one sum.
template <class T>
class SlabSum {
public:
    SlabSum(Communicator::Impl& impl, std::span<T> data, int receiver)
        : impl_(impl),
          receiver_(receiver),
          data_(data),
          chunk_(impl.slab.slot_bytes / sizeof(T)),
          ranks_(static_cast<std::size_t>(impl.size)) {}

    void run() {
        const std::size_t chunks = (data_.size() + chunk_ - 1) / chunk_;
        for (std::size_t turn = 0; turn < chunks + 2; ++turn) {
            if (turn < chunks) write(turn);
            if (turn >= 1 && turn - 1 < chunks) add(turn - 1);
            if (turn >= 2) read(turn - 2);
            barrier();
        }
    }

private:
    T* slot(std::size_t rank, std::size_t chunk) const {
        return reinterpret_cast<T*>(impl_.slab.base + (rank * kSlots + chunk % kSlots) * impl_.slab.slot_bytes);
    }
    std::size_t begin(std::size_t chunk) const { return chunk * chunk_; }
    std::size_t count(std::size_t chunk) const { return std::min(chunk_, data_.size() - begin(chunk)); }

    void write(std::size_t chunk) {
        std::memcpy(slot(me(), chunk), data_.data() + begin(chunk), count(chunk) * sizeof(T));
    }

    void add(std::size_t chunk) {
        const Slice slice = slice_of<T>(me(), ranks_, count(chunk));
        const std::size_t length = slice.end - slice.begin;
        // Rank order, whoever adds: with floats too, all ranks see the same bits.
        T* total = data_.data() + begin(chunk) + slice.begin;
        add_two(total, slot(0, chunk) + slice.begin, slot(1, chunk) + slice.begin, length);
        for (std::size_t r = 2; r < ranks_; ++r) add_two(total, total, slot(r, chunk) + slice.begin, length);
        std::memcpy(slot(me(), chunk) + slice.begin, total, length * sizeof(T));
    }

    static void add_two(T* total, const T* a, const T* b, std::size_t length) {
        for (std::size_t i = 0; i < length; ++i) {
            if constexpr (std::is_integral_v<T>) {
                // Modulo 2^64, which is defined for unsigned numbers only.
                total[i] = static_cast<T>(static_cast<std::uint64_t>(a[i]) + static_cast<std::uint64_t>(b[i]));
            } else {
                total[i] = a[i] + b[i];
            }
        }
    }

    void read(std::size_t chunk) {
        if (receiver_ != kEverybody && receiver_ != impl_.rank) return;
        for (std::size_t r = 0; r < ranks_; ++r) {
            if (r == me()) continue;
            const Slice slice = slice_of<T>(r, ranks_, count(chunk));
            std::memcpy(data_.data() + begin(chunk) + slice.begin, slot(r, chunk) + slice.begin,
                        (slice.end - slice.begin) * sizeof(T));
        }
    }

    void barrier() {
        check_mpi(MPI_Win_sync(impl_.slab.window), "MPI_Win_sync");
        check_mpi(MPI_Barrier(impl_.comm), "MPI_Barrier");
        check_mpi(MPI_Win_sync(impl_.slab.window), "MPI_Win_sync");
    }

    std::size_t me() const { return static_cast<std::size_t>(impl_.rank); }

    Communicator::Impl& impl_;
    int receiver_;
    std::span<T> data_;
    std::size_t chunk_;
    std::size_t ranks_;
};

}  // namespace

template <class T>
void sum_in_shared_memory(Communicator::Impl& impl, std::span<T> in_place, int receiver) {
    if (impl.slab.window == MPI_WIN_NULL) allocate_slab(impl);
    SlabSum<T>(impl, in_place, receiver).run();
}
template void sum_in_shared_memory(Communicator::Impl&, std::span<float>, int);
template void sum_in_shared_memory(Communicator::Impl&, std::span<std::int64_t>, int);

void free_slab(SharedSlab& slab) {
    if (slab.window == MPI_WIN_NULL) return;
    MPI_Win_unlock_all(slab.window);
    MPI_Win_free(&slab.window);
}

}  // namespace tdrm::comm
