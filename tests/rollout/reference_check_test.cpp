#include "tdrm/rollout/reference_check.hpp"

#include <gtest/gtest.h>

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
