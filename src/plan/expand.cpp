#include "expand.hpp"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "stage_name.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/spelling.hpp"

namespace tdrm::plan {
namespace {

constexpr std::size_t kMaxVariants = 10'000;
constexpr std::size_t kMaxCopies = 50;  // like of like of ...

/// One key of an `each` with its values.
struct Axis {
    std::string key;
    std::string label;  ///< in the name
    std::vector<Yaml> values;

    [[nodiscard]] bool is_variable() const { return key.starts_with('$'); }
};

/// Writes a variable's value wherever options name it: "rolls[seed=$seed]". @returns how often they do
int write_variable(Yaml& options, const std::string& name, const std::string& value) {
    int found = 0;
    if (options.is_scalar()) {
        const auto is_letter = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
        for (std::size_t at = 0; (at = options.scalar.find(name, at)) != std::string::npos;) {
            const std::size_t end = at + name.size();
            const bool whole_word = end == options.scalar.size() || !is_letter(options.scalar[end]);
            if (whole_word) options.scalar.replace(at, name.size(), value);
            found += whole_word ? 1 : 0;
            at += whole_word ? value.size() : name.size();
        }
    }
    for (Yaml& item : options.items) found += write_variable(item, name, value);
    for (auto& entry : options.entries) found += write_variable(entry.value, name, value);
    return found;
}

/// Is an option given, itself, a part of it, or a value in the place of the map that would hold it?
bool sets(const Yaml& options, std::string_view dotted) {
    const Yaml* node = &options;
    for (const auto& key : split_path(dotted)) {
        if (!node->is_map()) return true;
        node = node->find(key);
        if (!node) return false;
    }
    return true;
}

class Expander {
public:
    Expander(const Yaml& stages, const std::vector<Setting>& settings, Problems& problems)
        : stages_(stages), settings_(settings), problems_(problems) {}

    /// The stage of the file as one or, with `each`, several.
    const std::vector<SingleStage>& variants(const std::string& name) {
        const auto known = variants_.find(name);
        if (known != variants_.end()) return known->second;
        Yaml options = resolve(name);
        std::vector<SingleStage> result;
        const Yaml each = options.take("each");
        if (each.is_null()) {
            result.push_back({name, path(name), std::move(options)});
        } else {
            result = expand(name, options, each);
        }
        for (const Setting& setting : settings_) apply(setting, result);
        return variants_[name] = std::move(result);
    }

private:
    static std::string path(const std::string& name) { return "stages." + name; }

    void problem(const Yaml& node, const std::string& where, const std::string& message) {
        problems_.push_back({node.where(), where, message});
    }

    /// A stage's options with those that it copies; `each` is kept, `like` is gone.
    Yaml resolve(const std::string& name) {
        const auto known = resolved_.find(name);
        if (known != resolved_.end()) return known->second;
        Yaml own = *stages_.find(name);
        if (!own.is_map()) {
            problem(own, path(name), "a stage is a map of options. Write NAME: {do: KIND, ...}.");
            own.kind = Yaml::Kind::map;
        }
        active_.push_back(name);
        check_own_each(name, own);
        const Yaml like = own.take("like");
        if (!like.is_null()) own = copy(name, like, std::move(own));
        active_.pop_back();
        return resolved_[name] = std::move(own);
    }

    void check_own_each(const std::string& name, const Yaml& own) {
        const Yaml* each = own.find("each");
        if (!each || !each->is_map()) return;
        for (const auto& [key, values] : each->entries) {
            if (!sets(own, key)) continue;
            const Yaml* value = own.find_path(key);
            problem(value ? *value : values, path(name) + "." + key,
                    cat("it is both set and varied by each (one would be ignored). Remove one, or set ", path(name),
                        ".each.", key, "."));
        }
    }

    Yaml copy(const std::string& name, const Yaml& like, Yaml own) {
        const std::string target = like.is_scalar() ? like.scalar : "";
        const auto at = std::find(active_.begin(), active_.end(), StageName::parse(target).base);
        const auto exact = std::find(active_.begin(), active_.end(), target);
        if (const auto circle = std::min(at, exact); circle != active_.end()) {
            problem(like, path(name) + ".like",
                    cat(join(std::vector<std::string>(circle, active_.end()), " -> "), " -> ", *circle,
                        " copy each other (none has options of its own). Remove one like."));
            return own;
        }
        if (active_.size() > kMaxCopies) {
            problem(like, path(name) + ".like",
                    cat("more than ", kMaxCopies, " stages copy each other in a row. Copy the first one instead."));
            return own;
        }
        Yaml base = source(name, like, target);
        Yaml inherited = base.take("each");
        Yaml merged = merge(std::move(base), own);
        merged.file = own.file;
        merged.line = own.line;
        if (own.find("each") || !inherited.is_map()) return merged;
        std::erase_if(inherited.entries, [&](const auto& entry) { return sets(own, entry.key); });
        if (!inherited.entries.empty()) merged.at("each") = std::move(inherited);
        return merged;
    }

    /// The options that `like` names: those of a stage of the file, or of one of the variants of such a stage.
    Yaml source(const std::string& name, const Yaml& like, const std::string& target) {
        if (stages_.find(target)) return resolve(target);
        std::vector<const SingleStage*> found;
        const std::string base = StageName::parse(target).base;
        if (base != target && stages_.find(base)) {
            for (const auto& variant : variants(base)) {
                if (matches(target, variant.name)) found.push_back(&variant);
            }
        }
        if (found.size() == 1) return found[0]->options;
        problem(like, path(name) + ".like",
                found.empty()
                    ? cat("there is no stage \"", target, "\". ", suggest_stage(target, stages_.keys()))
                    : cat("\"", target, "\" are ", found.size(), " stages (only one can be copied). Name one."));
        return Yaml::map();
    }

    std::vector<SingleStage> expand(const std::string& name, const Yaml& options, const Yaml& each) {
        if (!StageName::parse(name).parameters.empty()) {
            problem(each, path(name) + ".each",
                    "a stage with parameters in its name can't vary. Remove one of the two.");
            return {{name, path(name), options}};
        }
        const std::vector<Axis> axes = read_axes(name, each);
        std::size_t total = 1;
        for (const Axis& axis : axes) total = std::min(total * axis.values.size(), kMaxVariants + 1);
        if (total > kMaxVariants) {
            problem(each, path(name) + ".each", cat("more than ", kMaxVariants, " stages. Vary less."));
            return {};
        }
        std::vector<SingleStage> result;
        for (std::size_t i = 0; i < total; ++i) result.push_back(variant(name, options, axes, i, total));
        for (const Axis& axis : axes) {
            Yaml copy = options;
            if (axis.is_variable() && write_variable(copy, axis.key, "") == 0)
                problem(each, path(name) + ".each." + axis.key,
                        cat("no option of the stage names it (all its values would give the same stage). Write ",
                            axis.key, " where its value belongs, or remove it."));
        }
        return result;
    }

    /// Combination `i` of `total`, the last axis fastest.
    static SingleStage variant(const std::string& name, const Yaml& options, const std::vector<Axis>& axes,
                               std::size_t i, std::size_t total) {
        StageName full{name, {}};
        SingleStage stage{"", path(name), options};
        for (const Axis& axis : axes) {
            total /= axis.values.size();
            const Yaml& value = axis.values[i / total % axis.values.size()];
            if (!axis.is_variable()) stage.options.set_path(axis.key, value);
            full.parameters.emplace_back(axis.label, canonical_scalar(value.scalar));
        }
        for (std::size_t a = 0; a < axes.size(); ++a)
            if (axes[a].is_variable()) write_variable(stage.options, axes[a].key, full.parameters[a].second);
        stage.name = full.text();
        return stage;
    }

    std::vector<Axis> read_axes(const std::string& name, const Yaml& each) {
        std::vector<Axis> axes;
        if (!each.is_map()) problem(each, path(name) + ".each", "it isn't a map. Write each: {KEY: [VALUES], ...}.");
        for (const auto& [key, list] : each.entries) {
            const std::vector<Yaml> values = list.is_list() ? list.items : std::vector<Yaml>{list};
            const std::string fault = axis_fault(key, values);
            if (fault.empty()) {
                axes.push_back({key, split_path(key.starts_with('$') ? key.substr(1) : key).back(), values});
            } else {
                problem(list, path(name) + ".each." + key, fault);
            }
        }
        for (Axis& axis : axes) {
            const auto shares = [&](const Axis& other) {
                return split_path(other.key).back() == split_path(axis.key).back();
            };
            if (std::count_if(axes.begin(), axes.end(), shares) > 1) axis.label = axis.key;
        }
        return axes;
    }

    static std::string axis_fault(const std::string& key, const std::vector<Yaml>& values) {
        if (key == "do" || key == "like" || key == "each") return cat("\"", key, "\" can't vary. Write another stage.");
        if (values.empty()) return "there are no values (no stage would be left). Give some, or remove the key.";
        std::vector<std::string> seen;
        for (const Yaml& value : values) {
            const std::string word = canonical_scalar(value.scalar);
            if (!value.is_scalar() || !name_fault("x[k=" + word + "]").empty()) {
                return cat(
                    value.is_scalar() ? "\"" + word + "\"" : "a list or map",
                    " can't vary (values become part of the stage's name, a folder). Write another stage with like.");
            }
            if (std::find(seen.begin(), seen.end(), word) != seen.end()) {
                return cat(word, " is there twice (two stages would have one name). Remove one.");
            }
            seen.push_back(word);
        }
        return "";
    }

    static void apply(const Setting& setting, std::vector<SingleStage>& stages) {
        const std::string pattern = setting.expanded_stage();
        if (pattern.empty()) return;
        for (SingleStage& stage : stages) {
            const bool in_file = stage.path == path(stage.name);  // was set before
            if (!in_file && matches(pattern, stage.name)) stage.options.set_path(setting.key(2), setting.value);
        }
    }

    const Yaml& stages_;
    const std::vector<Setting>& settings_;
    Problems& problems_;
    std::vector<std::string> active_;
    std::map<std::string, Yaml> resolved_;
    std::map<std::string, std::vector<SingleStage>> variants_;
};

}  // namespace

std::vector<SingleStage> expand_stages(const Yaml& stages, const std::vector<Setting>& settings, Problems& problems) {
    Expander expander(stages, settings, problems);
    std::vector<SingleStage> result;
    std::set<std::string> taken;
    for (const auto& [name, options] : stages.entries) {
        if (result.size() > kMaxVariants) {
            problems.push_back(
                {options.where(), "stages", cat("more than ", kMaxVariants, " stages in all. Vary less.")});
            break;
        }
        for (const auto& stage : expander.variants(name)) {
            const bool is_new = taken.insert(stage.name).second;
            std::string fault = name_fault(stage.name);
            if (!is_new) fault = "another stage has this name (they would share a folder). Rename one.";
            if (fault.empty()) {
                result.push_back(stage);
            } else {
                problems.push_back({options.where(), "stages." + stage.name, fault});
            }
        }
    }
    std::vector<std::string> names;
    for (const auto& stage : result) names.push_back(stage.name);
    for (const Setting& setting : settings) {
        const std::string pattern = setting.expanded_stage();
        const bool found =
            std::any_of(names.begin(), names.end(), [&](const auto& name) { return matches(pattern, name); });
        if (pattern.empty() || found) continue;
        problems.push_back(
            {"--set " + setting.text, "", cat("there is no stage \"", pattern, "\". ", suggest_stage(pattern, names))});
    }
    return result;
}

}  // namespace tdrm::plan
