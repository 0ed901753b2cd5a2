#include "tdrm/stage/models.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/store/checkpoint.hpp"
#include "tdrm/text/tokenizer.hpp"
#include "tdrm/train/state.hpp"

namespace tdrm::stage {
namespace {

model::Model load_commit(StageContext& context, const Input& input) {
    const auto checkpoint = store::load_checkpoint(context.ranks, input.directory);
    return context.ranks.agree("loading " + input.label, [&] { return train::load_model(checkpoint); });
}

/// Built-in tasks have a vocabulary of their own; a tokenizer may have fewer tokens than a model has rows, which are
/// then never drawn from a text.
void check_vocabulary(const StageContext& context, const model::Model& model, const std::string& label) {
    const int rows = model.spec().vocab;
    const int tokens = context.task.vocab_size();
    if (rows == tokens || (context.task.tokenizer() != nullptr && rows > tokens)) return;
    throw DataError(cat(label, " has a vocabulary of ", rows, " tokens, the task ", context.task.kind(), " one of ",
                        tokens, " (they don't speak the same language). Use a model of this task."));
}

/// A Hugging Face folder that brings a tokenizer must mean the same tokens by the task's ids; it may have more.
void check_tokens(const StageContext& context, const Input& input) {
    const text::Tokenizer* tokenizer = context.task.tokenizer();
    if (tokenizer == nullptr || !std::filesystem::exists(input.directory / "tokenizer.json")) return;
    const text::Tokenizer& ours = *tokenizer;
    const auto theirs = text::Tokenizer::load(input.directory);
    if (ours.fingerprint() == theirs.fingerprint()) return;
    for (std::int32_t id = 0; id < ours.vocab_size(); ++id)
        if (const auto bytes = ours.bytes_of(id); !bytes.empty() && bytes != theirs.bytes_of(id))
            throw DataError(cat(input.label, ": its tokenizer.json has \"", theirs.decode(std::span(&id, 1)),
                                "\" as token ", id, ", the task's has \"", ours.decode(std::span(&id, 1)),
                                "\" (the model would read other words). Use its tokenizer for the task; a value model "
                                "can also be given texts, by read_out.reads: text."));
}

}  // namespace

model::Model load_model(StageContext& context, const Input& input) {
    model::Model model =
        input.is_foreign() ? model::load_pretrained(context.ranks, input.directory) : load_commit(context, input);
    context.ranks.agree("loading " + input.label, [&] {
        if (input.is_foreign()) check_tokens(context, input);
        check_vocabulary(context, model, input.label);
    });
    return model;
}

model::Model load_value_model(StageContext& context, const Input& input, const rollout::ReadOutOptions& options) {
    if (!input.is_foreign() || options.reads == rollout::Shown::ids) return load_model(context, input);
    return model::load_pretrained(context.ranks, input.directory);
}

rollout::Scorer value_scorer(StageContext& context, const model::Model& model, const Input& input,
                             const rollout::ReadOutOptions& options, int unit_tokens) {
    return context.ranks.agree("reading value model " + input.label, [&]() -> rollout::Scorer {
        try {
            return rollout::value_scorer(context.task, model,
                                         input.is_foreign() ? std::optional(input.directory) : std::nullopt, options,
                                         unit_tokens);
        } catch (const ConfigError& error) {
            throw ConfigError(cat(input.label, ": ", error.what()));
        } catch (const DataError& error) {
            throw DataError(cat(input.label, ": ", error.what()));
        }
    });
}

}  // namespace tdrm::stage
