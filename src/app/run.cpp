// `tdrm run`: from a run file to finished stages.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "bound_plan.hpp"
#include "machine.hpp"
#include "performance.hpp"
#include "stage_place.hpp"
#include "tdrm/app/verbs.hpp"
#include "tdrm/base/clock.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/base/progress.hpp"
#include "tdrm/comm/session.hpp"
#include "tdrm/engine/devices.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/store/sealed.hpp"
#include "tdrm/train/state.hpp"

namespace tdrm::app {
namespace {

namespace fs = std::filesystem;

class Runner {
public:
    Runner(comm::Communicator& ranks, comm::Watchdog& watchdog, BoundPlan& bound, std::optional<Seconds> max_time)
        : ranks_(ranks),
          watchdog_(watchdog),
          bound_(bound),
          directory_(bound.run.dir),
          max_time_(max_time),
          performance_(ranks, bound.run.dir) {}

    /// Refuses options that differ from those of stages which the folder has, before anything is written there.
    void check() {
        for (std::size_t i = 0; i < bound_.plan.stages.size(); ++i) {
            const plan::StageNode& node = bound_.plan.stages[i];
            if (!node.selected || node.redo) continue;
            hash_folders(node);
            ranks_.agree("comparing stage " + node.name + " with its folder", [&] {
                if (!ranks_.root()) return;
                const auto found = stage::StageRecord::read(directory_ / node.name);
                if (!found || is_bare(directory_ / node.name, *found) || !inputs_are_there(node)) return;
                const auto wanted = record_of(i, inputs_of(node));
                if (found->identity != wanted.identity) refuse_change(node, *found, wanted);
            });
        }
    }

    void run_all() {
        try {
            run_stages();
        } catch (const Error& error) {
            if (error.code() == ExitCode::preempted) say_performance();
            throw;
        }
        say_performance();
    }

    /// What an update of a stage was made of.
    std::string replay(const std::string& name, const stage::ReplayRequest& request) {
        for (std::size_t i = 0; i < bound_.plan.stages.size(); ++i) {
            const plan::StageNode& node = bound_.plan.stages[i];
            if (node.name != name) continue;
            hash_folders(node);
            stage::StageContext context{
                ranks_,     watchdog_, *bound_.task, node, directory_ / name, static_cast<std::uint64_t>(node.seed),
                sum_mode(), {}};
            context.inputs = inputs_of(node);
            return bound_.stages[i]->replay(context, request);
        }
        throw ConfigError(cat("the run ", directory_.string(), " has no stage ", name, ". See tdrm inspect ",
                              directory_.string(), "."));
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
            context.inputs = inputs_of(node);
            record = record_of(index, context.inputs);
            return begin(node, stage, directory, record);
        });
        if (!ranks_.all(todo)) return;
        const double start = steady_seconds();
        record.outcome = measured(stage, context);
        ranks_.agree("finishing stage " + node.name, [&] {
            if (!ranks_.root()) return;
            record.done = true;
            record.files = stage::loose_files(directory);
            record.write(directory);
            const double seconds = steady_seconds() - start;
            const std::string figures = stage::figures_text(record.outcome.results);
            log::info(cat(node.name, " done in ", time_text(seconds), figures.empty() ? "" : ": ", figures));
            note("finished", node.name, seconds);
        });
    }

    [[nodiscard]] std::vector<stage::Input> inputs_of(const plan::StageNode& node) const {
        std::vector<stage::Input> inputs;
        for (const plan::Reference& reference : node.inputs) inputs.push_back(resolve(node, reference));
        return inputs;
    }
    /// Whether all stages that it reads are finished; those of a redone one aren't.
    [[nodiscard]] bool inputs_are_there(const plan::StageNode& node) const {
        return std::ranges::all_of(node.inputs, [&](const plan::Reference& reference) {
            if (reference.source != plan::Reference::Source::stage) return true;
            const auto record = stage::StageRecord::read(directory_ / reference.name);
            return record && record->done && !bound_.plan.stages[static_cast<std::size_t>(reference.stage)].redo;
        });
    }

    /// What stage.json says of a stage that is begun.
    [[nodiscard]] stage::StageRecord record_of(std::size_t index, const std::vector<stage::Input>& inputs) const {
        const plan::StageNode& node = bound_.plan.stages[index];
        std::vector<std::pair<std::string, std::string>> identities;
        for (const stage::Input& input : inputs) identities.emplace_back(input.key, input.identity);
        if (const std::string device = engine::device_identity(); !device.empty())
            identities.emplace_back("device", device);
        const std::string options = bound_.stages[index]->identity(), task = bound_.task->fingerprint();
        stage::StageRecord record;
        record.kind = node.kind;
        record.identity_text = plan::identity_text(node.kind, options, task, node.seed, identities);
        record.identity = plan::stage_identity(node.kind, options, task, node.seed, identities);
        return record;
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
        if (found && found->identity != wanted.identity && !is_bare(directory, *found))
            refuse_change(node, *found, wanted);
        const std::int64_t updates = stage.updates(*bound_.task);
        if (found && found->done &&
            (updates == 0 || found->outcome.updates >= updates || found->outcome.updates == 0 ||
             stopped_early(directory, *found))) {
            log::info(cat(node.name, " is finished already"));
            return false;
        }
        store::make_directories(directory);
        store::remove_leftovers(directory);
        wanted.write(directory);
        note(found ? "resumed" : "started", node.name, 0);
        return true;
    }

    /// Whether a stage was begun, but nothing was made: a start that failed at once, whose options may be corrected.
    static bool is_bare(const fs::path& directory, const stage::StageRecord& record) {
        return !record.done && std::ranges::all_of(fs::directory_iterator(directory), [](const auto& entry) {
            return entry.path().filename() == "stage.json";
        });
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

    [[nodiscard]] train::SumMode sum_mode() const { return train::chosen(bound_.run.sum); }

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

/// A folder for signs of life that nobody is to find.
struct Scratch {
    const fs::path path = fs::temp_directory_path() / cat("tdrm-replay-", ::getpid());
    Scratch() = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

}  // namespace

int run(comm::Communicator& ranks, const RunRequest& request) {
    BoundPlan bound = ranks.agree("reading the run file", [&] { return bind(request.plan, request.dry_run); });
    ranks.require_equal("the resolved run file", plan::resolved_text(bound.plan));
    if (bound.run.sum != train::SumMode::fast)
        ranks.require_equal("build and processor (needed for exact sums; see run.sum)", fingerprint());
    ranks.agree("choosing a device", [&] {
        request.dry_run ? engine::plan_device(bound.run.device, bound.run.products)
                        : engine::use_device(bound.run.device, bound.run.products);
    });
    if (bound.run.sum != train::SumMode::fast)
        ranks.require_equal("device (needed for exact sums; see run.sum)", engine::device_identity());
    if (ranks.root())
        for (const std::string& note : bound.task->notes()) log::warn(note);
    if (request.dry_run) {
        const auto sum = train::chosen(bound.run.sum);
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
    });
    comm::Watchdog watchdog(ranks, directory / ".ranks",
                            {std::chrono::milliseconds(static_cast<std::int64_t>(bound.run.silence.value * 1000))});
    ranks.watch(&watchdog);
    struct Unwatch {
        comm::Communicator& ranks;
        ~Unwatch() { ranks.watch(nullptr); }
    } unwatch{ranks};
    Runner runner(ranks, watchdog, bound, request.max_time);
    runner.check();
    ranks.agree("writing the run file", [&] {
        if (ranks.root()) store::write_sealed_text(directory / "config.yaml", plan::resolved_text(bound.plan));
    });
    runner.run_all();
    if (ranks.root()) log::info("all stages are finished; look at them with: tools/report " + directory.string());
    return 0;
}

int replay(comm::Communicator& ranks, const ReplayRequest& request) {
    if (ranks.size() > 1)
        throw ConfigError(
            "an update is computed again by one rank (any number gives the same). Start tdrm without mpirun.");
    const StagePlace place = StagePlace::parse(request.place);
    const fs::path file = place.run / "config.yaml";
    if (!fs::exists(file))
        throw ConfigError(cat(place.run.string(), " is no run folder (it has no config.yaml). Write RUN/STAGE."));
    plan::PlanRequest plan;
    plan.file = file.string();
    plan.set = {cat("run.dir=", place.run.string())};
    BoundPlan bound = bind(plan, false);
    engine::use_device(bound.run.device, bound.run.products);
    const Scratch scratch;
    comm::Watchdog watchdog(ranks, scratch.path, {std::chrono::hours(24)});
    const std::string page = Runner(ranks, watchdog, bound, std::nullopt).replay(place.stage, request.what);
    const bool written = std::fwrite(page.data(), 1, page.size(), stdout) == page.size() && std::fflush(stdout) == 0;
    return written ? 0 : static_cast<int>(ExitCode::io);
}

}  // namespace tdrm::app
