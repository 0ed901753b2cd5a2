#include "document.hpp"

#include <algorithm>
#include <filesystem>

#include "stage_name.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/spelling.hpp"

namespace tdrm::plan {
namespace {

constexpr int kMaxFiles = 100;        // includes of includes can stand for any number of files
constexpr int kMaxNodes = 100'000;    // in all of them, as many as one file may have
constexpr std::size_t kMaxOpen = 20;  // a file within a file within ...

int nodes_of(const Yaml& node) {
    int nodes = 1;
    for (const auto& item : node.items) nodes += nodes_of(item);
    for (const auto& entry : node.entries) nodes += nodes_of(entry.value);
    return nodes;
}

class Reader {
public:
    explicit Reader(Problems& problems) : problems_(problems) {}

    Yaml read(const std::string& file, const std::string& included_at) {
        if (too_much_) return {};
        std::error_code refused;  // a link to itself, a name that is too long: reading says so
        const auto place = std::filesystem::weakly_canonical(file, refused).string();
        if (std::find(open_.begin(), open_.end(), place) != open_.end()) {
            problems_.push_back(
                {included_at, "include", cat(file, " includes itself (nothing is first). Remove one include.")});
            return {};
        }
        Yaml document;
        try {
            document = read_yaml(file);
            nodes_ += nodes_of(document);
            if (++files_ > kMaxFiles || nodes_ > kMaxNodes || open_.size() > kMaxOpen) {
                too_much_ = true;
                throw ConfigError(cat(file, ": the run file and what it includes are too large (more than ", kMaxFiles,
                                      " files, each counted as often as it is read, ", kMaxNodes, " nodes, or ",
                                      kMaxOpen, " files within each other). Include less."));
            }
        } catch (const Error& error) {
            problems_.push_back({included_at, "", error.what()});
            return {};
        }
        if (!document.is_map() && !document.is_null()) {
            problems_.push_back(
                {file, "", "the file isn't a map (a run file holds run, task and stages). See configs/."});
            return {};
        }
        open_.push_back(place);
        document = resolve(std::move(document), std::filesystem::path(file).parent_path());
        open_.pop_back();
        return document;
    }

    Yaml resolve(Yaml document, const std::filesystem::path& folder) {
        const Yaml include = document.take("include");
        const std::vector<Yaml> files = include.is_list()     ? include.items
                                        : include.is_scalar() ? std::vector<Yaml>{include}
                                                              : std::vector<Yaml>{};
        if (include.is_map())
            problems_.push_back({include.where(), "include", "a map isn't a file name or a list of them."});
        Yaml merged = Yaml::map();
        for (const Yaml& file : files) {
            if (!file.is_scalar()) {
                problems_.push_back({file.where(), "include", "only file names can be included."});
                continue;
            }
            const Yaml other = read((folder / file.scalar).string(), file.where());
            if (other.is_map()) merged = merge(std::move(merged), other);
        }
        if (document.is_map()) merged = merge(std::move(merged), document);
        merged.file = document.file;
        merged.line = document.line;
        return merged;
    }

private:
    Problems& problems_;
    std::vector<std::string> open_;
    int files_ = 0, nodes_ = 0;
    bool too_much_ = false;
};

/// Settings have no lines, only their text.
void mark(Yaml& node) {
    node.file = "--set";
    node.line = 0;
    for (auto& item : node.items) mark(item);
    for (auto& entry : node.entries) mark(entry.value);
}

std::string fault_of(const Setting& setting, const Yaml& document) {
    if (setting.path[0] != "stages") return "";
    if (setting.path.size() < 2) return "this would replace all stages. Name one: stages.NAME.KEY=VALUE.";
    const Yaml* stages = document.find("stages");
    const Yaml* stage = stages ? stages->find(setting.path[1]) : nullptr;
    if (!stage && setting.path.size() > 2) {
        return cat("there is no stage \"", setting.path[1], "\". ",
                   suggest_stage(setting.path[1], stages ? stages->keys() : std::vector<std::string>{}));
    }
    return "";
}

}  // namespace

std::string Setting::expanded_stage() const {
    const bool is_stage = path.size() > 2 && path[0] == "stages" && path[1].find('[') != std::string::npos;
    return is_stage ? path[1] : "";
}

std::string Setting::key(std::size_t from) const {
    return from < path.size() ? join(std::span(path).subspan(from), ".") : "";
}

Yaml read_document(const std::string& file, Problems& problems) { return Reader(problems).read(file, ""); }

Yaml with_includes(Yaml document, const std::string& folder, Problems& problems) {
    return Reader(problems).resolve(std::move(document), folder);
}

std::vector<Setting> parse_settings(const std::vector<std::string>& texts, Problems& problems) {
    std::vector<Setting> settings;
    for (const auto& text : texts) {
        const std::size_t equals = find_outside(text, '=');
        Setting setting{split_path(std::string_view(text).substr(0, equals)), {}, text};
        const bool has_gap =
            std::any_of(setting.path.begin(), setting.path.end(), [](const auto& key) { return key.empty(); });
        if (equals == std::string::npos || has_gap) {
            problems.push_back({"--set " + text, "", "this isn't KEY=VALUE. Write run.seed=2, for example."});
            continue;
        }
        try {
            setting.value = parse_yaml(text.substr(equals + 1), "--set " + text);
        } catch (const ConfigError& error) {
            problems.push_back({"", "", error.what()});
            continue;
        }
        mark(setting.value);
        settings.push_back(std::move(setting));
    }
    return settings;
}

void apply_settings(Yaml& document, const std::vector<Setting>& settings, Problems& problems) {
    for (const Setting& setting : settings) {
        const Yaml* stages = document.find("stages");
        const bool in_file = setting.path.size() > 1 && stages && stages->find(setting.path[1]);
        if (!setting.expanded_stage().empty() && !in_file) continue;
        if (const std::string fault = fault_of(setting, document); !fault.empty()) {
            problems.push_back({"--set " + setting.text, "", fault});
        } else if (setting.path.size() > 3 && setting.path[0] == "stages" && setting.path[2] == "each") {
            document.at("stages").at(setting.path[1]).at("each").at(setting.key(3)) = setting.value;
        } else {
            document.set_path(setting.key(0), setting.value);
        }
    }
}

}  // namespace tdrm::plan
