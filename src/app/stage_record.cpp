#include "stage_record.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/store/directory.hpp"

namespace tdrm::app {
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
    json record{{"schema", 1},  {"kind", kind},          {"identity", identity},      {"identity_text", identity_text},
                {"done", done}, {"updates", outcome.updates}, {"best", outcome.best}, {"results", outcome.results}};
    record["hash"] = hash_hex(record.dump());
    store::write_text_atomic(directory / "stage.json", record.dump(1) + "\n");
}

std::optional<StageRecord> StageRecord::read(const fs::path& directory) {
    if (!holds_something(directory)) return std::nullopt;
    const fs::path path = directory / "stage.json";
    const auto record = whole_record(path);
    if (!record)
        throw DataError(cat(path.string(), fs::exists(path) ? " is damaged" : " is missing",
                            " (so nobody knows which options the files beside it belong to). Make the stage again with --redo ",
                            directory.filename().string(), "."));
    return StageRecord{record->at("kind"),
                       record->at("identity"),
                       record->at("identity_text"),
                       record->at("done"),
                       {record->at("updates"), record->at("best"), record->at("results")}};
}

}  // namespace tdrm::app
