#include "tdrm/comm/work_counter.hpp"

#include "mpi.hpp"

namespace tdrm::comm {

struct WorkCounter::Window {
    MPI_Win handle = MPI_WIN_NULL;
    std::int64_t* value = nullptr;  // of rank 0; the others' are empty
};

WorkCounter::WorkCounter(Communicator& ranks, std::int64_t first)
    : ranks_(ranks), window_(std::make_unique<Window>()), exceptions_at_birth_(std::uncaught_exceptions()) {
    auto& impl = ranks.impl();
    {
        const CollectiveScope scope(impl, "work_counter", sizeof(std::int64_t));
        const MPI_Aint bytes = impl.rank == 0 ? sizeof(std::int64_t) : 0;
        check_mpi(
            MPI_Win_allocate(bytes, sizeof(std::int64_t), MPI_INFO_NULL, impl.comm, &window_->value, &window_->handle),
            "MPI_Win_allocate");
        check_mpi(MPI_Win_set_errhandler(window_->handle, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler");
        check_mpi(MPI_Win_lock_all(MPI_MODE_NOCHECK, window_->handle), "MPI_Win_lock_all");
    }
    reset(first);
}

WorkCounter::~WorkCounter() {
    int finalized = 0;
    MPI_Finalized(&finalized);
    // While an exception unwinds, the other ranks may be elsewhere: freeing would wait for them for ever.
    if (finalized != 0 || std::uncaught_exceptions() > exceptions_at_birth_) return;
    MPI_Win_unlock_all(window_->handle);
    MPI_Win_free(&window_->handle);
}

std::int64_t WorkCounter::next() {
    const std::int64_t one = 1;
    std::int64_t drawn = 0;
    check_mpi(MPI_Fetch_and_op(&one, &drawn, MPI_INT64_T, 0, 0, MPI_SUM, window_->handle), "MPI_Fetch_and_op");
    check_mpi(MPI_Win_flush(0, window_->handle), "MPI_Win_flush");
    return drawn;
}

void WorkCounter::reset(std::int64_t first) {
    ranks_.barrier();  // whoever still draws must be done
    if (ranks_.root()) {
        std::int64_t before = 0;
        check_mpi(MPI_Fetch_and_op(&first, &before, MPI_INT64_T, 0, 0, MPI_REPLACE, window_->handle),
                  "MPI_Fetch_and_op");
        check_mpi(MPI_Win_flush(0, window_->handle), "MPI_Win_flush");
    }
    ranks_.barrier();
}

}  // namespace tdrm::comm
