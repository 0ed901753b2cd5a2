#include "tdrm/plan/plan.hpp"

#include <algorithm>
#include <filesystem>

#include "document.hpp"
#include "expand.hpp"
#include "references.hpp"
#include "stage_name.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/base/spelling.hpp"

namespace tdrm::plan {
namespace {

constexpr std::int64_t kDefaultSeed = 1;

/// Takes a seed out of a map of options.
std::int64_t take_seed(Yaml& options, const std::string& path, std::int64_t otherwise, Problems& problems) {
    std::int64_t seed = otherwise;
    const bool given = options.find("seed") != nullptr;
    const Yaml node = options.take("seed");
    if (given) codec(seed, at_least(0)).read(node, {path + ".seed", "key of all random numbers", problems});
    return seed;
}

/// The top-level map of a key; anything else becomes a problem and an empty map.
Yaml section(const Yaml& document, std::string_view name, Problems& problems) {
    const Yaml* node = document.find(name);
    if (!node || node->is_null()) return Yaml::map();
    if (node->is_map()) return *node;
    problems.push_back({node->where(), std::string(name), "it isn't a map of options."});
    return Yaml::map();
}

std::string take_kind(SingleStage& stage, const StageKinds& kinds, Problems& problems) {
    const Yaml kind = stage.options.take("do");
    std::vector<std::string> known;
    for (const auto& entry : kinds) known.push_back(entry.first);
    if (kind.is_null()) {
        problems.push_back({stage.options.where(), stage.path + ".do",
                            cat("missing (what the stage does). Give one of ", join(known), ".")});
    } else if (!kind.is_scalar() || !kinds.contains(kind.scalar)) {
        problems.push_back(
            {kind.where(), stage.path + ".do",
             kind.is_scalar() ? cat("there is no stage kind \"", kind.scalar, "\". ", did_you_mean(kind.scalar, known))
                              : "it isn't a word."});
    }
    return kind.scalar;
}

/// "b -> a -> b", starting with the first stage that can't be placed.
std::string circle_text(const std::vector<StageNode>& stages, const std::vector<bool>& placed) {
    const auto open = [&](int i) { return !placed[static_cast<std::size_t>(i)]; };
    int at = static_cast<int>(std::find(placed.begin(), placed.end(), false) - placed.begin());
    std::vector<int> way;
    while (std::find(way.begin(), way.end(), at) == way.end()) {
        way.push_back(at);
        const auto& on = stages[static_cast<std::size_t>(at)].depends_on;
        at = *std::find_if(on.begin(), on.end(), open);
    }
    std::vector<std::string> names;
    for (auto i = std::find(way.begin(), way.end(), at); i != way.end(); ++i)
        names.push_back(stages[static_cast<std::size_t>(*i)].name);
    names.push_back(names.front());
    return join(names, " -> ");
}

/// Positions in the order of execution: again and again the first stage whose dependencies are placed.
std::vector<int> execution_order(const std::vector<StageNode>& stages, Problems& problems) {
    std::vector<int> order;
    std::vector<bool> placed(stages.size(), false);
    const auto ready = [&](std::size_t i) {
        const auto& on = stages[i].depends_on;
        return !placed[i] &&
               std::all_of(on.begin(), on.end(), [&](int d) { return placed[static_cast<std::size_t>(d)]; });
    };
    while (order.size() < stages.size()) {
        std::size_t next = 0;
        while (next < stages.size() && !ready(next)) ++next;
        if (next == stages.size()) {
            problems.push_back({"", "stages",
                                cat(circle_text(stages, placed),
                                    " wait for each other (none can be first). "
                                    "Remove one of the references.")});
            next = static_cast<std::size_t>(std::find(placed.begin(), placed.end(), false) - placed.begin());
        }
        placed[next] = true;
        order.push_back(static_cast<int>(next));
    }
    return order;
}

std::vector<StageNode> in_order(std::vector<StageNode> stages, const std::vector<int>& order) {
    std::vector<int> place(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) place[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
    std::vector<StageNode> result;
    for (const int i : order) {
        StageNode& stage = result.emplace_back(std::move(stages[static_cast<std::size_t>(i)]));
        for (int& on : stage.depends_on) on = place[static_cast<std::size_t>(on)];
        std::sort(stage.depends_on.begin(), stage.depends_on.end());
        for (Reference& input : stage.inputs) {
            if (input.stage >= 0) input.stage = place[static_cast<std::size_t>(input.stage)];
        }
    }
    return result;
}

std::vector<bool> matching(const Plan& plan, const std::vector<std::string>& patterns, const std::string& flag,
                           Problems& problems) {
    std::vector<bool> chosen(plan.stages.size(), false);
    std::vector<std::string> names;
    for (const auto& stage : plan.stages) names.push_back(stage.name);
    for (const auto& pattern : patterns) {
        bool any = false;
        for (std::size_t i = 0; i < names.size(); ++i) {
            if (!matches(pattern, names[i])) continue;
            chosen[i] = any = true;
        }
        if (!any)
            problems.push_back({flag + " " + pattern, "",
                                cat("there is no stage \"", pattern, "\". ", suggest_stage(pattern, names))});
    }
    return chosen;
}

void select(Plan& plan, const PlanRequest& request, Problems& problems) {
    std::vector<bool> wanted = matching(plan, request.until, "--until", problems);
    for (std::size_t i = wanted.size(); i-- > 0;) {  // backwards: what a stage depends on comes before it
        if (!wanted[i]) continue;
        for (const int on : plan.stages[i].depends_on) wanted[static_cast<std::size_t>(on)] = true;
    }
    const std::vector<bool> only = matching(plan, request.only, "--only", problems);
    const bool all = request.only.empty() && request.until.empty();
    const std::vector<bool> redo = matching(plan, request.redo, "--redo", problems);
    for (std::size_t i = 0; i < plan.stages.size(); ++i) {
        StageNode& stage = plan.stages[i];
        stage.selected = all || wanted[i] || only[i];
        const bool follows = std::any_of(stage.depends_on.begin(), stage.depends_on.end(),
                                         [&](int on) { return plan.stages[static_cast<std::size_t>(on)].redo; });
        stage.redo = stage.selected && (redo[i] || follows);
        if (!redo[i] || stage.selected) continue;
        problems.push_back({"--redo " + stage.name, "",
                            "the stage isn't selected by --only or --until (nothing would happen). "
                            "Add it there."});
    }
}

void check_sections(const Yaml& document, Problems& problems) {
    const std::vector<std::string> known{"include", "run", "task", "stages"};
    for (const auto& [name, value] : document.entries) {
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            problems.push_back({value.where(), name, "unknown key. " + did_you_mean(name, known)});
        }
    }
}

Plan build_plan(Yaml document, const PlanRequest& request, const StageKinds& kinds, Problems& problems) {
    const std::vector<Setting> settings = parse_settings(request.set, problems);
    apply_settings(document, settings, problems);
    check_sections(document, problems);
    Plan plan;
    plan.run = section(document, "run", problems);
    plan.task = section(document, "task", problems);
    Yaml run = plan.run;
    const std::int64_t seed = take_seed(run, "run", kDefaultSeed, problems);
    const Yaml stages = section(document, "stages", problems);
    if (stages.entries.empty()) {
        problems.push_back(
            {document.where(), "stages", "there are no stages (nothing to do). Write stages: {NAME: {do: KIND}}."});
    }
    std::vector<StageNode> nodes;
    for (SingleStage& single : expand_stages(stages, settings, problems)) {
        StageNode& node = nodes.emplace_back();
        node.name = single.name;
        node.path = single.path;
        node.kind = take_kind(single, kinds, problems);
        node.seed = take_seed(single.options, single.path, seed, problems);
        node.options = std::move(single.options);
    }
    resolve_references(nodes, kinds, problems);
    const std::vector<int> order = execution_order(nodes, problems);
    plan.stages = in_order(std::move(nodes), order);
    select(plan, request, problems);
    return plan;
}

}  // namespace

std::vector<Reference> StageNode::inputs_of(std::string_view key) const {
    std::vector<Reference> result;
    for (const Reference& input : inputs) {
        const std::string_view given = input.key;
        if (given == key || (given.starts_with(key) && given.substr(key.size()).starts_with("[")))
            result.push_back(input);
    }
    return result;
}

int Plan::index(std::string_view name) const {
    const auto found =
        std::find_if(stages.begin(), stages.end(), [&](const auto& stage) { return stage.name == name; });
    return found == stages.end() ? -1 : static_cast<int>(found - stages.begin());
}

Plan load_plan(const PlanRequest& request, const StageKinds& kinds, Problems& problems) {
    const std::size_t before = problems.size();
    Yaml document = read_document(request.file, problems);
    if (document.is_null() && problems.size() > before) return {};  // nothing was read; no more to say
    return build_plan(std::move(document), request, kinds, problems);
}

Plan make_plan(Yaml document, const PlanRequest& request, const StageKinds& kinds, Problems& problems) {
    return build_plan(with_includes(std::move(document), "", problems), request, kinds, problems);
}

std::string resolved_text(const Plan& plan) {
    Yaml document = Yaml::map();
    document.at("run") = plan.run;
    document.at("task") = plan.task;
    Yaml& stages = document.at("stages") = Yaml::map();
    for (const StageNode& stage : plan.stages) {
        Yaml& entry = stages.at(stage.name) = Yaml::map();
        entry.at("do") = Yaml::text(stage.kind);
        entry.at("seed") = Yaml::plain(std::to_string(stage.seed));
        entry = merge(std::move(entry), stage.options);
    }
    return to_text(document);
}

}  // namespace tdrm::plan
