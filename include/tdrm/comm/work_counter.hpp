// A number that all ranks draw from: who is free takes the next unit of work.
#pragma once

#include <cstdint>
#include <memory>

#include "tdrm/comm/communicator.hpp"

namespace tdrm::comm {

/// Counter on rank 0, advanced by one-sided operations: nobody waits for rank 0 to answer on the same host (0.2 us).
/// Across hosts without RDMA, rank 0 must enter MPI now and then, as it does by drawing itself.
class WorkCounter {
public:
    /// Collective. The communicator must outlive the counter.
    explicit WorkCounter(Communicator& ranks, std::int64_t first = 0);
    /// Collective, except while an exception unwinds.
    ~WorkCounter();
    WorkCounter(const WorkCounter&) = delete;
    WorkCounter& operator=(const WorkCounter&) = delete;

    /// Local. The next number; each is given out once over all ranks. @throws CommError if MPI fails.
    [[nodiscard]] std::int64_t next();
    /// Collective. Starts again at `first`; numbers drawn before are done with on every rank.
    void reset(std::int64_t first = 0);

private:
    struct Window;
    Communicator& ranks_;
    std::unique_ptr<Window> window_;
    int exceptions_at_birth_;
};

}  // namespace tdrm::comm
