#include "tdrm/comm/collectives.hpp"

#include <cstring>

#include "mpi.hpp"
#include "nccl.hpp"

namespace tdrm::comm {
namespace {

class MpiCollectives : public Collectives {
public:
    explicit MpiCollectives(Communicator& ranks) : ranks_(ranks) {}

    void all_reduce_sum(float* data, std::size_t count) override { ranks_.fast_sum({data, count}); }
    void all_reduce_sum(std::int64_t* data, std::size_t count) override { ranks_.exact_sum({data, count}); }

    void broadcast(void* data, std::size_t bytes, int root) override {
        ranks_.broadcast({static_cast<std::byte*>(data), bytes}, root);
    }

    // Broadcasts in turn: unlike MPI_Allgather they know no limit of 2 GiB.
    void all_gather(const void* mine, void* all, std::size_t bytes) override {
        auto* place = static_cast<std::byte*>(all);
        std::memmove(place + static_cast<std::size_t>(ranks_.rank()) * bytes, mine, bytes);
        for (int root = 0; root < ranks_.size(); ++root) {
            ranks_.broadcast({place + static_cast<std::size_t>(root) * bytes, bytes}, root);
        }
    }

    void abort() noexcept override {}  // what runs in MPI can't be ended from here; the guard ends the job

private:
    Communicator& ranks_;
};

}  // namespace

#if !TDRM_HAS_NCCL
bool built_with_nccl() noexcept { return false; }
std::string nccl_version() { return ""; }

std::unique_ptr<Collectives> make_nccl_collectives(Communicator& ranks, const CollectivesOptions& /*options*/) {
    ranks.agree("choosing the transport", [] {
        throw ConfigError(
            "NCCL was asked for, but this build has none (the CUDA toolkit or nccl.h was missing when it was "
            "configured). "
            "Choose the transport mpi, or build where both are installed.");
    });
    return nullptr;
}
#endif

std::unique_ptr<Collectives> make_collectives(Communicator& ranks, Transport transport,
                                              const CollectivesOptions& options) {
    if (transport == Transport::nccl) return make_nccl_collectives(ranks, options);
    return std::make_unique<MpiCollectives>(ranks);
}

}  // namespace tdrm::comm
