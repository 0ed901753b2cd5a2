#include "performance.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <numeric>
#include <vector>

#include "machine.hpp"
#include "tdrm/base/clock.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/base/progress.hpp"
#include "tdrm/base/resident.hpp"
#include "tdrm/base/words.hpp"
#include "tdrm/engine/self_test.hpp"
#include "tdrm/store/manifest.hpp"
#include "tdrm/store/sealed.hpp"

namespace tdrm::app {
namespace {

using nlohmann::json;

rusage usage() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    return used;
}

/// Of this process, all threads.
double cpu_seconds() {
    const rusage used = usage();
    return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/// What a rank tells of its stage.
struct RankFigures {
    double seconds, cpu_seconds, peak_bytes;
    ledger::Sheet sheet;
};

json spread(const std::vector<double>& of_ranks) {
    const auto [low, high] = std::minmax_element(of_ranks.begin(), of_ranks.end());
    const double sum = std::accumulate(of_ranks.begin(), of_ranks.end(), 0.0);
    return {{"min", *low}, {"avg", sum / static_cast<double>(of_ranks.size())}, {"max", *high}};
}

template <class Get>
std::vector<double> each(const std::vector<RankFigures>& ranks, Get&& get) {
    std::vector<double> values;
    for (const RankFigures& rank : ranks) values.push_back(get(rank));
    return values;
}

template <class Get>
double total(const std::vector<RankFigures>& ranks, Get&& get) {
    const auto values = each(ranks, get);
    return std::accumulate(values.begin(), values.end(), 0.0);
}

/// The entry of a stage in performance.json.
json stage_figures(const std::vector<RankFigures>& ranks, double gemm_rate) {
    double seconds = 0, peak = 0;
    for (const RankFigures& rank : ranks) {
        seconds = std::max(seconds, rank.seconds);
        peak = std::max(peak, rank.peak_bytes);
    }
    json entry{{"seconds", seconds},
               {"ranks", ranks.size()},
               {"cpu_seconds", total(ranks, [](const RankFigures& r) { return r.cpu_seconds; })},
               {"peak_bytes", peak},
               {"gemm_flop_per_s", gemm_rate}};
    for (const auto& [work, name] : enum_names(ledger::Work{}))
        entry["work"][std::string(name)] = total(ranks, [w = work](const RankFigures& r) { return r.sheet[w]; });
    std::vector<double> other(ranks.size(), seconds);
    for (const auto& [section, name] : enum_names(ledger::Section{})) {
        const auto values = each(ranks, [s = section](const RankFigures& r) { return r.sheet[s]; });
        entry["sections"][std::string(name)] = spread(values);
        for (std::size_t r = 0; r < other.size(); ++r) other[r] -= values[r];
    }
    entry["sections"]["other"] = spread(other);
    return entry;
}

/// printf into a text.
template <class... Values>
std::string print(const char* format, Values... values) {
    char text[256];
    std::snprintf(text, sizeof text, format, values...);
    return text;
}

/// 812, 20.1k, 1.43M
std::string short_number(double value) {
    const char* unit = "";
    for (const char* next : {"k", "M", "G", "T"})
        if (value >= 999.5) {
            value /= 1000;
            unit = next;
        }
    return print("%.3g%s", value, unit);
}

/// Sums over the stages in which something was done, for rates of the whole start.
struct Sums {
    double amount = 0, seconds = 0;
    [[nodiscard]] double rate() const { return seconds > 0 ? amount / seconds : 0; }
};

Sums sum_of(const std::vector<json>& stages, ledger::Work work) {
    const auto name = std::string(word_of(work));
    Sums sums;
    for (const json& stage : stages) {
        const double amount = stage.at("work").at(name);
        if (amount <= 0) continue;
        sums.amount += amount;
        sums.seconds += stage.at("seconds").get<double>();
    }
    return sums;
}

std::string rates(const std::vector<json>& stages) {
    using enum ledger::Work;
    std::string text;
    const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
    const Sums done = sum_of(stages, updates);
    if (done.amount > 0) add(print("%.3g updates/s", done.rate()));
    for (const auto& [work, what] : {std::pair{trained, "trained"}, {generated, "generated"}, {scored, "scored"}})
        if (const Sums sums = sum_of(stages, work); sums.amount > 0)
            add(cat(short_number(sums.rate()), " ", what, " tok/s"));
    if (done.amount > 0) add(print("%.3g h per 10k updates", 1e4 / done.rate() / 3600));
    double computed = 0, possible = 0;
    for (const json& stage : stages) {
        const double of_stage = stage.at("work").at("flop");
        if (of_stage <= 0) continue;
        computed += of_stage;
        possible += stage.at("seconds").get<double>() * stage.at("gemm_flop_per_s").get<double>();
    }
    if (possible > 0) text += print("; %.0f %% of the measured GEMM rate", 100 * computed / possible);
    return text;
}

std::string resources(const std::vector<json>& stages, std::int64_t starts) {
    double seconds = 0, available = 0, cpu = 0, peak = 0, commits = 0;
    for (const json& stage : stages) {
        const double of_stage = stage.at("seconds");
        seconds += of_stage;
        available += of_stage * stage.at("ranks").get<double>();
        cpu += stage.at("cpu_seconds").get<double>();
        peak = std::max(peak, stage.at("peak_bytes").get<double>());
        commits += stage.at("sections").at("commit").at("max").get<double>();
    }
    const int ranks = stages.back().at("ranks");
    return cat(ranks, ranks == 1 ? " rank" : " ranks", " x 1 thread, ", print("%.0f", 100 * cpu / available),
               " % CPU use, peak ", print("%.0f", peak / 1e6), " MB/rank, ", starts, starts == 1 ? " start" : " starts",
               ", ", print("%.1f", 100 * commits / seconds), " % of the time in commits");
}

/// A table of sections; those that took less than a thousandth of the time are left out.
std::string table(const std::string& name, const json& stage) {
    const double seconds = stage.at("seconds");
    const std::string done = rates({stage});
    std::string text = cat("\n", name, ": ", time_text(seconds), done.empty() ? "" : ", ", done,
                           "\n  section        min s      avg s      max s  imbalance   share");
    std::vector<std::string> names;
    for (const auto& [section, known] : enum_names(ledger::Section{})) names.emplace_back(known);
    names.emplace_back("other");
    for (const std::string& section : names) {
        const json& figures = stage.at("sections").at(section);
        const double average = figures.at("avg"), highest = figures.at("max");
        if (average < seconds / 1000) continue;
        text +=
            print("\n  %-9s %10.3f %10.3f %10.3f %8.1f %% %5.1f %%", section.c_str(), figures.at("min").get<double>(),
                  average, highest, 100 * (highest / average - 1), 100 * average / seconds);
    }
    return text;
}

}  // namespace

Performance::Performance(comm::Communicator& ranks, std::filesystem::path run) : ranks_(ranks), run_(std::move(run)) {}

void Performance::begin() {
    if (gemm_rate_ == 0) {
        ranks_.barrier();  // so that all measure at once
        gemm_rate_ = ranks_.sum(engine::product_rate());
        ranks_.agree("writing performance.json", [&] {
            if (!ranks_.root()) return;
            const auto path = run_ / "performance.json";
            content_ = read_performance(run_);
            if (content_.is_null() && std::filesystem::exists(path))
                log::warn(cat(path.string(), " is damaged, so figures of earlier starts are gone (results aren't)."));
            if (content_.is_null()) content_ = {{"schema", 1}, {"starts", 0}, {"stages", json::object()}};
            content_["starts"] = content_["starts"].get<std::int64_t>() + 1;
            content_["newest"] = json::array();
            content_["host"] = host_name();
            content_["time"] = std::time(nullptr);
            store::write_sealed(path, content_);
        });
    }
    wall_ = steady_seconds();
    cpu_ = cpu_seconds();
    (void)ledger::close();
}

void Performance::end(const std::string& stage) {
    const RankFigures mine{steady_seconds() - wall_, cpu_seconds() - cpu_, resident_memory().peak, ledger::close()};
    const auto all = ranks_.all_gather_value(mine);
    ranks_.agree("writing performance.json", [&] {
        if (!ranks_.root()) return;
        json entry = stage_figures(all, gemm_rate_);
        if (const auto timing = run_ / stage / "timing.jsonl"; std::filesystem::exists(timing))
            entry["timing_hash"] = hash_file(timing);
        content_["stages"][stage] = std::move(entry);
        content_["newest"].push_back(stage);
        store::write_sealed(run_ / "performance.json", content_);
    });
}

std::string Performance::text() const { return content_.is_null() ? "" : performance_text(content_); }

std::string performance_text(const json& content) {
    std::vector<json> stages;
    std::string tables;
    for (const std::string name : content.at("newest")) {
        stages.push_back(content.at("stages").at(name));
        tables += table(name, stages.back());
    }
    if (stages.empty()) return "";
    const std::string done = rates(stages);
    return cat("Performance: ", done, done.empty() ? "" : "; ", resources(stages, content.at("starts")), tables);
}

json read_performance(const std::filesystem::path& run) {
    json content = store::read_sealed(run / "performance.json").value_or(json());
    try {
        if (content.is_null()) return content;
        (void)performance_text(content);
        for (const auto& [name, entry] : content.at("stages").items()) (void)entry.value("timing_hash", std::string());
        (void)content.at("starts").get_ref<const json::number_integer_t&>();
        return content;
    } catch (const json::exception&) {  // sealed, but by another version
        return {};
    }
}

std::string timing_damage(const json& content, const std::filesystem::path& stage) {
    const std::string name = stage.filename().string();
    if (!content.is_object() || !content["stages"].contains(name)) return "";
    const json& entry = content["stages"][name];
    if (!entry.contains("timing_hash")) return "";
    const auto timing = stage / "timing.jsonl";
    constexpr std::uintmax_t kMaxBytes = std::uintmax_t{1}
                                         << 30U;  // a line an update; what is longer isn't worth a hash
    if (!std::filesystem::exists(timing)) return "timing.jsonl is missing";
    if (std::filesystem::file_size(timing) > kMaxBytes) return "timing.jsonl is damaged";
    return hash_file(timing) == entry["timing_hash"].get<std::string>() ? "" : "timing.jsonl is damaged";
}

}  // namespace tdrm::app
