// From a run file to stages in the order of execution: include, --set, like, each, references, selections, identity.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/base/yaml.hpp"

namespace tdrm::plan {

/// Stage kinds (`do:`) with the dotted keys of their options that are references; "values[]" is a list of them:
/// {"best_of_n", {"data", "values[]"}}.
using StageKinds = std::map<std::string, std::vector<std::string>>;

/// One thing that a stage reads, written as
///   base   base@best   base@update-100   run:DIR/base@last   hf:DIR   file:x.h5
struct Reference {
    enum class Source { stage, run, hugging_face, file };

    std::string key;  ///< option that holds it: "policy", "values[2]"
    Source source = Source::stage;
    int stage = -1;       ///< index in Plan::stages; -1 unless source is `stage`
    std::string name;     ///< the stage's name, here or in the other run
    std::string path;     ///< DIR of run: and hf:, the file of file:
    std::string version;  ///< "last", "best", "update-100", or "" where none is written

    /// As a run file writes it.
    [[nodiscard]] std::string text() const;
};

/// A name with its parameters: td[lambda=0.8,seed=1] is td with lambda = 0.8 and seed = 1.
struct StageName {
    std::string base;
    std::vector<std::pair<std::string, std::string>> parameters;

    /// Splits at the outer brackets; a word without "=" in them becomes a parameter without a name.
    [[nodiscard]] static StageName parse(std::string_view text);
    [[nodiscard]] std::string text() const;
};

struct StageNode {
    std::string name;  ///< also the folder in the run
    std::string path;  ///< where the file describes it, for messages about its options: "stages.td"
    std::string kind;
    std::int64_t seed = 0;          ///< the stage's own, or run.seed
    Yaml options;                   ///< without do, like, each and seed; references resolved to full names
    std::vector<Reference> inputs;  ///< in the order of the kind's keys, globs expanded
    std::vector<int> depends_on;    ///< indices of stages, ascending, all smaller than its own
    bool selected = true;           ///< by --only and --until
    bool redo = false;              ///< by --redo, or because it depends on such a stage

    /// The references of a key: none, one, or for a list any number.
    [[nodiscard]] std::vector<Reference> inputs_of(std::string_view key) const;
};

struct Plan {
    Yaml run = Yaml::map();         ///< options of the run
    Yaml task = Yaml::map();        ///< options of the task
    std::vector<StageNode> stages;  ///< in the order of execution: dependencies first, else as in the file

    /// Index of a stage by its full name, -1 if there is none.
    [[nodiscard]] int index(std::string_view name) const;
};

/// What the command line asks for. Names of stages are patterns as in references: td, td[*], td[seed=1], "rl_*".
struct PlanRequest {
    std::string file = {};
    std::vector<std::string> set = {};    ///< "run.seed=2", "stages.td[lambda=0.8,seed=1].rate=1e-4"; the value is YAML
    std::vector<std::string> only = {};   ///< these stages alone
    std::vector<std::string> until = {};  ///< these and what they depend on; together with `only` the union
    std::vector<std::string> redo = {};   ///< these again, and the selected ones that depend on them
};

/// Reads the run file. All problems are added to the list, so that those of the options can follow before
/// `throw_if_any`; the plan then holds what could be understood. Local; never throws for bad input.
///
/// - `include: other.yaml` (or a list): read first, relative to the including file; later files win, key by key.
/// - `--set` comes after the files, before `like` and `each`; on an expanded stage's name after them.
/// - `like: other`: the other stage's options, with `each` and `seed`, own keys win. Where an own key fixes what the
///   copied `each` varies, the own key wins; an own `each` replaces the copied one. `other` may be one of an `each`.
/// - `each: {target.lambda: [0, 0.8], seed: [1, 2]}`: one stage per combination, the last key fastest, named
///   td[lambda=0,seed=1] (last component of the key unless two share it; numbers in their shortest form).
///   A key that begins with "$" is no option but a variable, whose value stands wherever options name it:
///   `td: {data: "rolls[noise=$noise]", seed: $draw, each: {$noise: [0, 0.2], $draw: [1, 2]}}`.
[[nodiscard]] Plan load_plan(const PlanRequest& request, const StageKinds& kinds, Problems& problems);

/// The same for a document that is already read; includes are relative to the working directory.
[[nodiscard]] Plan make_plan(Yaml document, const PlanRequest& request, const StageKinds& kinds, Problems& problems);

/// The plan as a run file without include, like and each; it loads to the same plan.
[[nodiscard]] std::string resolved_text(const Plan& plan);

/// Everything that decides a stage's result, as canonical YAML text; its hash is the stage's identity.
/// @param options `identity(options)` of the bound options. @param task the task's fingerprint.
/// @param inputs pairs of reference key and identity (or content hash) of what it names.
[[nodiscard]] std::string identity_text(std::string_view kind, const std::string& options, std::string_view task,
                                        std::int64_t seed,
                                        const std::vector<std::pair<std::string, std::string>>& inputs);
/// Hash of `identity_text`: 32 hexadecimal digits.
[[nodiscard]] std::string stage_identity(std::string_view kind, const std::string& options, std::string_view task,
                                         std::int64_t seed,
                                         const std::vector<std::pair<std::string, std::string>>& inputs);

/// The dotted keys in which two canonical texts differ, with both values: `options.lr: 0.001 -> 0.002`; a key that one
/// of them lacks shows as `(none)`. In the order of the new text, then keys that only the old one has.
[[nodiscard]] std::vector<std::string> differing_keys(const std::string& old_text, const std::string& new_text);

}  // namespace tdrm::plan
