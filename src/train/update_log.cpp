#include "tdrm/train/update_log.hpp"

#include <nlohmann/json.hpp>

#include <cmath>

#include "tdrm/base/errors.hpp"
#include "tdrm/store/directory.hpp"

namespace tdrm::train {
namespace {

constexpr const char* kFiles[] = {"metrics.jsonl", "timing.jsonl"};

/// Whole lines of updates up to `update`; a torn last line is dropped.
std::string kept_lines(const std::filesystem::path& path, std::int64_t update) {
    std::ifstream file(path);
    std::string kept, line;
    while (std::getline(file, line)) {
        const auto parsed = nlohmann::json::parse(line, nullptr, false);
        if (parsed.is_discarded() || parsed.value("update", std::int64_t{0}) > update) break;
        kept += line + "\n";
    }
    return kept;
}

}  // namespace

void UpdateLog::cut(std::int64_t update) {
    if (!writes_) return;
    std::ofstream* const streams[] = {&metrics_, &timing_};
    for (int i = 0; i < 2; ++i) {
        const auto path = directory_ / kFiles[i];
        store::write_text_atomic(path, kept_lines(path, update));
        streams[i]->open(path, std::ios::app);
        if (!*streams[i]) throw IoError(cat("can't write ", path.string(), " (the figures of the updates go there). Check its folder."));
    }
}

void UpdateLog::flush() {
    if (!writes_) return;
    metrics_.flush();
    timing_.flush();
    if (!metrics_ || !timing_)
        throw IoError(cat("writing the logs in ", directory_.string(), " failed (is the disk full?). Free some space and start again."));
    for (const char* name : kFiles) store::sync(directory_ / name);
}

void UpdateLog::write(std::ofstream& file, std::int64_t update, const Metrics& figures) {
    if (!writes_) return;
    std::string line = cat("{\"update\": ", update);
    for (const auto& [name, value] : figures.entries()) {
        char number[32] = "null";
        if (std::isfinite(value)) std::snprintf(number, sizeof number, "%.9g", value);
        line += cat(", \"", name, "\": ", number);
    }
    file << line << "}\n";
}

}  // namespace tdrm::train
