#include "tdrm/base/options.hpp"

#include <gtest/gtest.h>

#include "tdrm/reward/advantage.hpp"
#include "tdrm/reward/targets.hpp"

namespace tdrm::reward {

TEST(RewardOptions, ExplainEveryKey) {
    for (const char* key :
         {"kind", "gamma", "n", "lambda", "shaping", "truncated", "terminal_weight", "terminal", "bootstrap",
          "ema_decay", "label_mix", "label_weight", "errors", "average", "class_weight.right", "class_weight.wrong"}) {
        EXPECT_FALSE(explain(TargetOptions{}, key).empty()) << key;
    }
    for (const char* key : {"divide_by_std", "leave_one_out"}) {
        EXPECT_FALSE(explain(GroupOptions{}, key).empty()) << key;
    }
}

TEST(RewardOptions, DumpTheNamesOfTheirChoices) {
    const std::string text = dump(
        TargetOptions{.kind = TargetKind::reference, .shaping = Shaping::cosine, .truncated = Truncated::bootstrap});
    for (const char* name : {"reference", "cosine", "bootstrap"}) EXPECT_NE(text.find(name), std::string::npos) << text;
}

TEST(RewardOptions, AreReadWithTheirRanges) {
    TargetOptions options;
    Problems problems;
    parse(parse_yaml("{kind: td_n, n: 3, gamma: 0.9}", "x.yaml"), options, problems);
    EXPECT_TRUE(problems.empty());
    EXPECT_EQ(options.kind, TargetKind::td_n);
    EXPECT_EQ(options.n, 3);
    EXPECT_EQ(options.gamma, 0.9);
    parse(parse_yaml("{gamma: 0, n: 0, lambda: 1.5, terminal_weight: -1}", "x.yaml"), options, problems);
    EXPECT_EQ(problems.size(), 4U);
    for (const char* bad : {"{lambda: .nan}", "{lambda: -0.1}", "{gamma: 1.01}", "{gamma: .inf}", "{label_mix: 2}",
                            "{ema_decay: 1}", "{class_weight: {right: -1}}", "{terminal: last}"}) {
        problems.clear();
        parse(parse_yaml(bad, "x.yaml"), options, problems);
        EXPECT_EQ(problems.size(), 1U) << bad;
    }
}

}  // namespace tdrm::reward
