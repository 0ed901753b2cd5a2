// Checkpoints: flat state buffers cut into parts, presented as named tensors. docs/formats/checkpoint.md describes the
// files. Nothing in them depends on the number of ranks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tdrm/comm/communicator.hpp"
#include "tdrm/store/file.hpp"

namespace tdrm::store {

/// Where a tensor lies in a flat buffer, in C order.
struct TensorView {
    std::string name;  ///< the Hugging Face parameter name
    Shape shape;
    std::int64_t offset = 0;  ///< of its first element
};

/// One flat fp32 buffer, wherever it lies, and the tensors in it; elements between tensors (padding) are kept too.
struct FlatState {
    /// Fills `out` with the elements from `first` on. Called on the rank that writes the part they are in.
    using Read = std::function<void(std::int64_t first, std::span<float> out)>;

    FlatState(std::string group, std::int64_t size, Read read, const std::vector<TensorView>* tensors,
              Type type = Type::float32);
    /// A buffer in memory, which must outlive the state.
    FlatState(std::string group, std::span<const float> data, const std::vector<TensorView>* tensors,
              Type type = Type::float32);

    std::string group;  ///< "model", "optimizer/exp_avg", "ema", ...: no group may lie within another
    std::int64_t size;
    Read read;
    const std::vector<TensorView>* tensors;
    Type type;  ///< on disk: float32, or bfloat16 (rounded to nearest, ties to even)
};

/// Elements of a logical part. Part p of a model is the elements [p, p + 1) x kPartElements of each of its flat arrays:
/// the one cut that gradients are summed by, norms added by, weights updated by and commits written by, so that a rank
/// can own parts. 64 MiB of fp32 an array.
inline constexpr std::int64_t kPartElements = std::int64_t{1} << 24;

/// Writes the folder `directory` as one commit. Collective: all ranks hand in equal states; file p holds part p of all
/// of them and is written by rank p % size, rank 0 adds checkpoint.h5 (virtual datasets, `progress` of rank 0) and the
/// manifest, then renames. If any rank fails, all throw and neither a new nor a temporary folder remains; an existing
/// `directory` is replaced only by a whole one. Equal states give equal bytes for any number of ranks.
/// @param part_elements  length of a part; part of the format only in that a reader finds it in the file
/// @throws IoError on a full disk or the like; PeerError on the ranks that did nothing wrong
void save_checkpoint(comm::Communicator& ranks, const std::filesystem::path& directory,
                     std::span<const FlatState> states, const nlohmann::json& progress,
                     std::int64_t part_elements = kPartElements);

struct Tensor {
    Shape shape;
    std::vector<float> values;
};

/// An opened checkpoint. Reads from the parts only when asked. Local.
class Checkpoint {
public:
    /// Reads the layout and the progress of a folder that was verified. @throws DataError, IoError
    explicit Checkpoint(const std::filesystem::path& directory);

    [[nodiscard]] const nlohmann::json& progress() const { return progress_; }
    [[nodiscard]] std::vector<std::string> groups() const;
    [[nodiscard]] bool has(std::string_view group) const;
    /// Tensors of a group with the offsets they had in the saved buffer. @throws DataError if there is no such group
    [[nodiscard]] const std::vector<TensorView>& tensors(std::string_view group) const;
    /// How its numbers are stored: float32 or bfloat16. They are read as fp32 in any case.
    [[nodiscard]] Type type(std::string_view group) const;
    /// Length of the saved buffer.
    [[nodiscard]] std::int64_t size(std::string_view group) const;
    /// The saved buffer, padding included.
    [[nodiscard]] std::vector<float> read_flat(std::string_view group) const;
    /// Hands the tensors over in pieces that fit into memory beside them: `sink` gets the values that belong at `first`
    /// of a flat buffer laid out by `wanted`, whatever the saved offsets were; elements between tensors aren't read.
    using Sink = std::function<void(std::int64_t first, std::span<const float> values)>;
    /// @throws DataError that lists the tensors which are missing, unexpected or of another shape
    void deliver(std::string_view group, std::span<const TensorView> wanted, const Sink& sink) const;
    /// The same for those that both have with the same name and shape. @return names among `wanted` of the others
    std::vector<std::string> deliver_common(std::string_view group, std::span<const TensorView> wanted,
                                            const Sink& sink) const;
    /// The same into memory.
    void read_flat(std::string_view group, std::span<float> data, std::span<const TensorView> wanted) const;
    /// All tensors of a group by name.
    [[nodiscard]] std::map<std::string, Tensor> read(std::string_view group) const;

private:
    struct Piece {
        std::string file;
        std::int64_t begin = 0;  ///< first element of the flat buffer in this part
        std::int64_t count = 0;
    };
    struct State {
        std::int64_t size = 0;
        Type type = Type::float32;
        std::vector<TensorView> tensors;
        std::vector<Piece> pieces;
    };
    [[nodiscard]] const State& state(std::string_view group) const;
    /// Calls take(index in `saved`, first element of that tensor, values) piece by piece.
    using Take = std::function<void(std::size_t index, std::int64_t first, std::span<const float> values)>;
    void read_views(std::string_view group, std::span<const TensorView> saved, const Take& take) const;

    std::filesystem::path directory_;
    nlohmann::json progress_;
    std::map<std::string, State> states_;
};

/// Verifies the manifest of `directory`, then opens it. Local; reads every byte.
/// @throws DataError naming the damaged, truncated or missing files
[[nodiscard]] Checkpoint load_checkpoint(const std::filesystem::path& directory);
/// The same, each file hashed by one rank only. Collective.
[[nodiscard]] Checkpoint load_checkpoint(comm::Communicator& ranks, const std::filesystem::path& directory);

/// A checkpoint that had to be passed over.
struct DamagedCheckpoint {
    std::filesystem::path directory;
    std::vector<std::string> problems;  ///< as verify() words them
};
struct NewestCheckpoint {
    std::optional<std::filesystem::path> directory;  ///< empty if there is no whole one
    std::vector<DamagedCheckpoint> damaged;          ///< newer ones, newest first
};

/// The folder `name_prefix`N in `stage_directory` with the greatest N that verifies. Local (let one rank call it and
/// broadcast the answer); reads every byte of what it verifies.
/// @param problem  says what else is wrong with a folder that verifies, "" = nothing
/// @throws IoError if the folder can't be listed
[[nodiscard]] NewestCheckpoint newest_valid_checkpoint(
    const std::filesystem::path& stage_directory, std::string_view name_prefix = "update-",
    const std::function<std::string(const std::filesystem::path&)>& problem = {});

}  // namespace tdrm::store
