// The files that hold answers, what values say of them, and trees of search; docs/formats/trajectories.md is their
// contract with other programs. labels.hpp has the labels, trajectories.hpp the table itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/engine/sampler.hpp"
#include "tdrm/eval/search_width.hpp"
#include "tdrm/rollout/answers.hpp"
#include "tdrm/rollout/labels.hpp"
#include "tdrm/rollout/search.hpp"
#include "tdrm/rollout/trajectories.hpp"
#include "tdrm/store/file.hpp"
#include "tdrm/store/table.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::rollout {

using Attributes = std::vector<std::pair<std::string, store::Attribute>>;

/// A model as files name it.
struct ModelName {
    std::string label;  ///< as the run file names it
    std::string hash;   ///< identity of its content
};

/// What every file of trajectories says: schema, the task and its ids, the names of task::Reason.
[[nodiscard]] Attributes task_attributes(const task::Task& task);
/// The same, with how the answers were made.
[[nodiscard]] Attributes answer_attributes(const task::Task& task, const ModelName& policy, const std::string& split,
                                           const engine::SamplerOptions& sampler, std::uint64_t seed);

/// The attributes of a file of trajectories, for files that hold the same answers again.
[[nodiscard]] Attributes attributes_of(const store::FileReader& trajectories);

/// Writes /vocabulary: the ids among `tokens` with the bytes that each adds to a text, so that readers need no
/// tokenizer. Local. @throws DataError for an id outside the vocabulary
void write_vocabulary(store::FileWriter& file, const task::Task& task,
                      std::initializer_list<std::span<const std::int32_t>> tokens);

/// Writes `directory`/trajectories.h5, which belongs into the folder's manifest. Local.
[[nodiscard]] store::FileEntry write_trajectories(const std::filesystem::path& directory, const task::Task& task,
                                                  const Trajectories& answers, const Attributes& attributes);

/// Writes `directory`/trajectories.h5, labels.h5 if `labels` has a kind, and the manifest. Local.
void write_answers(const std::filesystem::path& directory, const task::Task& task, const Trajectories& answers,
                   const StateLabels& labels, const Attributes& attributes);

/// What values.h5 holds: values of all states, as state_offsets, and what they cost.
struct ValueTable {
    Scores scores;
    std::vector<float> deviation = {};  ///< of an ensemble's members; empty for a single model
    double read_flop = 0;               ///< of a token that the model read, all members together
};
/// Writes `directory`/values.h5 and the manifest. Local.
void write_values(const std::filesystem::path& directory, const Trajectories& data, const ValueTable& table,
                  const ModelName& model);
/// `directory`/values.h5. Local. @throws DataError if it lacks anything (an earlier version wrote it)
[[nodiscard]] ValueTable load_values(const std::filesystem::path& directory);

/// Many trees as flat arrays: /node and /tree of search.h5.
struct SearchTable {
    std::vector<std::int64_t> tree_offset{0}, token_offset{0};
    std::vector<std::int32_t> parent, token, visits;
    std::vector<float> value, weight;
    std::vector<std::uint8_t> terminal, on_path, correct;
    std::vector<std::int64_t> generated, prompt, scored;  ///< of each tree

    void add(const SearchTree& tree);
    [[nodiscard]] store::Columns nodes() const;
    [[nodiscard]] store::Columns trees() const;
};
/// Writes `directory`/search.h5. Local. @return its entry of the manifest
[[nodiscard]] store::FileEntry write_search(const std::filesystem::path& directory, const task::Task& task,
                                            const Trajectories& answers, const store::Columns& nodes,
                                            const store::Columns& trees, const Attributes& attributes);
/// What all trees of a search.h5 cost.
[[nodiscard]] SearchCost cost_of(const store::FileReader& search);
/// How the value model told right from wrong among the terminal nodes of a search.h5.
[[nodiscard]] eval::Separation separation_of(const store::FileReader& search);

}  // namespace tdrm::rollout
