// Value heads: where they are found, what config.json says about them, and what they compute.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "tdrm/base/errors.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/model/read_out.hpp"
#include "tdrm/model/transformer.hpp"

namespace tdrm::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
constexpr std::int64_t kWidth = 32;

/// The tiny llama with tensors of a head beside it, in the file of their own that LLaMA-Factory writes.
class HeadFolder : public testing::Test {
protected:
    fs::path folder = fs::path(testing::TempDir()) / "tdrm_value_head_test";
    void SetUp() override {
        TearDown();
        fs::copy(fs::path(TDRM_SOURCE_DIR) / "tests/model/data/llama", folder);
    }
    void TearDown() override { fs::remove_all(folder); }

    /// Element i of tensor t is cos(i + t).
    void give(const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& tensors) const {
        std::vector<NamedTensor> named;
        for (std::size_t t = 0; t < tensors.size(); ++t)
            named.push_back({tensors[t].first, tensors[t].second, [t](std::int64_t first, std::span<float> out) {
                                 for (std::size_t i = 0; i < out.size(); ++i)
                                     out[i] = static_cast<float>(std::cos(static_cast<double>(first) + i + t));
                             }});
        write_safetensors(folder / "value_head.safetensors", named, Dtype::f32);
    }
    void configure(const json& more) const {
        json config = json::parse(std::ifstream(folder / "config.json"));
        config.update(more);
        std::ofstream(folder / "config.json") << config.dump();
    }
    [[nodiscard]] ValueHead head() const {
        const ModelSpec spec = Pretrained(folder).spec();
        EXPECT_EQ(spec.head, Head::value);
        return spec.value_head;
    }
    void says(const std::string& words) const {
        std::string message = "no error";
        try {
            (void)Pretrained(folder);
        } catch (const DataError& error) {
            message = error.what();
        }
        EXPECT_NE(message.find(words), std::string::npos) << message;
    }
};

TEST_F(HeadFolder, IsFoundUnderEveryPublishedName) {
    for (const std::string name : {"score", "value_head", "v_head.summary", "v_head", "regression_head"})
        for (const bool bias : {false, true}) {
            std::vector<std::pair<std::string, std::vector<std::int64_t>>> tensors{{name + ".weight", {1, kWidth}}};
            if (bias) tensors.push_back({name + ".bias", {1}});
            give(tensors);
            const Pretrained source(folder);
            EXPECT_EQ(source.spec().head, Head::value);
            EXPECT_EQ(source.spec().value_head.name, name);
            EXPECT_EQ(source.spec().value_head.bias, bias);
            Model model(source.spec());
            EXPECT_TRUE(deliver(source, model.layout().tensors, model.sink()).empty());
            const std::vector<float> hidden(kWidth, 1.0F);
            float logit = 0;
            value_logits(model, hidden.data(), 1, &logit);
            double expected = bias ? std::cos(1.0) : 0;
            for (int i = 0; i < kWidth; ++i) expected += std::cos(static_cast<double>(i));
            EXPECT_NEAR(logit, expected, 1e-5) << name;
        }
}

TEST_F(HeadFolder, WithoutOneIsALanguageModel) { EXPECT_EQ(Pretrained(folder).spec().head, Head::language); }

TEST_F(HeadFolder, OfWhichThereAreTwoOrOfAnotherShapeIsRefused) {
    give({{"score.weight", {1, kWidth}}, {"v_head.summary.weight", {1, kWidth}}});
    says("has two value heads, score and v_head.summary");
    give({{"score.weight", {kWidth}}});
    says("score.weight has shape [32]");
    give({{"score.weight", {1, kWidth + 1}}});
    says("score.weight has shape [1,33], config.json asks for [1,32]");
    give({{"reward_model_head.weight", {1, kWidth}}});
    says("reward_model_head.weight isn't part of such a model");
    give({{"value_head.weight", {1, kWidth}}, {"value_head.more", {1}}});
    says("value_head.more isn't part of such a model");
}

TEST_F(HeadFolder, LabelsMeanWhatTheConfigSays) {
    using Bins = std::vector<double>;
    const auto bins = [&](int labels, const json& names) {
        give({{"score.weight", {labels, kWidth}}, {"score.bias", {labels}}});
        configure({{"id2label", names}});
        return head().bins;
    };
    EXPECT_EQ(bins(2, {{"0", "LABEL_0"}, {"1", "LABEL_1"}}), (Bins{0, 1}));
    EXPECT_EQ(bins(2, nullptr), (Bins{0, 1}));
    EXPECT_EQ(bins(2, {{"0", "Incorrect"}, {"1", "Correct"}}), (Bins{0, 1}));
    EXPECT_EQ(bins(2, {{"0", "Correct"}, {"1", "Incorrect"}}), (Bins{1, 0}));
    EXPECT_EQ(bins(2, {{"0", "+"}, {"1", "-"}}), (Bins{1, 0}));
    EXPECT_EQ(bins(2, {{"0", "1"}, {"1", "0"}}), (Bins{1, 0}));
    EXPECT_EQ(bins(5, {{"0", "0.0"}, {"1", "0.25"}, {"2", "0.5"}, {"3", "0.75"}, {"4", "1.0"}}),
              (Bins{0, 0.25, 0.5, 0.75, 1}));
    EXPECT_EQ(bins(3, {{"0", 0}, {"1", 0.5}, {"2", 1}}), (Bins{0, 0.5, 1}));
    // Neither said nor told: whoever reads it must say it.
    EXPECT_EQ(bins(5, {{"0", "LABEL_0"}, {"1", "LABEL_1"}, {"2", "LABEL_2"}, {"3", "LABEL_3"}, {"4", "LABEL_4"}}),
              Bins{});
    EXPECT_EQ(bins(5, {{"0", "1"}, {"1", "2"}, {"2", "3"}, {"3", "4"}, {"4", "5"}}), Bins{});
    EXPECT_EQ(bins(3, {{"0", "0"}, {"1", "1"}}), Bins{});
    EXPECT_EQ(bins(3, {{"0", "0.5"}, {"1", "0.5"}, {"2", "0.5"}}), Bins{});
    EXPECT_EQ(bins(3, {{"0", "nan"}, {"1", "0"}, {"2", "1"}}), Bins{});
}

TEST_F(HeadFolder, RewardsAreNormalisedWhereTheConfigSaysSo) {
    give({{"value_head.weight", {1, kWidth}}});
    configure({{"mean", 0.5}, {"std", 2.0}});
    EXPECT_EQ(head().std, 1) << "normalize_reward isn't set";
    configure({{"normalize_reward", true}});
    EXPECT_EQ(head().mean, 0.5);
    EXPECT_EQ(head().std, 2.0);
    configure({{"std", 0.0}});
    says("std 0 isn't above 0");
    configure({{"std", nullptr}});
    says("normalize_reward is true, but std is no number");
}

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

TEST(HeadLogit, IsThatOfTheExpectedValueUnderTheSoftmax) {
    const std::vector<double> z{0.3, -1.2, 2.0, 0.1, -0.4}, bins{0, 0.25, 0.5, 0.75, 1};
    double mass = 0, value = 0;
    for (std::size_t k = 0; k < z.size(); ++k) {
        mass += std::exp(z[k]);
        value += std::exp(z[k]) * bins[k];
    }
    EXPECT_NEAR(sigmoid(head_logit(z, bins)), value / mass, 1e-15);
    const std::vector<double> two{-0.7, 1.9};
    EXPECT_EQ(head_logit(two, std::vector<double>{0, 1}), 1.9 + 0.7);
    EXPECT_EQ(head_logit(two, std::vector<double>{1, 0}), -0.7 - 1.9);
    EXPECT_EQ(head_logit(std::vector<double>{-2000, 3000}, std::vector<double>{0, 1}), 5000) << "without overflow";
}

}  // namespace
}  // namespace tdrm::model
