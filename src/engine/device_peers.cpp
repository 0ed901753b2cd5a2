#include "device_peers.hpp"

#include <algorithm>
#include <stdexcept>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/log.hpp"

namespace tdrm::engine {
namespace {

template <class Work>
auto in_words(Work&& work) {
    try {
        return work();
    } catch (const std::runtime_error& error) {
        throw CommError(cat("devices can't exchange numbers: ", error.what(),
                            " (the ranks can't go on together; commits are whole). Start the same command again."));
    }
}

/// Two ranks at the same place, or none.
bool share_a_device(comm::Communicator& ranks, const std::vector<std::string>& places) {
    for (std::size_t a = 0; a < places.size(); ++a)
        for (std::size_t b = a + 1; b < places.size(); ++b) {
            if (places[a] != places[b]) continue;
            if (ranks.root())
                log::warn(cat("ranks ", a, " and ", b, " share the device ", places[a],
                              " (their sums go through the host, slowly). Start one rank for each device."));
            return true;
        }
    return false;
}

}  // namespace

std::unique_ptr<gpu::Peers> connect_devices(comm::Communicator& ranks, gpu::Device& device) {
    if (ranks.size() == 1) return nullptr;
    const auto places = ranks.all_gather_bytes(ranks.agree("looking at devices", [&] { return device.place(); }));
    if (std::ranges::any_of(places, [](const std::string& place) { return place.empty(); })) return nullptr;
    if (share_a_device(ranks, places)) return nullptr;
    gpu::PeersId id{};
    ranks.agree("connecting devices", [&] {
        if (ranks.root()) id = in_words([&] { return device.new_peers_id(); });
    });
    ranks.broadcast(std::as_writable_bytes(std::span(id)));
    std::unique_ptr<gpu::Peers> peers;
    ranks.outside("connecting devices", 0,
                  [&] { peers = in_words([&] { return device.connect(id, ranks.rank(), ranks.size()); }); });
    if (peers == nullptr && ranks.root())
        log::warn(
            "libtdrm_cuda.so was built without NCCL (sums go through the hosts, slowly). Install it with "
            "tools/install.sh --cuda and build again.");
    return peers;
}

void exchange(comm::Communicator& ranks, gpu::Peers& peers, const char* kind, std::size_t bytes,
              const std::function<void()>& queue) {
    ranks.outside(kind, bytes, [&] {
        in_words([&] {
            queue();
            peers.wait();
        });
    });
}

}  // namespace tdrm::engine
