#include "tdrm/stage/record.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/store/directory.hpp"
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

/// The record without its hash; nothing if it isn't what write() wrote.
std::optional<json> whole_record(const fs::path& path) {
    std::ifstream file(path);
    json record = json::parse(file, nullptr, false);
    if (!record.is_object() || !record.contains("hash")) return std::nullopt;
    const json hash = record["hash"];
    record.erase("hash");
    return hash == json(hash_hex(record.dump())) ? std::optional(record) : std::nullopt;
}

}  // namespace

void StageRecord::write(const fs::path& directory) const {
    json record{{"schema", 1},          {"kind", kind},
                {"identity", identity}, {"identity_text", identity_text},
                {"done", done},         {"updates", outcome.updates},
                {"best", outcome.best}, {"results", outcome.results}};
    record["hash"] = hash_hex(record.dump());
    store::write_text_atomic(directory / "stage.json", record.dump(1) + "\n");
}

std::optional<StageRecord> StageRecord::read(const fs::path& directory) {
    if (!holds_something(directory)) return std::nullopt;
    const fs::path path = directory / "stage.json";
    const auto record = whole_record(path);
    if (!record)
        throw DataError(
            cat(path.string(), fs::exists(path) ? " is damaged" : " is missing",
                " (so nobody knows which options the files beside it belong to). Make the stage again with --redo ",
                directory.filename().string(), "."));
    return StageRecord{record->at("kind"),
                       record->at("identity"),
                       record->at("identity_text"),
                       record->at("done"),
                       {record->at("updates"), record->at("best"), record->at("results")}};
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
        update = std::stoll(version.substr(7));
    }
    const fs::path commit = directory / train::commit_name(update);
    if (!fs::exists(commit))
        throw ConfigError(cat(where, " isn't there (", commit.string(),
                              " is missing). Commits that stay are the last, the best, and those of commit.at."));
    return update;
}

}  // namespace tdrm::stage
