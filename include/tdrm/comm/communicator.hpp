// The ranks of a job. Three ways to add exist, no others: exact_sum and fast_sum for large buffers, sum for small ones.
// Every function here is collective unless it says "local": all ranks call it, in the same order.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tdrm/base/errors.hpp"

namespace tdrm::comm {

class Watchdog;

/// In the place of a rank that receives.
inline constexpr int kEverybody = -1;

/// Thrown by agree on the healthy ranks; carries the exit code and message of the rank that failed.
struct PeerError : Error {
    PeerError(ExitCode code, const std::string& message) : Error(code, message) {}
};

struct CommunicatorOptions {
    bool shared_memory = true;               ///< sum through shared memory where all ranks share a node
    std::size_t piece_bytes = 256UL << 20U;  ///< most bytes a rank hands to one MPI call; below 2 GiB
};

/// All ranks of the job: a duplicate of MPI_COMM_WORLD whose errors are returned and thrown as CommError.
/// Any failure of MPI throws CommError; the communicator is unusable from then on.
class Communicator {
public:
    /// MPI must be initialised (Session does that). @throws CommError if it isn't.
    explicit Communicator(CommunicatorOptions options = {});
    /// Frees its MPI handles, except while an exception unwinds: the other ranks may be elsewhere then.
    ~Communicator();
    Communicator(const Communicator&) = delete;
    Communicator& operator=(const Communicator&) = delete;

    [[nodiscard]] int rank() const noexcept;                          ///< local
    [[nodiscard]] int size() const noexcept;                          ///< local
    [[nodiscard]] bool root() const noexcept { return rank() == 0; }  ///< local
    [[nodiscard]] bool one_node() const noexcept;                     ///< local; whether all ranks share memory

    void barrier();
    /// The root's bytes go to everybody. The spans have equal sizes.
    void broadcast(std::span<std::byte> bytes, int root = 0);
    /// Returns the root's text; what the other ranks hand in is ignored.
    [[nodiscard]] std::string broadcast_text(std::string text, int root = 0);

    /// What each rank handed in, in rank order; lengths may differ and may be 0. One small collective if all are empty.
    [[nodiscard]] std::vector<std::string> all_gather_bytes(std::string_view mine);
    template <class T>
    [[nodiscard]] std::vector<std::vector<T>> all_gather(std::span<const T> mine);
    /// One value of each rank, in rank order.
    template <class T>
    [[nodiscard]] std::vector<T> all_gather_value(const T& mine);

    /// Adds small vectors of equal length, in rank order, with the same bits on every rank. It doesn't have the same
    /// bits on another number of ranks: for that, gather per unit and add in canonical order.
    void sum(std::span<double> in_place);
    [[nodiscard]] double sum(double mine);
    [[nodiscard]] std::int64_t sum(std::int64_t mine);
    [[nodiscard]] bool all(bool mine);  ///< whether it holds on every rank
    [[nodiscard]] bool any(bool mine);  ///< whether it holds on some rank

    /// Adds large vectors of equal length modulo 2^64: the same bits for any number and order of ranks.
    /// @param receiver rank that gets the sum; what the others are left with isn't defined then
    void exact_sum(std::span<std::int64_t> in_place, int receiver = kEverybody);
    /// The same in fp32: equal bits on every rank of one node, rounded differently on another number of ranks.
    void fast_sum(std::span<float> in_place, int receiver = kEverybody);

    /// Runs a collective of another library, which the watchdog then sees like one of these. @param kind  lives on
    void outside(const char* kind, std::size_t bytes, const std::function<void()>& work);

    /// Runs local work that may throw, and makes its failure everybody's. Returns what the work returned.
    /// The work must hold no collective (BugError). If it throws somewhere, the failing ranks rethrow their own error
    /// and the others throw PeerError with the code and message of the first failing rank (a stop request, Preempted,
    /// counts only if nothing worse happened).
    /// @param what  what is being done, for the message: "reading the problems"
    template <std::invocable F>
    std::invoke_result_t<F> agree(std::string_view what, F&& work);
    /// Throws CommError on every rank, naming the ranks that differ from rank 0, unless all hold the same text.
    void require_equal(std::string_view what, std::string_view value);
    /// Throws `error` on every rank, as a failure that all share: for a verdict that all ranks reach alike.
    template <class E>
    [[noreturn]] void fail_together(const E& error) {
        agree("", [&] { throw error; });
        throw error;  // never reached
    }

    /// Local. The failure that all ranks have just agreed on, until the next collective.
    [[nodiscard]] const std::optional<Failure>& shared_failure() const noexcept;
    /// Local. Tells the watchdog (or nobody, nullptr) about every collective from now on.
    void watch(Watchdog* watchdog) noexcept;
    /// Local, well below a microsecond. A sign of life for the watchdog, if there is one: what this rank works on now.
    void working_on(std::string_view unit) const;

    struct Impl;  // MPI handles; src/comm/mpi.hpp
    [[nodiscard]] Impl& impl() const noexcept { return *impl_; }

private:
    void begin_agree();
    void end_agree(std::string_view what, const std::exception_ptr& failure);

    std::unique_ptr<Impl> impl_;
};

template <class T>
std::vector<std::vector<T>> Communicator::all_gather(std::span<const T> mine) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto bytes = std::as_bytes(mine);
    const auto gathered = all_gather_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    std::vector<std::vector<T>> result(gathered.size());
    for (std::size_t r = 0; r < gathered.size(); ++r) {
        result[r].resize(gathered[r].size() / sizeof(T));
        if (!gathered[r].empty()) std::memcpy(result[r].data(), gathered[r].data(), gathered[r].size());
    }
    return result;
}

template <class T>
std::vector<T> Communicator::all_gather_value(const T& mine) {
    std::vector<T> result;
    for (auto& each : all_gather(std::span<const T>(&mine, 1))) result.push_back(each.at(0));
    return result;
}

template <std::invocable F>
std::invoke_result_t<F> Communicator::agree(std::string_view what, F&& work) {
    using Result = std::invoke_result_t<F>;
    std::exception_ptr failure;
    begin_agree();
    if constexpr (std::is_void_v<Result>) {
        try {
            std::forward<F>(work)();
        } catch (...) {
            failure = std::current_exception();
        }
        end_agree(what, failure);
    } else {
        std::optional<Result> result;
        try {
            result.emplace(std::forward<F>(work)());
        } catch (...) {
            failure = std::current_exception();
        }
        end_agree(what, failure);
        return std::move(*result);
    }
}

}  // namespace tdrm::comm
