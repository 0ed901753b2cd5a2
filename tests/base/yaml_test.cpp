#include "tdrm/base/yaml.hpp"

#include <gtest/gtest.h>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/spelling.hpp"

namespace tdrm {
namespace {

std::string error_of(const std::string& text) {
    try {
        (void)parse_yaml(text, "a.yaml");
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "no error";
}

TEST(Yaml, KeepsOrderAndLines) {
    const Yaml node = parse_yaml("b: 1\na:\n  - x\n  - {c: 2}\n", "a.yaml");
    EXPECT_EQ(node.keys(), (std::vector<std::string>{"b", "a"}));
    EXPECT_EQ(node.find("a")->where(), "a.yaml:2");
    EXPECT_EQ(node.find("a")->items[1].find("c")->where(), "a.yaml:4");
    EXPECT_EQ(to_text(node), "b: 1\na: [x, {c: 2}]\n");
}

TEST(Yaml, BrokenDocumentsAreRefusedWithTheirLine) {
    EXPECT_EQ(error_of("a: 1\nb: [1, 2\n"), "a.yaml:3: broken YAML (end of sequence flow not found).");
    EXPECT_EQ(error_of("a: 1\nb: 2\na: 3\n"),
              "a.yaml:3: the key \"a\" is there twice (one of them would be lost). Remove one.");
    EXPECT_EQ(error_of("[x, y]: 1"), "a.yaml:1: a key isn't a word (keys are option or stage names).");
    EXPECT_EQ(error_of("a: 1\n---\nb: 2\n"), "a.yaml: there are 2 documents (only one is read). Remove \"---\".");
}

TEST(Yaml, AliasesThatMultiplyAndEndlessDepthAreRefused) {
    std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 9; ++i) {
        bomb += cat("a", i, ": &a", i, " [");
        for (int j = 0; j < 10; ++j) bomb += cat("*a", i - 1, ", ");
        bomb += "]\n";
    }
    EXPECT_NE(error_of(bomb).find("the document is too large"), std::string::npos);
    EXPECT_NE(error_of("a: &a [*a]").find("a.yaml:1: "), std::string::npos);
    EXPECT_NE(error_of(std::string(100'000, '[')).find("broken YAML"), std::string::npos);
}

TEST(Yaml, EmptyTextIsNull) {
    EXPECT_TRUE(parse_yaml("", "a.yaml").is_null());
    EXPECT_TRUE(parse_yaml("# nothing\n", "a.yaml").is_null());
}

TEST(Yaml, TextsThatLookLikeSomethingElseAreQuoted) {
    for (const char* text :
         {"true", "No", "null", "~", "12", "1e5", "", "a: b", "[x]", "-", "---", "*a", " a", "a #b"}) {
        const Yaml again = parse_yaml("k: " + to_line(Yaml::text(text)), "a.yaml");
        EXPECT_EQ(again.find("k")->scalar, text);
        EXPECT_TRUE(again.find("k")->quoted) << text;
    }
    EXPECT_EQ(to_line(Yaml::text("greedy")), "greedy");
    EXPECT_EQ(to_line(Yaml::text("runs/countdown")), "runs/countdown");
    EXPECT_EQ(to_line(Yaml::plain("-0.5")), "-0.5");
}

TEST(Yaml, MergeGoesDeepAndTheLaterWins) {
    const Yaml base = parse_yaml("{a: {x: 1, v: [1, 2]}, b: 3}", "base.yaml");
    const Yaml over = parse_yaml("{a: {v: [4], z: 5}, c: {d: 6}}", "over.yaml");
    const Yaml merged = merge(base, over);
    EXPECT_EQ(to_line(merged), "{a: {x: 1, v: [4], z: 5}, b: 3, c: {d: 6}}");
    EXPECT_EQ(merged.find_path("a.v")->where(), "over.yaml:1");
    EXPECT_EQ(merged.find_path("a.x")->where(), "base.yaml:1");
}

TEST(Yaml, PathsMayNameStagesWithDotsInBrackets) {
    EXPECT_EQ(split_path("stages.td[lambda=0.8].rate"), (std::vector<std::string>{"stages", "td[lambda=0.8]", "rate"}));
    Yaml node;
    node.set_path("a.b[c=0.5].d", Yaml::plain("1"));
    EXPECT_EQ(node.find_path("a.b[c=0.5].d")->scalar, "1");
    EXPECT_EQ(node.find_path("a.x.d"), nullptr);
}

TEST(Yaml, NumbersArePrintedInTheirShortestForm) {
    EXPECT_EQ(number_text(0.8), "0.8");
    EXPECT_EQ(number_text(100000), "100000");
    EXPECT_EQ(number_text(1e-5), "0.00001");
    EXPECT_EQ(number_text(-0.0), "0");
    EXPECT_EQ(canonical_scalar("0.80"), "0.8");
    EXPECT_EQ(canonical_scalar("1e-3"), "0.001");
    EXPECT_EQ(canonical_scalar("12345678901234567890"), "12345678901234567890");
    EXPECT_EQ(canonical_scalar("td"), "td");
}

TEST(Spelling, CountsTheFewestEdits) {
    EXPECT_EQ(edit_distance("", "abc"), 3U);
    EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
    EXPECT_EQ(edit_distance("lamdba", "lambda"), 1U);
    EXPECT_EQ(edit_distance("same", "same"), 0U);
}

TEST(Spelling, SuggestsOnlyWhatIsNear) {
    const std::vector<std::string> words{"lambda", "gamma", "kind"};
    EXPECT_EQ(nearest("lamda", words), "lambda");
    EXPECT_EQ(nearest("temperature", words), "");
    EXPECT_EQ(did_you_mean("kin", words), "Did you mean \"kind\"?");
    EXPECT_EQ(did_you_mean("temperature", words), "Known are lambda, gamma, kind.");
}

}  // namespace
}  // namespace tdrm
