#include "tdrm/stage/models.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/store/checkpoint.hpp"
#include "tdrm/text/tokenizer.hpp"
#include "tdrm/train/state.hpp"

namespace tdrm::stage {
namespace {

/// Built-in tasks have a vocabulary of their own; a tokenizer may have fewer tokens than a model has rows, which are
/// then never drawn from a text.
void check_vocabulary(const StageContext& context, const model::ModelSpec& spec, const std::string& label) {
    const int rows = spec.vocab;
    const int tokens = context.task.vocab_size();
    if (rows == tokens || (context.task.tokenizer() != nullptr && rows > tokens)) return;
    throw DataError(cat(label, " has a vocabulary of ", rows, " tokens, the task ", context.task.kind(), " one of ",
                        tokens, " (they don't speak the same language). Use a model of this task."));
}

/// A Hugging Face folder that brings a tokenizer must mean the same tokens by the task's ids; it may have more.
void check_tokens(const StageContext& context, const Input& input) {
    const text::Tokenizer* tokenizer = context.task.tokenizer();
    const auto folder = model::tokenizer_folder(input.directory);
    if (tokenizer == nullptr || !std::filesystem::exists(folder / "tokenizer.json")) return;
    const text::Tokenizer& ours = *tokenizer;
    const auto theirs = text::Tokenizer::load(folder);
    if (ours.fingerprint() == theirs.fingerprint()) return;
    for (std::int32_t id = 0; id < ours.vocab_size(); ++id)
        if (const auto bytes = ours.bytes_of(id); !bytes.empty() && bytes != theirs.bytes_of(id))
            throw DataError(cat(input.label, ": its tokenizer.json has \"", theirs.decode(std::span(&id, 1)),
                                "\" as token ", id, ", the task's has \"", ours.decode(std::span(&id, 1)),
                                "\" (the model would read other words). Use its tokenizer for the task; a value model "
                                "can also be given texts, by read_out.reads: text."));
}

/// What was opened of an input that names a model.
struct Source {
    std::optional<model::Pretrained> folder;
    std::optional<store::Checkpoint> commit;
    model::ModelSpec spec;
};

Source open_model(StageContext& context, const Input& input) {
    Source source;
    if (!input.is_foreign()) source.commit.emplace(store::load_checkpoint(context.ranks, input.directory));
    context.ranks.agree("opening " + input.label, [&] {
        if (input.is_foreign()) {
            source.folder.emplace(input.directory);
            check_tokens(context, input);
        }
        source.spec = source.folder ? source.folder->spec() : train::spec_of(*source.commit);
        check_vocabulary(context, source.spec, input.label);
    });
    return source;
}

void deliver(StageContext& context, const Input& input, const Source& source, std::span<const model::TensorInfo> wanted,
             const model::WeightSink& sink) {
    if (source.folder) {
        model::deliver(context.ranks, *source.folder, wanted, sink);
    } else {
        context.ranks.agree("loading " + input.label, [&] { train::deliver(*source.commit, wanted, sink); });
    }
}

}  // namespace

std::unique_ptr<engine::Engine> load_model(StageContext& context, const Input& input) {
    const Source source = open_model(context, input);
    auto engine =
        context.ranks.agree("making room for " + input.label, [&] { return engine::make_engine(source.spec); });
    deliver(context, input, source, engine->layout().tensors, engine::weights_into(*engine));
    return engine;
}

std::unique_ptr<engine::Engine> new_value_model(StageContext& context, const Input& body) {
    const Source source = open_model(context, body);
    model::ModelSpec spec = source.spec;
    spec.head = model::Head::value;
    spec.value_head = {};
    auto value =
        context.ranks.agree("making room for a value model", [&] { return engine::fresh_engine(spec, context.seed); });
    deliver(context, body, source, value->layout().tensors, engine::weights_into(*value));
    return value;
}

std::unique_ptr<engine::Engine> load_value_model(StageContext& context, const Input& input,
                                                 const rollout::ReadOutOptions& options) {
    if (!input.is_foreign() || options.reads == rollout::Shown::ids) return load_model(context, input);
    return engine::load_pretrained(context.ranks, input.directory);
}

rollout::Scorer value_scorer(StageContext& context, engine::Engine& model, const Input& input,
                             const rollout::ReadOutOptions& options, int unit_tokens) {
    return context.ranks.agree("reading value model " + input.label, [&]() -> rollout::Scorer {
        try {
            std::optional<std::filesystem::path> folder;
            if (input.is_foreign()) folder = model::tokenizer_folder(input.directory);
            return rollout::value_scorer(context.task, model, folder, options, unit_tokens);
        } catch (const ConfigError& error) {
            throw ConfigError(cat(input.label, ": ", error.what()));
        } catch (const DataError& error) {
            throw DataError(cat(input.label, ": ", error.what()));
        }
    });
}

}  // namespace tdrm::stage
