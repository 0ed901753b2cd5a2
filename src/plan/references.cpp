#include "references.hpp"

#include <algorithm>
#include <cctype>
#include <set>

#include "stage_name.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/spelling.hpp"

namespace tdrm::plan {
namespace {

constexpr std::size_t kMaxDigits = 18;  // fits 64 bits
constexpr std::string_view kForms = "References are NAME, NAME@best, run:DIR/NAME, hf:DIR and file:PATH.";

std::string version_fault(const std::string& version) {
    if (version == "last" || version == "best") return "";
    const std::string digits = version.starts_with("update-") ? version.substr(7) : "";
    const bool is_number = !digits.empty() && digits.size() <= kMaxDigits &&
                           std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isdigit(c); });
    if (is_number) return "";
    const std::vector<std::string> known{"last", "best", "update-100"};
    return cat("there is no version \"", version, "\" (after @). ", did_you_mean(version, known));
}

/// The text before and after the last "@" outside of brackets and folders.
std::pair<std::string, std::string> split_version(const std::string& text) {
    const std::size_t at = rfind_outside(text, '@'), slash = rfind_outside(text, '/');
    if (at == std::string::npos || (slash != std::string::npos && at < slash)) return {text, ""};
    return {text.substr(0, at), text.substr(at + 1)};
}

class Resolver {
public:
    Resolver(std::vector<StageNode>& stages, Problems& problems) : stages_(stages), problems_(problems) {
        for (const auto& stage : stages) names_.push_back(stage.name);
    }

    void resolve(int index, std::string key) {
        StageNode& stage = stages_[static_cast<std::size_t>(index)];
        const bool takes_list = key.ends_with("[]");
        if (takes_list) key.resize(key.size() - 2);
        const Yaml* found = stage.options.find_path(key);
        if (!found || found->is_null()) return;
        const Yaml node = *found;
        if (!takes_list) {
            if (!node.is_scalar()) return;  // the options say what they expect
            const auto references = read(stage, key, node, false);
            if (references.size() == 1) add(index, references[0], stage.options, key, node);
            return;
        }
        Yaml list = Yaml::list();
        list.file = node.file;
        list.line = node.line;
        std::set<std::string> seen;
        for (const Yaml& item : node.is_list() ? node.items : std::vector<Yaml>{node}) {
            if (!item.is_scalar()) return;
            for (Reference& reference : read(stage, key, item, true)) {
                if (!seen.insert(reference.text()).second) continue;
                reference.key = cat(key, "[", list.items.size(), "]");
                list.items.push_back(written(reference, item));
                add(index, reference);
            }
        }
        stage.options.set_path(key, std::move(list));
    }

private:
    void add(int index, const Reference& reference) {
        StageNode& stage = stages_[static_cast<std::size_t>(index)];
        stage.inputs.push_back(reference);
        if (reference.source != Reference::Source::stage) return;
        auto& on = stage.depends_on;
        if (std::find(on.begin(), on.end(), reference.stage) == on.end()) on.push_back(reference.stage);
    }
    void add(int index, const Reference& reference, Yaml& options, const std::string& key, const Yaml& node) {
        options.set_path(key, written(reference, node));
        add(index, reference);
    }

    static Yaml written(const Reference& reference, const Yaml& node) {
        Yaml result = Yaml::text(reference.text());
        result.file = node.file;
        result.line = node.line;
        return result;
    }

    std::vector<Reference> read(const StageNode& stage, const std::string& key, const Yaml& node, bool several) {
        const std::string path = stage.path + "." + key;
        const std::string& text = node.scalar;
        Reference reference;
        reference.key = key;
        std::string fault;
        if (text.starts_with("hf:") || text.starts_with("file:")) {
            const std::size_t colon = text.find(':');
            reference.source = text[0] == 'h' ? Reference::Source::hugging_face : Reference::Source::file;
            reference.path = text.substr(colon + 1);
            if (reference.path.empty()) fault = cat("\"", text, "\" names no path. Write it after the colon.");
        } else if (text.starts_with("run:")) {
            fault = read_run(text.substr(4), reference);
        } else if (find_outside(text, ':') != std::string_view::npos) {
            fault = cat("\"", text, "\" is no reference. ", kForms);
        } else {
            return read_stage(stage, path, node, reference, several);
        }
        if (fault.empty()) return {reference};
        problems_.push_back({node.where(), path, fault});
        return {};
    }

    static std::string read_run(const std::string& rest, Reference& reference) {
        const auto [place, version] = split_version(rest);
        const std::size_t slash = rfind_outside(place, '/');
        if (slash == std::string::npos || slash == 0 || slash + 1 == place.size()) {
            return cat("\"run:", rest, "\" names no stage of a run. Write run:DIR/NAME.");
        }
        reference.source = Reference::Source::run;
        reference.path = place.substr(0, slash);
        reference.name = place.substr(slash + 1);
        reference.version = version;
        return place.size() == rest.size() ? "" : version_fault(version);
    }

    std::vector<Reference> read_stage(const StageNode& stage, const std::string& path, const Yaml& node,
                                      Reference reference, bool several) {
        const auto fail = [&](const std::string& message) {
            problems_.push_back({node.where(), path, message});
            return std::vector<Reference>{};
        };
        const auto [pattern, version] = split_version(node.scalar);
        if (pattern.size() != node.scalar.size()) {
            if (const std::string fault = version_fault(version); !fault.empty()) return fail(fault);
        }
        reference.version = version;
        std::vector<Reference> found;
        for (std::size_t i = 0; i < names_.size(); ++i) {
            if (!matches(pattern, names_[i])) continue;
            reference.stage = static_cast<int>(i);
            reference.name = names_[i];
            found.push_back(reference);
        }
        if (found.empty()) return fail(cat("there is no stage \"", pattern, "\". ", suggest_stage(pattern, names_)));
        const auto itself = [&](const Reference& one) { return one.name == stage.name; };
        if (std::any_of(found.begin(), found.end(), itself)) {
            return fail(cat("the stage refers to itself", pattern == stage.name ? "" : " by \"" + pattern + "\"",
                            " (it would have to be done before it starts). Name another."));
        }
        if (several || found.size() == 1) return found;
        std::vector<std::string> first;
        for (std::size_t i = 0; i < std::min<std::size_t>(found.size(), 3); ++i) first.push_back(found[i].name);
        return fail(cat("\"", pattern, "\" are ", found.size(), " stages (only one can be used here). Name one: ",
                        join(first), found.size() > 3 ? ", ..." : "."));
    }

    std::vector<StageNode>& stages_;
    Problems& problems_;
    std::vector<std::string> names_;
};

}  // namespace

std::string Reference::text() const {
    switch (source) {
        case Source::hugging_face:
            return "hf:" + path;
        case Source::file:
            return "file:" + path;
        case Source::run:
            break;
        case Source::stage:
            break;
    }
    const std::string stage_text = version.empty() ? name : name + "@" + version;
    return source == Source::run ? "run:" + path + "/" + stage_text : stage_text;
}

void resolve_references(std::vector<StageNode>& stages, const StageKinds& kinds, Problems& problems) {
    Resolver resolver(stages, problems);
    for (std::size_t i = 0; i < stages.size(); ++i) {
        const auto kind = kinds.find(stages[i].kind);
        if (kind == kinds.end()) continue;
        for (const auto& key : kind->second) resolver.resolve(static_cast<int>(i), key);
        std::sort(stages[i].depends_on.begin(), stages[i].depends_on.end());
    }
}

}  // namespace tdrm::plan
