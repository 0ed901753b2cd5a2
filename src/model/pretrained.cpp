#include "tdrm/model/pretrained.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <sstream>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/store/directory.hpp"

namespace tdrm::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Where published reward models keep their head: transformers, TRL's token classifiers, Qwen2.5-Math-PRM and OpenRLHF
/// (score), OpenRLHF (value_head), TRL's models with value head, LLaMA-Factory and Skywork (v_head.summary), InternLM2
/// (v_head), Eurus (regression_head).
constexpr std::array kValueHeads{"score", "value_head", "v_head.summary", "v_head", "regression_head"};
constexpr std::int64_t kMostLabels = 1024;

constexpr std::int64_t kPiece = std::int64_t{1} << 22;  ///< elements that one rank reads and hands on at once

constexpr const char* kWhy = "a model's folder needs it";

std::set<std::string> model_files(const fs::path& directory) {
    const fs::path index = directory / "model.safetensors.index.json";
    if (!fs::exists(index)) {
        if (fs::exists(directory / "model.safetensors")) return {"model.safetensors"};
        throw DataError(cat(
            directory.string(),
            " has neither model.safetensors nor model.safetensors.index.json (weights of other formats aren't read). "
            "Convert the model to safetensors."));
    }
    const json j = read_json(index, kWhy);
    if (!j.is_object() || !j.contains("weight_map") || !j["weight_map"].is_object())
        throw DataError(cat(index.string(), " has no weight_map. Fetch the file again."));
    std::set<std::string> names;
    for (const auto& [tensor, file] : j["weight_map"].items()) {
        // A name with a slash could lead out of the folder.
        if (!file.is_string() || file.get<std::string>().find('/') != std::string::npos)
            throw DataError(cat(index.string(), " names no file for ", tensor, ". Fetch the file again."));
        names.insert(file.get<std::string>());
    }
    return names;
}

/// Names of the weight files, relative to the folder. LLaMA-Factory keeps a reward model's head in a file of its own.
std::set<std::string> weight_files(const fs::path& directory) {
    auto names = model_files(directory);
    if (fs::exists(directory / "value_head.safetensors")) names.insert("value_head.safetensors");
    return names;
}

/// Tensors that are there but needn't be: what isn't a parameter, and heads that this model doesn't read.
bool is_spare(const std::string& name, const ModelSpec& spec) {
    return name.ends_with("rotary_emb.inv_freq") ||
           (name == "lm_head.weight" && (spec.tied || spec.head == Head::value));
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return json(shape).dump(); }

}  // namespace

Pretrained::Pretrained(const fs::path& directory)
    : directory_(directory), config_(read_json(directory / "config.json", kWhy)) {
    spec_ = spec_of_config(config_, (directory / "config.json").string());
    open_files();
    find_head();
    // A layout of absurd sizes would be long before it is wrong; the files bound it.
    std::uint64_t stored = 0;
    for (const auto& file : files_)
        for (const auto& [name, tensor] : file.tensors()) stored += tensor.size;
    if (static_cast<std::uint64_t>(spec_.layers) > file_of_.size() ||
        static_cast<std::uint64_t>(spec_.vocab) * static_cast<std::uint64_t>(spec_.width) > stored)
        throw DataError(cat(directory_.string(), ": config.json asks for ", spec_.layers,
                            " layers and a vocabulary of ", spec_.vocab, " x ", spec_.width, ", the weights hold ",
                            file_of_.size(), " tensors of ", stored,
                            " numbers in all (they don't belong together). Fetch the model again."));
    tensors_ = Layout(spec_).tensors;
    check_tensors();
}

void Pretrained::open_files() {
    for (const std::string& name : weight_files(directory_)) {
        files_.emplace_back(directory_ / name);
        for (const auto& [tensor, stored] : files_.back().tensors())
            if (!file_of_.emplace(tensor, files_.size() - 1).second)
                throw DataError(cat(directory_.string(), " holds tensor ", tensor, " twice (in ",
                                    files_[file_of_[tensor]].path().filename().string(), " and ", name,
                                    "). Fetch the model again."));
    }
}

/// The weights tell the head; config.json tells what its labels mean.
void Pretrained::find_head() {
    std::vector<ValueHead> found;
    for (const std::string name : kValueHeads)
        for (const bool hidden : {false, true}) {
            const std::string last = name + (hidden ? ".2" : "");
            const auto at = file_of_.find(last + ".weight");
            if (at == file_of_.end()) continue;
            const auto& shape = files_[at->second].tensors().at(at->first).shape;
            if (shape.size() != 2 || shape[0] < 1 || shape[0] > kMostLabels)
                throw DataError(cat(directory_.string(), ": ", at->first, " has shape ", shape_text(shape),
                                    " (a value head has a row for each label). Name a reward model."));
            ValueHead& head = found.emplace_back();
            head.name = name;
            head.labels = static_cast<int>(shape[0]);
            head.bias = !hidden && file_of_.contains(name + ".bias");
            head.hidden = hidden;
        }
    if (found.empty()) return;
    if (found.size() > 1)
        throw DataError(cat(directory_.string(), " has two value heads, ", found[0].name, " and ", found[1].name,
                            " (which of them counts isn't known). Leave one out of the weights."));
    read_head_config(config_, (directory_ / "config.json").string(), found[0]);
    spec_.head = Head::value;
    spec_.value_head = found[0];
}

void Pretrained::check_tensors() const {
    std::vector<std::string> problems;
    std::set<std::string> known;
    for (const TensorInfo& wanted : tensors_) {
        known.insert(wanted.name);
        const auto found = file_of_.find(wanted.name);
        if (found == file_of_.end()) {
            problems.push_back(wanted.name + " is missing");
            continue;
        }
        const StoredTensor& stored = files_[found->second].tensors().at(wanted.name);
        if (stored.shape != wanted.shape)
            problems.push_back(cat(wanted.name, " has shape ", shape_text(stored.shape), ", config.json asks for ",
                                   shape_text(wanted.shape)));
    }
    for (const auto& [name, file] : file_of_)
        if (!known.contains(name) && !is_spare(name, spec_)) problems.push_back(name + " isn't part of such a model");
    if (problems.empty()) return;
    std::string list;
    for (const std::string& problem : problems) list += "\n  " + problem;
    throw DataError(cat(directory_.string(), " has other weights than its config.json describes:", list,
                        "\nFetch the model again, or check its config.json."));
}

void Pretrained::read(std::int64_t first, std::span<float> out) const {
    const std::int64_t last = first + static_cast<std::int64_t>(out.size());
    // The first tensor that ends behind `first`.
    auto tensor = std::upper_bound(tensors_.begin(), tensors_.end(), first,
                                   [](std::int64_t at, const TensorInfo& t) { return at < t.offset + t.size(); });
    for (; tensor != tensors_.end() && tensor->offset < last; ++tensor) {
        const std::int64_t begin = std::max(first, tensor->offset);
        const std::int64_t end = std::min(last, tensor->offset + tensor->size());
        files_[file_of_.at(tensor->name)].read(
            tensor->name, static_cast<std::uint64_t>(begin - tensor->offset),
            out.subspan(static_cast<std::size_t>(begin - first), static_cast<std::size_t>(end - begin)));
    }
}

namespace {

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

namespace {

/// "name hash" of the files whose number is `share` modulo `shares`, one a line.
std::string file_hashes(const fs::path& directory, int share, int shares) {
    auto names = weight_files(directory);
    names.insert("config.json");
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"})
        if (fs::exists(directory / name)) names.insert(name);
    std::string lines;
    int number = 0;
    for (const std::string& name : names)
        if (number++ % shares == share) lines += name + " " + hash_file(directory / name) + "\n";
    return lines;
}

/// The order of lines, and so the number of shares, doesn't matter.
std::string hash_of_lines(const std::vector<std::string>& shares) {
    std::set<std::string> lines;
    for (const std::string& share : shares) {
        std::istringstream text(share);
        for (std::string line; std::getline(text, line);) lines.insert(line);
    }
    Hasher hasher;
    for (const std::string& line : lines) hasher.update(line + "\n");
    return hasher.hex();
}

}  // namespace

std::string pretrained_hash(const fs::path& directory) { return hash_of_lines({file_hashes(directory, 0, 1)}); }

std::string pretrained_hash(comm::Communicator& ranks, const fs::path& directory) {
    const std::string mine = ranks.agree("hashing " + directory.string(),
                                         [&] { return file_hashes(directory, ranks.rank(), ranks.size()); });
    return hash_of_lines(ranks.all_gather_bytes(mine));
}

void save_pretrained(const ModelSpec& spec, const WeightReader& weights, const fs::path& directory, Dtype dtype,
                     const json& extra_config, std::uint64_t shard_bytes) {
    ensure(spec.head == Head::language || spec.value_head == ValueHead{}, "only value heads of one row are exported");
    auto config = config_of_spec(spec, dtype);
    if (extra_config.is_object()) config.update(nlohmann::ordered_json(extra_config));
    store::write_text_atomic(directory / "config.json", config.dump(2) + "\n");
    std::vector<std::vector<NamedTensor>> shards(1);
    std::uint64_t filled = 0, total = 0;
    for (const TensorInfo& tensor : Layout(spec).tensors) {
        const std::uint64_t bytes = static_cast<std::uint64_t>(tensor.size()) * size_of(dtype);
        if (filled > 0 && filled + bytes > shard_bytes) {
            shards.emplace_back();
            filled = 0;
        }
        shards.back().push_back(
            {tensor.name, tensor.shape,
             [&weights, at = tensor.offset](std::int64_t first, std::span<float> out) { weights(at + first, out); }});
        filled += bytes;
        total += bytes;
    }
    if (shards.size() == 1) return write_safetensors(directory / "model.safetensors", shards[0], dtype);
    json weight_map = json::object();
    for (std::size_t s = 0; s < shards.size(); ++s) {
        char name[64];
        std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", s + 1, shards.size());
        for (const NamedTensor& tensor : shards[s]) weight_map[tensor.name] = name;
        write_safetensors(directory / name, shards[s], dtype);
    }
    store::write_text_atomic(directory / "model.safetensors.index.json",
                             json{{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}}.dump(2) + "\n");
}

}  // namespace tdrm::model
