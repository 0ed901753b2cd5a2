#include "tdrm/store/checkpoint.hpp"

#include <gtest/gtest.h>

#include "sample_state.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/store/manifest.hpp"
#include "temporary_folder.hpp"

namespace tdrm::store {
namespace {
namespace fs = std::filesystem;

// One folder for all ranks: named by rank 0.
class CheckpointTest : public testing::Test {
protected:
    CheckpointTest() {
        if (ranks_.root()) folder_ = std::make_unique<TemporaryFolder>("checkpoint-");
        path_ = ranks_.broadcast_text(folder_ ? folder_->path().string() : "");
    }
    ~CheckpointTest() override { ranks_.barrier(); }
    void save(const std::string& name, int update, std::int64_t part_elements) {
        const SampleState sample(update);
        save_checkpoint(ranks_, path_ / name, sample.states(), {{"update", update}}, part_elements);
    }
    void only_root(const std::function<void()>& work) {
        if (ranks_.root()) work();
        ranks_.barrier();
    }
    comm::Communicator ranks_;
    std::unique_ptr<TemporaryFolder> folder_;
    fs::path path_;
};

TEST_F(CheckpointTest, ComesBackBitForBitForEveryPartLength) {
    const SampleState sample(5);
    for (const std::int64_t part : {7L, 17L, 100L, 169L, 170L, 171L, 340L, 511L, 1'000'000L}) {
        save("update-5", 5, part);
        const Checkpoint checkpoint = load_checkpoint(ranks_, path_ / "update-5");
        EXPECT_EQ(checkpoint.progress().at("update"), 5);
        EXPECT_EQ(checkpoint.groups(),
                  (std::vector<std::string>{"model", "optimizer/exp_avg", "optimizer/exp_avg_sq"}));
        EXPECT_EQ(checkpoint.read_flat("model"), sample.model) << part;
        EXPECT_EQ(checkpoint.read_flat("optimizer/exp_avg"), sample.first) << part;
        EXPECT_EQ(checkpoint.read_flat("optimizer/exp_avg_sq"), sample.second) << part;
        ranks_.barrier();
    }
}

TEST_F(CheckpointTest, AGroupInBfloat16IsRoundedHalfAsLongAndOtherwiseTheSame) {
    const SampleState sample(5);
    std::vector<float> rounded;
    for (const float x : sample.model) rounded.push_back(to_float(to_bfloat16(x)));
    EXPECT_NE(rounded, sample.model);
    for (const std::int64_t part : {7L, 171L, 1'000'000L}) {
        save_checkpoint(ranks_, path_ / "update-5", sample.states(Type::bfloat16), {}, part);
        const Checkpoint checkpoint = load_checkpoint(ranks_, path_ / "update-5");
        EXPECT_EQ(checkpoint.type("model"), Type::bfloat16);
        EXPECT_EQ(checkpoint.type("optimizer/exp_avg"), Type::float32);
        EXPECT_EQ(checkpoint.read_flat("model"), rounded) << part;
        EXPECT_EQ(checkpoint.read_flat("optimizer/exp_avg"), sample.first) << part;
        EXPECT_EQ(checkpoint.read("model").at("norm.bias").values[0],
                  rounded[static_cast<std::size_t>(sample.tensors[2].offset)]);
        const FileReader file(path_ / "update-5" / "part-0000.h5");
        EXPECT_EQ(file.type("model"), Type::bfloat16);
        EXPECT_EQ(file.read<BFloat16>("model")[5], to_bfloat16(sample.model[5]));
        EXPECT_THROW((void)file.read<float>("model"), DataError);
        ranks_.barrier();
    }
}

TEST_F(CheckpointTest, TensorsAcrossPartsAreReadAsOne) {
    const SampleState sample(2);
    for (const std::int64_t part : {5L, 17L, 90L, 1000L}) {
        save("update-2", 2, part);
        const Checkpoint checkpoint = load_checkpoint(ranks_, path_ / "update-2");
        const auto tensors = checkpoint.read("optimizer/exp_avg");
        const FileReader file(path_ / "update-2" / "checkpoint.h5");
        ASSERT_EQ(tensors.size(), sample.tensors.size());
        for (const TensorView& view : sample.tensors) {
            const Tensor& tensor = tensors.at(view.name);
            const auto begin = sample.first.begin() + view.offset;
            const std::vector<float> expected(begin, begin + static_cast<std::ptrdiff_t>(tensor.values.size()));
            EXPECT_EQ(tensor.shape, view.shape);
            EXPECT_EQ(tensor.values, expected) << view.name << " " << part;
            EXPECT_EQ(file.read<float>("optimizer/exp_avg/" + view.name), expected) << view.name << " " << part;
            EXPECT_EQ(file.shape("optimizer/exp_avg/" + view.name), view.shape.empty() ? Shape{1} : view.shape);
        }
        ranks_.barrier();
    }
}

TEST_F(CheckpointTest, TheReaderChoosesItsOwnLayout) {
    save("update-1", 1, 50);
    const Checkpoint checkpoint = load_checkpoint(ranks_, path_ / "update-1");
    const SampleState sample(1);
    std::vector<TensorView> other = sample.tensors;
    std::reverse(other.begin(), other.end());
    std::int64_t offset = 0;
    for (TensorView& view : other) {
        view.offset = offset;
        offset += 100;
    }
    std::vector<float> data(500, -1.0F);
    checkpoint.read_flat("model", data, other);
    EXPECT_EQ(data[400], sample.model[2]);            // first element of embed.weight
    EXPECT_EQ(data[400 + 76], sample.model[2 + 76]);  // its last
    EXPECT_EQ(data[400 + 77], -1.0F);
    other[0].shape = {2};
    other[1].name = "other";
    const std::string message = message_of<DataError>([&] { checkpoint.read_flat("model", data, other); });
    for (const char* part :
         {"scalar has shape [], the model expects [2]", "other is missing", "empty isn't in the model"}) {
        EXPECT_NE(message.find(part), std::string::npos) << message;
    }
    EXPECT_THROW((void)checkpoint.read_flat("ema"), DataError);
}

TEST_F(CheckpointTest, CanBeMovedAndReplaced) {
    save("update-4", 4, 60);
    only_root([&] { fs::rename(path_ / "update-4", path_ / "elsewhere"); });
    EXPECT_EQ(load_checkpoint(path_ / "elsewhere").progress().at("update"), 4);
    const FileReader file(path_ / "elsewhere" / "checkpoint.h5");
    EXPECT_EQ(file.read<float>("model/norm.bias").size(), 13U);
    EXPECT_EQ(file.read<float>("model/norm.bias").at(0),
              SampleState(4).model[static_cast<std::size_t>(sample_tensors()[2].offset)]);
    ranks_.barrier();
    save("elsewhere", 6, 1000);
    EXPECT_EQ(load_checkpoint(path_ / "elsewhere").progress().at("update"), 6);
    EXPECT_FALSE(fs::exists(path_ / "elsewhere" / "part-0001.h5"));
}

TEST_F(CheckpointTest, AFailureOnOneRankLeavesTheOldStateAndRaisesOnAll) {
    save("update-7", 7, 100);
    SampleState sample(8);
    if (ranks_.rank() == ranks_.size() - 1) sample.tensors[0].offset = 100'000;
    EXPECT_THROW(save_checkpoint(ranks_, path_ / "update-7", sample.states(), {}, 100), Error);
    ranks_.barrier();
    EXPECT_EQ(load_checkpoint(path_ / "update-7").progress().at("update"), 7);
    EXPECT_FALSE(fs::exists(temporary_of(path_ / "update-7")));
    only_root([&] { std::ofstream(path_ / "file") << "in the way"; });
    try {
        save_checkpoint(ranks_, path_ / "file" / "update-9", SampleState(9).states(), {}, 100);
        ADD_FAILURE() << "a folder within a file";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::io) << error.what();
    }
}

TEST_F(CheckpointTest, DamageIsNamedOnEveryRank) {
    save("update-1", 1, 40);
    only_root([&] { flip_bit(path_ / "update-1" / "part-0003.h5", 900); });
    for (int repeat = 0; repeat < 2; ++repeat) {
        const std::string message = repeat == 0
                                        ? message_of<Error>([&] { (void)load_checkpoint(ranks_, path_ / "update-1"); })
                                        : message_of<DataError>([&] { (void)load_checkpoint(path_ / "update-1"); });
        EXPECT_NE(message.find("part-0003.h5 is damaged"), std::string::npos) << message;
        EXPECT_NE(message.find("update-1"), std::string::npos) << message;
    }
}

TEST_F(CheckpointTest, TheNewestWholeOneIsFound) {
    for (const int update : {9, 10, 11, 200}) save("update-" + std::to_string(update), update, 40);
    only_root([&] {
        EXPECT_EQ(newest_valid_checkpoint(path_).directory, path_ / "update-200");
        fs::create_directory(path_ / "update-300.tmp");
        fs::resize_file(path_ / "update-200" / "part-0001.h5", 100);
        fs::remove(path_ / "update-200" / "part-0002.h5");
        fs::remove(path_ / "update-11" / "manifest.json");
        const NewestCheckpoint newest = newest_valid_checkpoint(path_);
        EXPECT_EQ(newest.directory, path_ / "update-10");
        ASSERT_EQ(newest.damaged.size(), 2U);
        EXPECT_EQ(newest.damaged[0].directory, path_ / "update-200");
        ASSERT_EQ(newest.damaged[0].problems.size(), 2U);
        EXPECT_TRUE(newest.damaged[0].problems[0].starts_with("part-0001.h5 is truncated"));
        EXPECT_TRUE(newest.damaged[0].problems[1].starts_with("part-0002.h5 is missing"));
        EXPECT_NE(newest.damaged[1].problems.at(0).find("manifest.json"), std::string::npos);
        EXPECT_FALSE(newest_valid_checkpoint(path_ / "none").directory);
    });
}

}  // namespace
}  // namespace tdrm::store
