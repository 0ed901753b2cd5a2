// Which files hold a stage's answers and what value models say of them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "show.hpp"
#include "stage_place.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/spelling.hpp"
#include "tdrm/base/yaml.hpp"
#include "tdrm/stage/models.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/store/manifest.hpp"
#include "tdrm/store/sealed.hpp"

namespace tdrm::app {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

constexpr std::int64_t kHashBelow = std::int64_t{1} << 26;  ///< bytes that are hashed in a few hundredths of a second

/// A stage's folder with what stage.json says.
struct Folder {
    fs::path path;
    stage::StageRecord record;
    Yaml identity;

    [[nodiscard]] std::string name() const { return path.filename().string(); }
    [[nodiscard]] std::string text(std::string_view key) const {
        const Yaml* found = identity.find_path(key);
        return found != nullptr ? found->scalar : "";
    }
    [[nodiscard]] Names list(std::string_view key) const {
        Names names;
        if (const Yaml* found = identity.find_path(key))
            for (const Yaml& item : found->items) names.push_back(item.scalar);
        return names;
    }
};

std::optional<Folder> open_folder(const fs::path& path) {
    if (!fs::is_directory(path)) return std::nullopt;
    auto record = stage::StageRecord::read(path);
    if (!record) return std::nullopt;
    Yaml identity = parse_yaml(record->identity_text, (path / "stage.json").string());
    return Folder{path, std::move(*record), std::move(identity)};
}

std::string quoted(const std::string& text) { return cat("\"", text, "\""); }

/// Stages of a run with their kinds, in order.
std::vector<std::pair<std::string, std::string>> planned(const fs::path& run) {
    const auto text = store::read_sealed_text(run / "config.yaml");
    if (!text)
        throw DataError(cat((run / "config.yaml").string(),
                            " is damaged (its hash doesn't match). Start the run again to write it anew."));
    const Yaml file = parse_yaml(*text, (run / "config.yaml").string());
    std::vector<std::pair<std::string, std::string>> stages;
    const Yaml* map = file.find("stages");
    for (const auto& [name, options] : map != nullptr ? map->entries : std::vector<Yaml::Entry>{}) {
        const Yaml* kind = options.find("do");
        stages.emplace_back(name, kind != nullptr ? kind->scalar : "");
    }
    return stages;
}

/// Whether stages of a kind hold answers, or values of some.
bool has_answers(const fs::path& run, const std::string& name, const std::string& kind) {
    if (kind == "rl") return fs::exists(run / name / "rollouts");
    constexpr std::array kKinds{"rollout", "import", "annotate", "best_of_n", "score", "search", "evaluate"};
    return std::ranges::count(kKinds, kind) > 0;
}

Names stages_with_answers(const fs::path& run) {
    Names names;
    for (const auto& [name, kind] : planned(run))
        if (has_answers(run, name, kind)) names.push_back(name);
    return names;
}

std::string known_stages(const fs::path& run) {
    const Names names = stages_with_answers(run);
    return names.empty() ? "The run has no stage that keeps answers." : cat("Answers are kept by ", join(names), ".");
}

[[noreturn]] void no_run(const fs::path& run) {
    Names runs;
    const fs::path parent = run.parent_path().empty() ? "." : run.parent_path();
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(parent, ignored))
        if (fs::exists(entry.path() / "config.yaml", ignored)) runs.push_back(entry.path().filename().string());
    std::sort(runs.begin(), runs.end());
    const std::string near = nearest(run.filename().string(), runs);
    throw ConfigError(cat(run.string(), " is no run folder (it has no config.yaml). ",
                          near.empty() ? "Name the folder given as run.dir, and a stage: RUN/STAGE."
                                       : cat("Did you mean ", quoted((run.parent_path() / near).string()), "?")));
}

Folder stage_folder(const StagePlace& place) {
    const fs::path run = place.run.empty() ? "." : place.run;
    if (fs::exists(place.directory() / "config.yaml"))
        throw ConfigError(cat(place.directory().string(),
                              " is a run, not one of its stages (whose answers are to be shown?). Write RUN/STAGE. ",
                              known_stages(place.directory())));
    if (!fs::exists(run / "config.yaml")) no_run(run);
    if (auto folder = open_folder(run / place.stage)) return std::move(*folder);
    Names names;
    for (const auto& [name, kind] : planned(run)) names.push_back(name);
    if (std::ranges::count(names, place.stage) > 0)
        throw ConfigError(cat("stage ", quoted(place.stage), " hasn't begun (it has no answers yet). Run it first."));
    const std::string near = nearest(place.stage, names);
    throw ConfigError(cat(run.string(), " has no stage ", quoted(place.stage), ". ",
                          near.empty() ? known_stages(run) : cat("Did you mean ", quoted(near), "?")));
}

/// What vouches for a file of a stage: the manifest beside it, else stage.json. Nothing if neither names it.
std::optional<store::FileEntry> entry_of(const Folder& folder, const fs::path& file) {
    const bool has_manifest = fs::exists(file.parent_path() / "manifest.json");
    const auto files = has_manifest ? store::read_manifest(file.parent_path()).files : folder.record.files;
    const std::string name = has_manifest ? file.filename().string() : fs::relative(file, folder.path).string();
    const auto found = std::ranges::find(files, name, &store::FileEntry::name);
    return found == files.end() ? std::nullopt : std::optional(*found);
}

/// @throws DataError if a file isn't what was written. One that nobody vouches for can only be of an unfinished stage.
fs::path checked(const Folder& folder, const fs::path& file) {
    const auto entry = entry_of(folder, file);
    if (!entry && !folder.record.done) return file;
    const std::string problem =
        !entry
            ? cat(file.string(), " isn't named by a manifest")
            : store::problem_of(file.parent_path(), {file.filename().string(), entry->bytes, entry->hash}, kHashBelow);
    if (problem.empty()) return file;
    throw DataError(
        cat(folder.path.string(), " is damaged: ", problem, ". Make it again with --redo ", folder.name(), "."));
}

/// Whether a model's numbers are chances of an error, as its stage says.
bool is_of_hazards(const fs::path& run, const std::string& label) {
    if (label.starts_with("hf:")) return false;
    const bool elsewhere = label.starts_with("run:");
    const StagePlace place = StagePlace::parse(elsewhere ? label.substr(4) : label);
    const auto record = stage::StageRecord::read(elsewhere ? place.directory() : run / place.stage);
    return record && stage::is_of_hazards(*record);
}

/// Values that a stage of kind best_of_n or score wrote.
std::vector<ValueSource> written_by(const Folder& folder) {
    std::vector<ValueSource> sources;
    const auto add = [&](const std::string& model, const fs::path& directory) {
        const fs::path run = folder.path.parent_path();
        sources.push_back({model, fs::relative(directory, run).string(), directory / "values.h5",
                           ValueSource::Kind::states, is_of_hazards(run, model)});
    };
    if (folder.record.kind == "score") add(folder.text("options.value"), folder.path);
    for (const std::string& model : folder.list("options.values")) add(model, folder.path / model);
    for (const ValueSource& source : sources) checked(folder, source.file);
    return sources;
}

/// Values that other stages of the run wrote about answers with one of these identities.
std::vector<ValueSource> written_about(const fs::path& run, const Names& identities) {
    std::vector<ValueSource> sources;
    for (const auto& [name, kind] : planned(run)) {
        if (kind != "best_of_n" && kind != "score") continue;
        const auto folder = open_folder(run / name);
        if (!folder || !folder->record.done || std::ranges::count(identities, folder->text("inputs.data")) == 0)
            continue;
        for (ValueSource& source : written_by(*folder)) sources.push_back(std::move(source));
    }
    return sources;
}

/// Answers and labels in a stage's own folder, or in one below it.
Found answers_in(const Folder& folder, const fs::path& directory) {
    Found found;
    found.title = directory.string();
    found.answers = checked(folder, directory / "trajectories.h5");
    if (entry_of(folder, directory / "labels.h5")) found.labels = checked(folder, directory / "labels.h5");
    return found;
}

/// The same with all values that the run has of them.
Found answers_with_values(const Folder& folder, const fs::path& directory) {
    Found found = answers_in(folder, directory);
    if (folder.record.kind == "search")
        found.values.push_back({folder.text("options.value"), folder.name(), checked(folder, directory / "search.h5"),
                                ValueSource::Kind::tree});
    Names identities{folder.record.identity};
    if (const auto entry = entry_of(folder, found.answers)) identities.push_back(entry->hash);  // named as file:
    for (ValueSource& source : written_about(folder.path.parent_path(), identities))
        found.values.push_back(std::move(source));
    return found;
}

/// Answers of another stage that this one has values of.
Found answers_of_data(const Folder& folder) {
    const std::string data = folder.text("options.data"), read = folder.text("inputs.data");
    const auto gone = [&](const std::string& where, const std::string& why) {
        throw DataError(cat(folder.path.string(), " has values of the answers in ", where, ", which ", why,
                            " (paths in run files begin where the run was started). Make it again with --redo ",
                            folder.name(), "."));
    };
    Found found;
    if (data.starts_with("file:")) {
        found.answers = data.substr(5);
        if (!fs::is_regular_file(found.answers)) gone(data, "aren't there");
        const store::FileEntry entry{found.answers.filename().string(),
                                     static_cast<std::int64_t>(fs::file_size(found.answers)), read};
        if (!store::problem_of(found.answers.parent_path(), entry, kHashBelow).empty())
            gone(data, "were changed since");
        return found;
    }
    const bool elsewhere = data.starts_with("run:");
    const StagePlace place = StagePlace::parse(elsewhere ? data.substr(4) : data);
    const fs::path directory = elsewhere ? place.directory() : folder.path.parent_path() / place.stage;
    const auto other = open_folder(directory);
    if (!other) gone(directory.string(), "isn't there");
    if (other->record.identity != read) gone(directory.string(), "was made again since");
    return answers_in(*other, directory);
}

Found of_scoring_stage(const Folder& folder) {
    const bool texts = folder.record.kind == "score" && folder.text("options.data").empty();
    Found found = texts ? answers_in(folder, folder.path) : answers_of_data(folder);
    found.title = folder.path.string();
    if (!texts) found.title += cat(", answers of ", folder.text("options.data"));
    found.values = written_by(folder);
    return found;
}

/// One of the policies that were evaluated.
Found of_evaluation(const Folder& folder, const std::string& wanted) {
    const Names policies = folder.list("options.policies");
    if (policies.empty()) throw DataError(cat(folder.path.string(), " names no policies. Make it again with --redo."));
    const std::string policy = wanted.empty() ? policies.front() : wanted;
    if (std::ranges::count(policies, policy) == 0)
        throw ConfigError(cat("no policy ", quoted(policy), " was evaluated. ", did_you_mean(policy, policies)));
    Found found = answers_with_values(folder, folder.path / policy);
    Names others;
    for (const std::string& each : policies)
        if (each != policy) others.push_back(each);
    if (!others.empty()) found.others = cat("other policies, by --model: ", join(others));
    return found;
}

/// Names of the batches that an rl stage kept, as its record says once it is finished.
Names kept_batches(const Folder& folder) {
    Names updates;
    std::error_code none;
    for (const store::FileEntry& entry : folder.record.files)
        if (entry.name.starts_with("rollouts/")) updates.push_back(fs::path(entry.name).stem().string());
    for (const auto& entry : fs::directory_iterator(folder.path / "rollouts", none))
        if (!folder.record.done && entry.path().extension() == ".h5") updates.push_back(entry.path().stem().string());
    std::sort(updates.begin(), updates.end());
    return updates;
}

/// A kept batch of reinforcement learning, which may be going on.
Found of_batch(const Folder& folder, const std::string& version) {
    const Names updates = kept_batches(folder);
    if (updates.empty())
        throw ConfigError(cat("stage ", quoted(folder.name()),
                              " kept no answers (save_rollouts says which batches stay). Set it, and run the stage "
                              "again with --redo."));
    std::string update = version.empty() || version == "last" ? updates.back() : version;
    if (update.starts_with("update-") && update.size() < 13) update.insert(7, 13 - update.size(), '0');
    if (std::ranges::count(updates, update) == 0)
        throw ConfigError(
            cat("stage ", quoted(folder.name()), " kept no answers of ", update, ". Kept are ", join(updates), "."));
    Found found;
    found.title = cat(folder.path.string(), "@", update, folder.record.done ? "" : " (going on)");
    found.answers = checked(folder, folder.path / "rollouts" / (update + ".h5"));
    if (updates.size() > 1) found.others = cat("kept batches: ", join(updates), "; write STAGE@update-10");
    if (!store::FileReader(found.answers).has("state/value")) return found;
    for (const char* key : {"options.critic.init", "options.advantage.value", "options.reward.value.model"})
        if (const std::string model = folder.text(key); !model.empty()) {
            found.values.push_back({model, folder.name(), found.answers, ValueSource::Kind::states,
                                    is_of_hazards(folder.path.parent_path(), model)});
            break;
        }
    return found;
}

Found located(const Folder& folder, const ShowRequest& request) {
    const std::string version = StagePlace::parse(request.place).version;
    const std::string& kind = folder.record.kind;
    const fs::path run = folder.path.parent_path();
    if (kind != "rl" && !version.empty())
        throw ConfigError(cat("stage ", quoted(folder.name()), " is of kind ", kind,
                              ", whose answers have no versions. Leave @", version, " out."));
    if (kind == "rl") return of_batch(folder, version);
    if (!has_answers(run, folder.name(), kind))
        throw ConfigError(cat("stage ", quoted(folder.name()), " is of kind ", kind, ", which keeps no answers. ",
                              known_stages(run)));
    if (!folder.record.done)
        throw ConfigError(cat("stage ", quoted(folder.name()),
                              " isn't finished (its answers are complete at its end). Run it to its end first."));
    if (kind == "evaluate") return of_evaluation(folder, request.model);
    if (kind == "best_of_n" || kind == "score") return of_scoring_stage(folder);
    return answers_with_values(folder, folder.path);
}

/// The source that is asked for by model or place, the first one if none is.
std::optional<ValueSource> chosen_of(const std::vector<ValueSource>& sources, const std::string& wanted) {
    if (wanted.empty()) return sources.empty() ? std::nullopt : std::optional(sources.front());
    Names names;
    for (const ValueSource& source : sources) {
        if (source.model == wanted || source.place == wanted) return source;
        names.push_back(source.model);
        names.push_back(source.place);
    }
    throw ConfigError(
        cat("there are no values of ", quoted(wanted), " for these answers. ",
            names.empty() ? "A stage of kind score or best_of_n makes some." : did_you_mean(wanted, names)));
}

}  // namespace

Found find_answers(const ShowRequest& request) {
    const Folder folder = stage_folder(StagePlace::parse(request.place));
    Found found = located(folder, request);
    found.chosen = chosen_of(found.values, folder.record.kind == "evaluate" ? "" : request.model);
    return found;
}

}  // namespace tdrm::app
