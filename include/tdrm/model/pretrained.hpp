// Hugging Face folders: config.json and safetensors, one file or shards, read and written.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tdrm/comm/communicator.hpp"
#include "tdrm/model/layout.hpp"
#include "tdrm/model/safetensors.hpp"
#include "tdrm/model/spec.hpp"
#include "tdrm/model/weights.hpp"

namespace tdrm::model {

/// The spec that a config.json (as transformers 4 or 5 writes it) describes: a family of families.hpp, or the text part
/// of a model of texts and pictures.
/// The head is the language head; the weights say whether there is another.
/// @param origin names the file in messages @throws DataError naming the key and value that isn't supported or is
/// missing
[[nodiscard]] ModelSpec spec_of_config(const nlohmann::json& whole, const std::string& origin);
/// Its inverse: a config.json that transformers 4 and 5 read, ...ForCausalLM or ...ForSequenceClassification (one
/// label).
[[nodiscard]] nlohmann::ordered_json config_of_spec(const ModelSpec& spec, Dtype dtype);

/// What a config.json says about a value head of that many labels: `bins` from id2label, `mean` and `std`.
/// id2label gives the bins if all labels are numbers in [0, 1], or of two labels the words for right and wrong; two
/// labels without a known name are wrong and right, in this order, as in all published models. OpenRLHF's mean and std
/// count where normalize_reward is true, as in its models.
/// @throws DataError naming the key whose value can't be
void read_head_config(const nlohmann::json& config, const std::string& origin, ValueHead& head);
/// What a reference hf:... names: a model's folder, and maybe that of an adapter, which is merged into it.
struct ModelPath {
    std::filesystem::path base, adapter;  ///< adapter empty: none
};
/// FOLDER of a model; FOLDER of an adapter whose base_model_name_or_path is a folder; or BASE+ADAPTER.
/// @throws DataError if an adapter's base isn't there
[[nodiscard]] ModelPath model_path(const std::filesystem::path& reference);
/// The folder with the reference's tokenizer: the adapter's if it has one, else the base's.
[[nodiscard]] std::filesystem::path tokenizer_folder(const std::filesystem::path& reference);

/// What a plan can know of a folder, perhaps before its weights are there: the spec of the weights, else that of
/// config.json alone, in which a class ...ForSequenceClassification has a value head. Local; reads no weights.
/// @throws as Pretrained
struct PlannedModel {
    explicit PlannedModel(const std::filesystem::path& reference);
    std::optional<ModelSpec> spec;  ///< nothing if there is no config.json either
    std::string absent;             ///< the file that a run needs and that isn't there; "" if none is
};

class Adapter;

/// A folder whose config and headers were read and fit together; the weights stay on disk. Local.
class Pretrained {
public:
    /// @throws IoError if a file can't be read; DataError listing every tensor that is missing, of another shape, or
    /// that the model doesn't know
    /// @param reference as for model_path
    explicit Pretrained(const std::filesystem::path& reference);

    [[nodiscard]] const ModelSpec& spec() const { return spec_; }
    [[nodiscard]] const nlohmann::json& config() const { return config_; }
    /// The weight files, in order of their names.
    [[nodiscard]] const std::vector<SafetensorsFile>& files() const { return files_; }
    /// Parameters, in the order of the layout of spec().
    [[nodiscard]] const std::vector<TensorInfo>& tensors() const { return tensors_; }
    /// Elements [first, first + out.size()) of the model's flat buffer.
    void read(std::int64_t first, std::span<float> out) const;

private:
    void open_files();
    void open_adapter(const std::filesystem::path& directory);
    void find_head();
    void settle_tie();
    [[nodiscard]] bool are_equal(const std::string& one, const std::string& other) const;
    void check_tensors() const;

    std::filesystem::path directory_;
    nlohmann::json config_;
    ModelSpec spec_;
    std::vector<SafetensorsFile> files_;  ///< their tensors called as in the model's own class
    std::shared_ptr<const Adapter> adapter_;
    std::map<std::string, std::size_t> file_of_;  ///< index in files_ by tensor
    std::vector<TensorInfo> tensors_;             ///< of the layout
};

/// Collective. Hands the weights of a folder to `sink`, tensor by tensor in pieces of at most 16 MiB: each byte is read
/// from disk by one rank and broadcast. `wanted` says where a tensor belongs in the receiver's flat buffer (its
/// layout's tensors, or some of them); names that it lacks are left out.
/// @return names among `wanted` that the folder hasn't got in that shape
std::vector<std::string> deliver(comm::Communicator& ranks, const Pretrained& source,
                                 std::span<const TensorInfo> wanted, const WeightSink& sink);
/// Local. The same, read by the caller alone.
std::vector<std::string> deliver(const Pretrained& source, std::span<const TensorInfo> wanted, const WeightSink& sink);

/// Hash of config.json, the weights, and tokenizer and chat template if they are there, and the adapter's files, 32
/// hexadecimal digits. Local; reads every byte.
[[nodiscard]] std::string pretrained_hash(const std::filesystem::path& directory);
/// Collective: the same, each file hashed by one rank.
[[nodiscard]] std::string pretrained_hash(comm::Communicator& ranks, const std::filesystem::path& directory);

/// Writes config.json and safetensors, in shards of at most `shard_bytes`, into an existing folder. Local.
void save_pretrained(const ModelSpec& spec, const WeightReader& weights, const std::filesystem::path& directory,
                     Dtype dtype, const nlohmann::json& extra_config = {}, std::uint64_t shard_bytes = 5'000'000'000);

}  // namespace tdrm::model
