// Files of the tests, and a folder for those that a test writes.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace tdrm::task::process {

inline const std::filesystem::path kSamples = std::filesystem::path(TDRM_SOURCE_DIR) / "tests/task_process/samples";
inline const std::filesystem::path kBenchmarkFolder =
    std::filesystem::path(TDRM_SOURCE_DIR) / "tests/task_process/benchmarks";
inline const std::filesystem::path kReal = std::filesystem::path(TDRM_SOURCE_DIR) / "../shared/data";

/// A file of the given text, removed at the end.
class TextFile {
public:
    explicit TextFile(const std::string& text, const std::string& name = "rows.jsonl")
        : folder_(std::filesystem::temp_directory_path() / ("tdrm-process-" + std::to_string(::getpid()))) {
        std::filesystem::create_directories(folder_);
        path_ = folder_ / name;
        std::ofstream(path_, std::ios::binary) << text;
    }
    ~TextFile() { std::filesystem::remove_all(folder_); }
    TextFile(const TextFile&) = delete;
    TextFile& operator=(const TextFile&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path folder_, path_;
};

/// The message of the exception that `work` throws; empty if it throws none.
template <class Error, class Work>
std::string message_of(Work&& work) {
    try {
        work();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

}  // namespace tdrm::task::process
