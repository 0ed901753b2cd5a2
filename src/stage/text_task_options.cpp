#include "text_task_options.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/files.hpp"
#include "tdrm/task/text/planned_text_task.hpp"

namespace tdrm::stage {
namespace {

using Json = nlohmann::ordered_json;

/// A word without quotes as YAML and Jinja both read it.
Json json_of_word(const std::string& word) {
    if (word.empty() || word == "~" || word == "null" || word == "none") return nullptr;
    if (word == "true" || word == "false") return word == "true";
    const char* end = word.data() + word.size();
    std::int64_t whole = 0;
    if (const auto read = std::from_chars(word.data(), end, whole); read.ec == std::errc() && read.ptr == end)
        return whole;
    double real = 0;
    if (const auto read = std::from_chars(word.data(), end, real);
        read.ec == std::errc() && read.ptr == end && std::isfinite(real))
        return real;
    return word;
}

Json json_of(const Yaml& node) {
    if (node.is_null()) return nullptr;
    if (node.is_scalar()) return node.quoted ? Json(node.scalar) : json_of_word(node.scalar);
    Json json = node.is_list() ? Json::array() : Json::object();
    for (const Yaml& item : node.items) json.push_back(json_of(item));
    for (const auto& [key, value] : node.entries) json[key] = json_of(value);
    return json;
}

/// "" without variables, so that a run without them is the same as ever.
std::string json_text(const TemplateVariables& variables) {
    return variables.values.entries.empty() ? "" : json_of(variables.values).dump();
}

}  // namespace

Codec codec(TemplateVariables& variables, const Range&) {
    const std::string type = "a map from names to values";
    const auto read = [&variables, type](const Yaml& node, const Reading& reading) {
        if (!node.is_map() && !node.is_null())
            return reading.mismatch(node, type, "Write {enable_thinking: false}, say.");
        variables.values = node.is_map() ? node : Yaml::map();
    };
    return {type, read, [&variables](bool) { return variables.values; }, nullptr, nullptr};
}

void StepFields::fields(Fields& f) {
    f("delimiter", delimiter, "what separates two steps: a blank line, a newline, or the number of the next step");
    f("max_step_tokens", max_step_tokens, "a longer step is ended there; 0 = no bound", between(0, 1e8));
    f("max_steps", max_steps, "later tokens belong to no step; 0 = no bound", between(0, 1e8));
}

void TextFileFields::fields(Fields& f) {
    f("path", path, "file of JSON lines or a JSON array, plain or .gz; relative to `data`").required();
    f("question", question, "field with the problem, or a text with {field} in it; messages.0.content reaches inside");
    f("answer", answer, "field with the gold answer; a list is joined by commas");
    f("gold", gold, "which part of that field is the gold answer: all, its last \\boxed{...}, or what follows ####");
    f("solution", solution, "field with a worked solution, for sft; of a list the first; empty = none");
    f("tolerance", tolerance, "field with the absolute tolerance of the answer; empty = none");
    f("chat", chat, "field with a list of {role, content}, for sft; then there is no question and no answer");
    f("incomplete", incomplete, "rows with an empty question, answer or solution: error or drop");
    f("strip_notes", strip_notes, "remove GSM8K's <<calculator notes>> from solutions");
}

void TextSplitFields::fields(Fields& f) {
    f("file", file, "entry of `files`").required();
    f("rows", rows, "rows of the file, 0-99 for the first hundred; empty = any that no other split names");
    f("problems", problems, "how many, drawn at random; 0 = all that are left", between(0, 1e9));
}

void TextTaskFields::fields(Fields& f) {
    f("kind", kind, "text");
    f("tokenizer", format.tokenizer, "folder with tokenizer.json and the chat template").required();
    f("prompt", format.prompt, "plain prompt with {question}, for models without a chat template");
    f("system", format.system, "system turn of the policy's prompts");
    f("family", format.family, "what the chat template must be: chatml, llama3, glm4, deepseek_r1; empty = any");
    f("template", variables, "variables of the chat template: {enable_thinking: false}, say");
    f("thinking", format.thinking,
      "what becomes of the thinking parts of answers in chats: keep, drop as the template does, or template = drop if "
      "the template drops those of earlier answers only, else keep");
    f("end", format.end, "token that ends an answer; empty = the template's, or the folder's eos_token");
    f("probe", format.probe, "text at whose last token values are read; empty = the end of the assistant's turn");
    f("value_sees_system", format.value_sees_system, "whether value models get the system turn too");
    f("steps", steps, "how answers are cut into steps");
    f("max_prompt_tokens", max_prompt_tokens, "longest prompt", between(1, 1e8));
    f("max_answer_tokens", max_answer_tokens, "longest answer, with its end token", between(1, 1e8));
    f("too_long", too_long, "problems with longer prompts: error or drop");
    f("data", data, "folder in which the files' paths begin").not_identity();
    f("overlap", overlap, "problems in two splits: warn, drop (from the earlier split) or error");
    f("files", files, "entries that say how a file of problems is read");
    f("splits", splits, "split names with their files and rows, disjoint within a file; test splits last");
}

std::vector<std::string> TextTaskFields::validate() const {
    task::TextFormatOptions complete = format;
    complete.variables = json_text(variables);
    return complete.validate();
}

std::unique_ptr<task::Task> make_text_task(const TextTaskFields& options, std::uint64_t seed) {
    task::TextFilesOptions files{options.data, {}, {}, options.overlap};
    for (const auto& [name, entry] : options.files) files.files.emplace_back(name, entry);
    for (const auto& [name, entry] : options.splits) files.splits.emplace_back(name, entry);
    std::vector<std::string> notes;
    auto splits = task::read_splits(files, seed, notes);
    task::TextFormatOptions format = options.format;
    format.variables = json_text(options.variables);
    const task::TextTaskOptions text{format, options.steps, options.max_prompt_tokens, options.max_answer_tokens,
                                     options.too_long};
    return std::make_unique<task::TextTask>(text, std::move(splits), std::move(notes));
}

Problems absent_files(const TextTaskFields& options) {
    namespace fs = std::filesystem;
    Problems absent;
    const fs::path tokenizer = options.format.tokenizer;
    if (!fs::is_regular_file(tokenizer) && !is_there(tokenizer / "tokenizer.json"))
        absent.push_back({"", "task.tokenizer",
                          cat((tokenizer / "tokenizer.json").string(),
                              " isn't there (it makes tokens of texts). Name a folder that has one."),
                          true});
    for (const auto& [name, file] : options.files) {
        const fs::path path = fs::path(options.data) / file.path;
        const bool used = std::ranges::any_of(
            options.splits, [&entry = name](const auto& split) { return split.second.file == entry; });
        if (used && !is_there(path))
            absent.push_back({"", cat("task.files.", name),
                              cat(path.string(), " isn't there (it holds problems). Check `path` and `data`."), true});
    }
    return absent;
}

std::unique_ptr<task::Task> planned_text_task(const TextTaskFields& options) {
    std::vector<std::pair<std::string, std::optional<std::int64_t>>> sizes;
    for (const auto& [name, split] : options.splits) sizes.emplace_back(name, task::asked_size(name, split));
    return std::make_unique<task::PlannedTextTask>(std::move(sizes), options.max_prompt_tokens,
                                                   options.max_answer_tokens);
}

}  // namespace tdrm::stage
