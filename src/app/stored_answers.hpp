// Answers in a file, read a range at a time, so that a page of a large file costs what it shows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tdrm/store/file.hpp"

namespace tdrm::app {

/// The text of token ids by the words that a file brings along (/vocabulary). Local.
class StoredWords {
public:
    /// @throws DataError if its arrays don't fit together
    explicit StoredWords(const store::FileReader& file);
    /// Bytes of all tokens; those of an id without a word say its number. They may begin or end within a character.
    [[nodiscard]] std::string text(std::span<const std::int32_t> ids) const;

private:
    std::vector<std::int32_t> id_;
    std::vector<std::int64_t> offset_;
    std::vector<std::uint8_t> text_;
};

/// Problems and answers of trajectories.h5, or of a kept batch of `rl`. Rows are those of the file. Local.
class StoredAnswers {
public:
    /// @throws DataError if the arrays don't fit together or the file is of another schema; IoError if it isn't there
    explicit StoredAnswers(const std::filesystem::path& path);

    [[nodiscard]] const store::FileReader& file() const { return file_; }
    [[nodiscard]] std::size_t problems() const { return rows_.size(); }
    [[nodiscard]] std::size_t size() const { return outcome_.size(); }
    /// Rows of a problem's answers, [first, second).
    [[nodiscard]] std::pair<std::size_t, std::size_t> rows(std::size_t problem) const { return rows_[problem]; }
    [[nodiscard]] std::int64_t id(std::size_t problem) const { return id_[problem]; }
    [[nodiscard]] std::int64_t index(std::size_t problem) const { return index_[problem]; }
    [[nodiscard]] std::string prompt(std::size_t problem) const;
    /// The gold answer.
    [[nodiscard]] const std::string& wanted(std::size_t problem) const { return wanted_[problem]; }

    /// In [0, 1]: imported answers may have a chance.
    [[nodiscard]] float outcome(std::size_t row) const { return outcome_[row]; }
    [[nodiscard]] bool right(std::size_t row) const { return outcome_[row] > 0.5F; }
    [[nodiscard]] bool cut(std::size_t row) const { return finish_[row] != 0; }
    /// Why the verdict is what it is, in words.
    [[nodiscard]] std::string reason(std::size_t row) const;
    /// The answer that was given, in canonical form; "" if there is none.
    [[nodiscard]] const std::string& given(std::size_t row) const { return given_[row]; }

    struct Steps {
        std::vector<std::string> text;  ///< of each step
        std::string tail;               ///< what follows the last step, an end token aside
        std::vector<std::size_t> end;   ///< one past the last token of each step, counted in the file
    };
    /// @throws DataError if its ends don't ascend within its tokens
    [[nodiscard]] Steps steps(std::size_t row) const;
    /// First state of each answer in arrays over states (T + 1 an answer), and the number of states.
    [[nodiscard]] const std::vector<std::size_t>& states() const { return states_; }

private:
    store::FileReader file_;
    StoredWords words_;
    std::vector<std::int64_t> id_, index_, prompt_offset_, token_offset_, step_offset_;
    std::vector<std::string> wanted_, given_, reasons_;
    std::vector<float> outcome_;
    std::vector<std::uint8_t> finish_, reason_;
    std::vector<std::size_t> states_;
    std::vector<std::pair<std::size_t, std::size_t>> rows_;
};

}  // namespace tdrm::app
