// The parts of `tdrm show`: finding what lies where, reading it, writing a page.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "stored_answers.hpp"
#include "tdrm/app/verbs.hpp"

namespace tdrm::app {

/// A file with values of the states of some answers.
struct ValueSource {
    enum class Kind { states, tree };

    std::string model;           ///< as the run file names it
    std::string place;           ///< folder below the run, which names it too where two have one model
    std::filesystem::path file;  ///< values.h5, a kept batch of `rl`, or search.h5
    Kind kind = Kind::states;
    bool hazards = false;  ///< chances of an error, not of success
};

/// Where the answers of a stage and what is known about them lie.
struct Found {
    std::string title;              ///< what is shown, for the first line
    std::filesystem::path answers;  ///< file
    std::filesystem::path labels;   ///< file; "" if there is none
    std::vector<ValueSource> values;
    std::optional<ValueSource> chosen;  ///< of those: the one asked for, else the first
    std::string others;                 ///< what else of the stage could be shown, and how
};

/// Local. Files that are used are compared with their hashes (large ones with their sizes).
/// @throws ConfigError if there is no such run or stage, it isn't finished, keeps no answers, or has no values of the
/// model that is asked for; DataError if a file is damaged
[[nodiscard]] Found find_answers(const ShowRequest& request);

/// Figures of states, aligned with StoredAnswers::states; NaN where nothing is known.
struct StateValues {
    std::vector<double> value;      ///< in [0, 1]; of models of hazards the chance of no error so far
    std::vector<double> deviation;  ///< of an ensemble's members; empty if it is none
};
/// @throws DataError if the file belongs to other answers
[[nodiscard]] StateValues read_values(const ValueSource& source, const StoredAnswers& answers);

/// What labels.h5 knows.
struct StoredLabels {
    std::string meaning;                                  ///< of `truth`
    std::vector<float> truth, v_pi;                       ///< of states; v_pi may be empty
    std::vector<std::int32_t> successes, tries;           ///< of states; may be empty
    std::vector<std::uint8_t> outcome_known, true_right;  ///< of answers; may be empty
};
/// @throws DataError if they belong to other answers
[[nodiscard]] StoredLabels read_labels(const std::filesystem::path& path, const StoredAnswers& answers);

/// The trees of a search: one for each problem.
class StoredTrees {
public:
    /// @throws DataError if its arrays don't fit together, or it belongs to other answers
    StoredTrees(const std::filesystem::path& path, const StoredAnswers& answers);

    struct Node {
        double value = 0;
        std::string text;
        bool terminal = false, correct = false;
    };
    struct Step {
        Node chosen;
        std::vector<Node> beside;  ///< its siblings, the largest value first
    };
    /// The steps of the answer that search returned. @throws DataError if nodes and parents make no tree
    [[nodiscard]] std::vector<Step> path(std::size_t problem) const;
    /// Value of the path's last node, NaN if there is none.
    [[nodiscard]] double last_value(std::size_t problem) const;
    [[nodiscard]] std::size_t nodes(std::size_t problem) const;

private:
    [[nodiscard]] Node node(std::size_t at) const;

    store::FileReader file_;
    StoredWords words_;
    std::vector<std::int64_t> tree_offset_, token_offset_;
    std::vector<std::int32_t> parent_;
    std::vector<float> value_;
    std::vector<std::uint8_t> terminal_, correct_, on_path_;
};

/// All that a page is made of.
struct Shown {
    Found found;
    StoredAnswers answers;
    std::optional<StateValues> values;  ///< or trees, or neither
    std::optional<StoredTrees> trees;
    std::optional<StoredLabels> labels;

    /// Value of the last state of an answer, NaN where nothing is known.
    [[nodiscard]] double last_value(std::size_t row, std::size_t problem) const;
    /// The answer of a problem with the largest last value; nothing if none has one.
    [[nodiscard]] std::optional<std::size_t> best(std::size_t problem) const;
    /// Whether an answer is right by its true verdict; nothing if nobody knows.
    [[nodiscard]] std::optional<bool> right(std::size_t row) const;
};

/// What a page is written on.
struct Paper {
    bool colours = false;
    int width = 100;
};
/// The list of problems. @throws ConfigError if --sort needs values and there are none, or --from is beyond the end
[[nodiscard]] std::string problems_page(const Shown& shown, const ShowRequest& request, const Paper& paper);
/// One problem with its answers. @throws ConfigError if there is no such problem or answer
[[nodiscard]] std::string problem_page(const Shown& shown, const ShowRequest& request, const Paper& paper);

}  // namespace tdrm::app
