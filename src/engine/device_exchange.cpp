#include "device_exchange.hpp"

#include <algorithm>
#include <concepts>
#include <stdexcept>
#include <utility>
#include <vector>

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

gpu::Peers* DeviceExchange::peers(comm::Communicator& ranks) {
    if (connected_ == Connected::failed)
        throw CommError("devices can't exchange numbers: connecting them failed. Start the same command again.");
    if (connected_ == Connected::not_yet) {
        connected_ = Connected::failed;
        peers_ = connect_devices(ranks, device_);
        connected_ = Connected::done;
    }
    return peers_.get();
}

template <class T>
void DeviceExchange::sum(T* values, std::size_t n, int receiver, comm::Communicator& ranks) {
    if (ranks.size() == 1) return;
    if (gpu::Peers* connected = peers(ranks)) {
        bytes_ += n * sizeof(T);
        return ranks.outside("summing on devices", n * sizeof(T),
                             [&] { in_words([&] { connected->sum(values, n, receiver); }); });
    }
    std::vector<T> here(n);
    device_.download(here.data(), values, n * sizeof(T));
    device_.wait();
    if constexpr (std::integral<T>) {
        ranks.exact_sum(here, receiver);
    } else {
        ranks.fast_sum(here, receiver);
    }
    if (receiver == comm::kEverybody || receiver == ranks.rank()) device_.upload(values, here.data(), n * sizeof(T));
}
template void DeviceExchange::sum(std::int64_t*, std::size_t, int, comm::Communicator&);
template void DeviceExchange::sum(float*, std::size_t, int, comm::Communicator&);

void DeviceExchange::broadcast(gpu::bf16* values, std::size_t n, int from, comm::Communicator& ranks) {
    if (ranks.size() == 1) return;
    const std::size_t bytes = n * sizeof(gpu::bf16);
    if (gpu::Peers* connected = peers(ranks)) {
        bytes_ += bytes;
        return ranks.outside("sharing weights", bytes,
                             [&] { in_words([&] { connected->broadcast(values, bytes, from); }); });
    }
    std::vector<gpu::bf16> here(n);
    if (from == ranks.rank()) {
        device_.download(here.data(), values, bytes);
        device_.wait();
    }
    ranks.broadcast(std::as_writable_bytes(std::span(here)), from);
    if (from != ranks.rank()) device_.upload(values, here.data(), bytes);
}

void DeviceExchange::join() {
    if (peers_) in_words([&] { peers_->join(); });
}

void DeviceExchange::wait(comm::Communicator& ranks) {
    if (peers_ == nullptr || bytes_ == 0) return;
    ranks.outside("exchanging between devices", std::exchange(bytes_, 0), [&] { in_words([&] { peers_->wait(); }); });
}

}  // namespace tdrm::engine
