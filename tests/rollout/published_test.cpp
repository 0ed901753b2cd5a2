// The rows of docs/models.md against what published inference code reads off models of each form
// (tools/fixtures/make_reward_models.py).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/engine/load.hpp"
#include "tdrm/rollout/value_reader.hpp"
#include "tdrm/text/tokenizer.hpp"
#include "toy_task.hpp"

namespace tdrm::rollout {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
const fs::path kSource = TDRM_SOURCE_DIR;
const fs::path kData = kSource / "tests/rollout/data";

/// A task in text: its prompts are the questions.
class TextToy final : public ToyTask {
public:
    [[nodiscard]] const text::Tokenizer* tokenizer() const override { return &tokenizer_; }
    [[nodiscard]] std::string question_of(task::TokenSpan prompt) const override { return tokenizer_.decode(prompt); }

private:
    text::Tokenizer tokenizer_ = text::Tokenizer::load(kSource / "tests/text/data/smollm");
};

/// The read-out of a model in the table of docs/models.md.
std::string row_of(const std::string& model) {
    std::ifstream file(kSource / "docs/models.md");
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with("| " + model)) continue;
        const std::size_t begin = line.find("`{") + 1;
        std::string row = line.substr(begin, line.find("}`", begin) + 1 - begin);
        for (std::size_t at = 0; (at = row.find("\\|", at)) != std::string::npos;) row.erase(at, 1);
        return row;
    }
    return "";
}

ReadOutOptions options_of(const std::string& yaml) {
    ReadOutOptions options;
    Problems problems;
    parse(parse_yaml(yaml, "row"), options, problems);
    EXPECT_TRUE(problems.empty()) << yaml;
    return options;
}

/// Values of the states behind each step of a case, as probabilities.
std::vector<double> values_of(const task::Task& task, engine::Engine& engine, const fs::path& folder,
                              const ReadOutOptions& options, const json& entry, int unit_tokens = 1000) {
    task::Tokens ids;
    ScoredAnswer answer{{}, {0}};
    const auto& steps = entry.at("steps");
    for (std::size_t s = 0; s < steps.size(); ++s) {
        const auto more = task.tokenizer()->encode(steps[s].get<std::string>() + (s + 1 < steps.size() ? "\n\n" : ""));
        ids.insert(ids.end(), more.begin(), more.end());
        answer.ends.push_back(static_cast<std::int32_t>(ids.size()));
    }
    answer.ids = ids;
    auto scorer = value_scorer(task, engine, folder, options, unit_tokens);
    const auto prompt = task.tokenizer()->encode(entry.at("question").get<std::string>());
    std::vector<double> values;
    const auto logits = scorer.score(prompt, std::span(&answer, 1));
    for (const float logit : logits[0]) values.push_back(1 / (1 + std::exp(-static_cast<double>(logit))));
    values.erase(values.begin());  // s_0, which the published code doesn't read
    return values;
}

class Published : public testing::TestWithParam<const char*> {};

TEST_P(Published, RowOfTheDocumentationGivesTheNumbersOfThePublishedCode) {
    const fs::path folder = kData / GetParam();
    const json readings = json::parse(std::ifstream(folder / "readings.json"));
    const std::string row = row_of(readings.at("row"));
    ASSERT_FALSE(row.empty());
    const TextToy task;
    Problems problems;
    check_read_out(options_of(row), task, "read_out", problems);
    for (const ConfigProblem& problem : problems) ADD_FAILURE() << problem.message;
    const auto engine = engine::load_pretrained(folder);
    for (const json& entry : readings.at("cases")) {
        const auto values = values_of(task, *engine, folder, options_of(row), entry);
        ASSERT_EQ(values.size(), entry.at("values").size());
        for (std::size_t k = 0; k < values.size(); ++k)
            EXPECT_NEAR(values[k], entry.at("values")[k].get<double>(), 2e-6) << entry.at("question") << " step " << k;
    }
}

INSTANTIATE_TEST_SUITE_P(Forms, Published,
                         testing::Values("trl", "qwen_math_prm", "skywork", "math_shepherd", "rlhflow", "openrlhf",
                                         "five_bins"));

/// Each part of a row counts: without it the numbers are others.
TEST(PublishedRows, HaveNothingThatCouldBeLeftOut) {
    const TextToy task;
    const auto differs = [&](const char* form, const auto& change) {
        const fs::path folder = kData / form;
        const json readings = json::parse(std::ifstream(folder / "readings.json"));
        auto options = options_of(row_of(readings.at("row")));
        change(options);
        const auto engine = engine::load_pretrained(folder);
        double most = 0;
        for (const json& entry : readings.at("cases")) {
            const auto values = values_of(task, *engine, folder, options, entry);
            for (std::size_t k = 0; k < values.size(); ++k)
                most = std::max(most, std::abs(values[k] - entry.at("values")[k].get<double>()));
        }
        EXPECT_GT(most, 1e-4) << form;
    };
    differs("trl", [](auto& o) { o.pieces = task::Pieces::joined; });
    differs("rlhflow", [](auto& o) { o.prompt = "{question}"; });
    differs("rlhflow", [](auto& o) { o.pieces = task::Pieces::alone; });
    differs("skywork", [](auto& o) { o.prompt = "{question}\n"; });
    differs("math_shepherd", [](auto& o) { o.tail.clear(); });
    differs("qwen_math_prm", [](auto& o) { o.system = "Be brief."; });
    differs("five_bins", [](auto& o) { o.bins = {0, 0, 0, 1, 1}; });
}

std::string message_of(const auto& action) {
    try {
        action();
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "no ConfigError";
}

TEST(PublishedRows, BinsThatArentSaidAreRefusedAndThoseThatDontFitToo) {
    const TextToy task;
    const fs::path folder = kData / "five_bins";
    const auto engine = engine::load_pretrained(folder);
    const auto says = [&](std::vector<double> bins, const std::string& words) {
        auto options = options_of(row_of("heads of bins"));
        options.bins = std::move(bins);
        const auto message = message_of([&] { (void)value_scorer(task, *engine, folder, options, 1000); });
        EXPECT_NE(message.find(words), std::string::npos) << message;
    };
    says({}, "has 5 labels, and the id2label");
    says({0, 1}, "has 2 numbers, the value head 5 labels");
    says({1, 1, 1, 1, 1}, "all alike");
    auto options = options_of(row_of("Skywork"));
    options.bins = {0, 1};
    const auto one = engine::load_pretrained(kData / "skywork");
    const auto message = message_of([&] { (void)value_scorer(task, *one, kData / "skywork", options, 1000); });
    EXPECT_NE(message.find("has none such"), std::string::npos) << message;
}

TEST(PublishedRows, TurnsNeedATemplateThatWritesThem) {
    const TextToy task;
    const auto engine = engine::load_pretrained(kData / "trl");
    auto options = options_of(row_of("RLHFlow"));
    EXPECT_THROW((void)value_scorer(task, *engine, kData / "trl", options, 1000), IoError) << "it has no template";
    Problems problems;
    options.positive.clear();
    options.tag = "x";
    check_read_out(options, task, "read_out", problems);
    EXPECT_EQ(problems.size(), 2U);
    problems.clear();
    options = {};
    options.steps = task::StepForm::turns;
    check_read_out(options, task, "read_out", problems);
    ASSERT_EQ(problems.size(), 1U);
    EXPECT_NE(problems[0].message.find("reads: text"), std::string::npos);
}

}  // namespace
}  // namespace tdrm::rollout
