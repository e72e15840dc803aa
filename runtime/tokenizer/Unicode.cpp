// Code point classes, lower case and normalisation forms over utf8proc and the delta tables.
#include "runtime/tokenizer/Unicode.h"

#include "runtime/tokenizer/Utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <span>

namespace transom::tokenizer {

namespace {

struct CategoryRange {
  uint32_t first, last;
  uint8_t category;
};
struct LowercaseRange {
  uint32_t first, last;
  int32_t distance;
};

#include "runtime/tokenizer/UnicodeDeltas.inc"

constexpr uint32_t codepointEnd = 0x110000;

/// The range of a sorted table that holds `c`, or null.
template <typename Range> const Range *findRange(std::span<const Range> table, uint32_t c) {
  auto after = std::upper_bound(table.begin(), table.end(), c, [](uint32_t v, const Range &r) { return v < r.first; });
  return after != table.begin() && c <= (after - 1)->last ? &*(after - 1) : nullptr;
}

utf8proc_category_t categoryOf(uint32_t c) {
  if (c >= 0x80)
    if (const CategoryRange *delta = findRange<CategoryRange>(categoryDeltas, c))
      return static_cast<utf8proc_category_t>(delta->category);
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

constexpr uint32_t bit(utf8proc_category_t category) { return 1u << category; }
constexpr uint32_t lettersMask = bit(UTF8PROC_CATEGORY_LU) | bit(UTF8PROC_CATEGORY_LL) | bit(UTF8PROC_CATEGORY_LT) |
                                 bit(UTF8PROC_CATEGORY_LM) | bit(UTF8PROC_CATEGORY_LO);
constexpr uint32_t marksMask =
    bit(UTF8PROC_CATEGORY_MN) | bit(UTF8PROC_CATEGORY_MC) | bit(UTF8PROC_CATEGORY_ME);
constexpr uint32_t numbersMask =
    bit(UTF8PROC_CATEGORY_ND) | bit(UTF8PROC_CATEGORY_NL) | bit(UTF8PROC_CATEGORY_NO);
constexpr uint32_t punctuationMask =
    bit(UTF8PROC_CATEGORY_PC) | bit(UTF8PROC_CATEGORY_PD) | bit(UTF8PROC_CATEGORY_PS) | bit(UTF8PROC_CATEGORY_PE) |
    bit(UTF8PROC_CATEGORY_PI) | bit(UTF8PROC_CATEGORY_PF) | bit(UTF8PROC_CATEGORY_PO);
constexpr uint32_t wordMask = lettersMask | marksMask | bit(UTF8PROC_CATEGORY_ND) | bit(UTF8PROC_CATEGORY_NL) |
                              bit(UTF8PROC_CATEGORY_PC);

/// Membership in the categories of `mask`, toggled by the table.
bool isIn(char32_t c, uint32_t mask, std::span<const CodepointRange> deltas) {
  bool member = (mask >> categoryOf(c)) & 1;
  return findRange<CodepointRange>(deltas, c) ? !member : member;
}

/// Unicode cut into runs of one category, in order.
const std::vector<CategoryRange> &categoryRuns() {
  static const std::vector<CategoryRange> runs = [] {
    std::vector<CategoryRange> out;
    auto append = [&](uint32_t first, uint32_t last, uint8_t category) {
      if (!out.empty() && out.back().category == category)
        out.back().last = last;
      else
        out.push_back({first, last, category});
    };
    for (uint32_t c = 0; c < codepointEnd; ++c) {
      if (c == 0x40000) { // planes 4 to 13 are unassigned; planes 15 and 16 are private but for their last two
        append(c, 0xDFFFF, UTF8PROC_CATEGORY_CN);
        c = 0xE0000;
      } else if ((c & 0xFFFF) == 0 && c >= 0xF0000) {
        append(c, c + 0xFFFD, UTF8PROC_CATEGORY_CO);
        c += 0xFFFE;
      }
      append(c, c, static_cast<uint8_t>(categoryOf(c)));
    }
    return out;
  }();
  return runs;
}

void addMask(CodepointSet &set, uint32_t mask) {
  for (const CategoryRange &run : categoryRuns())
    if ((mask >> run.category) & 1)
      set.add(run.first, run.last);
}

} // namespace

void CodepointSet::add(uint32_t first, uint32_t last) {
  sorted_ = sorted_ && (ranges_.empty() || ranges_.back().last + 1 < first);
  ranges_.push_back({first, last});
}

void CodepointSet::add(const CodepointSet &other) {
  for (CodepointRange range : other.ranges())
    add(range.first, range.last);
}

const std::vector<CodepointRange> &CodepointSet::ranges() const {
  if (sorted_)
    return ranges_;
  std::sort(ranges_.begin(), ranges_.end(),
            [](const CodepointRange &a, const CodepointRange &b) { return a.first < b.first; });
  size_t kept = 0;
  for (size_t i = 1; i < ranges_.size(); ++i) {
    if (ranges_[i].first <= ranges_[kept].last + 1)
      ranges_[kept].last = std::max(ranges_[kept].last, ranges_[i].last);
    else
      ranges_[++kept] = ranges_[i];
  }
  ranges_.resize(ranges_.empty() ? 0 : kept + 1);
  sorted_ = true;
  return ranges_;
}

CodepointSet CodepointSet::complement() const {
  CodepointSet out;
  uint32_t next = 0;
  for (CodepointRange range : ranges()) {
    if (range.first > next)
      out.add(next, range.first - 1);
    next = range.last + 1;
  }
  if (next < codepointEnd)
    out.add(next, codepointEnd - 1);
  return out;
}

bool addCategory(CodepointSet &set, std::string_view name) {
  static constexpr std::string_view names[] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd",
                                               "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
                                               "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};
  uint32_t mask = 0;
  for (size_t i = 0; i < std::size(names); ++i)
    if (names[i] == name || (name.size() == 1 && names[i][0] == name[0]))
      mask |= 1u << i;
  addMask(set, mask);
  return mask != 0;
}

CodepointSet regexWhitespace() {
  CodepointSet set;
  set.add(0x09, 0x0D);
  set.add(0x85, 0x85);
  addMask(set, bit(UTF8PROC_CATEGORY_ZS) | bit(UTF8PROC_CATEGORY_ZL) | bit(UTF8PROC_CATEGORY_ZP));
  return set;
}

CodepointSet regexDigits() {
  CodepointSet set;
  addMask(set, bit(UTF8PROC_CATEGORY_ND));
  return set;
}

CodepointSet regexWordChars() {
  CodepointSet set; // every delta of \w adds; none removes
  addMask(set, wordMask);
  for (CodepointRange range : regexWordDeltas)
    set.add(range.first, range.last);
  return set;
}

bool isWhitespace(char32_t c) {
  if (c < 0x80)
    return c == ' ' || (c >= 0x09 && c <= 0x0D);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool isNumeric(char32_t c) {
  return c < 0x80 ? c >= '0' && c <= '9' : isIn(c, numbersMask, numericDeltas);
}

bool isPunctuation(char32_t c) {
  if (c < 0x80)
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
  return isIn(c, punctuationMask, punctuationDeltas);
}

bool isBertControl(char32_t c) {
  return isIn(c, bit(UTF8PROC_CATEGORY_CC) | bit(UTF8PROC_CATEGORY_CF) | bit(UTF8PROC_CATEGORY_CO), controlDeltas);
}

bool isNonspacingMark(char32_t c) { return c >= 0x80 && isIn(c, bit(UTF8PROC_CATEGORY_MN), nonspacingDeltas); }

bool isCombiningMark(char32_t c) { return c >= 0x80 && isIn(c, marksMask, combiningDeltas); }

bool isWordChar(char32_t c) { return isIn(c, wordMask, wordDeltas); }

bool isChineseChar(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

bool graphemeEndsBetween(char32_t left, char32_t right, int32_t &state) {
  auto known = [](char32_t c) -> utf8proc_int32_t { // a mark that utf8proc has stands for one that it has not
    return findRange<CodepointRange>(extendingRanges, c) ? 0x301 : static_cast<utf8proc_int32_t>(c);
  };
  return utf8proc_grapheme_break_stateful(known(left), known(right), &state);
}

void appendLowercase(std::string &out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  } else if (c == 0x130) {
    appendUtf8(out, 'i');
    appendUtf8(out, 0x307);
  } else if (const LowercaseRange *delta = findRange<LowercaseRange>(lowercaseDeltas, c)) {
    appendUtf8(out, c + static_cast<char32_t>(delta->distance));
  } else {
    appendUtf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

namespace {

/// A code point of a decomposition.
struct Part {
  utf8proc_int32_t codepoint;
  int32_t added; ///< 0 for the first that a character decomposes to, 1 for the others
};

/// Orders each run of combining marks by combining class (Unicode 3.11, canonical ordering). utf8proc's own ordering
/// is quadratic in the run.
void orderMarks(std::vector<Part> &parts) {
  auto classOf = [](const Part &part) { return utf8proc_get_property(part.codepoint)->combining_class; };
  for (size_t begin = 0; begin < parts.size();) {
    size_t end = begin;
    while (end < parts.size() && classOf(parts[end]) != 0)
      ++end;
    if (end - begin > 1)
      std::stable_sort(parts.begin() + begin, parts.begin() + end,
                       [&](const Part &a, const Part &b) { return classOf(a) < classOf(b); });
    begin = end + 1;
  }
}

std::span<utf8proc_int32_t> decompose(char32_t c, int options, std::array<utf8proc_int32_t, 32> &room) {
  int boundClass = 0; // the longest full decomposition has 18 code points (U+FDFA)
  utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), room.data(), std::ssize(room),
                                                   static_cast<utf8proc_option_t>(options), &boundClass);
  return std::span(room).first(static_cast<size_t>(std::clamp<utf8proc_ssize_t>(count, 0, std::ssize(room))));
}

/// Which character of a text each character of its normal form comes from, counted as the reference counts: a character that was
/// added to the text's belongs to the one before, one that stands for several to the first of them.
class Sources {
public:
  explicit Sources(std::string_view text) {
    for (size_t pos = 0; pos < text.size(); pos += decodeUtf8(text, pos).size)
      begins_.push_back(pos);
  }
  /// Where the character begins that one comes from which adds `change` to the text's length, in characters.
  size_t next(int64_t change) {
    size_t at = change > 0 ? std::max<size_t>(next_, 1) - 1 : next_;
    next_ += change > 0 ? 0 : static_cast<size_t>(1 - change);
    return begins_[std::min(at, begins_.size() - 1)];
  }

private:
  std::vector<size_t> begins_;
  size_t next_ = 0;
};

} // namespace

std::string normalizeUnicode(std::string_view text, NormalizationForm form, std::vector<size_t> *sources) {
  bool compose = form == NormalizationForm::nfc || form == NormalizationForm::nfkc;
  bool compatible = form == NormalizationForm::nfkc || form == NormalizationForm::nfkd;
  auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | (compatible ? UTF8PROC_COMPAT : 0) |
                                                (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE));
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; })) {
    if (sources) {
      sources->resize(text.size());
      std::iota(sources->begin(), sources->end(), size_t(0));
    }
    return std::string(text);
  }
  std::string out;
  out.reserve(text.size());
  Sources found(sources ? text : std::string_view());
  auto put = [&](utf8proc_int32_t c, std::span<const Part> from) {
    appendUtf8(out, static_cast<char32_t>(c));
    if (!sources)
      return;
    int64_t change = 1 - std::ssize(from);
    for (const Part &part : from)
      change += part.added;
    sources->resize(out.size(), found.next(change));
  };
  std::array<utf8proc_int32_t, 32> room;
  std::vector<Part> parts;
  std::vector<utf8proc_int32_t> result;
  auto flush = [&] {
    orderMarks(parts);
    result.clear();
    for (const Part &part : parts)
      result.push_back(part.codepoint);
    if (compose && !result.empty())
      result.resize(utf8proc_normalize_utf32(result.data(), static_cast<utf8proc_ssize_t>(result.size()), options));
    std::span<const Part> rest = parts;
    for (utf8proc_int32_t c : result) {
      // A composed character was made of as many parts as it decomposes to.
      size_t made = sources && compose ? decompose(static_cast<char32_t>(c), UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, room).size() : 1;
      made = std::min(made, rest.size());
      put(c, rest.first(made));
      rest = rest.subspan(made);
    }
    parts.clear();
  };
  for (size_t pos = 0; pos < text.size();) {
    Utf8Char c = decodeUtf8(text, pos);
    pos += c.size;
    if (findRange<CodepointRange>(inertRanges, c.codepoint)) {
      flush();
      Part itself{static_cast<utf8proc_int32_t>(c.codepoint), 0};
      put(itself.codepoint, {&itself, 1});
      continue;
    }
    int32_t added = 0;
    for (utf8proc_int32_t part : decompose(c.codepoint, options, room))
      parts.push_back({part, added++ ? 1 : 0});
  }
  flush();
  return out;
}

} // namespace transom::tokenizer
