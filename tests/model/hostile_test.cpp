// Folders of models that are wrong in ways nobody meant, or somebody did: refused in a moment, whatever it is.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "../base/mutate.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/model/safetensors.hpp"

namespace tdrm::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kData = fs::path(TDRM_SOURCE_DIR) / "tests/model/data";

/// config.json files of all families that the tests know.
std::vector<json> seeds() {
    std::vector<json> configs;
    for (const auto& folder : fs::directory_iterator(kData))
        if (fs::exists(folder.path() / "config.json")) configs.push_back(read_json(folder.path() / "config.json"));
    std::sort(configs.begin(), configs.end());
    return configs;
}

TEST(Hostile, MutatedConfigsAreReadOrRefused) {
    const auto configs = seeds();
    ASSERT_GE(configs.size(), 5U);
    Random random(random_key(1, "configs"));
    std::uint64_t accepted = 0;
    const auto rounds = fuzz_rounds(20'000);
    for (std::uint64_t round = 0; round < rounds; ++round) {
        json config = configs[round % configs.size()];
        for (auto edits = 1 + random.next_below(3); edits > 0; --edits) config = mutated(std::move(config), random);
        try {
            const ModelSpec spec = spec_of_config(config, "config.json");
            ++accepted;
            ASSERT_GT(spec.width, 0);
            ASSERT_EQ(spec.rotary_frequencies().size(), static_cast<std::size_t>(spec.rotary_dim / 2));
        } catch (const DataError& error) {
            ASSERT_LT(std::string_view(error.what()).size(), 2000U);
        }
    }
    EXPECT_GT(accepted, rounds / 20);
    EXPECT_LT(accepted, rounds);
}

/// A copy of a tiny model, in which a test replaces a file.
class ModelFolder : public testing::Test {
protected:
    ModelFolder() : path_(fs::path(testing::TempDir()) / "tdrm_hostile_model") {
        fs::remove_all(path_);
        fs::create_directories(path_);
        for (const char* name : {"config.json", "model.safetensors"}) fs::copy(kData / "llama" / name, path_ / name);
    }
    ~ModelFolder() override { fs::remove_all(path_); }

    void write(const std::string& name, const std::string& text) {
        fs::remove_all(path_ / name);
        std::ofstream(path_ / name, std::ios::binary) << text;
    }

    void refuse(ExitCode code, const std::string& words) {
        try {
            const Pretrained model(path_);
            (void)pretrained_hash(path_);
            ADD_FAILURE() << "accepted; expected: " << words;
        } catch (const std::exception& error) {
            const Failure failure = describe(error);
            EXPECT_EQ(failure.code, code) << failure.message;
            EXPECT_NE(failure.message.find(words), std::string::npos) << failure.message;
        }
    }

    fs::path path_;
};

TEST_F(ModelFolder, DeepValuesAreRefusedInEachFile) {
    std::string deep;
    for (int i = 0; i < 200'000; ++i) deep += R"({"a":[)";
    auto config = read_json(path_ / "config.json").dump();
    config.insert(1, R"("deep":)" + deep + ",");
    write("config.json", config);
    refuse(ExitCode::data, "levels");
    write("config.json", read_json(kData / "llama/config.json").dump());
    fs::remove(path_ / "model.safetensors");  // beside which an index isn't read
    write("model.safetensors.index.json", deep);
    refuse(ExitCode::data, "levels");
    fs::remove(path_ / "model.safetensors.index.json");
    const std::uint64_t length = deep.size();
    write("model.safetensors", std::string(reinterpret_cast<const char*>(&length), 8) + deep);
    refuse(ExitCode::data, "header");
}

TEST_F(ModelFolder, OnlyRegularFilesAreRead) {
    for (const std::string name : {"config.json", "model.safetensors"}) {
        const std::string good = read_file(kData / "llama" / name);
        fs::remove(path_ / name);
        ASSERT_EQ(::mkfifo((path_ / name).c_str(), 0600), 0);
        refuse(ExitCode::io, "named pipe");
        fs::remove(path_ / name);
        fs::create_directory(path_ / name);
        refuse(ExitCode::io, "folder");
        fs::remove(path_ / name);
        fs::create_symlink("/dev/zero", path_ / name);
        refuse(ExitCode::io, "device");
        fs::remove(path_ / name);
        fs::create_symlink(name, path_ / name);
        refuse(ExitCode::io, "symbolic links");
        write(name, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
        refuse(ExitCode::data, "Git LFS pointer");
        write(name, good);
    }
    EXPECT_NO_THROW(Pretrained{path_});
}

TEST_F(ModelFolder, AFileFarTooLongIsRefusedBeforeItIsRead) {
    fs::resize_file(path_ / "config.json", std::uintmax_t{1} << 40U);  // of zeros that take no room
    refuse(ExitCode::data, "more than");
}

TEST_F(ModelFolder, ConfigsThatAreNoneAreRefused) {
    for (const char* text :
         {"", "[]", "null", "7", "\"x\"", "{", "{}", "{\"model_type\": 3}", "\xFF\xFE{\0}\0", "nonsense"}) {
        write("config.json", text);
        refuse(ExitCode::data, "config.json");
    }
    write("config.json", "\xEF\xBB\xBF" + read_file(kData / "llama/config.json"));
    EXPECT_NO_THROW(Pretrained{path_});
}

TEST_F(ModelFolder, AnIndexThatNamesOtherPlacesIsRefused) {
    fs::remove(path_ / "model.safetensors");  // beside which an index isn't read
    for (const char* map : {R"({"a":"../x"})", R"({"a":"/etc/passwd"})", R"({"a":7})", R"([])", R"("x")", R"({"a":""})",
                            R"({"a":"."})", R"({"a":".."})"}) {
        write("model.safetensors.index.json", std::string(R"({"weight_map":)") + map + "}");
        try {
            const Pretrained model(path_);
            ADD_FAILURE() << map;
        } catch (const Error& error) {
            EXPECT_TRUE(error.code() == ExitCode::data || error.code() == ExitCode::io) << error.what();
        }
    }
}

}  // namespace
}  // namespace tdrm::model
