#include "tdrm/rollout/value_reader.hpp"

#include <memory>

#include "tdrm/base/errors.hpp"
#include "tdrm/task/text/translation.hpp"
#include "tdrm/text/tokenizer.hpp"

namespace tdrm::rollout {

void ReadOutOptions::fields(Fields& f) {
    f("tag", tag, "text behind a step, at whose last token the value is read; none = the end of a turn");
    f("place", place, "leaf = only this state sees its tag; trunk = tags stay between the steps");
    f("tail", tail, "with place: trunk, what stands between a tag and the next step");
    f("positive", positive, "token of the language head that means right (for models without a value head)");
    f("negative", negative, "token that means wrong");
    f("bins", bins,
      "value of each label of a head with several, whose expected value counts; none = as its config.json says",
      between(0, 1));
    f("reads", reads, "ids of the policy, or its text in ids of the tokenizer of the model's own folder");
    f("prompt", prompt, "with reads: text, a plain prompt with {question}; none = the folder's chat template");
    f("system", system, "with reads: text, the system turn of that template");
    f("steps", steps,
      "with reads: text, whether a step is text behind the prompt, or a turn of the user that the assistant answers by "
      "`positive` (RLHFlow)");
    f("pieces", pieces, "with reads: text, ids of prompt, steps, tag and tail as in one text, or each alone (TRL)");
}

namespace {

task::TranslationOptions translation_of(const ReadOutOptions& options, const std::filesystem::path& folder) {
    task::TranslationOptions result;
    result.format.tokenizer = folder;
    result.format.prompt = options.prompt;
    result.format.system = options.system;
    result.format.value_sees_system = true;
    result.format.ends = false;
    result.steps = options.steps;
    result.pieces = options.pieces;
    result.trims = options.place == model::TagPlace::trunk || options.steps == task::StepForm::turns;
    return result;
}

/// How the texts of a read-out become ids: by a translation, by a tokenizer, or for a task without one by its words.
struct Encoder {
    const task::Task& task;
    const text::Tokenizer* tokenizer = nullptr;
    const task::Translation* translation = nullptr;

    [[nodiscard]] task::Tokens behind(const std::string& text) const {
        if (translation != nullptr) return translation->between(text);
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
    read_out.place = options.place;
    if (!options.positive.empty()) read_out.positive = encoder.one(options.positive, "positive");
    if (!options.negative.empty()) read_out.negative = encoder.one(options.negative, "negative");
    read_out.bins = options.bins;
    return read_out;
}

/// Steps as turns: the chat template says what stands between them, and the verdict is `positive` whatever the value.
ReadOutOptions with_turns(ReadOutOptions options, const task::Translation& translation) {
    if (options.steps == task::StepForm::text) return options;
    options.tag = translation.before_verdict();
    options.tail = options.positive + translation.behind_verdict();
    options.place = model::TagPlace::trunk;
    return options;
}

Scorer scorer_of_text(const task::Task& task, engine::Engine& model, const std::filesystem::path& folder,
                      const ReadOutOptions& options, int unit_tokens) {
    const auto translation =
        std::make_shared<const task::Translation>(*task.tokenizer(), translation_of(options, folder));
    const task::TextFormat& format = translation->target();
    if (format.tokenizer().vocab_size() > model.spec().vocab)
        throw DataError(cat("its tokenizer has ", format.tokenizer().vocab_size(), " tokens, the model ",
                            model.spec().vocab, " rows (they don't belong together). Fetch the folder again."));
    const auto read_out =
        read_out_of(with_turns(options, *translation), {task, &format.tokenizer(), translation.get()}, format.probe());
    Scorer scorer(model, read_out, unit_tokens);
    scorer.show({[&task, translation](task::TokenSpan prompt) { return translation->prompt(task.question_of(prompt)); },
                 [translation](task::TokenSpan ids, std::span<const std::int32_t> ends) {
                     return translation->answer(ids, ends);
                 }});
    return scorer;
}

Scorer scorer_of_ids(const task::Task& task, engine::Engine& model, const std::optional<std::filesystem::path>& foreign,
                     const ReadOutOptions& options, int unit_tokens) {
    std::optional<text::Tokenizer> own;
    if (task.tokenizer() != nullptr && has_texts(options) && foreign &&
        std::filesystem::exists(*foreign / "tokenizer.json"))
        own = text::Tokenizer::load(*foreign);
    const Encoder encoder{task, own ? &*own : task.tokenizer(), nullptr};
    const auto read_out = read_out_of(foreign ? options : ReadOutOptions{}, encoder, task.probe());
    Scorer scorer(model, read_out, unit_tokens);
    scorer.show(value_prompts_of(task));
    return scorer;
}

}  // namespace

void check_read_out(const ReadOutOptions& options, const task::Task& task, const std::string& path,
                    Problems& problems) {
    const auto wrong = [&](const char* key, const std::string& message) {
        problems.push_back({"", path + key, message});
    };
    const bool turns = options.steps == task::StepForm::turns;
    if (options.reads == Shown::ids) {
        const char* key = !options.prompt.empty()                  ? ".prompt"
                          : !options.system.empty()                ? ".system"
                          : turns                                  ? ".steps"
                          : options.pieces != task::Pieces::joined ? ".pieces"
                                                                   : nullptr;
        if (key != nullptr)
            wrong(key,
                  "is only used with reads: text (with ids, the model gets the policy's prompt). Add that, or leave it "
                  "out.");
        return;
    }
    if (task.tokenizer() == nullptr && task.kind() != "text")  // a plan may be made before the tokenizer is there
        wrong(".reads", cat("the task ", task.kind(), " has no text that another tokenizer could read. Use ids."));
    if (turns && options.positive.empty())
        wrong(".positive", "is missing (with steps: turns the assistant answers each step by it). Give \"+\", say.");
    if (turns && (!options.tag.empty() || !options.tail.empty()))
        wrong(options.tag.empty() ? ".tail" : ".tag",
              "is given, but with steps: turns the chat template says what stands between steps. Leave it out.");
    auto format = translation_of(options, "its own").format;
    if (turns) format.system.clear();  // the prompt is a part of the user's turn
    for (const std::string& problem : format.validate()) wrong("", problem);
}

Scorer value_scorer(const task::Task& task, engine::Engine& model, const std::optional<std::filesystem::path>& foreign,
                    const ReadOutOptions& options, int unit_tokens) {
    if (task.tokenizer() != nullptr && foreign && options.reads == Shown::text)
        return scorer_of_text(task, model, *foreign, options, unit_tokens);
    return scorer_of_ids(task, model, foreign, options, unit_tokens);
}

}  // namespace tdrm::rollout
