// `tdrm run`: from a run file to finished stages.
#include <chrono>
#include <ctime>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "machine.hpp"
#include "performance.hpp"
#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/base/progress.hpp"
#include "tdrm/base/resident.hpp"
#include "tdrm/comm/session.hpp"
#include "tdrm/engine/devices.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/stage/task_options.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/store/sealed.hpp"
#include "tdrm/train/state.hpp"

namespace tdrm::app {
namespace {

namespace fs = std::filesystem;

/// The run file, bound and checked as a whole.
struct BoundPlan {
    plan::Plan plan;
    stage::RunOptions run;
    std::unique_ptr<task::Task> task;
    std::vector<std::unique_ptr<stage::Stage>> stages;
};

BoundPlan bind(const plan::PlanRequest& request) {
    plan::StageKinds references;
    for (const auto& [name, kind] : stage::stage_kinds()) references[name] = kind.references;
    BoundPlan bound;
    Problems problems;
    bound.plan = plan::load_plan(request, references, problems);
    if (bound.plan.run.entries.empty() && bound.plan.task.entries.empty() && bound.plan.stages.empty())
        throw_if_any(problems, request.file);  // nothing was read, so nothing else is known to be missing
    parse(bound.plan.run, bound.run, problems, "run");
    bound.task = stage::make_task(bound.plan.task, static_cast<std::uint64_t>(bound.run.seed), problems);
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
    throw_if_any(problems, request.file);
    return bound;
}

class Runner {
public:
    Runner(comm::Communicator& ranks, comm::Watchdog& watchdog, BoundPlan& bound, std::optional<Seconds> max_time)
        : ranks_(ranks),
          watchdog_(watchdog),
          bound_(bound),
          directory_(bound.run.dir),
          max_time_(max_time),
          performance_(ranks, bound.run.dir) {}

    void run_all() {
        try {
            run_stages();
        } catch (const Error& error) {
            if (error.code() == ExitCode::preempted) say_performance();
            throw;
        }
        say_performance();
    }

private:
    void run_stages() {
        // All at once, what depends on others first: a kill in between leaves no stage beside what it wasn't made from.
        ranks_.agree("removing the stages to redo", [&] {
            for (auto node = bound_.plan.stages.rbegin(); ranks_.root() && node != bound_.plan.stages.rend(); ++node)
                if (node->redo) store::remove_directory(directory_ / node->name);
        });
        for (std::size_t i = 0; i < bound_.plan.stages.size(); ++i) {
            if (!bound_.plan.stages[i].selected) continue;
            if (ranks_.any(comm::stop_requested()))
                ranks_.fail_together(
                    Preempted(cat("stopped ", comm::stop_reason(), " before stage ", bound_.plan.stages[i].name,
                                  ". Start the same command again to go on.")));
            run_stage(i);
        }
    }

    void run_stage(std::size_t index) {
        const plan::StageNode& node = bound_.plan.stages[index];
        stage::Stage& stage = *bound_.stages[index];
        const fs::path directory = directory_ / node.name;
        watchdog_.phase(node.name);
        hash_folders(node);
        stage::StageContext context{
            ranks_, watchdog_, *bound_.task, node, directory, static_cast<std::uint64_t>(node.seed), sum_mode(), {}};
        stage::StageRecord record;
        const bool todo = ranks_.agree("starting stage " + node.name, [&] {
            for (const plan::Reference& reference : node.inputs) context.inputs.push_back(resolve(node, reference));
            std::vector<std::pair<std::string, std::string>> inputs;
            for (const stage::Input& input : context.inputs) inputs.emplace_back(input.key, input.identity);
            if (const std::string device = engine::device_identity(); !device.empty())
                inputs.emplace_back("device", device);
            record.kind = node.kind;
            record.identity_text =
                plan::identity_text(node.kind, stage.identity(), bound_.task->fingerprint(), node.seed, inputs);
            record.identity =
                plan::stage_identity(node.kind, stage.identity(), bound_.task->fingerprint(), node.seed, inputs);
            return begin(node, stage, directory, record);
        });
        if (!ranks_.all(todo)) return;
        const auto start = std::chrono::steady_clock::now();
        record.outcome = measured(stage, context);
        ranks_.agree("finishing stage " + node.name, [&] {
            if (!ranks_.root()) return;
            record.done = true;
            record.files = stage::loose_files(directory);
            record.write(directory);
            const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
            log::info(
                cat(node.name, " done in ", time_text(seconds),
                    ranks_.root() && !record.outcome.results.empty() ? "  " + record.outcome.results.dump() : ""));
            note("finished", node.name, seconds);
        });
    }

    /// Collective. Runs the stage and books its figures, whether it ends or is stopped.
    stage::StageOutcome measured(stage::Stage& stage, stage::StageContext& context) {
        performance_.begin();
        // Not before the first stage that has work: each start gets on by an update at least, however short its time.
        if (max_time_) comm::stop_after(ranks_, std::exchange(max_time_, std::nullopt)->value);
        try {
            auto outcome = stage.run(context);
            performance_.end(context.node.name);
            return outcome;
        } catch (const Error& error) {
            const auto shared = ranks_.shared_failure();  // until the next collective
            if (!shared || shared->code != ExitCode::preempted) throw;
            performance_.end(context.node.name);
            ranks_.fail_together(Preempted(shared->message));
        }
    }

    void say_performance() const {
        if (const std::string text = performance_.text(); !text.empty()) log::info(text);
    }

    /// Whether the stage has work to do. Rank 0 prepares its folder; the others wait in the agree section's end.
    bool begin(const plan::StageNode& node, const stage::Stage& stage, const fs::path& directory,
               const stage::StageRecord& wanted) {
        if (!ranks_.root()) return true;
        const auto found = stage::StageRecord::read(directory);
        if (found && found->identity != wanted.identity) refuse_change(node, *found, wanted);
        const std::int64_t updates = stage.updates(*bound_.task);
        if (found && found->done &&
            (updates == 0 || found->outcome.updates >= updates || found->outcome.updates == 0 ||
             stopped_early(directory, *found))) {
            log::info(cat(node.name, " is finished already"));
            return false;
        }
        fs::create_directories(directory);
        store::remove_leftovers(directory);
        wanted.write(directory);
        note(found ? "resumed" : "started", node.name, 0);
        return true;
    }

    /// Training that ended by patience isn't asked to go on by a larger number of updates.
    static bool stopped_early(const fs::path& directory, const stage::StageRecord& record) {
        const auto commit = directory / train::commit_name(record.outcome.updates);
        return fs::exists(commit) && store::Checkpoint(commit).progress().value("stopped", false);
    }

    [[noreturn]] static void refuse_change(const plan::StageNode& node, const stage::StageRecord& found,
                                           const stage::StageRecord& wanted) {
        std::string differences;
        for (const std::string& key : plan::differing_keys(found.identity_text, wanted.identity_text))
            differences += "\n  " + key;
        throw ConfigError(
            cat("stage ", node.name, " ", found.done ? "is finished" : "was begun",
                " with other options, so its results would be mixed up:", differences,
                "\nGo back to the old options, give the stage another name, or make it again with --redo ", node.name,
                "."));
    }

    stage::Input resolve(const plan::StageNode& node, const plan::Reference& reference) const {
        const std::string where = cat("stage ", node.name, ", ", reference.key, ": ", reference.text());
        if (reference.source == plan::Reference::Source::hugging_face)
            return {reference.key, reference.text(), reference.path, folder_hash_.at(reference.path)};
        if (reference.source == plan::Reference::Source::file) return file_input(where, reference);
        const fs::path directory =
            (reference.source == plan::Reference::Source::run ? fs::path(reference.path) : directory_) / reference.name;
        const stage::StageRecord record = stage::StageRecord::read_finished(where, directory);
        if (!stage::stage_kinds().at(record.kind).trains)
            return {reference.key, reference.text(), directory, record.identity};
        return model_input(where, reference, directory, record);
    }

    static stage::Input file_input(const std::string& where, const plan::Reference& reference) {
        if (!fs::exists(reference.path)) throw ConfigError(cat(where, ": there is no such file. Check the path."));
        return {reference.key, reference.text(), reference.path, hash_file(reference.path)};
    }

    /// A commit of a training stage.
    static stage::Input model_input(const std::string& where, const plan::Reference& reference,
                                    const fs::path& directory, const stage::StageRecord& record) {
        const std::int64_t update = stage::referenced_update(where, reference.version, directory, record);
        return {reference.key, reference.text(), directory / train::commit_name(update),
                cat(record.identity, " update ", update)};
    }

    /// Collective. Content hashes of the Hugging Face folders that a stage reads.
    void hash_folders(const plan::StageNode& node) {
        for (const plan::Reference& reference : node.inputs)
            if (reference.source == plan::Reference::Source::hugging_face && !folder_hash_.contains(reference.path))
                folder_hash_[reference.path] = model::pretrained_hash(ranks_, reference.path);
    }

    [[nodiscard]] train::SumMode sum_mode() const {
        return bound_.run.sum == train::SumMode::fast ? train::SumMode::fast : train::SumMode::exact;
    }

    /// history.jsonl: when and where the run was worked on. Not part of its results.
    void note(const std::string& event, const std::string& stage, double seconds) const {
        std::ofstream file(directory_ / "history.jsonl", std::ios::app);
        file << nlohmann::json{{"event", event},       {"stage", stage},
                               {"seconds", seconds},   {"time", std::time(nullptr)},
                               {"host", host_name()},  {"ranks", ranks_.size()},
                               {"build", build_info()}}
                    .dump()
             << "\n";
    }

    comm::Communicator& ranks_;
    comm::Watchdog& watchdog_;
    BoundPlan& bound_;
    fs::path directory_;
    std::map<std::string, std::string> folder_hash_;  ///< of Hugging Face folders, by path
    std::optional<Seconds> max_time_;                 ///< until it is handed on
    Performance performance_;
};

/// Every rank holds the lock: a rank that outlives a killed start keeps the next one out until it is gone.
std::optional<store::RunLock> lock_run(comm::Communicator& ranks, const fs::path& directory, Seconds patience) {
    std::optional<store::RunLock> lock;
    ranks.agree("locking the run", [&] {
        if (!ranks.root()) return;
        lock.emplace(directory, std::chrono::duration<double>(patience.value), [&](const std::string& holder) {
            log::info(cat("the run is still in use by ", holder, "; waiting up to ", time_text(patience.value),
                          " for it to end"));
        });
        lock->share();
    });
    ranks.agree("sharing the lock", [&] {
        if (!ranks.root()) lock.emplace(store::RunLock::shared(directory));
    });
    return lock;
}

/// Sizes of the model behind a reference; nothing if only another run or a file knows them.
std::optional<model::ModelSpec> planned_model(const BoundPlan& bound, train::SumMode sum, const plan::StageNode& node,
                                              std::string_view key) {
    for (const plan::Reference& reference : node.inputs) {
        if (reference.key != key) continue;
        if (reference.source == plan::Reference::Source::hugging_face) return model::Pretrained(reference.path).spec();
        if (reference.stage < 0) continue;
        const auto index = static_cast<std::size_t>(reference.stage);
        const plan::StageNode& other = bound.plan.stages[index];
        return bound.stages[index]->makes(
            {*bound.task, sum, [&](std::string_view inner) { return planned_model(bound, sum, other, inner); }});
    }
    return std::nullopt;
}

/// Prints a line a stage. @throws ConfigError if one of them needs more than `memory_gb` (0 = any amount is fine)
void print_plan(const BoundPlan& bound, train::SumMode sum, int ranks, double memory_gb) {
    std::printf("run folder   %s\ntask         %s, vocabulary of %d tokens\nranks        %d, sums %s\n\n",
                bound.run.dir.c_str(), std::string(bound.task->kind()).c_str(), bound.task->vocab_size(), ranks,
                sum == train::SumMode::fast ? "fast" : "exact");
    const double program = resident_memory().now;
    std::string too_big;
    for (std::size_t i = 0; i < bound.plan.stages.size(); ++i) {
        const plan::StageNode& node = bound.plan.stages[i];
        const auto memory = bound.stages[i]->memory(
            {*bound.task, sum, [&](std::string_view key) { return planned_model(bound, sum, node, key); }});
        const double bytes = program + (memory ? memory->total() : 0);
        const std::string need = !memory ? "memory unknown until its model is read"
                                 : memory->empty()
                                     ? cat(stage::bytes_text(bytes), " a rank")
                                     : cat(stage::bytes_text(bytes), " a rank, most of it for ", memory->largest().what,
                                           " (", stage::bytes_text(memory->largest().bytes), ")");
        std::printf("%-28s %-10s seed %-4lld %s%s\n%-28s %s\n", node.name.c_str(), node.kind.c_str(),
                    static_cast<long long>(node.seed), bound.stages[i]->plan(*bound.task).c_str(),
                    node.selected ? "" : "  (not selected)", "", need.c_str());
        if (node.selected && memory_gb > 0 && bytes > memory_gb * 1e9)
            too_big += cat(too_big.empty() ? "" : "; ", node.name, ": ", need);
    }
    std::printf(
        "\nMemory of a rank is an estimate: models, sums, activations and caches, without the tables of answers\n"
        "and the pages of the program's files, which the system takes back when memory is short.\n");
    if (!too_big.empty())
        throw ConfigError(cat("more than ", memory_gb, " GB a rank is needed (the job would be killed). ", too_big,
                              ". Lower unit_tokens or slots, use a smaller model, or start fewer ranks a node."));
}

}  // namespace

int run(comm::Communicator& ranks, const RunRequest& request) {
    BoundPlan bound = ranks.agree("reading the run file", [&] { return bind(request.plan); });
    ranks.require_equal("the resolved run file", plan::resolved_text(bound.plan));
    if (bound.run.sum != train::SumMode::fast)
        ranks.require_equal("build and processor (needed for exact sums; see run.sum)", fingerprint());
    ranks.agree("choosing a device", [&] { engine::use_device(bound.run.device); });
    if (ranks.root())
        for (const std::string& note : bound.task->notes()) log::warn(note);
    if (request.dry_run) {
        const auto sum = bound.run.sum == train::SumMode::fast ? train::SumMode::fast : train::SumMode::exact;
        ranks.agree("planning", [&] {
            if (ranks.root())
                print_plan(bound, sum, request.plan_ranks > 0 ? request.plan_ranks : ranks.size(), request.memory_gb);
        });
        return 0;
    }
    if (ranks.root()) log::info(start_header(ranks));
    const fs::path directory = bound.run.dir;
    const std::optional<store::RunLock> lock = lock_run(ranks, directory, bound.run.wait);
    ranks.agree("preparing the run's folder", [&] {
        if (!ranks.root()) return;
        store::remove_leftovers(directory);
        store::write_sealed_text(directory / "config.yaml", plan::resolved_text(bound.plan));
    });
    comm::Watchdog watchdog(ranks, directory / ".ranks",
                            {std::chrono::milliseconds(static_cast<std::int64_t>(bound.run.silence.value * 1000))});
    ranks.watch(&watchdog);
    struct Unwatch {
        comm::Communicator& ranks;
        ~Unwatch() { ranks.watch(nullptr); }
    } unwatch{ranks};
    Runner(ranks, watchdog, bound, request.max_time).run_all();
    if (ranks.root()) log::info("all stages are finished; look at them with: tools/report " + directory.string());
    return 0;
}

}  // namespace tdrm::app
