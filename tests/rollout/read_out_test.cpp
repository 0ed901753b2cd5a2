// Reward models of others, made with transformers and TRL's conventions (tools/fixtures/make_tiny_models.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/engine/load.hpp"
#include "tdrm/rollout/scorer.hpp"

namespace tdrm::rollout {
namespace {

namespace fs = std::filesystem;
constexpr std::int32_t kTag = 7;
constexpr std::size_t kPrompt = 3;

/// A tagged sequence taken apart again: the answer without its tags, and where they stood.
struct Untagged {
    std::vector<std::int32_t> prompt, ids, ends;
    std::vector<float> logits;

    explicit Untagged(const nlohmann::json& entry, const model::ReadOut& read_out) {
        const auto all = entry.at("input_ids").get<std::vector<std::int32_t>>();
        logits = entry.at("logits").get<std::vector<float>>();
        prompt.assign(all.begin(), all.begin() + kPrompt);
        for (std::size_t i = kPrompt; i < all.size(); ++i) {
            if (all[i] == kTag) {
                ends.push_back(static_cast<std::int32_t>(ids.size()));
                i += read_out.tail.size();
            } else {
                ids.push_back(all[i]);
            }
        }
    }
};

nlohmann::json entries(const fs::path& folder) { return nlohmann::json::parse(std::ifstream(folder / "values.json")); }
fs::path folder_of(const char* name) { return fs::path(TDRM_SOURCE_DIR) / "tests/model/data" / name; }

void expect_values(const char* name, const model::ReadOut& read_out) {
    const auto model = engine::load_pretrained(folder_of(name));
    for (const int unit_tokens : {1, 10000}) {
        Scorer scorer(*model, read_out, unit_tokens);
        for (const auto& entry : entries(folder_of(name))) {
            const Untagged whole(entry, read_out);
            const std::vector<ScoredAnswer> answers{{whole.ids, whole.ends}, {whole.ids, whole.ends}};
            for (const auto& values : scorer.score(whole.prompt, answers)) {
                ASSERT_EQ(values.size(), whole.logits.size());
                for (std::size_t i = 0; i < values.size(); ++i)
                    EXPECT_NEAR(values[i], whole.logits[i], 1e-4F) << name << " state " << i;
            }
        }
    }
}

TEST(ReadOut, TwoLabelsAtASeparatorAreThoseOfTransformersTokenClassification) {
    expect_values("token_classifier", {{kTag}, {}, model::TagPlace::trunk, -1, -1});
}

TEST(ReadOut, HeadOfTwoLayersIsThatOfQwenMathPrm) {
    expect_values("qwen_prm", {{kTag}, {}, model::TagPlace::trunk, -1, -1});
}

TEST(ReadOut, TokenPairOfTheLanguageHeadIsThatOfMathShepherd) {
    expect_values("llama", {{kTag}, {}, model::TagPlace::trunk, 3, 4});
}

TEST(ReadOut, LeafGivesWhatTransformersSequenceClassificationGivesForThePrefixAlone) {
    const auto model = engine::load_pretrained(folder_of("sequence_classifier"));
    for (const auto& entry : entries(folder_of("sequence_classifier"))) {
        const auto all = entry.at("input_ids").get<std::vector<std::int32_t>>();
        const std::vector<std::int32_t> prompt(all.begin(), all.begin() + kPrompt),
            ids(all.begin() + kPrompt, all.end() - 1);
        const std::vector<ScoredAnswer> answers{{ids, {0, 4, static_cast<std::int32_t>(ids.size())}}};
        const auto values = Scorer(*model, model::ReadOut{{all.back()}, {}, model::TagPlace::leaf, -1, -1}, 1000)
                                .score(prompt, answers);
        EXPECT_NEAR(values[0][2], entry.at("logits").at(0).get<float>(), 1e-4F);
    }
}

TEST(ReadOut, TailStandsBetweenTagAndNextStep) {
    // The same sequence, told as tag alone and as tag with a tail that takes the first token of each later step.
    const auto model = engine::load_pretrained(folder_of("token_classifier"));
    const std::vector<std::int32_t> prompt{5, 6, 9}, plain{10, 11, 30, 12, 13, 30, 14}, short_steps{10, 11, 12, 13, 14};
    const std::vector<ScoredAnswer> told{{plain, {2, 5, 7}}}, with_tail{{short_steps, {2, 4, 5}}};
    const auto a =
        Scorer(*model, model::ReadOut{{8, kTag}, {}, model::TagPlace::trunk, -1, -1}, 1000).score(prompt, told);
    const auto b =
        Scorer(*model, model::ReadOut{{8, kTag}, {30}, model::TagPlace::trunk, -1, -1}, 1000).score(prompt, with_tail);
    EXPECT_EQ(a, b);
}

TEST(ReadOut, StartStateIsALeafThatOthersDontSee) {
    const auto model = engine::load_pretrained(folder_of("qwen_prm"));
    const std::vector<std::int32_t> prompt{5, 6, 9}, ids{10, 11, 12};
    Scorer scorer(*model, model::ReadOut{{kTag}, {}, model::TagPlace::trunk, -1, -1}, 1000);
    const auto with = scorer.score(prompt, std::vector<ScoredAnswer>{{ids, {0, 3}}});
    const auto without = scorer.score(prompt, std::vector<ScoredAnswer>{{ids, {3}}});
    const auto alone = scorer.score(prompt, std::vector<ScoredAnswer>{{{}, {0}}});
    EXPECT_EQ(with[0][1], without[0][0]);
    EXPECT_EQ(with[0][0], alone[0][0]);
}

TEST(ReadOut, ThatTheModelCantAnswerIsRefused) {
    const auto language = engine::load_pretrained(folder_of("llama"));
    const auto value = engine::load_pretrained(folder_of("qwen_prm"));
    EXPECT_THROW(Scorer(*language, model::ReadOut{{kTag}, {}, model::TagPlace::trunk, -1, -1}, 10), ConfigError);
    EXPECT_THROW(Scorer(*language, model::ReadOut{{kTag}, {}, model::TagPlace::trunk, 3, -1}, 10), DataError);
    EXPECT_THROW(Scorer(*language, model::ReadOut{{kTag}, {}, model::TagPlace::trunk, 3, 64}, 10), DataError);
    EXPECT_THROW(Scorer(*value, model::ReadOut{{kTag}, {}, model::TagPlace::trunk, 3, 4}, 10), ConfigError);
    EXPECT_THROW(Scorer(*value, model::ReadOut{{64}, {}, model::TagPlace::trunk, -1, -1}, 10), DataError);
}

}  // namespace
}  // namespace tdrm::rollout
