// `tdrm export`: a commit as a Hugging Face folder.
#include <array>
#include <cstdio>
#include <set>

#include "stage_place.hpp"
#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/engine/lora.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/stage/models.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/train/state.hpp"

namespace tdrm::app {
namespace {

namespace fs = std::filesystem;

constexpr std::array kTokenizerFiles{
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",     "vocab.json",
    "merges.txt",     "tokenizer.model",       "chat_template.jinja",     "generation_config.json"};
constexpr std::array kTokenKeys{"bos_token_id", "eos_token_id", "pad_token_id"};

/// Where the tokenizer that a stage's model uses is: the Hugging Face model it descends from, else the task's folder.
/// Empty if there is none. The chain of stages is followed in the resolved run files.
fs::path tokenizer_folder(fs::path run, std::string stage) {
    std::set<std::string> seen;
    while (seen.insert((run / stage).string()).second && fs::exists(run / "config.yaml")) {
        const Yaml file = read_yaml((run / "config.yaml").string());
        const Yaml* stages = file.find("stages");
        const Yaml* options = stages != nullptr ? stages->find(stage) : nullptr;
        std::string parent;
        for (const char* key : {"init", "policy"})
            if (const Yaml* name = options != nullptr ? options->find(key) : nullptr; name != nullptr && parent.empty())
                parent = name->scalar;
        if (parent.starts_with("hf:")) return parent.substr(3);
        if (parent.empty()) {
            const Yaml* tokenizer = file.find_path("task.tokenizer");
            const fs::path path = tokenizer != nullptr ? tokenizer->scalar : "";
            return fs::is_regular_file(path) ? path.parent_path() : path;
        }
        if (parent.starts_with("run:")) {
            const StagePlace other = StagePlace::parse(parent.substr(4));
            run = other.run;
            stage = other.stage;
        } else {
            stage = StagePlace::parse(parent).stage;
        }
    }
    return {};
}

/// Ids of the special tokens, from the source's config.json; transformers asks for them to stop and to pad.
nlohmann::json token_ids(const fs::path& source) {
    nlohmann::json ids = nlohmann::json::object();
    const auto config =
        source.empty() ? nlohmann::json() : read_json_if_there(model::model_path(source).base / "config.json");
    for (const char* key : kTokenKeys)
        if (config.is_object() && config.contains(key)) ids[key] = config[key];
    return ids;
}

model::Dtype dtype_of(const std::string& word) {
    for (const auto& names : model::kDtypes)
        if (word == names.option || word == names.config) return names.dtype;
    throw ConfigError(cat("--dtype \"", word, "\" isn't known. Use fp32, bf16 or fp16."));
}

/// The one format that a folder's weights are stored in; fp32 if they are mixed.
model::Dtype stored_dtype(const model::Pretrained& source) {
    std::set<std::string_view> formats;
    for (const auto& file : source.files())
        for (const auto& [name, tensor] : file.tensors()) formats.insert(tensor.dtype);
    for (const auto& names : model::kDtypes)
        if (formats == std::set{names.safetensors}) return names.dtype;
    return model::Dtype::f32;
}

/// The adapters of a stage trained with lora, as peft's save_pretrained writes them.
void write_adapter(const store::Checkpoint& checkpoint, const Yaml& options, const std::string& source,
                   const fs::path& folder, model::Dtype dtype) {
    engine::LoraOptions lora;
    Problems problems;
    if (const Yaml* given = options.find_path("options.lora")) parse(*given, lora, problems);
    if (lora.rank == 0 || !checkpoint.has("lora/model"))
        throw ConfigError(cat(source, " has no adapters (", lora.head ? "its head alone" : "all its weights",
                              " learnt). Leave --adapter out",
                              lora.head ? "; train with lora: {keep_body: true}." : "."));
    const auto spec = train::spec_of(checkpoint, train::kAdapters);
    if (spec.head == model::Head::value)
        throw ConfigError(
            cat(source, " is a value model, whose head learnt beside the adapters. Leave --adapter out."));
    const auto engine = engine::with_adapters(engine::make_engine(spec), lora, 0);
    std::vector<store::TensorView> views;
    for (const auto& tensor : engine->layout().tensors) views.push_back({tensor.name, tensor.shape, tensor.offset});
    checkpoint.deliver("lora/model", views, engine::weights_into(*engine));
    std::vector<model::NamedTensor> tensors;
    for (const auto& tensor : engine->layout().tensors)
        tensors.push_back({"base_model.model." + tensor.name, tensor.shape,
                           [&engine, at = tensor.offset](std::int64_t first, std::span<float> out) {
                               engine->read(engine::Array::weights, at + first, out);
                           }});
    model::write_safetensors(folder / "adapter_model.safetensors", tensors, dtype);
    nlohmann::json config{{"peft_type", "LORA"},   {"task_type", "CAUSAL_LM"}, {"base_model_name_or_path", ""},
                          {"r", lora.rank},        {"lora_alpha", lora.alpha}, {"target_modules", lora.targets},
                          {"lora_dropout", 0.0},   {"bias", "none"},           {"fan_in_fan_out", false},
                          {"inference_mode", true}};
    if (lora.head) config["modules_to_save"] = {"lm_head"};
    store::write_text_atomic(folder / "adapter_config.json", config.dump(2) + "\n");
}

int export_adapter(const ExportRequest& request, model::Dtype dtype) {
    const StagePlace commit = StagePlace::parse(request.source);
    const auto record = stage::StageRecord::read_finished(request.source, commit.directory());
    const auto update = stage::referenced_update(request.source, commit.version, commit.directory(), record);
    const auto checkpoint = store::load_checkpoint(commit.directory() / train::commit_name(update));
    const Yaml identity = parse_yaml(record.identity_text, (commit.directory() / "stage.json").string());
    store::atomic_directory(request.directory, [&](const fs::path& folder) {
        write_adapter(checkpoint, identity, request.source, folder, dtype);
    });
    std::printf("%s: adapters -> %s (%s); their base is the model that the stage began with\n", request.source.c_str(),
                request.directory.c_str(), std::string(model::names_of(dtype).option).c_str());
    return 0;
}

}  // namespace

int export_model(const ExportRequest& request) {
    model::Dtype dtype = request.dtype.empty() ? model::Dtype::f32 : dtype_of(request.dtype);
    const fs::path target = request.directory;
    if (fs::exists(target))
        throw ConfigError(cat(target.string(), " exists already (nothing is overwritten). Name a new folder."));
    if (request.adapter) return export_adapter(request, dtype);
    fs::path source;
    const auto load = [&] {
        if (request.source.starts_with("hf:")) {
            source = request.source.substr(3);
            if (request.dtype.empty()) dtype = stored_dtype(model::Pretrained(source));
            return engine::load_pretrained(source);
        }
        const StagePlace commit = StagePlace::parse(request.source);
        const auto record = stage::StageRecord::read_finished(request.source, commit.directory());
        if (!stage::stage_kinds().contains(record.kind) || !stage::stage_kinds().at(record.kind).trains)
            throw ConfigError(cat(request.source, " is a stage of kind ", record.kind,
                                  " (it makes no model). Name one that trains."));
        const auto update = stage::referenced_update(request.source, commit.version, commit.directory(), record);
        source = tokenizer_folder(commit.run, commit.stage);
        const auto checkpoint = store::load_checkpoint(commit.directory() / train::commit_name(update));
        auto loaded = train::load_model(checkpoint);
        if (const auto members = train::members_of(checkpoint); members > 1)
            throw ConfigError(cat(request.source, " is an ensemble of ", members,
                                  " models (a folder holds one, whose values would be others). Train one with "
                                  "members: 1, or let stages here use it."));
        if (stage::is_of_hazards(record))
            log::warn(request.source +
                      " was trained by target.kind: hazard, so what the folder gives is the chance of "
                      "an error in a step: larger is worse.");
        if (request.dtype.empty() && checkpoint.type("model") == store::Type::bfloat16) dtype = model::Dtype::bf16;
        return loaded;
    };
    const auto engine = load();
    const model::ModelSpec& spec = engine->spec();
    if (spec.head == model::Head::value && spec.value_head != model::ValueHead{})
        throw ConfigError(cat(request.source,
                              " has a value head of another form than one row without bias (transformers "
                              "has no class for it). Copy the folder instead."));
    int copied = 0;
    const fs::path tokenizer = source.empty() ? source : model::tokenizer_folder(source);
    store::atomic_directory(target, [&](const fs::path& folder) {
        model::save_pretrained(spec, engine::weights_of(*engine), folder, dtype, token_ids(source));
        for (const char* name : kTokenizerFiles)
            if (!tokenizer.empty() && fs::exists(tokenizer / name))
                copied += fs::copy_file(tokenizer / name, folder / name) ? 1 : 0;
    });
    std::printf("%s: %lld parameters -> %s (%s, %s, %s)\n", request.source.c_str(),
                static_cast<long long>(engine->num_parameters()), target.c_str(),
                spec.head == model::Head::value ? "sequence classification, one label" : "causal language model",
                std::string(model::names_of(dtype).option).c_str(),
                copied > 0 ? cat(copied, " tokenizer files from ", tokenizer.string()).c_str() : "without a tokenizer");
    return 0;
}

}  // namespace tdrm::app
