#include "tdrm/store/file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <limits>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/store/manifest.hpp"
#include "tdrm/store/table.hpp"
#include "temporary_folder.hpp"

namespace tdrm::store {
namespace {

FileEntry write_sample(const std::filesystem::path& path) {
    FileWriter file(path);
    file.attribute("schema", "sample");
    file.attribute("version", std::int64_t{3});
    file.attribute("gamma", 0.75);
    file.write("bytes", std::vector<std::int8_t>{-128, 127});
    file.write("deep/er/flags", std::vector<std::uint8_t>{0, 255});
    file.write("halves", std::vector<std::uint16_t>{65535, 0});
    file.write("ints", std::vector<std::int32_t>{1, -2, 3, -4, 5, -6}, {2, 3});
    file.write("longs", std::vector<std::int64_t>{std::numeric_limits<std::int64_t>::min(), 7});
    file.write("keys", std::vector<std::uint64_t>{std::numeric_limits<std::uint64_t>::max()});
    file.write("floats", std::vector<float>{0.5F, -0.0F, std::numeric_limits<float>::infinity()});
    file.write("doubles", std::vector<double>{1e300, 0.1});
    file.write("empty", std::vector<float>{});
    file.write("empty_rows", std::vector<float>{}, {0, 4});
    file.write_strings("texts", {"", "plain", "zw\xC3\xB6lf\n", std::string(100'000, 'x')});
    file.write_strings("no_texts", {});
    file.attribute("ints", "unit", "tokens");
    file.attribute("deep", "note", "");
    file.attribute("settings", "yaml", std::string(200'000, 'y'));
    return file.close();
}

TEST(File, EveryTypeComesBackAsItWasWritten) {
    const TemporaryFolder folder;
    const FileEntry entry = write_sample(folder / "a.h5");
    EXPECT_EQ(entry.name, "a.h5");
    EXPECT_EQ(entry.bytes, static_cast<std::int64_t>(bytes_of(folder / "a.h5").size()));
    EXPECT_EQ(entry.hash, hash_file(folder / "a.h5"));
    const FileReader file(folder / "a.h5");
    EXPECT_EQ(file.read<std::int8_t>("bytes"), (std::vector<std::int8_t>{-128, 127}));
    EXPECT_EQ(file.read<std::uint8_t>("deep/er/flags"), (std::vector<std::uint8_t>{0, 255}));
    EXPECT_EQ(file.read<std::uint16_t>("/halves"), (std::vector<std::uint16_t>{65535, 0}));
    EXPECT_EQ(file.read<std::int32_t>("ints"), (std::vector<std::int32_t>{1, -2, 3, -4, 5, -6}));
    EXPECT_EQ(file.read<std::int64_t>("longs"),
              (std::vector<std::int64_t>{std::numeric_limits<std::int64_t>::min(), 7}));
    EXPECT_EQ(file.read<std::uint64_t>("keys").at(0), std::numeric_limits<std::uint64_t>::max());
    const auto floats = file.read<float>("floats");
    EXPECT_TRUE(std::signbit(floats.at(1)) && std::isinf(floats.at(2)));
    EXPECT_EQ(file.read<double>("doubles"), (std::vector<double>{1e300, 0.1}));
    EXPECT_TRUE(file.read<float>("empty").empty());
    EXPECT_EQ(file.shape("empty_rows"), (Shape{0, 4}));
    EXPECT_EQ(file.shape("ints"), (Shape{2, 3}));
    const std::vector<std::string> texts{"", "plain", "zw\xC3\xB6lf\n", std::string(100'000, 'x')};
    EXPECT_EQ(file.read_strings("texts"), texts);
    EXPECT_TRUE(file.read_strings("no_texts").empty());
    EXPECT_EQ(file.attribute<std::string>("/", "schema"), "sample");
    EXPECT_EQ(file.attribute<std::int64_t>("/", "version"), 3);
    EXPECT_EQ(file.attribute<double>("/", "gamma"), 0.75);
    EXPECT_EQ(file.attribute<std::string>("ints", "unit"), "tokens");
    EXPECT_EQ(file.attribute<std::string>("deep", "note"), "");
    EXPECT_EQ(file.attribute<std::string>("settings", "yaml"), std::string(200'000, 'y'));
    EXPECT_EQ(file.names("deep"), std::vector<std::string>{"er"});
    EXPECT_TRUE(file.has("deep/er") && file.has("/") && !file.has("deep/nothing/flags") &&
                !file.has_attribute("/", "none"));
}

TEST(File, RangesAreCheckedAndRead) {
    const TemporaryFolder folder;
    write_sample(folder / "a.h5");
    const FileReader file(folder / "a.h5");
    EXPECT_EQ(file.read_range<float>("floats", 1, 1).size(), 1U);
    EXPECT_EQ(file.read_range<double>("doubles", 1, 1), std::vector<double>{0.1});
    EXPECT_TRUE(file.read_range<double>("doubles", 2, 0).empty());
    EXPECT_NE(message_of<DataError>([&] { (void)file.read_range<double>("doubles", 1, 2); }).find("has 2 elements"),
              std::string::npos);
    EXPECT_THROW((void)file.read_range<double>("doubles", -1, 1), DataError);
    EXPECT_THROW((void)file.read_range<std::int32_t>("ints", 0, 1), DataError);
}

TEST(File, EqualContentGivesEqualBytes) {
    const TemporaryFolder folder;
    const FileEntry first = write_sample(folder / "a.h5");
    ::sleep(1);  // a stored time would show
    std::vector<char> other_heap(1 << 20, 'z');
    const FileEntry second = write_sample(folder / "b.h5");
    EXPECT_EQ(first.hash, second.hash);
    EXPECT_EQ(bytes_of(folder / "a.h5"), bytes_of(folder / "b.h5"));
}

TEST(File, ErrorsNameFileAndDataset) {
    const TemporaryFolder folder;
    write_sample(folder / "a.h5");
    const FileReader file(folder / "a.h5");
    const auto contains_both = [](const std::string& message, const char* name) {
        return message.find("a.h5") != std::string::npos && message.find(name) != std::string::npos;
    };
    EXPECT_PRED2(contains_both, message_of<DataError>([&] { (void)file.read<float>("nothing/here"); }), "nothing/here");
    EXPECT_PRED2(contains_both, message_of<DataError>([&] { (void)file.read<float>("doubles"); }), "float64");
    EXPECT_PRED2(contains_both, message_of<DataError>([&] { (void)file.read<float>("deep"); }), "deep");
    EXPECT_PRED2(contains_both, message_of<DataError>([&] { (void)file.attribute<double>("/", "schema"); }), "schema");
    EXPECT_THROW((void)FileReader(folder / "none.h5"), IoError);
    FileWriter writer(folder / "b.h5");
    EXPECT_THROW(writer.write_strings("texts", {std::string("a\0b", 3)}), DataError);
    EXPECT_THROW((void)FileWriter(folder / "no/such/folder.h5"), IoError);
}

TEST(File, WithoutCloseNothingRemains) {
    const TemporaryFolder folder;
    {
        FileWriter file(folder / "a.h5");
        file.write("numbers", std::vector<float>(100'000, 1.0F));
    }
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(File, AFileOfAnotherKindIsRefused) {
    const TemporaryFolder folder;
    std::ofstream(folder / "a.h5") << "not HDF5";
    EXPECT_NE(message_of<DataError>([&] { FileReader file(folder / "a.h5"); }).find("a.h5"), std::string::npos);
    write_sample(folder / "b.h5");
    std::filesystem::resize_file(folder / "b.h5", std::filesystem::file_size(folder / "b.h5") / 2);
    EXPECT_THROW(FileReader(folder / "b.h5"), DataError);
}

// Runs in a child, since the limit holds for the process. 0: as it should be.
int fill_the_disk(const std::filesystem::path& path, std::size_t elements, rlim_t limit) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{limit, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &small) != 0) return 1;
    try {
        FileWriter file(path);
        file.write("numbers", std::vector<float>(elements, 1.0F));
        file.close();
        return 2;
    } catch (const IoError& error) {
        if (std::string(error.what()).find(path.filename().string()) == std::string::npos) return 3;
    }
    const rlimit enough{RLIM_INFINITY, RLIM_INFINITY};
    ::setrlimit(RLIMIT_FSIZE, &enough);
    if (!std::filesystem::is_empty(path.parent_path())) return 4;
    write_sample(path);  // the library still works
    return FileReader(path).has("texts") ? 0 : 5;
}

TEST(File, AFullDiskIsAnIoErrorAndLeavesNothing) {
    for (const std::size_t elements : {100UL, 10'000UL, 1'000'000UL}) {
        const TemporaryFolder folder;
        const pid_t child = ::fork();
        if (child == 0) std::exit(fill_the_disk(folder / "full.h5", elements, elements * 2));
        int status = 0;
        ::waitpid(child, &status, 0);
        EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
        EXPECT_EQ(WEXITSTATUS(status), 0) << elements;
    }
}

TEST(Manifest, NamesDamagedTruncatedAndMissingFiles) {
    const TemporaryFolder folder;
    const std::vector<FileEntry> entries{write_sample(folder / "a.h5"), write_sample(folder / "b.h5")};
    write_manifest(folder.path(), entries, {{"made_by", "test"}});
    EXPECT_TRUE(verify(folder.path()).empty());
    EXPECT_EQ(read_manifest(folder.path()).extra.at("made_by"), "test");
    const std::string whole = bytes_of(folder / "b.h5");
    for (const std::int64_t at : {std::int64_t{0}, entries[1].bytes / 3, entries[1].bytes / 2, entries[1].bytes - 1}) {
        flip_bit(folder / "b.h5", at);
        ASSERT_EQ(verify(folder.path()).size(), 1U) << at;
        EXPECT_TRUE(verify(folder.path())[0].starts_with("b.h5 is damaged"));
        flip_bit(folder / "b.h5", at);
    }
    EXPECT_TRUE(verify(folder.path()).empty());
    std::filesystem::resize_file(folder / "b.h5", static_cast<std::uintmax_t>(entries[1].bytes - 1));
    EXPECT_TRUE(verify(folder.path()).at(0).starts_with("b.h5 is truncated"));
    std::filesystem::remove(folder / "b.h5");
    EXPECT_TRUE(verify(folder.path()).at(0).starts_with("b.h5 is missing"));
}

/// What another user sees of a folder, in a process of their own. @return 0 as wanted
int look_as_nobody(const std::filesystem::path& folder) {
    if (::geteuid() == 0 && ::seteuid(65534) != 0) return 2;
    try {
        (void)verify(folder);
    } catch (const IoError& error) {
        return std::string(error.what()).find("permission denied") != std::string::npos ? 0 : 3;
    }
    return 4;
}

TEST(Manifest, FilesThatAUserMayNotReadAreNotDamaged) {
    const TemporaryFolder folder;
    write_manifest(folder.path(), std::vector{write_sample(folder / "a.h5")});
    for (const auto& closed : {folder.path(), folder / "a.h5", folder / "manifest.json"}) {
        std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
        std::filesystem::permissions(closed, std::filesystem::perms::none);
        const pid_t child = ::fork();
        if (child == 0) std::_Exit(look_as_nobody(folder.path()));
        int status = 0;
        ::waitpid(child, &status, 0);
        std::filesystem::permissions(closed, std::filesystem::perms(0755));
        EXPECT_TRUE(WIFEXITED(status));
        EXPECT_EQ(WEXITSTATUS(status), 0) << closed;
    }
}

TEST(Manifest, EveryFlippedBitOfItsOwnIsSeen) {
    const TemporaryFolder folder;
    write_manifest(folder.path(), std::vector<FileEntry>{write_sample(folder / "a.h5")});
    const auto path = folder / "manifest.json";
    const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path));
    for (std::int64_t at = 0; at + 1 < size; ++at) {
        if (std::isspace(static_cast<unsigned char>(bytes_of(path).at(static_cast<std::size_t>(at)))))
            continue;  // layout only
        flip_bit(path, at);
        EXPECT_FALSE(verify(folder.path()).empty()) << at;
        flip_bit(path, at);
    }
    EXPECT_TRUE(verify(folder.path()).empty());
    std::filesystem::remove(path);
    EXPECT_NE(verify(folder.path()).at(0).find("manifest.json"), std::string::npos);
}

TEST(Manifest, FilesOutsideTheFolderAreRefused) {
    const TemporaryFolder folder;
    for (const char* name : {"../a.h5", "/etc/passwd", "x/../../y", ""}) {
        write_manifest(folder.path(), std::vector<FileEntry>{{name, 1, "0"}});
        EXPECT_THROW((void)read_manifest(folder.path()), DataError) << name;
    }
}

}  // namespace
}  // namespace tdrm::store
