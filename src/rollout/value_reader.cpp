#include "tdrm/stage/value_models.hpp"

#include <filesystem>
#include <memory>
#include <optional>

#include "tdrm/base/errors.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/task/text/text_task.hpp"
#include "tdrm/task/text/translation.hpp"

namespace tdrm::stage {

void ReadOutOptions::fields(Fields& f) {
    f("tag", tag, "text behind a step, at whose last token the value is read; none = the end of a turn");
    f("place", place, "leaf = only this state sees its tag; trunk = tags stay between the steps");
    f("tail", tail, "with place: trunk, what stands between a tag and the next step");
    f("positive", positive, "token of the language head that means right (for models without a value head)");
    f("negative", negative, "token that means wrong");
    f("reads", reads, "ids of the policy, or its text in ids of the tokenizer of the model's own folder");
    f("prompt", prompt, "with reads: text, a plain prompt with {question}; none = the folder's chat template");
    f("system", system, "with reads: text, the system turn of that template");
}

namespace {

task::TextFormatOptions format_of(const ReadOutOptions& options, const std::filesystem::path& folder) {
    task::TextFormatOptions format;
    format.tokenizer = folder;
    format.prompt = options.prompt;
    format.system = options.system;
    format.value_sees_system = true;
    format.ends = false;
    return format;
}

/// How the texts of a read-out become ids: by a tokenizer, or for a task without one by its words.
struct Encoder {
    const task::Task& task;
    const text::Tokenizer* tokenizer = nullptr;

    [[nodiscard]] task::Tokens behind(const std::string& text) const {
        return tokenizer != nullptr ? tokenizer->encode_behind(text) : task.parse(text);
    }
    [[nodiscard]] task::Token one(const std::string& text, const char* key) const {
        const auto tokens = tokenizer != nullptr ? tokenizer->encode(text) : task.parse(text);
        if (tokens.size() != 1)
            throw ConfigError(cat("read_out.", key, " \"", text, "\" is ", tokens.size(),
                                  " tokens (its logit is read, so it must be one). Use another text."));
        return tokens[0];
    }
};

bool has_texts(const ReadOutOptions& options) {
    return !(options.tag.empty() && options.tail.empty() && options.positive.empty() && options.negative.empty());
}

model::ReadOut read_out_of(const ReadOutOptions& options, const Encoder& encoder, task::TokenSpan probe) {
    model::ReadOut read_out;
    read_out.tag = encoder.behind(options.tag);
    if (read_out.tag.empty()) read_out.tag.assign(probe.begin(), probe.end());
    if (read_out.tag.empty())
        throw ConfigError(
            "read_out.tag is missing: the folder has no chat template and names no eos_token (values are read behind "
            "a text). Give the tag that the model was trained with.");
    read_out.tail = encoder.behind(options.tail);
    read_out.stays = options.place == TagPlace::trunk;
    if (!options.positive.empty()) read_out.positive = encoder.one(options.positive, "positive");
    if (!options.negative.empty()) read_out.negative = encoder.one(options.negative, "negative");
    return read_out;
}

rollout::Scorer scorer_of_text(const task::TextTask& task, const model::Model& model,
                               const std::filesystem::path& folder, const ReadOutOptions& options, int unit_tokens) {
    const auto translation = std::make_shared<const task::Translation>(task.format(), format_of(options, folder),
                                                                       options.place == TagPlace::trunk);
    const task::TextFormat& format = translation->target();
    if (format.tokenizer().vocab_size() > model.spec().vocab)
        throw DataError(cat("its tokenizer has ", format.tokenizer().vocab_size(), " tokens, the model ",
                            model.spec().vocab, " rows (they don't belong together). Fetch the folder again."));
    const auto read_out = read_out_of(options, {task, &format.tokenizer()}, format.probe());
    rollout::Scorer scorer(model, read_out, unit_tokens);
    scorer.read({[translation](task::TokenSpan prompt) { return translation->prompt(prompt); },
                 [translation](task::TokenSpan ids, std::span<const std::int32_t> ends) {
                     return translation->answer(ids, ends);
                 }});
    return scorer;
}

rollout::Scorer scorer_of_ids(const task::Task& task, const model::Model& model, const Input& input,
                              const ReadOutOptions& options, int unit_tokens) {
    std::optional<text::Tokenizer> own;
    Encoder encoder{task};
    if (const auto* text = dynamic_cast<const task::TextTask*>(&task)) {
        if (has_texts(options) && input.is_foreign() && std::filesystem::exists(input.directory / "tokenizer.json"))
            own = text::Tokenizer::load(input.directory);
        encoder.tokenizer = own ? &*own : &text->tokenizer();
    }
    const auto read_out = read_out_of(input.is_foreign() ? options : ReadOutOptions{}, encoder, task.probe());
    rollout::Scorer scorer(model, read_out, unit_tokens);
    scorer.read(rollout::value_prompts_of(task));
    return scorer;
}

}  // namespace

void check_read_out(const ReadOutOptions& options, const task::Task& task, const std::string& path,
                    Problems& problems) {
    const auto wrong = [&](const char* key, const std::string& message) {
        problems.push_back({"", path + key, message});
    };
    if (options.reads == Reads::ids) {
        if (!options.prompt.empty() || !options.system.empty())
            wrong(options.prompt.empty() ? ".system" : ".prompt",
                  "is only used with reads: text (with ids, the model gets the policy's prompt). Add that, or leave it "
                  "out.");
        return;
    }
    if (task.kind() != "text")
        wrong(".reads", cat("the task ", task.kind(), " has no text that another tokenizer could read. Use ids."));
    for (const std::string& problem : format_of(options, "its own").validate()) wrong("", problem);
}

model::Model load_value_model(StageContext& context, const Input& input, const ReadOutOptions& options) {
    if (!input.is_foreign() || options.reads == Reads::ids) return load_model(context, input);
    return model::load_pretrained(context.ranks, input.directory);
}

rollout::Scorer value_scorer(StageContext& context, const model::Model& model, const Input& input,
                             const ReadOutOptions& options, int unit_tokens) {
    return context.ranks.agree("reading value model " + input.label, [&]() -> rollout::Scorer {
        try {
            const auto* text = dynamic_cast<const task::TextTask*>(&context.task);
            if (text != nullptr && input.is_foreign() && options.reads == Reads::text)
                return scorer_of_text(*text, model, input.directory, options, unit_tokens);
            return scorer_of_ids(context.task, model, input, options, unit_tokens);
        } catch (const ConfigError& error) {
            throw ConfigError(cat(input.label, ": ", error.what()));
        } catch (const DataError& error) {
            throw DataError(cat(input.label, ": ", error.what()));
        }
    });
}

}  // namespace tdrm::stage
