#include "tdrm/store/table.hpp"

#include <gtest/gtest.h>

#include "tdrm/base/errors.hpp"
#include "temporary_folder.hpp"

namespace tdrm::store {
namespace {

using Offsets = std::vector<std::int64_t>;

Columns rows(std::int64_t first, std::vector<std::int64_t> lengths) {
    Columns table;
    Offsets ids;
    Offsets offsets{0};
    std::vector<float> values;
    std::vector<std::string> answers;
    for (const std::int64_t length : lengths) {
        ids.push_back(first++);
        offsets.push_back(offsets.back() + length);
        values.insert(values.end(), static_cast<std::size_t>(length), static_cast<float>(ids.back()));
        answers.push_back("answer " + std::to_string(ids.back()));
    }
    table.set("id", ids);
    table.set("step_offset", offsets);
    table.set("step_value", values);
    table.set("answer", answers);
    table.set("outcome", std::vector<std::uint8_t>(lengths.size(), 1));
    return table;
}

TEST(Columns, MergedPartsEqualTheWhole) {
    Columns merged;
    for (const auto& part : {rows(0, {2, 0, 1}), rows(3, {}), rows(3, {4}), rows(4, {0, 0})}) merged.append(part);
    const Columns whole = rows(0, {2, 0, 1, 4, 0, 0});
    EXPECT_EQ(merged.all(), whole.all());
    EXPECT_EQ(merged.get<std::int64_t>("step_offset"), (Offsets{0, 2, 2, 3, 7, 7, 7}));
}

TEST(Columns, AppendingATableToItselfDoublesIt) {
    Columns table = rows(0, {1});
    table.append(table);
    EXPECT_EQ(table.get<std::int64_t>("step_offset"), (Offsets{0, 1, 2}));
    EXPECT_EQ(table.get<std::int64_t>("id"), (Offsets{0, 0}));
}

TEST(Columns, FilesHoldThemUnchanged) {
    const TemporaryFolder folder;
    const Columns table = rows(7, {3, 0, 5});
    FileWriter file(folder / "part.h5");
    table.write(file, "trajectory");
    rows(0, {}).write(file, "nothing");
    file.close();
    const FileReader reader(folder / "part.h5");
    EXPECT_EQ(Columns::read(reader, "trajectory").all(), table.all());
    EXPECT_EQ(Columns::read(reader, "nothing").all(), rows(0, {}).all());
}

TEST(Columns, DifferentColumnsAreRefusedAndNothingChanges) {
    Columns table = rows(0, {1, 2});
    const Columns before = table;
    Columns other = rows(2, {1});
    other.set("id", std::vector<std::int32_t>{2});
    EXPECT_THROW(table.append(other), DataError);
    other = rows(2, {1});
    other.set("more", std::vector<float>{1});
    EXPECT_THROW(table.append(other), DataError);
    other = rows(2, {1});
    other.set("step_offset", Offsets{1, 2});
    EXPECT_THROW(table.append(other), DataError);
    EXPECT_EQ(table.all(), before.all());
    EXPECT_THROW((void)table.get<float>("id"), DataError);
    EXPECT_THROW((void)table.get<float>("none"), DataError);
}

TEST(Columns, OffsetsGoOnWhereTheOthersEnd) {
    Offsets offsets;
    append_offsets(offsets, {0, 2});
    append_offsets(offsets, {});
    append_offsets(offsets, {0, 0, 5});
    EXPECT_EQ(offsets, (Offsets{0, 2, 2, 7}));
    EXPECT_THROW(append_offsets(offsets, {0, 3, 2}), DataError);
}

}  // namespace
}  // namespace tdrm::store
