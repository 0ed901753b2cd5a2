#include "../../src/text/regex.hpp"

#include <gtest/gtest.h>

#include "../../src/text/unicode.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::text {
namespace {

std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
    std::vector<std::string> found;
    const Regex regex(pattern);
    for_each_match(regex, text, [&](std::size_t begin, std::size_t end, bool match) {
        if (match) found.emplace_back(text.substr(begin, end - begin));
    });
    return found;
}
using Strings = std::vector<std::string>;

TEST(Regex, MeansWhatOnigurumaMeans) {
    // A + after an interval repeats the whole, {,n} counts from 0, \v is one character, $ stands before any newline.
    EXPECT_EQ(matches("a{1,2}+", "aaaaab"), Strings{"aaaaa"});
    EXPECT_EQ(matches("(?:ab){2}+", "ababababab"), Strings{"abababab"});
    EXPECT_EQ(matches("ba{,1}", "baab"), (Strings{"ba", "b"}));
    EXPECT_EQ(matches("\\v", "\x0b\n\r"), Strings{"\x0b"});
    EXPECT_EQ(matches("(?i:'s|'ll)s", "'Ss'LLs'lls'l"), (Strings{"'Ss", "'LLs", "'lls"}));
    EXPECT_EQ(matches("b$", "ab\nb"), (Strings{"b", "b"}));
    EXPECT_EQ(matches("a++a", "aaa"), Strings{});
    // U+180E is no space, U+0085 is one; letters and digits of Unicode 16 count.
    EXPECT_EQ(matches("\\s", "\xE1\xA0\x8E\xC2\x85"), Strings{"\xC2\x85"});
    EXPECT_EQ(matches("[^\\s]", "\xE1\xA0\x8E"), Strings{"\xE1\xA0\x8E"});
    EXPECT_EQ(matches("[\\S]+", "a\xE1\xA0\x8E b"), (Strings{"a\xE1\xA0\x8E", "b"}));
    EXPECT_EQ(matches("\\p{L}+", "a\xE1\xB2\x89z"), Strings{"a\xE1\xB2\x89z"});
    EXPECT_EQ(matches("\\p{^L}+", "a1\xE1\xB2\x89"), Strings{"1"});
    EXPECT_EQ(matches("\\u4e00|\\x{4E8C}|\\x41",
                      "\xE4\xB8\x80\xE4\xBA\x8C"
                      "A"),
              (Strings{"\xE4\xB8\x80", "\xE4\xBA\x8C", "A"}));
}

TEST(Regex, NamesWhatItDoesNotTranslate) {
    for (const std::string pattern :
         {"\\h",    "\\b",     "(a)\\1",   "[a&&b]",      "[a[b]]", "[[:alpha:]]", "\\p{Greek}",
          "(?m:.)", "(?<n>a)", "(?i:ass)", "(?i:(f)|fi)", "a{2}?",  "[\\W]",       "[",
          "\\",     "\\p",     "a{",       "a{x}",        ")",      "\\u12",       "\\x{}"}) {
        try {
            (void)translate_pattern(pattern);
            ADD_FAILURE() << pattern;
        } catch (const DataError& error) {
            EXPECT_NE(std::string(error.what()).find(pattern), std::string::npos);
        }
    }
    EXPECT_THROW(Regex("(a"), DataError);
}

TEST(Regex, EmptyMatchesCutTheTextOnceAtEachPlace) {
    std::vector<std::pair<std::size_t, std::size_t>> parts;
    for_each_match(Regex("x*"), "axb",
                   [&](std::size_t begin, std::size_t end, bool) { parts.emplace_back(begin, end); });
    EXPECT_EQ(parts, (std::vector<std::pair<std::size_t, std::size_t>>{{0, 0}, {0, 1}, {1, 2}, {2, 3}, {3, 3}}));
}

TEST(Unicode, EachMaximalInvalidPartBecomesOneReplacement) {
    const std::string mark = "\xEF\xBF\xBD";
    EXPECT_EQ(to_valid_utf8("a\xE5\xB0z"), "a" + mark + "z");      // cut character: one
    EXPECT_EQ(to_valid_utf8("\xF0\x9F\x98"), mark);                // cut at the end: one
    EXPECT_EQ(to_valid_utf8("\xED\xA0\x80"), mark + mark + mark);  // surrogate: one for each byte
    EXPECT_EQ(to_valid_utf8("\xC0\x80"), mark + mark);             // overlong
    EXPECT_EQ(to_valid_utf8("\xF0\x80\x80"), mark + mark + mark);
    EXPECT_EQ(to_valid_utf8("\x80\xE5\xB0\x8F"), mark + "\xE5\xB0\x8F");
}

TEST(Unicode, NormalizesAsTheLibraryDoes) {
    EXPECT_EQ(normalize("e\xCC\x81", NormalForm::nfc), "\xC3\xA9");
    EXPECT_EQ(normalize("\xC3\xA9", NormalForm::nfd), "e\xCC\x81");
    EXPECT_EQ(normalize("\xEF\xAC\x81\xC2\xBD", NormalForm::nfkc),
              "fi1\xE2\x81\x84"
              "2");
    EXPECT_EQ(normalize("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", NormalForm::nfc), "\xED\x95\x9C");
    // U+1DF6 came with Unicode 10, after the library's tables: it isn't reordered behind U+0323.
    EXPECT_EQ(normalize("a\xE1\xB7\xB6\xCC\xA3", NormalForm::nfc), "a\xE1\xB7\xB6\xCC\xA3");
}

}  // namespace
}  // namespace tdrm::text
