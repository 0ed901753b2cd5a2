#include "tdrm/base/json_rows.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tdrm/base/errors.hpp"

namespace tdrm::rows {
namespace {

using namespace std::string_literals;

class Rows : public testing::Test {
protected:
    std::filesystem::path path = std::filesystem::temp_directory_path() / ("tdrm-rows-" + std::to_string(::getpid()));
    void TearDown() override { std::filesystem::remove(path); }

    [[nodiscard]] std::string message(const std::string& content) const {
        std::ofstream(path, std::ios::binary) << content;
        try {
            for_each_row(path, [](const Json&, const Place&) {});
        } catch (const DataError& error) {
            return error.what();
        }
        return "";
    }
};

TEST_F(Rows, FilesOfOtherFormatsAreNamedWithWhatTurnsThemIntoRows) {
    const std::pair<std::string, std::string> formats[] = {
        {"PAR1\x15\x04rest", "is a Parquet file"},
        {"ARROW1\0\0rest"s, "is an Arrow file"},
        {"\x28\xB5\x2F\xFDrest", "zstd"},
        {"\xFD"s + "7zXZ\0rest"s, "packed with xz"},
        {"BZh91AY", "bzip2"},
        {"PK\x03\x04rest", "zip archive"},
        {"\xFF\xFE{\0}\0"s, "UTF-16"},
        {"\xFE\xFF\0{\0}"s, "UTF-16"},
    };
    for (const auto& [content, words] : formats) {
        EXPECT_NE(message(content).find(words), std::string::npos) << message(content);
        EXPECT_NE(message(content).find(path.string()), std::string::npos);
    }
    EXPECT_NE(message("PAR1").find("tools/parquet_to_jsonl.py"), std::string::npos);
}

TEST_F(Rows, TextsThatBeginLikeThemAreRead) {
    for (const char* content : {"", "P", "PAR", "\"PAR1\"\n", "{\"PAR1\": 1}", "[1, 2]", "B\n"})
        EXPECT_EQ(message(content), "") << content;
}

}  // namespace
}  // namespace tdrm::rows
