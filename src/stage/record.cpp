#include "tdrm/stage/record.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "tdrm/base/errors.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/store/sealed.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::stage {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

/// Whether there is more than what a kill while the folder was made leaves.
bool holds_something(const fs::path& directory) {
    if (!fs::exists(directory)) return false;
    const auto counts = [](const fs::directory_entry& entry) { return entry.path().extension() != ".tmp"; };
    return std::any_of(fs::directory_iterator(directory), fs::directory_iterator(), counts);
}

nlohmann::json to_json(const std::vector<store::FileEntry>& files) {
    json list = json::array();
    for (const auto& file : files) list.push_back({{"name", file.name}, {"bytes", file.bytes}, {"hash", file.hash}});
    return list;
}

/// @throws json::exception if it is none; a real number beyond 64 bits couldn't be converted
std::int64_t whole(const json& number) { return number.get_ref<const json::number_integer_t&>(); }

std::vector<store::FileEntry> files_of(const json& record) {
    std::vector<store::FileEntry> files;
    for (const json& file : record.value("files", json::array()))
        files.push_back({file.at("name"), whole(file.at("bytes")), file.at("hash")});
    return files;
}

}  // namespace

void StageRecord::write(const fs::path& directory) const {
    json record{{"schema", 1},          {"kind", kind},
                {"identity", identity}, {"identity_text", identity_text},
                {"done", done},         {"updates", outcome.updates},
                {"best", outcome.best}, {"results", outcome.results}};
    if (done) record["files"] = to_json(files);
    store::write_sealed(directory / "stage.json", std::move(record));
}

std::optional<StageRecord> StageRecord::read(const fs::path& directory) {
    if (!holds_something(directory)) return std::nullopt;
    const fs::path path = directory / "stage.json";
    const auto record = store::read_sealed(path);
    if (!record)
        throw DataError(
            cat(path.string(), fs::exists(path) ? " is damaged" : " is missing",
                " (so nobody knows which options the files beside it belong to). Make the stage again with --redo ",
                directory.filename().string(), "."));
    try {
        return StageRecord{record->at("kind"),
                           record->at("identity"),
                           record->at("identity_text"),
                           record->at("done"),
                           {whole(record->at("updates")), whole(record->at("best")), record->at("results")},
                           files_of(*record)};
    } catch (const json::exception&) {
        throw DataError(cat(path.string(),
                            " isn't a record that this program writes (another version did?). Use that "
                            "one, or make the stage again with --redo ",
                            directory.filename().string(), "."));
    }
}

std::vector<store::FileEntry> loose_files(const fs::path& directory) {
    std::vector<fs::path> found;
    std::set<fs::path> covered{directory / "stage.json", directory / "timing.jsonl"};
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        if (!entry.is_regular_file()) continue;
        found.push_back(entry.path());
        if (entry.path().filename() != "manifest.json") continue;
        covered.insert(entry.path());
        for (const auto& file : store::read_manifest(entry.path().parent_path()).files)
            covered.insert(entry.path().parent_path() / file.name);
    }
    std::sort(found.begin(), found.end());
    std::vector<store::FileEntry> files;
    for (const fs::path& path : found) {
        if (covered.contains(path)) continue;
        files.push_back(store::entry_of(path));
        files.back().name = fs::relative(path, directory).string();
    }
    return files;
}

StageRecord StageRecord::read_finished(const std::string& where, const fs::path& directory) {
    const auto record = read(directory);
    if (!record)
        throw ConfigError(
            cat(where, " isn't there (", directory.string(), " has no stage.json). Run that stage first."));
    if (!record->done) throw ConfigError(cat(where, " isn't finished. Run it to its end first."));
    return *record;
}

json metrics_json(const train::Metrics& metrics) {
    json j = json::object();
    for (const auto& [name, value] : metrics.entries()) j[name] = std::isfinite(value) ? json(value) : json();
    return j;
}

std::string figures_text(const json& figures) {
    std::string text;
    const auto add = [&](const std::string& name, const json& figure) {
        char number[32] = "";
        if (figure.is_number_float()) std::snprintf(number, sizeof number, "%.4g", figure.get<double>());
        const std::string word = figure.is_string() ? figure.get<std::string>() : figure.dump();
        text += cat(text.empty() ? "" : ", ", name, " ", *number != 0 ? number : word);
    };
    for (const auto& [name, figure] : figures.items()) {
        if (!figure.is_object()) {
            add(name, figure);
            continue;
        }
        for (const auto& [of, inner] : figure.items())
            if (inner.is_number()) add(cat(name, " of ", of), inner);
    }
    return text;
}

void write_results(const fs::path& directory, const json& results) {
    store::write_text_atomic(directory / "results.json", results.dump(1) + "\n");
}

std::int64_t referenced_update(const std::string& where, const std::string& version, const fs::path& directory,
                               const StageRecord& record) {
    const bool chosen = record.outcome.best >= 0;
    std::int64_t update = record.outcome.updates;
    if (version == "best" || (version.empty() && record.kind == "value" && chosen)) {
        if (!chosen)
            throw ConfigError(
                cat(where,
                    " has no best update (it was trained without evaluation). Give it eval or select, or use @last."));
        update = record.outcome.best;
    } else if (version.starts_with("update-")) {
        const std::string_view digits = std::string_view(version).substr(7);
        const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), update);
        if (fault != std::errc() || end != digits.data() + digits.size())
            throw ConfigError(cat(where, ": \"", version, "\" names no update that there can be. Correct the number."));
    }
    const fs::path commit = directory / train::commit_name(update);
    if (!fs::exists(commit))
        throw ConfigError(cat(where, " isn't there (", commit.string(),
                              " is missing). Commits that stay are the last, the best, and those of commit.at."));
    return update;
}

}  // namespace tdrm::stage
