#include "tdrm/base/text.hpp"

#include <gtest/gtest.h>

namespace tdrm {
namespace {

TEST(Shortened, TextThatFitsStaysAsItIs) {
    EXPECT_EQ(shortened("", 3), "");
    EXPECT_EQ(shortened("abc", 3), "abc");
    EXPECT_EQ(shortened("é漢😀", 9), "é漢😀");
}

TEST(Shortened, IsCutBetweenCharactersWithinItsBytes) {
    EXPECT_EQ(shortened("abcdef", 5), "ab...");
    EXPECT_EQ(shortened("abcd", 3), "...");
    const std::string text = "aé漢😀bé漢😀cé漢😀";
    for (std::size_t bytes = 3; bytes < text.size(); ++bytes) {
        const std::string cut = shortened(text, bytes);
        EXPECT_LE(cut.size(), bytes);
        EXPECT_GE(cut.size() + 4, bytes) << "no more is lost than a character";
        ASSERT_TRUE(cut.ends_with("..."));
        const std::string begin = cut.substr(0, cut.size() - 3);
        EXPECT_TRUE(text.starts_with(begin));
        EXPECT_EQ(shortened(begin, 200), begin) << "whole characters";
    }
}

TEST(Shortened, WhatIsNoCharacterBecomesTheReplacementCharacter) {
    const std::string mark = "\xEF\xBF\xBD";
    EXPECT_EQ(shortened("a\xFF z"), "a" + mark + " z");
    EXPECT_EQ(shortened("\xE6\xBC"), mark + mark) << "half a character";
    EXPECT_EQ(shortened("\xC0\xAF"), mark + mark) << "overlong";
    EXPECT_EQ(shortened("\xED\xA0\x80"), mark + mark + mark) << "a surrogate";
    EXPECT_EQ(shortened("\xF4\x90\x80\x80"), mark + mark + mark + mark) << "beyond Unicode";
    EXPECT_EQ(shortened("\x80").size(), 3U);
    EXPECT_EQ(shortened(std::string(100, '\xFF'), 10), mark + mark + "...");
}

}  // namespace
}  // namespace tdrm
