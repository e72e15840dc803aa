// The text tools under the tokenizer: UTF-8, Unicode, regular expressions.
#include "runtime/tokenizer/Regex.h"
#include "runtime/tokenizer/Unicode.h"
#include "runtime/tokenizer/Utf8.h"

#include <gtest/gtest.h>

using namespace transom;
using namespace transom::tokenizer;

namespace {

std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
  Result<Regex> regex = Regex::create(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status().message();
  std::vector<std::string> out;
  if (regex.ok())
    for (Match match : regex->findAll(text))
      out.emplace_back(text.substr(match.begin, match.end - match.begin));
  return out;
}

using Strings = std::vector<std::string>;

} // namespace

// Maximal subparts, as in table 3-8 of the Unicode standard.
TEST(Utf8, replacesMaximalSubparts) {
  EXPECT_EQ(sanitizeUtf8("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
            "a\uFFFD\uFFFD\uFFFD"
            "b\uFFFD"
            "c\uFFFD\uFFFD"
            "d");
  EXPECT_EQ(sanitizeUtf8("\xC0\xAF\xF4\x91"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_TRUE(isValidUtf8("\U0010FFFF\u0800é"));
}

// A stream holds back what more bytes could complete, and nothing else.
TEST(Utf8, streams) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xE2"), "a");
  EXPECT_EQ(stream.push("\x82"), "");
  EXPECT_EQ(stream.push("\xAC\xF0"), "€");
  EXPECT_EQ(stream.push("x"), "\uFFFDx");
  EXPECT_EQ(stream.finish(), "");
}

// Forms of normalisation; characters newer than the reference's tables stay as they are.
TEST(Unicode, normalizationForms) {
  EXPECT_EQ(normalizeUnicode("é\u212B", NormalizationForm::nfd), "e\u0301A\u030A");
  EXPECT_EQ(normalizeUnicode("e\u0301\u0316", NormalizationForm::nfc), "é\u0316");
  EXPECT_EQ(normalizeUnicode("ﬁ①", NormalizationForm::nfkc), "fi1");
  EXPECT_EQ(normalizeUnicode("한", NormalizationForm::nfkd), "\u1112\u1161\u11AB");
  EXPECT_EQ(normalizeUnicode("\u32FF", NormalizationForm::nfkc), "\u32FF");
}

// A run of marks is ordered in n log n.
TEST(Unicode, longRunsOfMarks) {
  std::string text = "a";
  for (int i = 0; i < 100000; ++i)
    text += "\u0301\u0316";
  EXPECT_EQ(normalizeUnicode(text, NormalizationForm::nfd).size(), text.size());
}

// Lower case is per character: no final sigma, two code points for U+0130, tables newer than utf8proc's.
TEST(Unicode, lowercase) {
  std::string out;
  for (char32_t c : {U'Σ', U'\u0130', U'ẞ', U'\u1C89'})
    appendLowercase(out, c);
  EXPECT_EQ(out, "σi\u0307ß\u1C8A");
}

// GPT-2's pattern: white space before a word leaves its last character to the word.
TEST(Regex, lookahead) {
  constexpr std::string_view gpt2 = R"('s| ?\p{L}+| ?[^\s\p{L}]+|\s+(?!\S)|\s+)";
  EXPECT_EQ(matches(gpt2, "a   b"), (Strings{"a", "  ", " b"}));
  EXPECT_EQ(matches(gpt2, "a\n\nb \t"), (Strings{"a", "\n", "\n", "b", " \t"}));
  EXPECT_EQ(matches(gpt2, "it's\u00A0\u3000x"), (Strings{"it", "'s", "\u00A0", "\u3000", "x"}));
  EXPECT_EQ(matches(R"(\p{L}|\s+(?!\S))", "a  b c"), (Strings{"a", " ", "b", "c"})); // a lone space is a gap
  EXPECT_EQ(matches(R"(\s+(?!\S))", "  a "), (Strings{" ", " "}));
}

// Classes are Unicode's, case folding too; line anchors match at every line.
TEST(Regex, syntax) {
  EXPECT_EQ(matches(R"((?i:'s))", "'S'ſ's"), (Strings{"'S", "'ſ", "'s"}));
  EXPECT_EQ(matches(R"([^\W\d]+)", "aé٣_1"), (Strings{"aé", "_"}));
  EXPECT_EQ(matches(R"([\p{Lu}a-c\]\-]+)", "ÀB-c]d"), (Strings{"ÀB-c]"}));
  EXPECT_EQ(matches(R"(\P{L}|\p{^N})", "a1"), (Strings{"a", "1"}));
  EXPECT_EQ(matches(R"(^\x61$|\u00e9{2,3})", "a\na\néééé"), (Strings{"a", "a", "ééé"}));
  EXPECT_EQ(matches("b*", "abb"), (Strings{"", "bb"}));
}

// What RE2 cannot do, or would do differently, is refused by name.
TEST(Regex, refuses) {
  for (const char *pattern : {"(?=a)", "(?<=a)b", "(?!a)", R"(\bx)", R"((a)\1)", "a++", R"(\p{Han})", "[a&&b]", "[[:alpha:]]",
                              "x{,3}", R"(\s+(?!\S)|\s+(?!\S))", R"(\h)"}) {
    Result<Regex> regex = Regex::create(pattern);
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_EQ(regex.status().code(), StatusCode::unsupported) << pattern;
  }
  for (const char *pattern : {"(", ")", "[a", "a**", "\\", "*", R"(\x{110000})", "a{9999}", "((a{900}){900}){900}"})
    EXPECT_FALSE(Regex::create(pattern).ok()) << pattern;
}
