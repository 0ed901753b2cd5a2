// Stage `import`: solutions with labelled steps from published files, as trajectories that `value` trains on.
#include <cmath>
#include <limits>
#include <unordered_map>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/base/words.hpp"
#include "tdrm/rollout/tables.hpp"
#include "tdrm/stage/map.hpp"
#include "tdrm/stage/process/solution_ids.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/task/process/solution.hpp"

namespace tdrm::stage {
namespace {

using namespace task::process;

constexpr std::int64_t kBlockProblems = 1024;
constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();

struct ImportOptions : ReadRules {
    std::vector<std::string> file;
    std::string separator = "\n\n";
    std::int64_t max_tokens = 0;

    void fields(Fields& f) {
        ReadRules::fields(f);
        f("file", file, "files to read, plain or gzipped").required().not_identity();
        f("separator", separator, "text behind each step but the last");
        f("max_tokens", max_tokens,
          "longest question with its solution, in tokens; longer ones are left out and counted; 0 = any length",
          between(0, 1e8));
    }
};

/// 1 right, 0 wrong, 255 not known: that of a soft label is what it says more likely.
std::uint8_t step_right(float label) {
    if (std::isnan(label) || label == 0.5F) return 255;
    return label > 0.5F ? 1 : 0;
}

/// What the labels of a format say about a state.
std::string label_kind(const ReadRules& rules) {
    if (rules.format == Format::math_shepherd || rules.format == Format::rlhflow) return "reachable";
    return rules.format == Format::processbench || rules.after_error == AfterError::wrong ? "no_error_so_far" : "local";
}

/// Solutions by problem: those of one problem text belong together, in the order of their first rows.
std::vector<std::vector<std::size_t>> by_problem(const std::vector<LabelledSolution>& solutions) {
    std::vector<std::vector<std::size_t>> problems;
    std::unordered_map<std::string_view, std::size_t> row;
    for (std::size_t i = 0; i < solutions.size(); ++i) {
        const auto [at, is_new] = row.try_emplace(solutions[i].problem, problems.size());
        if (is_new) problems.emplace_back();
        problems[at->second].push_back(i);
    }
    return problems;
}

/// A table under construction: trajectories with the labels of their states.
struct Imported {
    rollout::Trajectories data;
    rollout::StateLabels labels;

    void append(const store::FileReader& part) {
        const auto extend = [](auto& to, const auto& more) { to.insert(to.end(), more.begin(), more.end()); };
        data.append(rollout::Trajectories::read(part));
        extend(labels.truth, part.read<float>("label/truth"));
        extend(labels.step_right, part.read<std::uint8_t>("label/right"));
        extend(labels.outcome_known, part.read<std::uint8_t>("label/outcome_known"));
    }
    void write(store::FileWriter& part) const {
        data.write(part);
        part.write("label/truth", labels.truth);
        part.write("label/right", labels.step_right);
        part.write("label/outcome_known", labels.outcome_known);
    }
};

class ImportStage final : public Stage {
public:
    explicit ImportStage(ImportOptions options) : options_(std::move(options)) {}

    /// The files count by what they hold, not by where they lie.
    [[nodiscard]] std::string identity() const override {
        std::string text = tdrm::identity(options_);
        if (!text.empty() && text.back() != '\n') text += "\n";
        text += "content:";
        for (const std::string& file : options_.file) text += cat("\n  - ", hash_file(file));
        return text + "\n";
    }

    void check(const task::Task&, const std::string& path, Problems& problems) const override {
        for (const std::string& file : options_.file)
            if (!std::filesystem::is_regular_file(file))
                problems.push_back(
                    {"", path + ".file", cat(file, " isn't there (it holds the solutions). Check the path."), true});
    }

    StageOutcome run(StageContext& context) override {
        ReadResult read;
        std::vector<std::vector<std::size_t>> problems;
        if (!map_is_done(context, context.directory)) {
            context.ranks.agree("reading " + options_.file.front(), [&] {
                read = read_solutions({options_.file.begin(), options_.file.end()}, options_);
                problems = by_problem(read.solutions);
            });
            MapWork work;
            work.label = context.node.name;
            work.units = static_cast<std::int64_t>(problems.size());
            work.block = block_size(work.units, kBlockProblems);
            work.directory = context.directory;
            work.work = [&](std::int64_t begin, std::int64_t end, store::FileWriter& part) {
                Imported imported;
                for (std::int64_t p = begin; p < end; ++p)
                    add_problem(context.task, read.solutions, problems[static_cast<std::size_t>(p)], p, imported);
                imported.write(part);
            };
            work.merge = [&](const auto& parts) { merge(context, read, parts); };
            warn_if_idle(context, (work.units + work.block - 1) / work.block);
            run_map(context, work);
        }
        const auto text = context.ranks.agree("reading counts", [&] {
            const store::FileReader file(context.directory / "trajectories.h5");
            return file.attribute<std::string>("/", "counts");
        });
        const auto counts = parse_json(text, (context.directory / "trajectories.h5").string());
        if (context.ranks.root())
            write_results(context.directory,
                          {{"kind", "import"}, {"format", word_of(options_.format)}, {"counts", counts}});
        return {0, -1, counts};
    }

    [[nodiscard]] std::string plan(const task::Task&) const override {
        return cat("solutions of ",
                   options_.file.size() == 1 ? options_.file.front() : cat(options_.file.size(), " files"), " as ",
                   word_of(options_.format));
    }

private:
    /// Adds a problem with those of its solutions that fit; nothing at all if none does.
    void add_problem(const task::Task& task, const std::vector<LabelledSolution>& solutions,
                     const std::vector<std::size_t>& rows, std::int64_t index, Imported& imported) const {
        const LabelledSolution& first = solutions[rows.front()];
        const auto prompt = task.question_ids(first.problem);
        bool added = false;
        for (std::size_t sample = 0; sample < rows.size(); ++sample) {
            const LabelledSolution& solution = solutions[rows[sample]];
            auto encoded = solution_ids(task, solution.steps, options_.separator, solution.complete);
            if (!usable(prompt, encoded)) continue;
            if (!added) imported.data.add_problem(index, {hash64(first.problem) >> 1, prompt, first.answer});
            added = true;
            rollout::Trajectory t;
            t.sample = static_cast<std::int32_t>(sample);
            t.step_ends = encoded.step_ends;
            t.ids = std::move(encoded.ids);
            // Who says how the answer ends: a solution whose outcome isn't known counts as cut.
            if (solution.complete) t.ids.push_back(task.end_token());
            t.finish = solution.outcome ? task::Finish::stop : task::Finish::length;
            t.logprob.assign(t.ids.size(), kUnknown);
            t.outcome = solution.outcome.value_or(0.0F);
            t.verdict = {*t.outcome > 0.5F, "",
                         !solution.outcome   ? task::Reason::no_answer
                         : *t.outcome > 0.5F ? task::Reason::correct
                                             : task::Reason::wrong_answer};
            imported.data.add(t);
            imported.labels.outcome_known.push_back(solution.outcome ? 1 : 0);
            imported.labels.truth.push_back(kUnknown);  // s_0: nobody labels a question
            for (const float label : solution.label) {
                imported.labels.truth.push_back(label);
                imported.labels.step_right.push_back(step_right(label));
            }
        }
    }

    /// Each step has a token, and all of it isn't too long.
    [[nodiscard]] bool usable(const task::Tokens& prompt, const SolutionIds& encoded) const {
        std::int32_t before = 0;
        for (const std::int32_t end : encoded.step_ends) {
            if (end <= before) return false;
            before = end;
        }
        return options_.max_tokens == 0 ||
               static_cast<std::int64_t>(prompt.size() + encoded.ids.size()) <= options_.max_tokens;
    }

    void merge(StageContext& context, const ReadResult& read, const std::vector<std::filesystem::path>& parts) const {
        Imported all;
        for (const auto& part : parts) all.append(store::FileReader(part));
        all.labels.kind = label_kind(options_);
        all.labels.source = word_of(options_.format);
        auto counts = read.counts;
        counts["kept problems"] = static_cast<std::int64_t>(all.data.num_problems());
        counts["kept solutions"] = static_cast<std::int64_t>(all.data.size());
        counts["kept tokens"] = static_cast<std::int64_t>(all.data.token.size());
        if (const auto lost = static_cast<std::int64_t>(read.solutions.size() - all.data.size()); lost > 0)
            counts["dropped: longer than max_tokens, or a step without tokens"] = lost;
        if (all.data.size() == 0)
            throw DataError(cat("all ", read.solutions.size(),
                                " solutions are longer than max_tokens (there is nothing to train on). Raise it."));
        auto attributes = rollout::task_attributes(context.task);
        attributes.emplace_back("format", std::string(word_of(options_.format)));
        attributes.emplace_back("counts", nlohmann::json(counts).dump());
        rollout::write_answers(context.directory, context.task, all.data, all.labels, attributes);
    }

    ImportOptions options_;
};

}  // namespace

StageKind import_kind() {
    return kind_of<ImportOptions, ImportStage>("solutions with labelled steps from published files", kAnswers, {});
}

}  // namespace tdrm::stage
