// Unicode as the reference (Hugging Face tokenizers) sees it: utf8proc's tables corrected by UnicodeDeltas.inc.
// Text arguments must be valid UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace transom::tokenizer {

struct CodepointRange {
  uint32_t first, last; ///< inclusive
};

/// A set of code points as sorted, disjoint, non-adjacent ranges.
class CodepointSet {
public:
  void add(uint32_t first, uint32_t last);
  void add(const CodepointSet &other);
  CodepointSet complement() const;
  /// Sorted and merged.
  const std::vector<CodepointRange> &ranges() const;

private:
  mutable std::vector<CodepointRange> ranges_;
  mutable bool sorted_ = true;
};

/// Adds to `set` the code points of a general category of Unicode 16 ("L", "Lu", ...); false for an unknown name.
bool addCategory(CodepointSet &set, std::string_view name);
/// The sets of \s, \d and \w in a Split pattern.
CodepointSet regexWhitespace();
CodepointSet regexDigits();
CodepointSet regexWordChars();

bool isWhitespace(char32_t c);   ///< property White_Space
bool isNumeric(char32_t c);      ///< categories Nd, Nl, No
bool isPunctuation(char32_t c);  ///< ASCII's symbols and category P of the reference's (old) table
bool isBertControl(char32_t c);  ///< what BERT's text cleaning removes; NUL and U+FFFD included
bool isNonspacingMark(char32_t c); ///< what BERT's accent stripping removes
bool isCombiningMark(char32_t c);  ///< what the StripAccents normaliser removes
bool isWordChar(char32_t c);     ///< \w of the Whitespace pre-tokeniser and of single-word added tokens
bool isChineseChar(char32_t c);  ///< the CJK blocks that BERT surrounds with spaces

/// Appends the lower case of `c`: one code point, except that U+0130 gives two.
void appendLowercase(std::string &out, char32_t c);

/// Whether a user-perceived character (extended grapheme cluster, Unicode's annex 29) may end between two neighbours. `state` is of the
/// text so far; 0 where it begins.
bool graphemeEndsBetween(char32_t left, char32_t right, int32_t &state);

enum class NormalizationForm : uint8_t { nfc, nfd, nfkc, nfkd };
/// Linear in the text, n log n in a run of combining marks. `sources` gets, for each byte of the result, the byte of `text` where the
/// character begins that it comes from; of several that one is composed of, the first.
std::string normalizeUnicode(std::string_view text, NormalizationForm form, std::vector<size_t> *sources = nullptr);

} // namespace transom::tokenizer
