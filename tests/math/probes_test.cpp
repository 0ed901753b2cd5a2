// Probes in both directions: answers that a verifier is tempted to accept, and right answers in unusual forms.
#include <gtest/gtest.h>

#include <map>

#include "helpers.hpp"

namespace tdrm::math::test {
namespace {

std::vector<Json> probes() { return read_jsonl(std::filesystem::path(TDRM_SOURCE_DIR) / "tests/math/probes.jsonl"); }

TEST(Verifier, AcceptsNoWrongProbeAndRefusesNoRightOne) {
    int wrong = 0, right = 0;
    for (const Json& probe : probes()) {
        const std::string gold = probe.at("gold"), answer = probe.at("answer");
        const bool expected = probe.at("equal");
        const Verdict verdict = verify(gold, answer, options_of(probe));
        EXPECT_EQ(verdict.equal, expected)
            << probe.at("kind") << ": " << gold << "  |  " << answer << "\n  reason " << verdict.reason << ", gold "
            << verdict.gold << ", answer " << verdict.answer;
        ++(expected ? right : wrong);
    }
    EXPECT_GT(wrong, 1000);
    EXPECT_GT(right, 600);
}

TEST(Verifier, SaysDifferentOnlyWhereSomethingIsRefuted) {
    const std::pair<std::pair<const char*, const char*>, const char*> kCases[] = {
        {{"5", "6"}, "different"},
        {{"(1,2)", "(1,3)"}, "different"},
        {{"|x|", "x"}, "different"},
        {{"1,2", "1,2,3"}, "different"},
        {{"East", "West"}, "different"},
        {{"x=5", "y=5"}, "different"},
        {{"a\\prec b", "b\\prec a"}, "different text"},
        {{"x^2=4", "x^4=16"}, "undecided"},
        {{"5", "5\\text{ or so}"}, "undecided"},
        {{"5", "banana"}, "undecided"},
        {{"A\\subset B", "B\\subset A"}, "undecided"},
        {{"a\\bmod b", "b\\bmod a"}, "undecided"},
        {{"HTH", "HHT"}, "undecided"},
        {{"0", "\\infty-\\infty"}, "undecided"},
        {{"5", "1/0"}, "undecided"},
        {{"x>2", "x^2>4"}, "undecided"},
        {{"B", "(B) or (C)"}, "undecided"},
    };
    for (const auto& [pair, reason] : kCases) {
        const Verdict verdict = verify(pair.first, pair.second);
        EXPECT_FALSE(verdict.equal) << pair.first << " | " << pair.second;
        EXPECT_EQ(verdict.reason, reason) << pair.first << " | " << pair.second;
    }
}

/// One letter for another, outside of commands and words.
std::string renamed(const std::string& text, const std::map<char, char>& names) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    std::string result;
    for (std::size_t i = 0; i < text.size();) {
        std::size_t end = i;
        if (text[i] == '\\') ++end;
        while (end < text.size() && letter(text[end])) ++end;
        const std::string word = text.substr(i, std::max(end, i + 1) - i);
        const bool variables = word[0] != '\\' && letter(word[0]) && word.size() <= 3;
        for (const char c : word) result += variables && names.contains(c) ? names.at(c) : c;
        i += word.size();
    }
    return result;
}

TEST(Verifier, JudgesAlikeWhateverTheVariablesAreCalled) {
    const std::map<char, char> kNames[] = {{{'x', 't'}, {'y', 'u'}, {'z', 's'}, {'a', 'p'}, {'b', 'q'}, {'c', 'r'}},
                                           {{'x', 'y'}, {'y', 'x'}, {'z', 'w'}, {'a', 'b'}, {'b', 'a'}, {'c', 'n'}},
                                           {{'x', 'q'}, {'y', 'm'}, {'z', 'k'}, {'a', 'z'}, {'b', 'y'}, {'c', 'x'}}};
    int judged = 0;
    for (const Json& probe : probes()) {
        if (probe.at("kind") != "variables of both signs") continue;
        for (const auto& names : kNames) {
            const std::string gold = renamed(probe.at("gold"), names), answer = renamed(probe.at("answer"), names);
            EXPECT_EQ(verify(gold, answer).equal, probe.at("equal").get<bool>()) << gold << " | " << answer;
            ++judged;
        }
    }
    EXPECT_GT(judged, 250);
}

TEST(Verifier, TakesVariablesForPositiveOnlyWhenAsked) {
    VerifyOptions positive;
    positive.compare.positive_variables = true;
    for (const auto& [gold, answer] : {std::pair{"\\sqrt{x^2}", "x"}, {"|xy|", "xy"}, {"\\sqrt{x^2y}", "x\\sqrt{y}"}}) {
        EXPECT_FALSE(verify(gold, answer).equal) << gold;
        EXPECT_TRUE(verify(gold, answer, positive).equal) << gold;
    }
    EXPECT_FALSE(verify("|x-10|", "10-x", positive).equal);
}

TEST(Verifier, TakesACommaForADecimalPointOnlyWhenAsked) {
    VerifyOptions decimal;
    decimal.decimal_comma = true;
    for (const auto& [gold, answer] : {std::pair{"2,3", "2.3"}, {"0.25", "0,25"}}) {
        EXPECT_FALSE(verify(gold, answer).equal) << gold;
        EXPECT_TRUE(verify(gold, answer, decimal).equal) << gold;
    }
    EXPECT_TRUE(verify("2,3", "3,2", decimal).equal);
}

}  // namespace
}  // namespace tdrm::math::test
