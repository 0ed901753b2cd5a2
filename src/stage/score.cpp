// Stage `score`: what a value model says of every state of answers: stored ones, or texts from elsewhere.
#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/json_rows.hpp"
#include "tdrm/stage/maps.hpp"
#include "tdrm/stage/models.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/process/solution_ids.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/store/manifest.hpp"
#include "tdrm/train/value.hpp"

namespace tdrm::stage {
namespace {

struct ScoreOptions {
    std::string value, data, file;
    std::string separator = "\n\n";
    rollout::ReadOutOptions read_out;

    void fields(Fields& f) {
        f("value", value, "value model that scores").required();
        f("data", data, "stage whose answers are scored; none if a file is");
        f("file", file, "JSON lines (or an array, plain or gzipped) of {prompt, steps} or {prompt, completion}")
            .not_identity();
        f("separator", separator, "text behind each of `steps` but the last");
        f("read_out", read_out, "how a value model named hf:DIR is read");
    }
};

/// Answers of a file, and where each of its rows is in the table.
struct Texts {
    rollout::Trajectories data;
    std::vector<std::size_t> row;      ///< of each row of the file
    std::vector<std::int64_t> number;  ///< its line
};

/// A prompt as text: a string, or a conversation of one question.
std::string prompt_of(const rows::Json& row, const rows::Place& place) {
    const auto& prompt = rows::member(row, "prompt", place);
    if (prompt.is_string()) return prompt.get<std::string>();
    std::vector<std::string> questions;
    for (const auto& turn : prompt.is_array() ? prompt : rows::Json::array()) {
        const auto content = turn.is_object() ? turn.find("content") : turn.end();
        if (turn.is_object() && turn.value("role", "") == "user" && content != turn.end() && content->is_string())
            questions.push_back(content->get<std::string>());
    }
    if (questions.size() != 1)
        rows::broken(place, "\"prompt\" is neither a text nor a conversation with one turn of the user");
    return questions.front();
}

/// Ids of a row's solution with the ends of its steps.
rollout::Trajectory solution_of(const task::Task& task, const std::string& separator, const rows::Json& row,
                                const rows::Place& place) {
    rollout::Trajectory t;
    if (row.contains("steps")) {
        auto encoded = solution_ids(task, rows::texts_member(row, "steps", place), separator, true);
        t.ids = std::move(encoded.ids);
        t.step_ends = std::move(encoded.step_ends);
        std::int32_t before = 0;
        for (std::size_t s = 0; s < t.step_ends.size(); ++s) {
            if (t.step_ends[s] == before) rows::broken(place, cat("step ", s + 1, " has no tokens"));
            before = t.step_ends[s];
        }
    } else {
        t.ids = task.parse(rows::text_member(row, "completion", place));
    }
    if (t.ids.empty()) rows::broken(place, "the solution has no steps");
    t.ids.push_back(task.end_token());
    if (!row.contains("steps")) t.step_ends = task.step_ends(t.ids);
    if (t.step_ends.empty()) rows::broken(place, "the solution has no steps");
    t.logprob.assign(t.ids.size(), std::numeric_limits<float>::quiet_NaN());
    return t;
}

/// Equal prompts are one problem, in the order of their first rows.
Texts read_texts(const task::Task& task, const std::string& path, const std::string& separator) {
    struct Row {
        std::int64_t number;
        rollout::Trajectory solution;
    };
    std::vector<std::string> prompts;
    std::map<std::string, std::vector<Row>> by_prompt;
    rows::for_each_row(path, [&](const rows::Json& row, const rows::Place& place) {
        try {
            if (!row.is_object()) rows::broken(place, "this isn't a JSON object");
            auto prompt = prompt_of(row, place);
            auto& rows_of_prompt = by_prompt[prompt];
            if (rows_of_prompt.empty()) prompts.push_back(std::move(prompt));
            rows_of_prompt.push_back({place.number, solution_of(task, separator, row, place)});
        } catch (const rows::BrokenRow& error) {
            throw DataError(cat(error.what(),
                                " (nothing can be scored). A row is {\"prompt\": text, \"steps\": [texts]} "
                                "or {\"prompt\": text, \"completion\": text}."));
        }
    });
    if (prompts.empty())
        throw DataError(
            cat(path, " has no rows (there is nothing to score). Give it one {\"prompt\", \"steps\"} a line."));
    Texts texts;
    std::vector<std::pair<std::int64_t, std::size_t>> order;
    for (std::size_t p = 0; p < prompts.size(); ++p) {
        texts.data.add_problem(static_cast<std::int64_t>(p),
                               {hash64(prompts[p]) >> 1, task.question_ids(prompts[p]), ""});
        auto& rows_of_prompt = by_prompt[prompts[p]];
        for (std::size_t i = 0; i < rows_of_prompt.size(); ++i) {
            rows_of_prompt[i].solution.sample = static_cast<std::int32_t>(i);
            order.emplace_back(rows_of_prompt[i].number, texts.data.size());
            texts.data.add(rows_of_prompt[i].solution);
        }
    }
    std::sort(order.begin(), order.end());
    for (const auto& [number, row] : order) {
        texts.number.push_back(number);
        texts.row.push_back(row);
    }
    return texts;
}

class ScoreStage final : public Stage {
public:
    explicit ScoreStage(ScoreOptions options) : options_(std::move(options)) {}

    /// A file counts by what it holds, not by where it lies.
    [[nodiscard]] std::string identity() const override {
        std::string text = tdrm::identity(options_);
        if (!text.empty() && text.back() != '\n') text += "\n";
        return options_.file.empty() ? text : text + cat("content: ", hash_file(options_.file), "\n");
    }

    void check(const task::Task& task, const std::string& path, Problems& problems) const override {
        rollout::check_read_out(options_.read_out, task, path + ".read_out", problems);
        if (options_.file.empty() == options_.data.empty())
            problems.push_back({"", path + ".data",
                                "and `file`: exactly one of them says what is scored. Give one, leave the other out."});
        if (!options_.file.empty() && !std::filesystem::is_regular_file(options_.file))
            problems.push_back({"", path + ".file",
                                cat(options_.file, " isn't there (it holds what is scored). Check the path."), true});
    }

    StageOutcome run(StageContext& context) override {
        Texts texts;
        if (options_.file.empty()) {
            texts.data = load_trajectories(context, context.input("data"));
        } else {
            context.ranks.agree("reading " + options_.file,
                                [&] { texts = read_texts(context.task, options_.file, options_.separator); });
        }
        const Input& value = context.input("value");
        const auto table =
            score_map(context, texts.data, value, context.node.name, context.directory, options_.read_out);
        const auto values = train::state_values(texts.data, table.scores.logits, is_of_hazards(context, value));
        const double last = mean_of_last(texts.data, values);
        const nlohmann::json figures{{"answers", texts.data.size()}, {"states", values.size()}, {"mean_last", last}};
        context.ranks.agree("writing scores", [&] {
            if (!context.ranks.root()) return;
            write_lines(context.directory, texts, values);
            if (!options_.file.empty()) keep_answers(context, texts.data);
            auto results = figures;
            results["kind"] = "score";
            results["value"] = value.label;
            results["data"] = options_.file.empty() ? context.input("data").label : options_.file;
            write_results(context.directory, results);
        });
        return {0, -1, figures};
    }

    [[nodiscard]] std::string plan(const task::Task&) const override {
        return cat("values of the answers of ", options_.file.empty() ? options_.data : options_.file);
    }

    [[nodiscard]] std::optional<Memory> memory(const Planned& planned) const override {
        const auto spec = planned.model("value");
        if (!spec) return std::nullopt;
        return frozen_memory("the value model", *spec).add(scoring_memory(*spec, rollout::kScoreTokens));
    }

private:
    static double mean_of_last(const rollout::Trajectories& data, std::span<const double> values) {
        const auto offsets = rollout::state_offsets(data);
        double sum = 0;
        for (std::size_t row = 0; row < data.size(); ++row) sum += values[offsets[row + 1] - 1];
        return data.size() == 0 ? 0 : sum / static_cast<double>(data.size());
    }

    /// trajectories.h5 beside the values, named by their manifest.
    static void keep_answers(const StageContext& context, const rollout::Trajectories& data) {
        auto files = store::read_manifest(context.directory).files;
        const auto entry =
            rollout::write_trajectories(context.directory, context.task, data, rollout::task_attributes(context.task));
        std::erase_if(files, [&](const auto& file) { return file.name == entry.name; });
        files.push_back(entry);
        store::write_manifest(context.directory, files);
    }
    /// scores.jsonl: a line an answer, in the order of the file's rows or of the table.
    static void write_lines(const std::filesystem::path& directory, const Texts& texts,
                            std::span<const double> values) {
        const auto& data = texts.data;
        const auto offsets = rollout::state_offsets(data);
        std::string text;
        for (std::size_t i = 0; i < data.size(); ++i) {
            const std::size_t row = texts.row.empty() ? i : texts.row[i];
            nlohmann::json line;
            if (!texts.number.empty()) line["line"] = texts.number[i];
            if (texts.number.empty()) {
                line["problem"] = data.problem_index[static_cast<std::size_t>(data.problem[row])];
                line["visit"] = data.visit[row];
                line["sample"] = data.sample[row];
            }
            line["values"] = std::vector<double>(values.begin() + static_cast<std::ptrdiff_t>(offsets[row]),
                                                 values.begin() + static_cast<std::ptrdiff_t>(offsets[row + 1]));
            text += line.dump() + "\n";
        }
        store::write_text_atomic(directory / "scores.jsonl", text);
    }

    ScoreOptions options_;
};

}  // namespace

StageKind score_kind() {
    return kind_of<ScoreOptions, ScoreStage>("values of every state of stored answers, or of texts from a file",
                                             kAnswers, {{"value", kValues}, {"data", kAnswers}});
}

}  // namespace tdrm::stage
