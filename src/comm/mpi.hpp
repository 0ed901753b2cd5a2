// What the files of this room share about MPI. Private: no other room includes it.
#pragma once

#include <mpi.h>

#include <optional>
#include <string_view>

#include "tdrm/base/ledger.hpp"
#include "tdrm/comm/communicator.hpp"

namespace tdrm::comm {

/// Throws CommError with MPI's own words if a call failed.
void check_mpi(int code, const char* call);

/// A slab of memory that all ranks of one node see; each rank owns kSlots slots of it.
struct SharedSlab {
    MPI_Win window = MPI_WIN_NULL;
    std::byte* base = nullptr;
    std::size_t slot_bytes = 0;
};

struct Communicator::Impl {
    CommunicatorOptions options;
    MPI_Comm comm = MPI_COMM_NULL;
    int rank = 0;
    int size = 1;
    bool one_node = false;
    bool inside_agree = false;
    SharedSlab slab;
    std::optional<Failure> shared_failure;
    Watchdog* watchdog = nullptr;
    int exceptions_at_birth = 0;
};

/// Around each collective: keeps the rules (no collective in an agree section), tells the watchdog, books the time.
class CollectiveScope {
public:
    CollectiveScope(Communicator::Impl& impl, const char* kind, std::size_t bytes);
    ~CollectiveScope();
    CollectiveScope(const CollectiveScope&) = delete;
    CollectiveScope& operator=(const CollectiveScope&) = delete;

private:
    Communicator::Impl& impl_;
    ledger::In waiting_{ledger::Section::waiting};
};

/// Adds through shared memory; all ranks are on one node. @param receiver rank that gets the sum, or kEverybody
template <class T>
void sum_in_shared_memory(Communicator::Impl& impl, std::span<T> in_place, int receiver);
void free_slab(SharedSlab& slab);

}  // namespace tdrm::comm
