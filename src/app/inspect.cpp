#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::app {
namespace {

namespace fs = std::filesystem;

double megabytes(const fs::path& directory) {
    double bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(directory))
        if (entry.is_regular_file()) bytes += static_cast<double>(entry.file_size());
    return bytes / 1e6;
}

/// Problems of all manifests in a stage.
std::vector<std::string> damage(const fs::path& stage) {
    std::vector<std::string> problems;
    for (const auto& entry : fs::recursive_directory_iterator(stage)) {
        if (entry.path().filename() != "manifest.json") continue;
        for (const std::string& problem : store::verify(entry.path().parent_path()))
            problems.push_back(entry.path().parent_path().string() + ": " + problem);
    }
    return problems;
}

}  // namespace

int inspect(const std::string& directory) {
    if (!fs::exists(fs::path(directory) / "config.yaml"))
        throw ConfigError(cat(directory, " is no run folder (it has no config.yaml). Name the folder given as run.dir."));
    std::printf("%-30s %-10s %-9s %8s %6s %9s\n", "stage", "kind", "state", "updates", "best", "MB");
    std::vector<fs::path> stages;
    for (const auto& entry : fs::directory_iterator(directory))
        if (fs::exists(entry.path() / "stage.json")) stages.push_back(entry.path());
    std::sort(stages.begin(), stages.end());
    std::vector<std::string> problems;
    for (const auto& stage : stages) {
        std::ifstream file(stage / "stage.json");
        const auto j = nlohmann::json::parse(file, nullptr, false);
        if (j.is_discarded()) {
            problems.push_back((stage / "stage.json").string() + " can't be read");
            continue;
        }
        const auto updates = j.value("updates", std::int64_t{0});
        const auto best = j.value("best", std::int64_t{-1});
        std::printf("%-30s %-10s %-9s %8s %6s %9.1f\n", stage.filename().c_str(), j.value("kind", "?").c_str(), j.value("done", false) ? "done" : "unfinished",
                    updates > 0 ? std::to_string(updates).c_str() : "-", best >= 0 ? std::to_string(best).c_str() : "-", megabytes(stage));
        if (!j.value("results", nlohmann::json::object()).empty()) std::printf("    %s\n", j["results"].dump().c_str());
        for (auto& problem : damage(stage)) problems.push_back(std::move(problem));
    }
    std::ifstream history(fs::path(directory) / "history.jsonl");
    int resumed = 0;
    for (std::string line; std::getline(history, line);) {
        const auto j = nlohmann::json::parse(line, nullptr, false);
        resumed += j.is_object() && j.value("event", "") == "resumed" ? 1 : 0;
    }
    std::printf("\n%zu stages, resumed %d times; %s\n", stages.size(), resumed, problems.empty() ? "every manifest verifies" : "DAMAGED:");
    for (const std::string& problem : problems) std::printf("  %s\n", problem.c_str());
    return problems.empty() ? 0 : static_cast<int>(ExitCode::data);
}

}  // namespace tdrm::app
