// Mutated JSON and YAML are read or refused, and what was read can be written, copied and destroyed.
#include <gtest/gtest.h>

#include <algorithm>

#include "mutate.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/yaml.hpp"

namespace tdrm {
namespace {

TEST(Fuzz, MutatedJsonIsReadOrRefused) {
    const std::string seed =
        R"({"a": [1, -2.5e3, "x\u00e4\ud83d\ude00", null, true], "b": {"c": {"d": [[], {}, [NaN, -Infinity]]}}, "e": 18446744073709551615})";
    Random random(random_key(1, "json"));
    std::uint64_t accepted = 0;
    const auto rounds = fuzz_rounds(20'000);
    for (std::uint64_t round = 0; round < rounds; ++round) {
        const std::string text = mutated(seed, random);
        const auto value = parse_json_or_discard(text);
        if (value.is_discarded()) continue;
        ++accepted;
        ASSERT_EQ(parse_json(value.dump(), "again"), value) << text;
    }
    EXPECT_GT(accepted, rounds / 100);
    EXPECT_LT(accepted, rounds);
}

TEST(Fuzz, MutatedYamlIsReadOrRefused) {
    const std::string seed =
        "run: {dir: runs/x, seed: 1, silence: 5m}\nbase: &a\n  do: sft\n  list: [1, 2.5, \"a b\", 'c']\nb:\n  <<: *a\n "
        " text: |\n"
        "    two\n    lines\nc: *a\n";
    Random random(random_key(1, "yaml"));
    std::uint64_t accepted = 0;
    const auto rounds = std::min<std::uint64_t>(fuzz_rounds(3'000), 100'000);
    for (std::uint64_t round = 0; round < rounds; ++round) {
        const std::string text = mutated(seed, random);
        try {
            const Yaml value = parse_yaml(text, "x");
            ++accepted;
            ASSERT_EQ(to_text(parse_yaml(to_text(value), "again")), to_text(value)) << text;
        } catch (const ConfigError&) {
        }
    }
    EXPECT_GT(accepted, rounds / 100);
    EXPECT_LT(accepted, rounds);
}

}  // namespace
}  // namespace tdrm
