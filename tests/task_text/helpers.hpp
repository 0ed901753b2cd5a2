// Folders and files for tests of text tasks.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tdrm/base/json_rows.hpp"
#include "tdrm/task/text/text_files.hpp"

namespace tdrm::task {

inline const std::filesystem::path kSource = TDRM_SOURCE_DIR;
inline const std::filesystem::path kShared = kSource / "../shared/data";
inline const std::string kChat = kSource / "tests/task_text/data/chatml";
inline const std::string kPlain = kSource / "tests/text/data/qwen";
inline const std::string kSystem = "Please reason step by step, and put your final answer within \\boxed{}.";

/// A folder of its own, removed at the end.
class Folder {
public:
    Folder()
        : path_(std::filesystem::temp_directory_path() /
                ("tdrm_text_" + std::to_string(getpid()) + "_" + std::to_string(count_++))) {
        std::filesystem::create_directories(path_);
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::string path() const { return path_; }
    void write(const std::string& name, const std::string& text) const { std::ofstream(path_ / name) << text; }

private:
    static inline int count_ = 0;
    std::filesystem::path path_;
};

/// Writes tokenizer and template of a published model (qwen2_5, glm4) from the data beside the project.
/// @return false if they aren't there
inline bool write_published(const Folder& folder, const std::string& name) {
    const auto from = kShared / "tokenizers" / name;
    if (!std::filesystem::exists(from)) return false;
    folder.write("tokenizer.json", rows::read_text(from / "tokenizer.json.gz"));
    std::filesystem::copy(from / "tokenizer_config.json", folder.path() + "/tokenizer_config.json");
    return true;
}

/// The message of the error that `action` must throw.
template <class Error, class Action>
std::string message_of(Action action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    } catch (const std::exception& error) {
        ADD_FAILURE() << "another error: " << error.what();
        return "";
    }
    ADD_FAILURE() << "no error";
    return "";
}

#define EXPECT_SAYS(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

inline TextTaskOptions chat_options() {
    TextTaskOptions options;
    options.format.tokenizer = kChat;
    options.format.system = kSystem;
    return options;
}

inline TextProblem a_problem(std::uint64_t id, const std::string& question, const std::string& answer,
                             const std::string& solution = "") {
    return {id, "test", question, answer, solution, {}, {}};
}

}  // namespace tdrm::task
