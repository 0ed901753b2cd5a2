// Solutions that models wrote, judged against the labels that people or other verifiers gave them.
#include <gtest/gtest.h>

#include <map>

#include "golds.hpp"

namespace tdrm::math::test {
namespace {

std::string without_space(std::string_view text) {
    std::string key;
    for (const char c : text)
        if (!is_space(c)) key += c;
    return key;
}

/// Gold answers by problem, of the data sets that ProcessBench's problems come from.
std::map<std::string, std::string> golds_by_problem() {
    struct Source {
        const char *file, *problem, *gold;
    };
    constexpr Source kSources[] = {{"gsm8k/test.jsonl", "question", "answer"},
                                   {"math/test.jsonl.gz", "problem", "solution"},
                                   {"olympiadbench/test.jsonl.gz", "question", "final_answer"}};
    std::map<std::string, std::string> golds;
    for (const Source& source : kSources) {
        for (const Json& row : rows_of(shared_data() / source.file)) {
            const Json& gold = row.at(source.gold);
            std::string text;
            if (gold.is_string()) text = gold;
            if (gold.is_array())
                for (const Json& part : gold) text += (text.empty() ? "" : ", ") + part.get<std::string>();
            if (!text.empty()) golds.emplace(without_space(row.at(source.problem).get<std::string>()), text);
        }
    }
    return golds;
}

TEST(Verifier, JudgesTheEndingsOfProcessBenchAsLabelled) {
    if (!std::filesystem::exists(shared_data() / "processbench")) GTEST_SKIP() << "ProcessBench isn't here";
    const auto golds = golds_by_problem();
    std::size_t pairs = 0, last_step = 0, whole = 0;
    for (const char* set : {"gsm8k", "math", "olympiadbench"}) {
        for (const Json& row : rows_of(shared_data() / "processbench" / (std::string(set) + ".json.gz"))) {
            const auto gold = golds.find(without_space(row.at("problem").get<std::string>()));
            if (gold == golds.end()) continue;
            std::string solution;
            for (const Json& step : row.at("steps"))
                solution += (solution.empty() ? "" : "\n\n") + step.get<std::string>();
            const bool label = row.at("final_answer_correct");
            ++pairs;
            last_step += verify(gold->second, row.at("steps").back().get<std::string>()).equal == label ? 1 : 0;
            whole += verify(gold->second, solution).equal == label ? 1 : 0;
        }
    }
    std::cout << pairs << " solutions; as labelled by their last step " << last_step << ", as a whole " << whole
              << "\n";
    EXPECT_EQ(pairs, 2386U);
    EXPECT_GE(last_step, 2345U);
    EXPECT_GE(whole, 2345U);
}

TEST(Verifier, JudgesTheExampleSolutionsOfGsm8kAsLabelled) {
    const auto path = shared_data() / "gsm8k/example_model_solutions.jsonl.gz";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "the solutions aren't here";
    std::size_t pairs = 0, agreed = 0;
    for (const Json& row : rows_of(path)) {
        for (const char* model : {"6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"}) {
            const Json& made = row.at(model);
            const bool equal =
                verify(row.at("ground_truth").get<std::string>(), made.at("solution").get<std::string>()).equal;
            ++pairs;
            agreed += equal == made.at("is_correct").get<bool>() ? 1 : 0;
        }
    }
    std::cout << agreed << " of " << pairs << " as labelled\n";
    EXPECT_EQ(pairs, 5276U);
    EXPECT_GE(agreed, 5276U);
}

TEST(Verifier, JudgesQwensSolutionsOfMath500AsLabelled) {
    const auto path = shared_data() / "math500/qwen_math_cot_100.jsonl.gz";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "the solutions aren't here";
    std::size_t pairs = 0, agreed = 0;
    for (const Json& row : rows_of(path)) {
        for (std::size_t i = 0; i < row.at("code").size(); ++i) {
            const bool equal = verify(row.at("gt").get<std::string>(), row.at("code")[i].get<std::string>()).equal;
            ++pairs;
            agreed += equal == row.at("score")[i].get<bool>() ? 1 : 0;
        }
    }
    std::cout << agreed << " of " << pairs << " as labelled\n";
    EXPECT_EQ(pairs, 800U);
    EXPECT_GE(agreed, 799U);
}

}  // namespace
}  // namespace tdrm::math::test
