#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "performance.hpp"
#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/json_rows.hpp"
#include "tdrm/base/yaml.hpp"
#include "tdrm/stage/record.hpp"
#include "tdrm/store/checkpoint.hpp"
#include "tdrm/store/manifest.hpp"
#include "tdrm/store/sealed.hpp"
#include "tdrm/train/state.hpp"

namespace tdrm::app {
namespace {

namespace fs = std::filesystem;

/// Files of a stage that may be at work: what goes away meanwhile is left out.
std::vector<fs::path> files_below(const fs::path& directory) {
    std::vector<fs::path> files;
    std::error_code gone;
    for (fs::recursive_directory_iterator entry(directory, gone), end; !gone && entry != end; entry.increment(gone))
        if (std::error_code ignored; entry->is_regular_file(ignored)) files.push_back(entry->path());
    return files;
}

/// Commits of a stage that nothing vouches for.
std::vector<fs::path> commits_without_manifest(const fs::path& stage) {
    std::vector<fs::path> found;
    std::error_code gone;
    for (fs::directory_iterator entry(stage, gone), end; !gone && entry != end; entry.increment(gone)) {
        const fs::path& folder = entry->path();
        std::error_code ignored;
        if (folder.filename().string().starts_with("update-") && folder.extension() != ".tmp" &&
            fs::is_directory(folder, ignored) && !fs::is_regular_file(folder / "manifest.json", ignored))
            found.push_back(folder);
    }
    return found;
}

double megabytes(const fs::path& directory) {
    double bytes = 0;
    for (const fs::path& file : files_below(directory)) {
        std::error_code gone;
        const auto size = fs::file_size(file, gone);
        if (!gone) bytes += static_cast<double>(size);
    }
    return bytes / 1e6;
}

void print_stage(const fs::path& stage, const stage::StageRecord& record) {
    const auto number = [](std::int64_t value, bool known) { return known ? std::to_string(value) : "-"; };
    const auto& [updates, best, results] = record.outcome;
    const auto commits = record.done ? std::vector<std::int64_t>() : train::committed_updates(stage);
    const std::int64_t made = commits.empty() ? updates : commits.back();
    std::printf("%-30s %-10s %-9s %8s %6s %9.1f\n", stage.filename().c_str(), record.kind.c_str(),
                record.done ? "done" : "unfinished", number(made, made > 0).c_str(), number(best, best >= 0).c_str(),
                megabytes(stage));
    if (!results.empty()) std::printf("    %s\n", stage::figures_text(results).c_str());
}

/// What is wrong with the metrics of a training stage, as its last commit knows them.
std::string metrics_damage(const fs::path& stage) {
    const auto newest = store::newest_valid_checkpoint(stage);
    return newest.directory ? train::log_damage(stage, train::read_progress(store::Checkpoint(*newest.directory)).log)
                            : "";
}

/// "" if every whole line is a JSON object; a killed start may leave an unfinished last one.
std::string lines_damage(const fs::path& path) {
    std::string problem;
    try {
        if (!is_there(path)) return "";
        rows::for_each_line(path, [&](std::string_view line, bool whole) {
            if (whole && !parse_json_or_discard(line).is_object())
                problem = path.filename().string() + " has a line that is no JSON object";
        });
    } catch (const Error& error) {
        problem = error.what();
    }
    return problem;
}

/// Part files whose bytes don't have the hash in their name are found when the stage goes on; this looks at the rest:
/// problems of all manifests in a stage, of the files that its record knows, and of its logs.
std::vector<std::string> damage(const fs::path& stage, const std::optional<stage::StageRecord>& record,
                                const nlohmann::json& performance) {
    std::vector<std::string> problems;
    const auto note = [&](const fs::path& folder, const std::string& problem) {
        if (!problem.empty() && fs::exists(folder)) problems.push_back(folder.string() + ": " + problem);
    };
    const bool done = record && record->done;
    if (done)
        for (const store::FileEntry& file : record->files) note(stage, store::problem_of(stage, file));
    if (!done || record->files.empty()) note(stage, metrics_damage(stage));
    note(stage, done ? timing_damage(performance, stage) : lines_damage(stage / "timing.jsonl"));
    for (const fs::path& commit : commits_without_manifest(stage)) note(commit, "manifest.json is missing or no file");
    for (const fs::path& file : files_below(stage)) {
        const fs::path folder = file.parent_path();
        if (file.filename() != "manifest.json" || folder.extension() == ".tmp") continue;
        for (const std::string& problem : store::verify(folder)) note(folder, problem);
    }
    return problems;
}

int count_resumed(const fs::path& history) {
    int resumed = 0;
    if (fs::is_regular_file(history))
        rows::for_each_line(history, [&](std::string_view line, bool) {
            const auto j = parse_json_or_discard(line);
            resumed += j.is_object() && j.contains("event") && j["event"] == "resumed" ? 1 : 0;
        });
    return resumed;
}

/// The stages of the run file that have no folder yet, by name.
std::vector<std::pair<std::string, std::string>> still_to_come(const fs::path& run) {
    std::vector<std::pair<std::string, std::string>> found;
    const auto text = store::read_sealed_text(run / "config.yaml");  // else damage_of_run says so
    const Yaml file = text ? parse_yaml(*text, "config.yaml") : Yaml();
    const Yaml* stages = file.find("stages");
    if (stages == nullptr) return found;
    for (const auto& entry : stages->entries) {
        const Yaml* kind = entry.value.find("do");
        if (!fs::exists(run / entry.key)) found.emplace_back(entry.key, kind != nullptr ? kind->scalar : "?");
    }
    return found;
}

/// What is wrong with the files in the run's own folder.
std::vector<std::string> damage_of_run(const fs::path& run, const nlohmann::json& performance) {
    std::vector<std::string> problems;
    if (!store::read_sealed_text(run / "config.yaml"))
        problems.push_back((run / "config.yaml").string() +
                           " is damaged (its hash doesn't match). Start the run again to write it anew.");
    if (performance.is_null() && fs::exists(run / "performance.json"))
        problems.push_back((run / "performance.json").string() +
                           " is damaged (its hash doesn't match). It holds no results: remove it.");
    if (const std::string problem = lines_damage(run / "history.jsonl"); !problem.empty())
        problems.push_back(run.string() + ": " + problem);
    return problems;
}

}  // namespace

int inspect(const std::string& directory) {
    if (!fs::exists(fs::path(directory) / "config.yaml"))
        throw ConfigError(
            cat(directory, " is no run folder (it has no config.yaml). Name the folder given as run.dir."));
    std::printf("%-30s %-10s %-9s %8s %6s %9s\n", "stage", "kind", "state", "updates", "best", "MB");
    std::vector<fs::path> stages;
    for (const auto& entry : fs::directory_iterator(directory)) {
        const std::string name = entry.path().filename().string();
        const bool other = name.starts_with(".") || name.ends_with(".tmp") || name == "report";
        if (entry.is_directory() && !other && !fs::is_empty(entry.path())) stages.push_back(entry.path());
    }
    std::sort(stages.begin(), stages.end());
    const auto coming = still_to_come(directory);
    const auto performance = read_performance(directory);
    std::vector<std::string> problems = damage_of_run(directory, performance);
    for (const auto& stage : stages) {
        std::optional<stage::StageRecord> record;
        try {
            record = stage::StageRecord::read(stage);
            if (record) print_stage(stage, *record);
        } catch (const Error& error) {
            std::printf("%-30s %-10s %-9s %8s %6s %9.1f\n", stage.filename().c_str(), "?", "DAMAGED", "-", "-",
                        megabytes(stage));
            problems.emplace_back(error.what());
        }
        try {
            for (auto& problem : damage(stage, record, performance)) problems.push_back(std::move(problem));
        } catch (const IoError& error) {
            problems.emplace_back(error.what());
        }
    }
    for (const auto& [name, kind] : coming)
        std::printf("%-30s %-10s %-9s %8s %6s %9s\n", name.c_str(), kind.c_str(), "to come", "-", "-", "-");
    std::printf("\n%zu stages%s, resumed %d times; %s\n", stages.size(),
                coming.empty() ? "" : cat(" and ", coming.size(), " to come").c_str(),
                count_resumed(fs::path(directory) / "history.jsonl"),
                problems.empty() ? "every manifest verifies" : "DAMAGED:");
    for (const std::string& problem : problems) std::printf("  %s\n", problem.c_str());
    if (const std::string text = performance.is_null() ? "" : performance_text(performance); !text.empty())
        std::printf("\n%s\n", text.c_str());
    return problems.empty() ? 0 : static_cast<int>(ExitCode::data);
}

}  // namespace tdrm::app
