#include "tdrm/comm/communicator.hpp"

#include <algorithm>
#include <climits>
#include <string>

#include "mpi.hpp"
#include "tdrm/base/text.hpp"
#include "tdrm/comm/watchdog.hpp"

namespace tdrm::comm {
namespace {

constexpr std::size_t kAllreduceBytes = 4UL << 20U;  // measured: larger pieces fall out of the caches

template <class T>
constexpr MPI_Datatype datatype() {
    return std::is_same_v<T, float> ? MPI_FLOAT : MPI_INT64_T;
}

/// @param receiver rank that gets the sum; kEverybody: all do
template <class T>
void sum_over_network(Communicator::Impl& impl, std::span<T> in_place, int receiver) {
    const std::size_t piece = kAllreduceBytes / sizeof(T);
    for (std::size_t begin = 0; begin < in_place.size(); begin += piece) {
        const auto count = static_cast<int>(std::min(piece, in_place.size() - begin));
        T* values = in_place.data() + begin;
        if (receiver == kEverybody) {
            check_mpi(MPI_Allreduce(MPI_IN_PLACE, values, count, datatype<T>(), MPI_SUM, impl.comm), "MPI_Allreduce");
        } else {
            const void* from = receiver == impl.rank ? MPI_IN_PLACE : values;
            check_mpi(MPI_Reduce(from, values, count, datatype<T>(), MPI_SUM, receiver, impl.comm), "MPI_Reduce");
        }
    }
}

template <class T>
void sum_large(Communicator::Impl& impl, const char* kind, std::span<T> in_place, int receiver) {
    const CollectiveScope scope(impl, kind, in_place.size_bytes());
    const ledger::In section(ledger::Section::sum);
    if (impl.size == 1) return;
    if (impl.one_node && impl.options.shared_memory) {
        sum_in_shared_memory(impl, in_place, receiver);
    } else {
        sum_over_network(impl, in_place, receiver);
    }
}

bool on_one_node(MPI_Comm comm, int size) {
    MPI_Comm node = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node), "MPI_Comm_split_type");
    int node_size = 0;
    check_mpi(MPI_Comm_size(node, &node_size), "MPI_Comm_size");
    int mine = node_size == size ? 1 : 0;
    check_mpi(MPI_Comm_free(&node), "MPI_Comm_free");
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, &mine, 1, MPI_INT, MPI_MIN, comm), "MPI_Allreduce");
    return mine == 1;
}

// Moves the next piece of every rank's bytes; lengths say how much each rank has in all.
void gather_piece(Communicator::Impl& impl, std::string_view mine, const std::vector<std::int64_t>& lengths,
                  std::size_t begin, std::size_t piece, std::vector<std::string>& result) {
    const auto part = [&](std::size_t length) { return length > begin ? std::min(piece, length - begin) : 0; };
    std::vector<int> counts(lengths.size());
    std::vector<int> offsets(lengths.size());
    int total = 0;
    for (std::size_t r = 0; r < lengths.size(); ++r) {
        counts[r] = static_cast<int>(part(static_cast<std::size_t>(lengths[r])));
        offsets[r] = total;
        total += counts[r];
    }
    std::string all(static_cast<std::size_t>(total), '\0');
    const auto own = mine.substr(std::min(begin, mine.size()), part(mine.size()));
    check_mpi(MPI_Allgatherv(own.data(), static_cast<int>(own.size()), MPI_BYTE, all.data(), counts.data(),
                             offsets.data(), MPI_BYTE, impl.comm),
              "MPI_Allgatherv");
    for (std::size_t r = 0; r < lengths.size(); ++r) {
        result[r].append(all, static_cast<std::size_t>(offsets[r]), static_cast<std::size_t>(counts[r]));
    }
}

}  // namespace

void check_mpi(int code, const char* call) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    throw CommError(cat(call, " failed: ", std::string(text, static_cast<std::size_t>(length)),
                        " (the ranks can't go on together). Start the same command again; it resumes."));
}

CollectiveScope::CollectiveScope(Communicator::Impl& impl, const char* kind, std::size_t bytes) : impl_(impl) {
    ensure(!impl.inside_agree, "no collective runs inside an agree section");
    impl.shared_failure.reset();
    if (impl.watchdog != nullptr) impl.watchdog->enter(kind, bytes);
}

CollectiveScope::~CollectiveScope() {
    if (impl_.watchdog != nullptr) impl_.watchdog->leave();
}

Communicator::Communicator(CommunicatorOptions options) : impl_(std::make_unique<Impl>()) {
    int ready = 0;
    MPI_Initialized(&ready);
    if (ready == 0) throw CommError("MPI isn't initialised (no rank can be reached). Create a comm::Session first.");
    impl_->options = options;
    impl_->exceptions_at_birth = std::uncaught_exceptions();
    check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &impl_->comm), "MPI_Comm_dup");
    check_mpi(MPI_Comm_set_errhandler(impl_->comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check_mpi(MPI_Comm_rank(impl_->comm, &impl_->rank), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(impl_->comm, &impl_->size), "MPI_Comm_size");
    impl_->one_node = on_one_node(impl_->comm, impl_->size);
}

Communicator::~Communicator() {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized != 0 || std::uncaught_exceptions() > impl_->exceptions_at_birth) return;
    free_slab(impl_->slab);
    MPI_Comm_free(&impl_->comm);
}

int Communicator::rank() const noexcept { return impl_->rank; }
int Communicator::size() const noexcept { return impl_->size; }
bool Communicator::one_node() const noexcept { return impl_->one_node; }
const std::optional<Failure>& Communicator::shared_failure() const noexcept { return impl_->shared_failure; }
void Communicator::watch(Watchdog* watchdog) noexcept { impl_->watchdog = watchdog; }
void Communicator::working_on(std::string_view unit) const {
    if (impl_->watchdog != nullptr) impl_->watchdog->unit(unit);
}

void Communicator::barrier() {
    const CollectiveScope scope(*impl_, "barrier", 0);
    check_mpi(MPI_Barrier(impl_->comm), "MPI_Barrier");
}

void Communicator::broadcast(std::span<std::byte> bytes, int root) {
    const CollectiveScope scope(*impl_, "broadcast", bytes.size());
    for (std::size_t begin = 0; begin < bytes.size(); begin += impl_->options.piece_bytes) {
        const auto count = static_cast<int>(std::min(impl_->options.piece_bytes, bytes.size() - begin));
        check_mpi(MPI_Bcast(bytes.data() + begin, count, MPI_BYTE, root, impl_->comm), "MPI_Bcast");
    }
}

std::string Communicator::broadcast_text(std::string text, int root) {
    std::uint64_t length = text.size();
    broadcast(std::as_writable_bytes(std::span(&length, 1)), root);
    text.resize(length);
    broadcast(std::as_writable_bytes(std::span(text)), root);
    return text;
}

std::vector<std::string> Communicator::all_gather_bytes(std::string_view mine) {
    const CollectiveScope scope(*impl_, "all_gather", mine.size());
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(impl_->size));
    const auto length = static_cast<std::int64_t>(mine.size());
    check_mpi(MPI_Allgather(&length, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, impl_->comm), "MPI_Allgather");
    const auto longest = static_cast<std::size_t>(*std::max_element(lengths.begin(), lengths.end()));
    std::vector<std::string> result(lengths.size());
    for (std::size_t r = 0; r < lengths.size(); ++r) result[r].reserve(static_cast<std::size_t>(lengths[r]));
    // The sum of all pieces of a round must fit an int.
    const std::size_t piece = std::min(impl_->options.piece_bytes, static_cast<std::size_t>(INT_MAX) / lengths.size());
    for (std::size_t begin = 0; begin < longest; begin += piece)
        gather_piece(*impl_, mine, lengths, begin, piece, result);
    return result;
}

void Communicator::outside(const char* kind, std::size_t bytes, const std::function<void()>& work) {
    const CollectiveScope scope(*impl_, kind, bytes);
    const ledger::In section(ledger::Section::sum);
    work();
}

void Communicator::sum(std::span<double> in_place) {
    const auto parts = all_gather(std::span<const double>(in_place));
    std::fill(in_place.begin(), in_place.end(), 0.0);
    for (const auto& part : parts) {
        ensure(part.size() == in_place.size(), "all ranks sum vectors of one length");
        for (std::size_t i = 0; i < part.size(); ++i) in_place[i] += part[i];
    }
}

double Communicator::sum(double mine) {
    sum(std::span(&mine, 1));
    return mine;
}

std::int64_t Communicator::sum(std::int64_t mine) {
    std::int64_t total = 0;
    for (const auto each : all_gather_value(mine)) total += each;
    return total;
}

bool Communicator::all(bool mine) { return !any(!mine); }

bool Communicator::any(bool mine) {
    const CollectiveScope scope(*impl_, "vote", 1);
    int vote = mine ? 1 : 0;
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, &vote, 1, MPI_INT, MPI_MAX, impl_->comm), "MPI_Allreduce");
    return vote != 0;
}

void Communicator::exact_sum(std::span<std::int64_t> in_place, int receiver) {
    sum_large(*impl_, "exact_sum", in_place, receiver);
}
void Communicator::fast_sum(std::span<float> in_place, int receiver) {
    sum_large(*impl_, "fast_sum", in_place, receiver);
}

void Communicator::require_equal(std::string_view what, std::string_view value) {
    const auto values = all_gather_bytes(value);
    std::string ranks;
    std::string example;
    for (std::size_t r = 1; r < values.size(); ++r) {
        if (values[r] == values[0]) continue;
        ranks += (ranks.empty() ? "" : ", ") + std::to_string(r);
        if (example.empty()) example = values[r];
    }
    if (ranks.empty()) return;
    const CommError error(cat("rank(s) ", ranks, " differ from rank 0 in the ", what, ": '", shortened(example),
                              "' against '", shortened(values[0]),
                              "' (the ranks wouldn't compute the same). Start all ",
                              "ranks with the same program and files on machines of one kind."));
    impl_->shared_failure = describe(error);
    throw error;
}

}  // namespace tdrm::comm
