#include "tdrm/stage/map.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "../store/temporary_folder.hpp"
#include "tdrm/store/file.hpp"

namespace tdrm::stage {
namespace {

/// A part file as the runner leaves it.
std::filesystem::path write_part(const std::filesystem::path& folder, int block, float content) {
    const std::string prefix = "part-00000" + std::to_string(block) + ".";
    store::FileWriter part(folder / (prefix + "h5"));
    part.write("x", std::vector<float>(100, content));
    const auto entry = part.close();
    const auto path = folder / (prefix + entry.hash + ".h5");
    std::filesystem::rename(folder / (prefix + "h5"), path);
    return path;
}

std::size_t files_in(const std::filesystem::path& folder) {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(WholeParts, KeepsWholeOnesByTheirBlock) {
    const store::TemporaryFolder folder("parts");
    const auto zero = write_part(folder.path(), 0, 1), two = write_part(folder.path(), 2, 2);
    const std::vector<std::filesystem::path> expected{zero, {}, two, {}};
    for (int start = 0; start < 2; ++start) EXPECT_EQ(whole_parts(folder.path(), 4), expected);
    EXPECT_EQ(files_in(folder.path()), 2U);
}

TEST(WholeParts, RemovesDamagedOnes) {
    const store::TemporaryFolder folder("parts");
    const auto whole = write_part(folder.path(), 0, 1);
    store::flip_bit(write_part(folder.path(), 1, 2), 300);
    const auto short_one = write_part(folder.path(), 2, 3);
    std::filesystem::resize_file(short_one, std::filesystem::file_size(short_one) - 1);
    std::filesystem::copy_file(whole, folder / ("part-000003." + std::string(32, '0') + ".h5"));
    write_part(folder.path(), 7, 4);  // of no block that there is
    EXPECT_EQ(whole_parts(folder.path(), 4), (std::vector<std::filesystem::path>{whole, {}, {}, {}}));
    EXPECT_EQ(files_in(folder.path()), 1U);
}

TEST(WholeParts, RemovesWhatAKilledRunLeftUnfinished) {
    const store::TemporaryFolder folder("parts");
    const auto whole = write_part(folder.path(), 1, 1);
    {
        store::FileWriter part(folder / "part-000000.h5");
        part.write("x", std::vector<float>(100, 1.0F));
        part.close();  // not renamed any more
    }
    std::ofstream(folder / "something.tmp") << "else";
    EXPECT_EQ(whole_parts(folder.path(), 2), (std::vector<std::filesystem::path>{{}, whole}));
    EXPECT_EQ(files_in(folder.path()), 1U);
}

TEST(BlockSize, IsWhatIsWantedButLeavesEightBlocks) {
    EXPECT_EQ(block_size(1000, 16), 16);
    EXPECT_EQ(block_size(100, 16), 13);  // 100 / 8, rounded up
    EXPECT_EQ(block_size(64, 16), 8);
    EXPECT_EQ(block_size(7, 16), 1);
    EXPECT_EQ(block_size(1, 1), 1);
    EXPECT_EQ(block_size(0, 16), 1);
}

}  // namespace
}  // namespace tdrm::stage
