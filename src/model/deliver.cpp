// The weights of a folder on their way to the receiver, piece by piece.
#include <algorithm>

#include "tdrm/model/pretrained.hpp"

namespace tdrm::model {
namespace {

constexpr std::int64_t kPiece = std::int64_t{1} << 22;  ///< elements that one rank reads and hands on at once

/// A stretch of the source's flat buffer, at most kPiece long, and where it belongs.
struct Piece {
    std::int64_t from, to, count;
};

/// The pieces of all wanted tensors that the source has, and the names of those that it hasn't.
std::pair<std::vector<Piece>, std::vector<std::string>> pieces_of(const Pretrained& source,
                                                                  std::span<const TensorInfo> wanted) {
    std::map<std::string, const TensorInfo*> stored;
    for (const TensorInfo& tensor : source.tensors()) stored[tensor.name] = &tensor;
    std::pair<std::vector<Piece>, std::vector<std::string>> result;
    for (const TensorInfo& tensor : wanted) {
        const auto found = stored.find(tensor.name);
        if (found == stored.end() || found->second->shape != tensor.shape) {
            result.second.push_back(tensor.name);
            continue;
        }
        for (std::int64_t at = 0; at < tensor.size(); at += kPiece)
            result.first.push_back(
                {found->second->offset + at, tensor.offset + at, std::min(kPiece, tensor.size() - at)});
    }
    return result;
}

}  // namespace

std::vector<std::string> deliver(const Pretrained& source, std::span<const TensorInfo> wanted, const WeightSink& sink) {
    const auto [pieces, missing] = pieces_of(source, wanted);
    std::vector<float> values;
    for (const Piece& piece : pieces) {
        values.resize(static_cast<std::size_t>(piece.count));
        source.read(piece.from, values);
        sink(piece.to, values);
    }
    return missing;
}

std::vector<std::string> deliver(comm::Communicator& ranks, const Pretrained& source,
                                 std::span<const TensorInfo> wanted, const WeightSink& sink) {
    const auto [pieces, missing] = pieces_of(source, wanted);
    const auto size = static_cast<std::size_t>(ranks.size());
    std::vector<float> mine, values;
    for (std::size_t first = 0; first < pieces.size(); first += size) {
        ranks.agree("reading weights", [&, &todo = pieces] {
            const std::size_t own = first + static_cast<std::size_t>(ranks.rank());
            if (own >= todo.size()) return;
            mine.resize(static_cast<std::size_t>(todo[own].count));
            source.read(todo[own].from, mine);
        });
        for (std::size_t r = 0; r < size && first + r < pieces.size(); ++r) {
            const Piece& piece = pieces[first + r];
            const bool own = static_cast<int>(r) == ranks.rank();
            std::vector<float>& buffer = own ? mine : values;
            buffer.resize(static_cast<std::size_t>(piece.count));
            ranks.broadcast(std::as_writable_bytes(std::span(buffer)), static_cast<int>(r));
            sink(piece.to, buffer);
        }
    }
    return missing;
}

}  // namespace tdrm::model
