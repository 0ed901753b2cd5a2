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

TEST(Printable, TextStaysAsItIsWithItsLineEnds) {
    EXPECT_EQ(printable("é漢😀 a\nb"), "é漢😀 a\nb");
    EXPECT_EQ(printable("a\tb\r\nc"), "a b\nc");
}

TEST(Printable, WhatActsOnATerminalBecomesAnEscape) {
    EXPECT_EQ(printable("\x1b[31mred\x07"), "\\x1b[31mred\\x07");
    EXPECT_EQ(printable("a\rb\x7f"), "a\\x0db\\x7f");
    EXPECT_EQ(printable("\xC2\x9B"
                        "31m"),
              "\\u009b31m")
        << "the same in one character";
    EXPECT_EQ(printable("\xE2\x80\xAE"
                        "abc\xE2\x80\xA8"),
              "\\u202eabc\\u2028");
    EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
    for (int byte = 0; byte < 256; ++byte) {
        const std::string shown = printable(std::string(1, static_cast<char>(byte)));
        EXPECT_EQ(shown.find_first_of("\x1b\x07\r\x7f"), std::string::npos) << byte;
        EXPECT_EQ(printable(shown), shown) << byte;
    }
}

TEST(Printable, HalfCharactersBecomeEscapesOfTheirBytes) {
    EXPECT_EQ(printable("a\xE6\xBC"), "a\\xe6\\xbc");
    EXPECT_EQ(printable("\xC2"), "\\xc2");
    EXPECT_EQ(printable("\xED\xA0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
}

}  // namespace
}  // namespace tdrm
