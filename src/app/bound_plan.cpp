#include "bound_plan.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/resident.hpp"
#include "tdrm/base/spelling.hpp"
#include "tdrm/base/words.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/task_options.hpp"

namespace tdrm::app {
namespace {

/// What --dry-run prints.
class PlanPage {
public:
    PlanPage(const BoundPlan& bound, train::SumMode sum, int ranks, double memory_gb)
        : bound_(bound), sum_(sum), ranks_(ranks), memory_gb_(memory_gb) {
        for (const ConfigProblem& each : bound.absent) absent_.insert(each.text());
    }

    /// A few lines a stage. @throws ConfigError if one of them needs more memory than there is, or something isn't
    /// there
    void print() {
        const int tokens = bound_.task->vocab_size();
        std::printf("run folder   %s\ntask         %s, %s\nranks        %d, sums %s\n\n", bound_.run.dir.c_str(),
                    std::string(bound_.task->kind()).c_str(),
                    tokens > 0 ? cat("vocabulary of ", tokens, " tokens").c_str() : "by bounds and sizes alone", ranks_,
                    std::string(word_of(sum_)).c_str());
        for (std::size_t i = 0; i < bound_.plan.stages.size(); ++i) print_stage(i);
        std::printf(
            "\nMemory of a rank is an estimate: models, sums, activations and caches, without the tables of answers\n"
            "and the pages of the program's files, which the system takes back when memory is short.\n");
        std::fflush(stdout);  // before the message
        std::string problems = too_big_.empty() ? "" : too_big();
        if (!absent_.empty())
            problems += cat(problems.empty() ? "" : "\n", "a run can't start yet, since this isn't there:\n  ",
                            join(std::vector(absent_.begin(), absent_.end()), "\n  "));
        if (!problems.empty()) throw ConfigError(problems);
    }

private:
    void print_stage(std::size_t index) {
        const plan::StageNode& node = bound_.plan.stages[index];
        const auto memory = bound_.stages[index]->memory(
            {*bound_.task, sum_, ranks_, [&](std::string_view key) { return planned_model(node, key); }});
        std::string need = "memory unknown until its model is read";
        if (memory) {
            const double bytes = program_ + memory->total();
            need = cat(stage::bytes_text(bytes), " a rank");
            if (!memory->empty())
                need += cat(", most of it for ", memory->largest().what, " (",
                            stage::bytes_text(memory->largest().bytes), ")");
            const bool fits = bytes <= memory_gb_ * 1e9;
            if (memory_gb_ > 0 && !fits && node.selected) too_big_.push_back({node.name, need, bytes});
            if (memory_gb_ > 0) need += cat(fits ? ": fits into " : ": doesn't fit into ", memory_gb_, " GB");
        }
        std::printf("%-28s %-10s seed %-4lld %s%s\n%-28s %s\n", node.name.c_str(), node.kind.c_str(),
                    static_cast<long long>(node.seed), bound_.stages[index]->plan(*bound_.task).c_str(), state_of(node),
                    "", need.c_str());
    }

    /// What the run's folder has of a stage already.
    [[nodiscard]] const char* state_of(const plan::StageNode& node) const {
        if (!node.selected) return "  (not selected)";
        const auto record = stage::StageRecord::read(std::filesystem::path(bound_.run.dir) / node.name);
        if (!record) return "";
        if (node.redo) return "  (is there, will be made again)";
        return record->done ? "  (is finished)" : "  (is begun)";
    }

    /// Sizes of the model behind a reference; nothing if only another run or a file knows them.
    std::optional<model::ModelSpec> planned_model(const plan::StageNode& node, std::string_view key) {
        for (const plan::Reference& reference : node.inputs) {
            if (reference.key != key) continue;
            if (reference.source == plan::Reference::Source::hugging_face) return planned_folder(reference);
            if (reference.stage < 0) continue;
            const auto index = static_cast<std::size_t>(reference.stage);
            const plan::StageNode& other = bound_.plan.stages[index];
            return bound_.stages[index]->makes(
                {*bound_.task, sum_, ranks_, [&](std::string_view inner) { return planned_model(other, inner); }});
        }
        return std::nullopt;
    }

    std::optional<model::ModelSpec> planned_folder(const plan::Reference& reference) {
        const model::PlannedModel model(reference.path);
        if (!model.absent.empty()) absent_.insert(cat(reference.text(), ": ", model.absent));
        return model.spec;
    }

    [[nodiscard]] std::string too_big() const {
        const auto most = std::ranges::max_element(too_big_, {}, &TooBig::bytes);
        std::vector<std::string> others;
        for (const TooBig& each : too_big_)
            if (each.stage != most->stage) others.push_back(each.stage);
        return cat("more than ", memory_gb_, " GB a rank is needed (the job would be killed). ", most->stage, ": ",
                   most->need, ". ", others.empty() ? "" : cat("Too big are also ", join(others), ". "),
                   "Lower unit_tokens or slots, use a smaller model, or start fewer ranks a node.");
    }

    struct TooBig {
        std::string stage, need;
        double bytes;
    };
    const BoundPlan& bound_;
    train::SumMode sum_;
    int ranks_;
    double memory_gb_;  ///< of a rank; 0 = any amount is fine
    const double program_ = resident_memory().now;
    std::vector<TooBig> too_big_;
    std::set<std::string> absent_;
};

std::string leaves_text(unsigned leaves) {
    std::vector<std::string> words;
    const auto name = [&](stage::Leaves flag, const char* word) {
        if ((leaves & flag) != 0) words.emplace_back(word);
    };
    name(stage::kPolicy, "a policy");
    name(stage::kValues, "a value model");
    name(stage::kAnswers, "answers");
    name(stage::kFeatures, "features");
    return words.empty() ? "results" : join(words, " or ");
}

/// The kind of stage behind a reference, "" if it can't be known yet.
std::string kind_behind(const plan::Plan& plan, const plan::Reference& reference) {
    if (reference.stage >= 0) return plan.stages[static_cast<std::size_t>(reference.stage)].kind;
    if (reference.source != plan::Reference::Source::run) return "";
    const auto record = stage::StageRecord::read(std::filesystem::path(reference.path) / reference.name);
    return record ? record->kind : "";
}

/// What a stage reads must be what its options take.
void check_references(const plan::Plan& plan, const plan::StageNode& node, Problems& problems) {
    const auto kind = stage::stage_kinds().find(node.kind);
    if (kind == stage::stage_kinds().end()) return;
    for (const auto& [key, takes] : kind->second.references)
        for (const plan::Reference& reference : node.inputs_of(key.substr(0, key.find('[')))) {
            const auto other = stage::stage_kinds().find(kind_behind(plan, reference));
            if (other == stage::stage_kinds().end() || (takes & other->second.leaves) != 0) continue;
            problems.push_back({"", "stages." + node.name + "." + reference.key,
                                cat(reference.text(), " is a stage of kind ", other->first, ", which leaves ",
                                    leaves_text(other->second.leaves), ", but this takes ", leaves_text(takes),
                                    ". Name another stage.")});
        }
}

/// Models and runs from elsewhere that a start needs must be there before it works for hours.
void check_places(const plan::StageNode& node, Problems& problems) {
    using enum plan::Reference::Source;
    for (const plan::Reference& reference : node.inputs) {
        if (!node.selected || (reference.source != hugging_face && reference.source != run)) continue;
        const auto folder = reference.source == run ? std::filesystem::path(reference.path) / reference.name
                                                    : std::filesystem::path(reference.path);
        if (!std::filesystem::is_directory(folder))
            problems.push_back({"", "stages." + node.name + "." + reference.key,
                                cat(reference.text(), ": there is no folder ", folder.string(),
                                    " (the stage reads it). Check the path.")});
    }
}

}  // namespace

BoundPlan bind(const plan::PlanRequest& request, bool dry_run) {
    plan::StageKinds references;
    for (const auto& [name, kind] : stage::stage_kinds()) {
        auto& keys = references[name];
        for (const auto& reference : kind.references) keys.push_back(reference.key);
    }
    BoundPlan bound;
    Problems problems;
    bound.plan = plan::load_plan(request, references, problems);
    if (bound.plan.run.entries.empty() && bound.plan.task.entries.empty() && bound.plan.stages.empty())
        throw_if_any(problems, request.file);  // nothing was read, so nothing else is known to be missing
    parse(bound.plan.run, bound.run, problems, "run");
    const auto make_task = dry_run ? stage::plan_task : stage::make_task;
    bound.task = make_task(bound.plan.task, static_cast<std::uint64_t>(bound.run.seed), problems);
    for (const plan::StageNode& node : bound.plan.stages) {
        const auto kind = stage::stage_kinds().find(node.kind);
        if (kind == stage::stage_kinds().end()) {  // load_plan has said so
            bound.stages.push_back(nullptr);
            continue;
        }
        const std::string path = "stages." + node.name;
        const auto before = problems.size();
        bound.stages.push_back(kind->second.make(node.options, path, problems));
        if (bound.task && problems.size() == before) bound.stages.back()->check(*bound.task, path, problems);
    }
    for (const plan::StageNode& node : bound.plan.stages) {
        check_references(bound.plan, node, problems);
        if (!dry_run) check_places(node, problems);
    }
    if (dry_run) {
        const auto absent =
            std::stable_partition(problems.begin(), problems.end(), [](const auto& each) { return !each.absent; });
        bound.absent.assign(absent, problems.end());
        problems.erase(absent, problems.end());
    }
    throw_if_any(problems, request.file);
    return bound;
}

void print_plan(const BoundPlan& bound, train::SumMode sum, int ranks, double memory_gb) {
    PlanPage(bound, sum, ranks, memory_gb).print();
}

}  // namespace tdrm::app
