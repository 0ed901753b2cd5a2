#include "adapter.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <regex>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/text.hpp"
#include "tdrm/model/pretrained.hpp"
#include "weight_files.hpp"

namespace tdrm::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kConfig = "adapter_config.json";
constexpr const char* kWeights = "adapter_model.safetensors";

/// Keys that we follow, and those that change nothing once an adapter is trained.
constexpr std::array kKnown{"peft_type",
                            "task_type",
                            "base_model_name_or_path",
                            "r",
                            "lora_alpha",
                            "use_rslora",
                            "rank_pattern",
                            "alpha_pattern",
                            "modules_to_save",
                            "target_modules",
                            "exclude_modules",
                            "layers_to_transform",
                            "layers_pattern",
                            "bias",
                            "fan_in_fan_out",
                            "init_lora_weights",
                            "inference_mode",
                            "lora_dropout",
                            "revision",
                            "auto_mapping",
                            "peft_version",
                            "megatron_core",
                            "eva_config",
                            "qalora_group_size",
                            "runtime_config",
                            "ensure_weight_tying"};
/// Ways to begin that leave the base's weights alone.
constexpr std::array kBeginnings{"gaussian", "orthogonal", "eva"};

bool is_neutral(const json& value) {
    return value.is_null() || value == false || value == 0 || (value.is_structured() && value.empty()) ||
           (value.is_string() && value.get_ref<const std::string&>().empty());
}

[[noreturn]] void refuse(const fs::path& directory, const std::string& key, const json& value, const std::string& why) {
    throw DataError(cat((directory / kConfig).string(), ": ", key, " ",
                        shortened(value.dump(-1, ' ', false, json::error_handler_t::replace), 200), " ", why,
                        ". Merge the adapter with peft (merge_and_unload) and name the merged model."));
}

void check_config(const fs::path& directory, const json& config) {
    if (!config.is_object())
        throw DataError(
            cat((directory / kConfig).string(), " is no JSON object. Use what peft's save_pretrained wrote."));
    const auto at = [&](const char* key) { return config.contains(key) ? config[key] : json(); };
    if (at("peft_type") != "LORA") refuse(directory, "peft_type", at("peft_type"), "isn't supported, only LORA");
    if (!is_neutral(at("bias")) && at("bias") != "none") refuse(directory, "bias", at("bias"), "isn't supported");
    if (!is_neutral(at("fan_in_fan_out"))) refuse(directory, "fan_in_fan_out", at("fan_in_fan_out"), "isn't supported");
    const json begun = at("init_lora_weights");
    if (!begun.is_boolean() && !begun.is_null() &&
        std::ranges::none_of(kBeginnings, [&](const char* word) { return begun == word; }))
        refuse(directory, "init_lora_weights", begun, "isn't supported (it may change the base's weights)");
    for (const auto& [key, value] : config.items())
        if (std::ranges::find(kKnown, key) == kKnown.end() && !is_neutral(value))
            refuse(directory, key, value, "isn't supported");
}

double positive(const fs::path& directory, const std::string& key, const json& value) {
    if (!value.is_number() || !(value.get<double>() > 0)) refuse(directory, key, value, "isn't a positive number");
    return value.get<double>();
}

/// The entry of a pattern map (module name or regular expression to number) that fits a module, else `otherwise`.
double by_pattern(const fs::path& directory, const json& config, const char* map, const char* otherwise,
                  const std::string& module) {
    const json patterns = config.contains(map) && !config[map].is_null() ? config[map] : json::object();
    if (!patterns.is_object()) refuse(directory, map, patterns, "isn't a map");
    for (const auto& [pattern, value] : patterns.items()) {
        try {
            if (std::regex_match(module, std::regex("(.*\\.)?(" + pattern + ")")))
                return positive(directory, cat(map, ".", pattern), value);
        } catch (const std::regex_error&) {
            refuse(directory, map, pattern, "isn't a pattern that is understood");
        }
    }
    const json value = config.contains(otherwise) ? config[otherwise] : json(8);  // peft's default of both
    return positive(directory, otherwise, value);
}

void erase_word(std::string& name, std::string_view word) {
    if (const std::size_t at = name.find(word); at != std::string::npos) name.erase(at, word.size());
}

/// A module's name within the model that was adapted, e.g. model.layers.0.self_attn.q_proj.
std::string inside_peft(std::string name) {
    constexpr std::string_view kOuter = "base_model.model.";
    if (name.starts_with(kOuter)) name.erase(0, kOuter.size());
    for (const char* word : {".modules_to_save", ".default"}) erase_word(name, word);
    return name;
}

/// The same as the model's own class calls it.
std::string plain(const std::string& module) {
    for (const std::string_view part : {"layers.", "embed_tokens", "norm."})
        if (const std::size_t at = module.find(part); at != std::string::npos && (at == 0 || module[at - 1] == '.'))
            return "model." + module.substr(at);
    return module;
}

}  // namespace

ModelPath model_path(const fs::path& reference) {
    const auto has = [](const fs::path& folder, const char* file) { return fs::exists(folder / file); };
    const std::string text = reference.string();
    const std::size_t plus = text.rfind('+');
    if (!fs::exists(reference) && plus != std::string::npos) {
        const fs::path adapter = text.substr(plus + 1);
        if (!has(adapter, kConfig))
            throw DataError(cat(adapter.string(), " has no ", kConfig,
                                " (BASE+ADAPTER names a model's folder and that of "
                                "an adapter). Check the path."));
        return {text.substr(0, plus), adapter};
    }
    if (!has(reference, kConfig) || (has(reference, "config.json") && !has(reference, kWeights)))
        return {reference, {}};
    if (has(reference, "config.json") &&
        (has(reference, "model.safetensors") || has(reference, "model.safetensors.index.json")))
        throw DataError(cat(text,
                            " holds a model and an adapter (whether it is merged already isn't known). "
                            "Leave one out, or name both: BASE+ADAPTER."));
    const json config = read_json(reference / kConfig, kFolderNeedsIt);
    const json base =
        config.is_object() && config.contains("base_model_name_or_path") ? config["base_model_name_or_path"] : json();
    const std::string name = base.is_string() ? base.get<std::string>() : "";
    for (const fs::path& folder : {fs::path(name), reference / name})
        if (!name.empty() && has(folder, "config.json")) return {folder, reference};
    throw DataError(cat(text, ": the adapter's base \"", shortened(name, 200),
                        "\" is no folder of a model here (the adapter is merged into it). Name both: BASE+ADAPTER."));
}

fs::path tokenizer_folder(const fs::path& reference) {
    const ModelPath path = model_path(reference);
    return !path.adapter.empty() && fs::exists(path.adapter / "tokenizer.json") ? path.adapter : path.base;
}

Adapter::Adapter(const fs::path& directory) : directory_(directory), file_(directory / kWeights), saved_(file_) {
    const json config = read_json(directory / kConfig, kFolderNeedsIt);
    check_config(directory, config);
    read_tensors(config);
}

void Adapter::read_tensors(const json& config) {
    const bool root = config.contains("use_rslora") && config["use_rslora"] == true;
    std::map<std::string, std::string> renamed;
    std::vector<std::string> low;
    for (const auto& [name, tensor] : file_.tensors()) {
        const std::string inside = inside_peft(name);
        const std::size_t a = inside.find(".lora_A.");
        const std::size_t b = inside.find(".lora_B.");
        if (a == std::string::npos && b == std::string::npos) {
            if (inside.find("lora_") != std::string::npos || inside.find(".base_layer.") != std::string::npos)
                throw DataError(cat((directory_ / kWeights).string(), " holds ", shortened(name, 200),
                                    " (only lora_A and lora_B of linear layers are merged). Merge the adapter with "
                                    "peft (merge_and_unload) and name the merged model."));
            if (plain(inside) != name) renamed[name] = plain(inside);
            continue;
        }
        low.push_back(name);
        const std::string module = inside.substr(0, std::min(a, b));
        Change& change = changes_[plain(module) + ".weight"];
        (a != std::string::npos ? change.a : change.b) = name;
        const double rank = by_pattern(directory_, config, "rank_pattern", "r", module);
        change.scale =
            by_pattern(directory_, config, "alpha_pattern", "lora_alpha", module) / (root ? std::sqrt(rank) : rank);
        const std::size_t side = a != std::string::npos ? 0 : 1;
        if (tensor.shape.size() != 2 || static_cast<double>(tensor.shape[side]) != rank)
            throw DataError(cat((directory_ / kWeights).string(), ": ", shortened(name, 200), " isn't of rank ", rank,
                                ", as ", kConfig,
                                " says (the two don't belong together). Use the folder as peft wrote "
                                "it."));
    }
    for (const auto& [weight, change] : changes_)
        if (change.a.empty() || change.b.empty())
            throw DataError(cat((directory_ / kWeights).string(), " holds only one of lora_A and lora_B for ", weight,
                                " (their product is the change). Use the folder as peft wrote it."));
    saved_.drop(low);
    saved_.rename(renamed);
}

void Adapter::check(const std::map<std::string, std::vector<std::int64_t>>& shapes) const {
    for (const auto& [weight, change] : changes_) {
        const auto found = shapes.find(weight);
        const std::vector<std::int64_t> shape{file_.tensors().at(change.b).shape[0],
                                              file_.tensors().at(change.a).shape[1]};
        if (found == shapes.end())
            throw DataError(cat(directory_.string(), " changes ", weight, ", which the model hasn't got",
                                weight == "lm_head.weight" ? " (its head is its embedding)" : "",
                                ". Use the base that the adapter was trained on."));
        if (found->second != shape)
            throw DataError(cat(directory_.string(), " changes ", weight, " as a matrix of ", json(shape).dump(),
                                ", the model has ", json(found->second).dump(),
                                " (they don't belong together). Use the base that the adapter was trained on."));
    }
}

void Adapter::add(const std::string& weight, std::uint64_t first, std::span<float> out) const {
    const auto found = changes_.find(weight);
    if (found == changes_.end() || out.empty()) return;
    const Change& change = found->second;
    const auto rank = static_cast<std::size_t>(file_.tensors().at(change.a).shape[0]);
    const auto inputs = static_cast<std::size_t>(file_.tensors().at(change.a).shape[1]);
    const std::size_t row = first / inputs;
    const std::size_t rows = (first + out.size() - 1) / inputs - row + 1;
    std::vector<float> a(rank * inputs), b(rows * rank), sum(inputs);
    file_.read(change.a, 0, a);
    file_.read(change.b, row * rank, b);
    for (std::size_t r = 0; r < rows; ++r) {
        std::ranges::fill(sum, 0.0F);
        for (std::size_t k = 0; k < rank; ++k)
            for (std::size_t i = 0; i < inputs; ++i) sum[i] += b[r * rank + k] * a[k * inputs + i];
        for (std::size_t i = 0; i < inputs; ++i) {
            const std::size_t element = (row + r) * inputs + i;
            if (element >= first && element < first + out.size())
                out[element - first] += static_cast<float>(change.scale) * sum[i];
        }
    }
}

}  // namespace tdrm::model
