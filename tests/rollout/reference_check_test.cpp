#include "tdrm/rollout/reference_check.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/engine/load.hpp"

namespace tdrm::rollout {
namespace {

namespace fs = std::filesystem;
const fs::path kData = fs::path(TDRM_SOURCE_DIR) / "tests/model/data";

class TinyModel : public testing::TestWithParam<const char*> {};

TEST_P(TinyModel, AgreesWithTransformersInLogProbsAndGreedyTokens) {
    const auto cases = read_reference(kData / GetParam() / "reference.json");
    const auto report = check_reference(*engine::load_pretrained(kData / GetParam()), cases);
    EXPECT_TRUE(report.agrees(1e-4)) << report.largest_difference << " " << testing::PrintToString(report.problems);
    EXPECT_EQ(report.logprobs, 4 + 39 + 3 * 64);
    EXPECT_EQ(report.greedy_tokens, 3 * 8);
}

INSTANTIATE_TEST_SUITE_P(OfEveryForm, TinyModel,
                         testing::Values("llama", "llama3", "llama3_v4", "qwen2", "qwen2_tied_v4", "glm4", "glm4_v4",
                                         "mistral"));

TEST(ReferenceCheck, FindsAChangedWeightAndACaseOfAnotherModel) {
    const auto cases = read_reference(kData / "llama/reference.json");
    auto model = engine::load_pretrained(kData / "llama");
    float weight = 0;
    model->read(engine::Array::weights, 1000, std::span(&weight, 1));
    weight += 0.5F;
    model->write(engine::Array::weights, 1000, std::span(&weight, 1));
    EXPECT_FALSE(check_reference(*model, cases).agrees(1e-4));
    EXPECT_THROW((void)check_reference(*model, {{{64}, {}, {}, {}}}), DataError);
    EXPECT_THROW((void)check_reference(*model, {{{1, 2}, {-1, -2}, {}, {}}}), DataError);
    EXPECT_THROW((void)check_reference(*engine::load_pretrained(kData / "sequence_classifier"), cases), ConfigError);
}

class RewardModel : public testing::TestWithParam<const char*> {};

/// The readings of tools/fixtures/make_tiny_models.py, as cases of `check-model`.
TEST_P(RewardModel, AgreesWithTransformersInItsValues) {
    const fs::path folder = kData / GetParam();
    const auto model = engine::load_pretrained(folder);
    auto cases = read_reference(folder / "values.json");
    for (ReferenceCase& c : cases) {
        if (model->spec().head == model::Head::language) c.tokens = {3, 4};
        if (c.logits.size() == 1) continue;
        for (std::size_t i = 0; i < c.ids.size(); ++i)
            if (c.ids[i] == 7) c.positions.push_back(static_cast<std::int32_t>(i));
        for (const auto& z : c.logits) c.values.push_back(1 / (1 + std::exp(-z[0])));
    }
    auto report = check_reference(*model, cases);
    EXPECT_TRUE(report.agrees(1e-5)) << report.largest_difference;
    EXPECT_GE(report.values, 3);
    cases[1].logits[0][0] += 1e-3;
    report = check_reference(*model, cases);
    EXPECT_FALSE(report.agrees(5e-4));
    EXPECT_EQ(report.worst_case, 1U);
}

INSTANTIATE_TEST_SUITE_P(OfEveryForm, RewardModel,
                         testing::Values("token_classifier", "qwen_prm", "sequence_classifier", "llama"));

TEST(ReferenceCheck, TellsWhatIsWrongWithACaseOfValues) {
    const auto value = engine::load_pretrained(kData / "token_classifier");
    const auto says = [&](engine::Engine& model, const ReferenceCase& c, const std::string& words) {
        std::string message = "no error";
        try {
            (void)check_reference(model, {c});
        } catch (const std::exception& error) {
            message = error.what();
        }
        EXPECT_NE(message.find(words), std::string::npos) << message;
    };
    says(*value, {.ids = {1, 2}, .positions = {2}, .values = {0.5}}, "position 2, but 2 input_ids");
    says(*value, {.ids = {1, 2}, .positions = {-1}, .values = {0.5}}, "position -1");
    says(*value, {.ids = {1, 2}, .positions = {0, 1}, .values = {0.5}}, "1 values or logits for 2 positions");
    says(*value, {.ids = {1, 2}, .values = {1.5}}, "the value 1.5 (values are probabilities)");
    says(*value, {.ids = {1, 2}, .values = {std::nan("")}}, "values are probabilities");
    says(*value, {.ids = {1, 2}, .logits = {{1, 2, 3}}}, "has 3 logits at a position");
    says(*value, {.ids = {1, 2}, .values = {0.5}, .tokens = {3}}, "1 tokens");
    says(*value, {.ids = {1, 2}, .values = {0.5}, .tokens = {3, 4}}, "no language head");
    says(*value, {.ids = {1, 2}, .values = {0.5}, .bins = {0, 0.5, 1}}, "has 3 numbers, the value head 2 labels");
    const auto language = engine::load_pretrained(kData / "llama");
    says(*language, {.ids = {1, 2}, .values = {0.5}}, "no value head");
    says(*language, {.ids = {1, 2}, .values = {0.5}, .tokens = {3, 64}}, "vocabulary");
}

TEST(ReferenceCheck, StoriesModelAgreesWithItsReference) {
    const fs::path folder = fs::path(TDRM_SOURCE_DIR) / "../shared/data/models/stories260K";
    if (!fs::exists(folder / "reference.jsonl")) GTEST_SKIP() << "needs " << folder;
    const auto model = engine::load_pretrained(folder);
    std::ifstream file(folder / "reference.jsonl");
    std::vector<ReferenceCase> cases;
    for (std::string line; std::getline(file, line);) {
        const auto j = nlohmann::json::parse(line);
        cases.push_back(
            {j.at("ids"),
             j.at("next_logprob"),
             {},
             j.contains("greedy") ? j.at("greedy").get<std::vector<std::int32_t>>() : std::vector<std::int32_t>{}});
    }
    ASSERT_FALSE(cases.empty());
    const auto report = check_reference(*model, cases);
    EXPECT_TRUE(report.agrees(1e-4)) << report.largest_difference << " " << testing::PrintToString(report.problems);
}

}  // namespace
}  // namespace tdrm::rollout
