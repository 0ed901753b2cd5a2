#include "tdrm/stage/context.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/store/checkpoint.hpp"
#include "tdrm/store/manifest.hpp"
#include "tdrm/task/text/text_task.hpp"
#include "tdrm/train/state.hpp"

namespace tdrm::stage {

void RunOptions::fields(Fields& f) {
    f("dir", dir, "folder of the run").required().not_identity();
    f("seed", seed, "seed of every stage that has none of its own", at_least(0));
    f("sum", sum, "gradients over ranks: exact = same bits on any number of ranks, fast = fp32; auto = exact on CPUs");
    f("silence", silence, "end the job when a rank says nothing for so long", above(0)).not_identity();
    f("wait", wait, "how long to wait for an earlier start in the same folder to end", at_least(0)).not_identity();
}

std::vector<Input> StageContext::inputs_of(std::string_view key) const {
    std::vector<Input> found;
    for (const Input& each : inputs)
        if (each.key == key ||
            (each.key.starts_with(key) && each.key.size() > key.size() && each.key[key.size()] == '['))
            found.push_back(each);
    return found;
}

const Input& StageContext::input(std::string_view key) const {
    for (const Input& each : inputs)
        if (each.key == key) return each;
    throw ConfigError(
        cat("stage ", node.name, " has no ", key, " (it names the stage to read from). Add it to the run file."));
}

namespace {

void verify_folder(const std::filesystem::path& directory) {
    const auto problems = store::verify(directory);
    if (problems.empty()) return;
    throw DataError(cat(directory.string(), " is damaged: ", problems.front(),
                        " (results would be wrong). Make it again with --redo ", directory.filename().string(), "."));
}

}  // namespace

namespace {

/// Built-in tasks have a vocabulary of their own; a tokenizer may have fewer tokens than a model has rows, which are
/// then never drawn from a text.
void check_vocabulary(const StageContext& context, const model::ModelSpec& spec, const std::string& label) {
    const bool has_tokenizer = context.task.kind() == "text";
    const int rows = spec.vocab;
    const int tokens = context.task.vocab_size();
    if (rows == tokens || (has_tokenizer && rows > tokens)) return;
    throw DataError(cat(label, " has a vocabulary of ", rows, " tokens, the task ", context.task.kind(), " one of ",
                        tokens, " (they don't speak the same language). Use a model of this task."));
}

/// A Hugging Face folder that brings a tokenizer must mean the same tokens by the task's ids; it may have more.
void check_tokens(const StageContext& context, const Input& input) {
    const auto* task = dynamic_cast<const task::TextTask*>(&context.task);
    if (task == nullptr || !std::filesystem::exists(input.directory / "tokenizer.json")) return;
    const text::Tokenizer& ours = task->tokenizer();
    const auto theirs = text::Tokenizer::load(input.directory);
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

void deliver(StageContext& context, const Input& input, const Source& source,
             std::span<const model::TensorInfo> wanted, const model::WeightSink& sink) {
    if (source.folder) {
        model::deliver(context.ranks, *source.folder, wanted, sink);
    } else {
        context.ranks.agree("loading " + input.label, [&] { train::deliver(*source.commit, wanted, sink); });
    }
}

}  // namespace

model::ModelSpec model_spec(StageContext& context, const Input& input) { return open_model(context, input).spec; }

void deliver_model(StageContext& context, const Input& input, std::span<const model::TensorInfo> wanted,
                   const model::WeightSink& sink) {
    deliver(context, input, open_model(context, input), wanted, sink);
}

std::unique_ptr<engine::Engine> load_model(StageContext& context, const Input& input) {
    const Source source = open_model(context, input);
    auto engine =
        context.ranks.agree("making room for " + input.label, [&] { return engine::make_engine(source.spec); });
    deliver(context, input, source, engine->layout().tensors, engine::weights_into(*engine));
    return engine;
}

rollout::Trajectories load_trajectories(StageContext& context, const Input& input) {
    return context.ranks.agree("loading " + input.label, [&] {
        if (std::filesystem::is_directory(input.directory)) {
            verify_folder(input.directory);
            return rollout::Trajectories::read(store::FileReader(input.directory / "trajectories.h5"));
        }
        return rollout::Trajectories::read(store::FileReader(input.directory));
    });
}

void warn_if_idle(const StageContext& context, std::int64_t units) {
    if (context.ranks.root() && units < context.ranks.size())
        log::warn(cat("stage ", context.node.name, " has ", units, " units of work for ", context.ranks.size(),
                      " ranks, so some stay idle (results don't change). Use fewer ranks, or smaller units."));
}

}  // namespace tdrm::stage
