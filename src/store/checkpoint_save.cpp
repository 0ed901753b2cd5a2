#include <algorithm>
#include <cstdio>
#include <functional>
#include <numeric>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/store/checkpoint.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::store {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

std::string part_name(std::int64_t part) {
    char name[32];
    std::snprintf(name, sizeof name, "part-%04lld.h5", static_cast<long long>(part));
    return name;
}

// The part of one state that lies in one file, as a one-dimensional dataset named like the state's group.
struct Piece {
    std::int64_t part = 0;
    std::size_t state = 0;
    std::int64_t begin = 0;
    std::int64_t count = 0;
};

// Part p is the p-th stretch of every buffer.
std::vector<Piece> cut_into_parts(std::span<const FlatState> states, std::int64_t part_elements) {
    std::int64_t longest = 0;
    for (const FlatState& state : states) longest = std::max(longest, state.size);
    std::vector<Piece> pieces;
    for (std::int64_t part = 0; part * part_elements < longest; ++part)
        for (std::size_t s = 0; s < states.size(); ++s) {
            const std::int64_t begin = part * part_elements;
            const std::int64_t count = std::min(part_elements, states[s].size - begin);
            if (count > 0) pieces.push_back({part, s, begin, count});
        }
    return pieces;
}

json layout_of(std::span<const FlatState> states, std::span<const Piece> pieces) {
    json layout = json::array();
    for (std::size_t s = 0; s < states.size(); ++s) {
        json tensors = json::array();
        for (const TensorView& tensor : *states[s].tensors) {
            tensors.push_back({{"name", tensor.name}, {"shape", tensor.shape}, {"offset", tensor.offset}});
        }
        json parts = json::array();
        for (const Piece& piece : pieces) {
            if (piece.state != s) continue;
            parts.push_back({{"file", part_name(piece.part)}, {"begin", piece.begin}, {"count", piece.count}});
        }
        layout.push_back(
            {{"group", states[s].group}, {"size", states[s].size}, {"tensors", tensors}, {"pieces", parts}});
        if (states[s].type == Type::bfloat16) layout.back()["type"] = "bfloat16";
    }
    return layout;
}

void write_numbers(FileWriter& file, std::string_view name, std::span<const float> values, Type type,
                   const Shape& shape = {}) {
    if (type == Type::float32) return file.write(name, values, shape);
    std::vector<BFloat16> rounded(values.size());
    std::transform(values.begin(), values.end(), rounded.begin(), to_bfloat16);
    file.write(name, rounded, shape);
}

void write_tensor(FileWriter& file, const FlatState& state, std::size_t index, const TensorView& tensor,
                  std::span<const Piece> pieces) {
    const std::string name = cat(state.group, "/", tensor.name);
    const Shape shape = tensor.shape.empty() ? Shape{1} : tensor.shape;
    const std::int64_t count = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
    if (count == 0) return write_numbers(file, name, {}, state.type, shape);
    std::vector<VirtualPiece> sources;
    for (const Piece& piece : pieces) {
        const std::int64_t begin = std::max(tensor.offset, piece.begin);
        const std::int64_t end = std::min(tensor.offset + count, piece.begin + piece.count);
        if (piece.state != index || begin >= end) continue;
        sources.push_back({part_name(piece.part), "/" + state.group, piece.count, begin - piece.begin,
                           begin - tensor.offset, end - begin});
    }
    file.write_virtual(name, state.type, shape, sources);
}

FileEntry write_index(const fs::path& folder, std::span<const FlatState> states, std::span<const Piece> pieces,
                      const json& progress) {
    FileWriter file(folder / "checkpoint.h5");
    file.attribute("format", "tdrm checkpoint");
    file.attribute("version", std::int64_t{1});
    file.write_strings("progress", {progress.dump()});
    file.write_strings("layout", {layout_of(states, pieces).dump()});
    for (std::size_t s = 0; s < states.size(); ++s) {
        for (const TensorView& tensor : *states[s].tensors) write_tensor(file, states[s], s, tensor, pieces);
    }
    return file.close(Sync::file);
}

std::vector<FileEntry> write_parts(const fs::path& folder, std::span<const FlatState> states,
                                   std::span<const Piece> pieces, int rank, int size) {
    std::vector<FileEntry> written;
    std::vector<float> values;
    for (auto piece = pieces.begin(); piece != pieces.end();) {
        const std::int64_t part = piece->part;
        const auto end = std::find_if(piece, pieces.end(), [&](const Piece& other) { return other.part != part; });
        if (part % size == rank) {
            FileWriter file(folder / part_name(part));
            for (auto p = piece; p != end; ++p) {
                const FlatState& state = states[p->state];
                values.resize(static_cast<std::size_t>(p->count));
                state.read(p->begin, values);
                write_numbers(file, state.group, values, state.type);
            }
            written.push_back(file.close(Sync::file));
        }
        piece = end;
    }
    return written;
}

void check(std::span<const FlatState> states, std::int64_t part_elements) {
    ensure(part_elements > 0, "a checkpoint's parts have a length");
    for (const FlatState& state : states) {
        ensure(state.tensors != nullptr, "a checkpoint's state describes its tensors");
        ensure(state.type == Type::float32 || state.type == Type::bfloat16, "a checkpoint's numbers have a known type");
        for (const TensorView& tensor : *state.tensors) {
            const std::int64_t count =
                std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::int64_t{1}, std::multiplies<>());
            ensure(tensor.offset >= 0 && tensor.offset + count <= state.size, "a tensor lies within its flat buffer");
        }
    }
}

std::vector<FileEntry> gather_entries(comm::Communicator& ranks, const std::vector<FileEntry>& mine) {
    json text = json::array();
    for (const FileEntry& entry : mine) text.push_back({entry.name, entry.bytes, entry.hash});
    std::vector<FileEntry> all;
    for (const std::string& theirs : ranks.all_gather_bytes(text.dump())) {
        for (const json& entry : parse_json(theirs, "the files of another rank"))
            all.push_back({entry.at(0), entry.at(1), entry.at(2)});
    }
    std::sort(all.begin(), all.end(), [](const FileEntry& a, const FileEntry& b) { return a.name < b.name; });
    return all;
}

}  // namespace

FlatState::FlatState(std::string group_, std::int64_t size_, Read read_, const std::vector<TensorView>* tensors_,
                     Type type_)
    : group(std::move(group_)), size(size_), read(std::move(read_)), tensors(tensors_), type(type_) {}

FlatState::FlatState(std::string group_, std::span<const float> data, const std::vector<TensorView>* tensors_,
                     Type type_)
    : FlatState(
          std::move(group_), static_cast<std::int64_t>(data.size()),
          [data](std::int64_t first, std::span<float> out) {
              std::copy_n(data.begin() + first, out.size(), out.begin());
          },
          tensors_, type_) {}

void save_checkpoint(comm::Communicator& ranks, const fs::path& directory, std::span<const FlatState> states,
                     const json& progress, std::int64_t part_elements) {
    const int rank = ranks.rank();
    try {
        ranks.agree("making the checkpoint's folder", [&] {
            check(states, part_elements);
            if (rank == 0) begin_directory(directory);
        });
        const std::vector<Piece> pieces = cut_into_parts(states, part_elements);
        const fs::path folder = temporary_of(directory);
        const auto mine = ranks.agree("writing the checkpoint's parts",
                                      [&] { return write_parts(folder, states, pieces, rank, ranks.size()); });
        std::vector<FileEntry> entries = gather_entries(ranks, mine);
        ranks.agree("finishing the checkpoint", [&] {
            if (rank != 0) return;
            entries.push_back(write_index(folder, states, pieces, progress));
            write_manifest(folder, entries);
            commit_directory(directory);
        });
    } catch (...) {
        if (rank == 0) discard_directory(directory);
        throw;
    }
}

}  // namespace tdrm::store
