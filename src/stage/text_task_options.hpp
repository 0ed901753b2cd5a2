// `task: {kind: text, ...}` of a run file. Private to the room.
#pragma once

#include <memory>

#include "tdrm/base/options.hpp"
#include "tdrm/task/text/text_files.hpp"
#include "tdrm/task/text/text_task.hpp"

namespace tdrm::text {
[[nodiscard]] constexpr auto enum_names(StepDelimiter) {
    using enum StepDelimiter;
    return std::array<std::pair<StepDelimiter, std::string_view>, 3>{
        {{blank_line, "blank_line"}, {newline, "newline"}, {numbered, "numbered"}}};
}
[[nodiscard]] constexpr auto enum_names(Thinking) {
    using enum Thinking;
    return std::array<std::pair<Thinking, std::string_view>, 3>{
        {{template_default, "template"}, {keep, "keep"}, {drop, "drop"}}};
}
}  // namespace tdrm::text

namespace tdrm::stage {

/// Variables of a chat template: any values under names.
struct TemplateVariables {
    Yaml values = Yaml::map();
};
[[nodiscard]] Codec codec(TemplateVariables& variables, const Range& range);

struct StepFields : text::StepOptions {
    void fields(Fields& f);
};
struct TextFileFields : task::TextFileOptions {
    void fields(Fields& f);
};
struct TextSplitFields : task::TextSplitOptions {
    void fields(Fields& f);
};

struct TextTaskFields {
    std::string kind = "text";
    task::TextFormatOptions format;
    TemplateVariables variables;
    StepFields steps;
    int max_prompt_tokens = 1024;
    int max_answer_tokens = 2048;
    task::Unusable too_long = task::Unusable::error;
    std::string data = ".";
    task::Overlap overlap = task::Overlap::warn;
    std::vector<std::pair<std::string, TextFileFields>> files;
    std::vector<std::pair<std::string, TextSplitFields>> splits;
    void fields(Fields& f);
    [[nodiscard]] std::vector<std::string> validate() const;
};

/// @throws as TextTask and read_splits.
[[nodiscard]] std::unique_ptr<task::Task> make_text_task(const TextTaskFields& options, std::uint64_t seed);
/// An absent problem for the tokenizer and for each file of a split that isn't there.
[[nodiscard]] Problems absent_files(const TextTaskFields& options);
/// What the options alone tell of the task. @throws ConfigError for rows that are no range
[[nodiscard]] std::unique_ptr<task::Task> planned_text_task(const TextTaskFields& options);

}  // namespace tdrm::stage
