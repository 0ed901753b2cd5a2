#include "tdrm/train/update_log.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/json_rows.hpp"
#include "tdrm/store/directory.hpp"

namespace tdrm::train {
namespace {

constexpr const char* kMetrics = "metrics.jsonl";
constexpr const char* kTiming = "timing.jsonl";

/// The first bytes of a file, fewer if it is shorter.
std::string head(const std::filesystem::path& path, std::int64_t bytes) {
    if (!is_there(path)) return {};
    const RegularFile file(path, "it holds the figures of the updates");
    std::string text(std::min(static_cast<std::uint64_t>(bytes), file.size()), '\0');
    text.resize(file.read_at(0, std::as_writable_bytes(std::span(text))));
    return text;
}

/// Whole lines of updates up to `update`.
std::string kept_lines(const std::filesystem::path& path, std::int64_t update) {
    std::string kept;
    if (!is_there(path)) return kept;
    rows::for_each_line(path, [&](std::string_view line, bool) {
        const auto parsed = parse_json_or_discard(line);
        if (!parsed.is_object() || !parsed.contains("update") || !parsed["update"].is_number_integer()) return;
        if (parsed["update"].get<std::int64_t>() <= update) kept.append(line) += "\n";
    });
    return kept;
}

void open(std::ofstream& stream, const std::filesystem::path& path) {
    stream.open(path, std::ios::app);
    if (!stream)
        throw IoError(cat("can't write ", path.string(), " (the figures of the updates go there). Check its folder."));
}

}  // namespace

std::string log_damage(const std::filesystem::path& directory, const LogMark& mark) {
    const std::string text = head(directory / kMetrics, mark.bytes);
    if (static_cast<std::int64_t>(text.size()) < mark.bytes)
        return cat(kMetrics, " is truncated (", text.size(), " of ", mark.bytes, " bytes)");
    return hash_hex(text) == mark.hash ? ""
                                       : cat(kMetrics, " is damaged (its lines up to this commit have another hash)");
}

void UpdateLog::cut(std::int64_t update, const LogMark& mark) {
    if (!writes_) return;
    const std::string metrics = head(directory_ / kMetrics, mark.bytes);
    store::write_text_atomic(directory_ / kMetrics, metrics);
    store::write_text_atomic(directory_ / kTiming, kept_lines(directory_ / kTiming, update));
    open(metrics_, directory_ / kMetrics);
    open(timing_, directory_ / kTiming);
    bytes_ = static_cast<std::int64_t>(metrics.size());
    hasher_ = Hasher();
    hasher_.update(metrics);
}

void UpdateLog::metrics(std::int64_t update, const Metrics& figures) {
    const std::string line = write(metrics_, update, figures);
    bytes_ += static_cast<std::int64_t>(line.size());
    hasher_.update(line);
}

LogMark UpdateLog::flush() {
    if (!writes_) return {};
    metrics_.flush();
    timing_.flush();
    if (!metrics_ || !timing_)
        throw IoError(cat("writing the logs in ", directory_.string(),
                          " failed (is the disk full?). Free some space and start again."));
    for (const char* name : {kMetrics, kTiming}) store::sync(directory_ / name);
    return {bytes_, hasher_.hex()};
}

std::string UpdateLog::write(std::ofstream& file, std::int64_t update, const Metrics& figures) {
    if (!writes_) return {};
    std::string line = cat("{\"update\": ", update);
    for (const auto& [name, value] : figures.entries()) {
        char number[32] = "null";
        if (std::isfinite(value)) std::snprintf(number, sizeof number, "%.9g", value);
        line += cat(", \"", name, "\": ", number);
    }
    line += "}\n";
    file << line;
    return line;
}

}  // namespace tdrm::train
