// Records that are sealed rightly but hold something else, and files that are none.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "../base/mutate.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/store/file.hpp"
#include "tdrm/store/manifest.hpp"
#include "tdrm/store/sealed.hpp"
#include "temporary_folder.hpp"

namespace tdrm::store {
namespace {

using nlohmann::json;

std::string deep() {
    std::string text;
    for (int i = 0; i < 200'000; ++i) text += R"({"a":[)";
    return text;
}

TEST(Hostile, AManifestWithARightHashButOtherContentIsReadOrRefused) {
    const TemporaryFolder folder;
    const json good{
        {"format", "tdrm manifest"},
        {"version", 1},
        {"files", {{{"name", "a"}, {"bytes", 3}, {"hash", "00"}}, {{"name", "b/c"}, {"bytes", 0}, {"hash", ""}}}},
        {"extra", {{"x", 1}}}};
    Random random(random_key(1, "manifests"));
    const auto rounds = std::min<std::uint64_t>(fuzz_rounds(2000), 100'000);
    for (std::uint64_t round = 0; round < rounds; ++round) {
        json content = mutated(good, random);
        if (content.is_object()) content["hash"] = hash_hex(content.dump());
        std::ofstream(folder.path() / "manifest.json") << content.dump(2) + "\n";
        try {
            for (const FileEntry& file : read_manifest(folder.path()).files)
                ASSERT_EQ(file.name.find(".."), std::string::npos) << content;
        } catch (const DataError&) {
        }
        (void)verify(folder.path());
    }
}

TEST(Hostile, MutatedTextsOfManifestsAreRefusedOrTheSame) {
    const TemporaryFolder folder;
    std::ofstream(folder.path() / "a") << "abc";
    write_manifest(folder.path(), std::vector{entry_of(folder.path() / "a")}, {{"x", 1}});
    const std::string good = bytes_of(folder.path() / "manifest.json");
    Random random(random_key(2, "manifests"));
    const auto rounds = std::min<std::uint64_t>(fuzz_rounds(2000), 100'000);
    for (std::uint64_t round = 0; round < rounds; ++round) {
        const std::string text = mutated(good, random);
        std::ofstream(folder.path() / "manifest.json") << text;
        ASSERT_EQ(verify(folder.path()).empty(), text == good) << text;
    }
}

TEST(Hostile, DeepRecordsAreDamaged) {
    const TemporaryFolder folder;
    std::ofstream(folder.path() / "manifest.json") << deep();
    EXPECT_THROW((void)read_manifest(folder.path()), DataError);
    EXPECT_FALSE(read_sealed(folder.path() / "manifest.json"));
}

TEST(Hostile, WhatIsNoRegularFileIsNotOpened) {
    const TemporaryFolder folder;
    const auto fifo = folder.path() / "manifest.json";
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    EXPECT_THROW((void)read_manifest(folder.path()), IoError);
    EXPECT_FALSE(read_sealed(fifo));
    EXPECT_FALSE(read_sealed_text(fifo));
    EXPECT_THROW((void)FileReader(fifo), IoError);
    EXPECT_THROW((void)FileReader(folder.path()), IoError);
    EXPECT_THROW((void)entry_of(fifo), IoError);
    EXPECT_NE(problem_of(folder.path(), {"manifest.json", 0, ""}), "");
}

}  // namespace
}  // namespace tdrm::store
