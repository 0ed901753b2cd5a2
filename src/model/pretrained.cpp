#include "tdrm/model/pretrained.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "adapter.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/files.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/log.hpp"
#include "weight_files.hpp"

namespace tdrm::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Where published reward models keep their head: transformers, TRL's token classifiers, Qwen2.5-Math-PRM and OpenRLHF
/// (score), OpenRLHF (value_head), TRL's models with value head, LLaMA-Factory and Skywork (v_head.summary), InternLM2
/// (v_head), Eurus (regression_head).
constexpr std::array kValueHeads{"score", "value_head", "v_head.summary", "v_head", "regression_head"};
constexpr std::int64_t kMostLabels = 1024;

constexpr std::size_t kCompared = std::size_t{1} << 20;  ///< elements that are compared at once

/// Tensors that are there but needn't be: what isn't a parameter, and heads that this model doesn't read.
bool is_spare(const std::string& name, const ModelSpec& spec) {
    return name.ends_with("rotary_emb.inv_freq") ||
           (name == "lm_head.weight" && (spec.tied || spec.head == Head::value));
}

/// Of a model of texts and pictures, what isn't its decoder.
bool is_of_pictures(const std::string& name) {
    constexpr std::array kParts{"vision_tower.", "vision_model.", "multi_modal_projector."};
    return std::ranges::any_of(kParts, [&](const char* part) {
        return name.starts_with(part) || name.find(cat(".", part)) != std::string::npos;
    });
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return json(shape).dump(); }

}  // namespace

PlannedModel::PlannedModel(const fs::path& reference) {
    const fs::path folder = model_path(reference).base;
    const fs::path config = folder / "config.json";
    if (!is_there(config)) {
        absent = config.string();
        return;
    }
    if (has_weights(folder)) {
        spec = Pretrained(reference).spec();
        return;
    }
    absent = (folder / "model.safetensors").string();
    const json content = read_json(config, kFolderNeedsIt);
    spec = spec_of_config(content, config.string());
    const json classes = content.value("architectures", json::array());
    if (classes.is_array() && !classes.empty() && classes[0].is_string() &&
        classes[0].get<std::string>().ends_with("ForSequenceClassification"))
        spec->head = Head::value;
}

Pretrained::Pretrained(const fs::path& reference)
    : directory_(model_path(reference).base), config_(read_json(directory_ / "config.json", kFolderNeedsIt)) {
    spec_ = spec_of_config(config_, (directory_ / "config.json").string());
    open_files();
    if (const fs::path adapter = model_path(reference).adapter; !adapter.empty()) open_adapter(adapter);
    find_head();
    settle_tie();
    // A layout of absurd sizes would be long before it is wrong; the files bound it.
    std::uint64_t stored = 0;
    for (const auto& file : files_)
        for (const auto& [name, tensor] : file.tensors()) stored += tensor.size;
    if (static_cast<std::uint64_t>(spec_.layers) > file_of_.size() ||
        static_cast<std::uint64_t>(spec_.vocab) * static_cast<std::uint64_t>(spec_.width) > stored)
        throw DataError(cat(directory_.string(), ": config.json asks for ", spec_.layers,
                            " layers and a vocabulary of ", spec_.vocab, " x ", spec_.width, ", the weights hold ",
                            file_of_.size(), " tensors of ", stored,
                            " numbers in all (they don't belong together). Use the config.json of these weights."));
    tensors_ = Layout(spec_).tensors;
    check_tensors();
    if (adapter_ == nullptr) return;
    std::map<std::string, std::vector<std::int64_t>> shapes;
    for (const TensorInfo& tensor : tensors_)
        if (!tensor.is_vector()) shapes[tensor.name] = tensor.shape;
    adapter_->check(shapes);
}

void Pretrained::open_files() {
    std::vector<std::string> names;
    for (const std::string& name : weight_files(directory_)) {
        files_.emplace_back(directory_ / name);
        for (const auto& [tensor, stored] : files_.back().tensors()) names.push_back(tensor);
    }
    const auto renamed = plain_names(names, directory_.string());
    for (std::size_t f = 0; f < files_.size(); ++f) {
        files_[f].rename(renamed);
        for (const auto& [tensor, stored] : files_[f].tensors())
            if (const auto [first, is_new] = file_of_.emplace(tensor, f); !is_new)
                throw DataError(cat(directory_.string(), " holds tensor ", tensor, " twice (in ",
                                    files_[first->second].path().filename().string(), " and ",
                                    files_[f].path().filename().string(), "). Leave one out."));
    }
}

/// What the adapter saved whole takes the place of the base's.
void Pretrained::open_adapter(const fs::path& directory) {
    adapter_ = std::make_shared<const Adapter>(directory);
    const auto& saved = adapter_->saved().tensors();
    if (saved.contains("model.embed_tokens.weight") && spec_.tied && !saved.contains("lm_head.weight"))
        throw DataError(cat(directory.string(),
                            " holds another embedding, and the base's head is its embedding (whether the head changes "
                            "too isn't known). Merge the adapter with peft (merge_and_unload) and name the merged "
                            "model."));
    files_.push_back(adapter_->saved());
    for (const auto& [name, stored] : saved) file_of_[name] = files_.size() - 1;
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

bool Pretrained::are_equal(const std::string& one, const std::string& other) const {
    const auto file = [&](const std::string& name) -> const SafetensorsFile& { return files_[file_of_.at(name)]; };
    const StoredTensor& stored = file(one).tensors().at(one);
    if (stored.shape != file(other).tensors().at(other).shape) return false;
    std::vector<float> a, b;
    for (std::uint64_t first = 0; first < stored.size; first += kCompared) {
        a.resize(std::min<std::uint64_t>(kCompared, stored.size - first));
        b.resize(a.size());
        file(one).read(one, first, a);
        file(other).read(other, first, b);
        if (std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) != 0) return false;
    }
    return true;
}

/// Where config.json says that head and embedding are one, the weights have the last word, as in transformers.
void Pretrained::settle_tie() {
    const std::string embedding = "model.embed_tokens.weight", head = "lm_head.weight";
    if (!spec_.tied || !file_of_.contains(head)) return;
    if (!file_of_.contains(embedding)) {
        SafetensorsFile& file = files_[file_of_.at(head)];
        file.rename({{head, embedding}});
        file_of_[embedding] = file_of_.at(head);
        file_of_.erase(head);
        return;
    }
    if (spec_.head == Head::value || are_equal(embedding, head)) return;
    spec_.tied = false;
    if (log::rank() == 0 && adapter_ == nullptr)
        log::warn(cat(directory_.string(), ": config.json says that ", head,
                      " is the embedding, but the weights hold "
                      "another one, which is used (as in transformers). Set tie_word_embeddings "
                      "to false."));
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
        else if (std::ranges::none_of(kDtypes, [&](const DtypeNames& n) { return n.safetensors == stored.dtype; }))
            problems.push_back(cat(wanted.name, " is stored as ", stored.dtype, " (only F32, BF16 and F16 are read)"));
    }
    for (const auto& [name, file] : file_of_)
        if (!known.contains(name) && !is_spare(name, spec_) &&
            !(config_.contains("text_config") && is_of_pictures(name)))
            problems.push_back(name + " isn't part of such a model");
    if (problems.empty()) return;
    constexpr std::size_t kShown = 60;
    std::string list;
    for (std::size_t i = 0; i < std::min(problems.size(), kShown); ++i) list += "\n  " + problems[i];
    if (problems.size() > kShown) list += cat("\n  and ", problems.size() - kShown, " more");
    throw DataError(cat(directory_.string(), " has other weights than its config.json describes:", list,
                        "\nUse weights and config.json of one model, of a form that docs/models.md names."));
}

void Pretrained::read(std::int64_t first, std::span<float> out) const {
    const std::int64_t last = first + static_cast<std::int64_t>(out.size());
    // The first tensor that ends behind `first`.
    auto tensor = std::upper_bound(tensors_.begin(), tensors_.end(), first,
                                   [](std::int64_t at, const TensorInfo& t) { return at < t.offset + t.size(); });
    for (; tensor != tensors_.end() && tensor->offset < last; ++tensor) {
        const std::int64_t begin = std::max(first, tensor->offset);
        const std::int64_t end = std::min(last, tensor->offset + tensor->size());
        const auto from = static_cast<std::uint64_t>(begin - tensor->offset);
        const auto part = out.subspan(static_cast<std::size_t>(begin - first), static_cast<std::size_t>(end - begin));
        files_[file_of_.at(tensor->name)].read(tensor->name, from, part);
        if (adapter_ != nullptr) adapter_->add(tensor->name, from, part);
    }
}

}  // namespace tdrm::model
