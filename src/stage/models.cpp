#include "tdrm/stage/models.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/engine/ensemble.hpp"
#include "tdrm/engine/lora.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/store/checkpoint.hpp"
#include "tdrm/text/tokenizer.hpp"
#include "tdrm/train/state.hpp"
#include "tdrm/train/value.hpp"

namespace tdrm::stage {
namespace {

namespace fs = std::filesystem;

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
    std::unique_ptr<Source> body;  ///< of a commit that holds heads or adapters alone
    std::optional<engine::LoraOptions> adapters;
    std::string label;    ///< as messages name it
    std::string trainee;  ///< of the commit; "" is its own model
    model::ModelSpec spec;
};

/// What an input is asked for: of a commit its own model, or rather its critic.
enum class Wanted { model, values };

/// Whether a model is still what a commit of heads or adapters says. Collective.
bool is_that_body(StageContext& context, const fs::path& directory, bool foreign, const std::string& identity) {
    const bool there =
        context.ranks.agree("looking for " + directory.string(), [&] { return fs::is_directory(directory); });
    if (!there) return false;
    if (foreign) return model::pretrained_hash(context.ranks, directory) == identity;
    return context.ranks.agree("looking at " + directory.string(), [&] {
        const auto record = StageRecord::read(directory.parent_path());
        const auto digits = directory.filename().string().find_first_of("123456789");
        const auto update = digits == std::string::npos ? "0" : directory.filename().string().substr(digits);
        return record && cat(record->identity, " update ", update) == identity;
    });
}

/// The input that a commit of heads or adapters in `directory` names. Collective. @throws DataError if it isn't there
/// any more
Input input_of(StageContext& context, const nlohmann::json& body, const fs::path& directory) {
    const auto text = [&](const char* key) { return body.value(key, std::string()); };
    Input found{"body", text("label"), directory / text("place"), text("identity")};
    if (!is_that_body(context, found.directory, found.is_foreign(), found.identity))
        context.ranks.fail_together(
            DataError(cat(directory.string(), " holds heads or adapters on the body ", found.label, ", which isn't at ",
                          found.directory.lexically_normal().string(),
                          " any more (or is another model now). Put it back, or train with keep_body: true.")));
    return found;
}

Source open_model(StageContext& context, const Input& input, Wanted wanted = Wanted::model) {
    Source source;
    source.label = input.label;
    if (!input.is_foreign()) source.commit.emplace(store::load_checkpoint(context.ranks, input.directory));
    const auto body = source.commit ? train::body_of(*source.commit) : nlohmann::json();
    if (!body.is_null()) {
        const Input of_body = input_of(context, body, input.directory.parent_path());
        source.body = std::make_unique<Source>(open_model(context, of_body));
    }
    context.ranks.agree("opening " + input.label, [&] {
        if (input.is_foreign()) {
            source.folder.emplace(input.directory);
            check_tokens(context, input);
        }
        if (source.body && body.contains(train::kAdapters)) {
            const auto& lora = body[train::kAdapters];
            source.adapters.emplace();
            source.adapters->rank = lora.at("rank");
            source.adapters->alpha = lora.at("alpha");
            source.adapters->targets = lora.at("targets").get<std::vector<std::string>>();
            source.adapters->head = lora.value("head", false);
            source.trainee = train::kAdapters;
            source.spec = train::spec_of(*source.commit, source.trainee);
        } else if (source.body) {
            source.spec = value_spec(source.body->spec);
        } else {
            if (wanted == Wanted::values && source.commit && train::holds(*source.commit, kCritic))
                source.trainee = kCritic;
            source.spec = source.folder ? source.folder->spec() : train::spec_of(*source.commit, source.trainee);
        }
        check_vocabulary(context, source.spec, input.label);
    });
    return source;
}

/// Whose head an engine gets: the source's, or none, so that its own stays.
enum class Head { of_source, none };

/// Collective. Fills an engine, as far as it and the source have the same tensors. @param member of an ensemble
void deliver(StageContext& context, const Source& source, engine::Engine& engine, Head head = Head::of_source,
             std::size_t member = 0) {
    auto wanted = engine.layout().tensors;
    if (head == Head::none)
        std::erase_if(wanted, [&](const auto& tensor) { return tensor.offset == engine.layout().head; });
    const auto sink = engine::weights_into(engine);
    if (source.adapters) {
        const bool says_tokens = engine.spec().head == model::Head::language;
        deliver(context, *source.body, engine, says_tokens ? Head::of_source : Head::none);
        const auto adapters = [&](const model::Layout& layout, const model::WeightSink& into) {
            auto tensors = layout.tensors;
            if (head == Head::none)
                std::erase_if(tensors,
                              [](const auto& tensor) { return tensor.name.find(".lora_") == std::string::npos; });
            train::deliver(*source.commit, tensors, into, source.trainee);
        };
        context.ranks.agree("loading " + source.label,
                            [&] { engine::merge_adapters(engine, *source.adapters, adapters); });
    } else if (source.body) {
        deliver(context, *source.body, engine, Head::none);
        if (head == Head::of_source)
            context.ranks.agree("loading " + source.label,
                                [&] { train::deliver_head(*source.commit, engine, member); });
    } else if (source.folder) {
        model::deliver(context.ranks, *source.folder, wanted, sink);
    } else {
        const std::string trainee = member == 0 ? source.trainee : train::member_name(member);
        context.ranks.agree("loading " + source.label, [&] { train::deliver(*source.commit, wanted, sink, trainee); });
    }
}

/// Adapters are merged into matrices as they are, not into rounded ones.
model::Use possible(const Source& source, model::Use use) { return source.adapters ? model::Use::training : use; }

std::unique_ptr<engine::Engine> load(StageContext& context, const Source& source, model::Use use,
                                     std::size_t member = 0) {
    auto engine = context.ranks.agree("making room for " + source.label,
                                      [&] { return engine::make_engine(source.spec, possible(source, use)); });
    deliver(context, source, *engine, Head::of_source, member);
    return engine;
}

}  // namespace

std::unique_ptr<engine::Engine> load_model(StageContext& context, const Input& input, model::Use use) {
    return load(context, open_model(context, input), use);
}

model::ModelSpec value_spec(model::ModelSpec body) {
    body.head = model::Head::value;
    body.value_head = {};
    return body;
}

std::unique_ptr<engine::Engine> new_value_model(StageContext& context, const Input& body, model::Use use) {
    const Source source = open_model(context, body);
    auto value = context.ranks.agree("making room for a value model", [&] {
        return engine::make_engine(value_spec(source.spec), possible(source, use));
    });
    deliver(context, source, *value, Head::none);
    return value;
}

std::unique_ptr<engine::Engine> new_value_head(StageContext& context, const Input& body) {
    const Source source = open_model(context, body);
    return context.ranks.agree("making room for a head",
                               [&] { return engine::make_engine(train::head_spec(value_spec(source.spec))); });
}

std::unique_ptr<engine::Engine> load_critic(StageContext& context, const Input& input) {
    refuse_hazards(context, input, "a critic");
    const Source source = open_model(context, input, Wanted::values);
    if (source.spec.head == model::Head::language) return new_value_model(context, input);
    const auto refuse = [&](const char* what) {
        context.ranks.fail_together(ConfigError(cat(input.label, " ", what, ". Name a value stage with one model.")));
    };
    if (!(source.spec.value_head == model::ValueHead{}))
        refuse("has a value head of another form (a critic learns a head of one row)");
    if (source.commit && train::members_of(*source.commit) > 1)
        refuse("is an ensemble (a critic is one model that goes on learning)");
    return load(context, source, model::Use::training);
}

std::vector<std::unique_ptr<engine::Engine>> load_value_members(StageContext& context, const Input& input,
                                                                const rollout::ReadOutOptions& options) {
    std::vector<std::unique_ptr<engine::Engine>> members;
    if (input.is_foreign()) {
        members.push_back(options.reads == rollout::Shown::ids
                              ? load_model(context, input, model::Use::passes)
                              : engine::load_pretrained(context.ranks, input.directory, model::Use::passes));
        return members;
    }
    const Source source = open_model(context, input, Wanted::values);
    const std::size_t count =
        context.ranks.agree("opening " + input.label, [&] { return train::members_of(*source.commit); });
    for (std::size_t m = 0; m < count; ++m) members.push_back(load(context, source, model::Use::passes, m));
    return members;
}

nlohmann::json body_reference(const Input& body, const fs::path& directory) {
    const auto in_run = fs::relative(body.directory, directory.parent_path());
    const bool elsewhere = in_run.empty() || *in_run.begin() == "..";
    const auto place = elsewhere ? fs::absolute(body.directory).lexically_normal() : ".." / in_run;
    return {{"label", body.label}, {"identity", body.identity}, {"place", place.string()}};
}

ValueHeads load_value_heads(StageContext& context, const Input& input) {
    const Source source = open_model(context, input);
    return context.ranks.agree("loading heads of " + input.label, [&] {
        ValueHeads result{source.spec, {}};
        for (std::size_t m = 0; m < train::members_of(*source.commit); ++m) {
            result.heads.push_back(engine::make_engine(train::head_spec(source.spec)));
            train::deliver_head(*source.commit, *result.heads.back(), m);
        }
        return result;
    });
}

std::unique_ptr<engine::Engine> load_value_model(StageContext& context, const Input& input,
                                                 const rollout::ReadOutOptions& options) {
    return engine::together(load_value_members(context, input, options));
}

bool is_of_hazards(const StageRecord& record) {
    return record.outcome.results.value("values", kChances) == std::string(kHazards);
}

bool is_of_hazards(StageContext& context, const Input& value) {
    if (value.is_foreign()) return false;
    return context.ranks.agree("reading what " + value.label + " is", [&] {
        const auto record = StageRecord::read(value.directory.parent_path());
        return record && is_of_hazards(*record);
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
