#include "tdrm/stage/models.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/engine/ensemble.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/store/checkpoint.hpp"
#include "tdrm/text/tokenizer.hpp"
#include "tdrm/train/state.hpp"
#include "tdrm/train/value.hpp"

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
             const model::WeightSink& sink, std::size_t member = 0) {
    if (source.folder) {
        model::deliver(context.ranks, *source.folder, wanted, sink);
    } else {
        context.ranks.agree("loading " + input.label, [&] { train::deliver(*source.commit, wanted, sink, member); });
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

std::unique_ptr<engine::Engine> new_value_model(StageContext& context, const Input& body, std::size_t member) {
    const Source source = open_model(context, body);
    model::ModelSpec spec = source.spec;
    spec.head = model::Head::value;
    spec.value_head = {};
    const std::uint64_t seed = member == 0 ? context.seed : hash64(cat("member ", member, " of ", context.seed));
    auto value = context.ranks.agree("making room for a value model", [&] { return engine::fresh_engine(spec, seed); });
    deliver(context, body, source, value->layout().tensors, engine::weights_into(*value));
    return value;
}

std::vector<std::unique_ptr<engine::Engine>> load_value_members(StageContext& context, const Input& input,
                                                                const rollout::ReadOutOptions& options) {
    std::vector<std::unique_ptr<engine::Engine>> members;
    if (input.is_foreign()) {
        members.push_back(options.reads == rollout::Shown::ids
                              ? load_model(context, input)
                              : engine::load_pretrained(context.ranks, input.directory));
        return members;
    }
    const Source source = open_model(context, input);
    const std::size_t count =
        context.ranks.agree("opening " + input.label, [&] { return train::members_of(*source.commit); });
    for (std::size_t m = 0; m < count; ++m) {
        members.push_back(
            context.ranks.agree("making room for " + input.label, [&] { return engine::make_engine(source.spec); }));
        deliver(context, input, source, members.back()->layout().tensors, engine::weights_into(*members.back()), m);
    }
    return members;
}

ValueHeads load_value_heads(StageContext& context, const Input& input) {
    const Source source = open_model(context, input);
    return context.ranks.agree("loading heads of " + input.label, [&] {
        ValueHeads result{source.spec, {}};
        for (std::size_t m = 0; m < train::members_of(*source.commit); ++m) {
            auto head = engine::make_engine(train::head_spec(source.spec));
            std::vector<model::TensorInfo> wanted;
            for (const auto& tensor : head->layout().tensors)
                if (tensor.offset == head->layout().head) wanted.push_back(tensor);
            train::deliver(*source.commit, wanted, engine::weights_into(*head), m);
            result.heads.push_back(std::move(head));
        }
        return result;
    });
}

std::unique_ptr<engine::Engine> load_value_model(StageContext& context, const Input& input,
                                                 const rollout::ReadOutOptions& options) {
    return engine::together(load_value_members(context, input, options));
}

bool is_of_hazards(StageContext& context, const Input& value) {
    if (value.is_foreign()) return false;
    return context.ranks.agree("reading what " + value.label + " is", [&] {
        const auto record = StageRecord::read(value.directory.parent_path());
        return record && record->outcome.results.value("values", kChances) == std::string(kHazards);
    });
}

void refuse_hazards(StageContext& context, const Input& value, const std::string& who) {
    if (!is_of_hazards(context, value)) return;
    context.ranks.fail_together(ConfigError(cat(
        who, " takes values of states, but ", value.label,
        " was trained by target.kind: hazard (its numbers are "
        "chances of an error, so larger ones are worse). Use it in best_of_n with at: survival, or another model.")));
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
