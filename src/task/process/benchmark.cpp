#include "tdrm/task/process/benchmark.hpp"

#include <algorithm>
#include <set>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/file_format.hpp"
#include "tdrm/base/json_rows.hpp"

namespace tdrm::task::process {

using namespace rows;
namespace {

namespace fs = std::filesystem;

/// The name without .json, .jsonl and .gz.
std::string stem(const fs::path& file) {
    const std::string name = file.filename().string();
    return name.substr(0, name.find(".json"));
}

bool holds_rows(const fs::path& file) {
    const std::string name = file.filename().string();
    return name.ends_with(".json") || name.ends_with(".jsonl") || name.ends_with(".json.gz") ||
           name.ends_with(".jsonl.gz");
}

std::vector<fs::path> files_of(const fs::path& path) {
    if (!fs::is_directory(path)) return {path};
    std::vector<fs::path> files;
    fs::path other;
    for (const auto& entry : fs::directory_iterator(path)) {
        if (entry.is_regular_file() && holds_rows(entry.path())) files.push_back(entry.path());
        if (entry.path().extension() == ".parquet") other = entry.path();
    }
    std::sort(files.begin(), files.end());
    if (files.empty()) refuse_other_formats(other);
    if (files.empty())
        throw IoError(cat(path.string(), " holds no .json or .jsonl file (plain or .gz). Check the path."));
    return files;
}

std::vector<std::string> steps_of(const Json& row, const char* name, const Place& place) {
    auto steps = texts_member(row, name, place);
    if (steps.empty()) broken(place, "there are no steps");
    for (std::string& step : steps) step = trimmed(step);
    return steps;
}

class Reader {
public:
    explicit Reader(BenchmarkRows& result) : result_(result) {}

    void processbench(const Json& row, const Place& place, const std::string& subset) {
        const Json& label = member(row, "label", place);
        add({text_member(row, "id", place),
             subset,
             text_member(row, "problem", place),
             steps_of(row, "steps", place),
             index(label, place),
             {}},
            place);
    }

    void bigbench_mistake(const Json& row, const Place& place, const std::string& subset) {
        const Json& mistake = member(row, "mistake_index", place);
        const std::string id = cat(subset, "-", result_.counts[subset]);
        add({id,
             subset,
             text_member(row, "input", place),
             steps_of(row, "steps", place),
             mistake.is_null() ? -1 : index(mistake, place),
             {}},
            place);
    }

    void prmbench(const Json& row, const Place& place) {
        const std::string kind = text_member(row, "classification", place), idx = text_member(row, "idx", place);
        if (kind == "redundency")
            add({"correct_" + idx,
                 "correct",
                 text_member(row, "original_question", place),
                 steps_of(row, "original_process", place),
                 -1,
                 {}},
                place);
        BenchmarkRow modified{cat(kind, "_", idx),
                              kind,
                              text_member(row, "modified_question", place),
                              steps_of(row, "modified_process", place),
                              -1,
                              {}};
        const Json& errors = member(row, "error_steps", place);
        if (!errors.is_array()) broken(place, "\"error_steps\" is no list");
        for (const Json& each : errors) {
            const std::int64_t step = index(each, place) - 1;
            if (step < 0) broken(place, "an error step is below 1");
            if (step < static_cast<std::int64_t>(modified.steps.size()))
                modified.error_steps.push_back(step);
            else
                ++result_.counts["noticed: error step past the end"];
        }
        std::sort(modified.error_steps.begin(), modified.error_steps.end());
        if (!modified.error_steps.empty()) modified.first_error = modified.error_steps.front();
        add(std::move(modified), place);
    }

private:
    static std::int64_t index(const Json& value, const Place& place) {
        if (!value.is_number_integer()) broken(place, cat("the step ", value.dump(), " is no index"));
        return value.get<std::int64_t>();
    }

    void add(BenchmarkRow row, const Place& place) {
        if (row.first_error < -1 || row.first_error >= static_cast<std::int64_t>(row.steps.size()))
            broken(place, cat("the label ", row.first_error, " is outside of the ", row.steps.size(), " steps"));
        if (!ids_.insert(row.id).second) {
            ++result_.counts["noticed: row with an id that was there"];
            return;
        }
        ++result_.counts[row.subset];
        result_.counts["noticed: step without text"] += std::count(row.steps.begin(), row.steps.end(), "");
        result_.rows.push_back(std::move(row));
    }

    BenchmarkRows& result_;
    std::set<std::string> ids_;
};

[[noreturn]] void refuse(const BrokenRow& error) {
    throw DataError(cat(error.what(), " (figures would be of other rows than everybody's). Fetch the file again."));
}

std::vector<double> numbers(const Json& list, const Place& place) {
    if (!list.is_array()) broken(place, "the values of the steps are no list");
    std::vector<double> values;
    for (const Json& each : list) {
        if (!each.is_number() && !each.is_boolean()) broken(place, "the value of a step is no number");
        values.push_back(each.is_boolean() ? (each.get<bool>() ? 1.0 : 0.0) : each.get<double>());
    }
    return values;
}

Prediction prediction_of(const Json& row, const Place& place) {
    Prediction prediction;
    if (const auto found = row.find("prediction"); found != row.end() && found->is_number_integer())
        prediction.place = found->get<std::int64_t>();
    if (const auto values = row.find("values"); values != row.end()) {
        prediction.value = numbers(*values, place);
    } else if (const auto scores = row.find("scores"); scores != row.end() && scores->is_object()) {
        const bool has_scores = scores->contains("step_level_validity_scores");
        prediction.value = numbers(
            member(*scores, has_scores ? "step_level_validity_scores" : "step_level_validity_labels", place), place);
    }
    if (!prediction.place && prediction.value.empty())
        broken(place, "there is neither a \"prediction\" nor \"values\"");
    return prediction;
}

}  // namespace

std::string_view name(Benchmark benchmark) {
    switch (benchmark) {
        case Benchmark::processbench:
            return "processbench";
        case Benchmark::prmbench:
            return "prmbench";
        case Benchmark::bigbench_mistake:
            return "bigbench_mistake";
    }
    throw BugError("a benchmark without a name");
}

BenchmarkRows read_benchmark(Benchmark benchmark, const fs::path& path) {
    BenchmarkRows result;
    Reader reader(result);
    for (const fs::path& file : files_of(path)) {
        try {
            for_each_row(file, [&](const Json& row, const Place& place) {
                if (row.is_discarded()) broken(place, "this isn't JSON in UTF-8");
                if (benchmark == Benchmark::processbench) reader.processbench(row, place, stem(file));
                if (benchmark == Benchmark::prmbench) reader.prmbench(row, place);
                if (benchmark == Benchmark::bigbench_mistake) reader.bigbench_mistake(row, place, stem(file));
            });
        } catch (const BrokenRow& error) {
            refuse(error);
        }
    }
    std::erase_if(result.counts, [](const auto& entry) { return entry.second == 0; });
    return result;
}

std::map<std::string, Prediction> read_predictions(const fs::path& path) {
    std::map<std::string, Prediction> result;
    for (const fs::path& file : files_of(path)) {
        try {
            for_each_row(file, [&](const Json& row, const Place& place) {
                if (!row.is_object()) broken(place, "this isn't a JSON object");
                result.try_emplace(text_member(row, row.contains("id") ? "id" : "idx", place),
                                   prediction_of(row, place));
            });
        } catch (const BrokenRow& error) {
            refuse(error);
        }
    }
    return result;
}

}  // namespace tdrm::task::process
