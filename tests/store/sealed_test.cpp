// Files that hold their own hash: whatever is done to a byte is seen.
#include "tdrm/store/sealed.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "temporary_folder.hpp"

namespace tdrm::store {
namespace {

namespace fs = std::filesystem;

/// Every bit of every byte, blanks as tabs, every shorter and some longer file.
void expect_every_change_is_seen(const fs::path& path, const std::function<bool()>& is_whole) {
    const std::string whole = bytes_of(path);
    const auto expect_seen = [&](const std::string& bytes, const std::string& what) {
        std::ofstream(path, std::ios::binary) << bytes;
        EXPECT_FALSE(is_whole()) << what;
    };
    for (std::size_t at = 0; at < whole.size(); ++at)
        for (const int mask : {1, 2, 4, 8, 16, 32, 64, 128, ' ' ^ '\t'}) {
            std::string bytes = whole;
            bytes[at] = static_cast<char>(bytes[at] ^ mask);
            expect_seen(bytes, "byte " + std::to_string(at) + " ^ " + std::to_string(mask));
        }
    for (std::size_t size = 0; size < whole.size(); ++size) expect_seen(whole.substr(0, size), "cut");
    for (const char* more : {"\n", " ", "x", "\0"}) expect_seen(whole + std::string(more, 1), "longer");
    std::ofstream(path, std::ios::binary) << whole;
    EXPECT_TRUE(is_whole());
}

TEST(Sealed, AnObjectIsReadAsItWasWritten) {
    const TemporaryFolder folder;
    const nlohmann::json content{{"a", 1}, {"b", {0.1, 1e-300, -0.0}}, {"z", "\xC3\xA4 \"quoted\"\n"}};
    write_sealed(folder.path() / "x.json", content);
    EXPECT_EQ(read_sealed(folder.path() / "x.json"), content);
    EXPECT_EQ(read_sealed(folder.path() / "none.json"), std::nullopt);
}

TEST(Sealed, EveryChangeOfAnObjectIsSeenThoughItMeansTheSame) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "x.json";
    write_sealed(path, {{"a", 1e25}, {"b", "\xC3\xA4"}, {"c", {1, 2}}});
    expect_every_change_is_seen(path, [&] { return read_sealed(path).has_value(); });
}

TEST(Sealed, EveryChangeOfATextIsSeen) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "x.yaml";
    write_sealed_text(path, "run:\n  seed: 1\n");
    EXPECT_EQ(read_sealed_text(path), "run:\n  seed: 1\n");
    EXPECT_EQ(read_sealed_text(folder.path() / "none"), std::nullopt);
    expect_every_change_is_seen(path, [&] { return read_sealed_text(path).has_value(); });
}

}  // namespace
}  // namespace tdrm::store
