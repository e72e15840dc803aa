// Pre-tokenisers of Hugging Face tokenizers. Every one of them maps pieces to smaller pieces; only ByteLevel and Metaspace rewrite.
#include "runtime/tokenizer/PreTokenizer.h"

#include "runtime/tokenizer/Unicode.h"
#include "runtime/tokenizer/Utf8.h"

#include <algorithm>
#include <array>

namespace transom::tokenizer {

namespace {

constexpr std::string_view gpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct Segment {
  Match range;
  bool isMatch;
};

/// The whole of `text` as matches and what lies between them.
std::vector<Segment> segmentsOf(std::string_view text, const std::vector<Match> &matches, bool invert) {
  std::vector<Segment> out;
  size_t done = 0;
  for (Match match : matches) {
    if (done != match.begin)
      out.push_back({{done, match.begin}, invert});
    out.push_back({match, !invert});
    done = match.end;
  }
  if (done != text.size())
    out.push_back({{done, text.size()}, invert});
  return out;
}

/// One match a character that satisfies the predicate.
template <typename Predicate> std::vector<Match> charMatches(std::string_view text, Predicate predicate) {
  std::vector<Match> out;
  for (size_t pos = 0; pos < text.size();) {
    Utf8Char c = decodeUtf8(text, pos);
    if (predicate(c.codepoint))
      out.push_back({pos, pos + c.size});
    pos += c.size;
  }
  return out;
}

/// Joins segments as `behavior` says. mergedWithNext is mergedWithPrevious read from the right.
std::vector<Match> join(const std::vector<Segment> &segments, SplitBehavior behavior) {
  std::vector<Match> out;
  bool previousIsMatch = false;
  bool backwards = behavior == SplitBehavior::mergedWithNext;
  for (size_t i = 0; i < segments.size(); ++i) {
    const Segment &segment = segments[backwards ? segments.size() - 1 - i : i];
    bool merge = false;
    if (behavior == SplitBehavior::contiguous)
      merge = segment.isMatch == previousIsMatch;
    else if (behavior == SplitBehavior::mergedWithPrevious || backwards)
      merge = segment.isMatch && !previousIsMatch;
    previousIsMatch = segment.isMatch;
    if (behavior == SplitBehavior::removed && segment.isMatch)
      continue;
    if (!merge || out.empty())
      out.push_back(segment.range);
    else if (backwards)
      out.back().begin = segment.range.begin;
    else
      out.back().end = segment.range.end;
  }
  if (backwards)
    std::reverse(out.begin(), out.end());
  return out;
}

/// Replaces each piece by the pieces of its matches.
template <typename Find> void split(Pieces &pieces, SplitBehavior behavior, bool invert, Find find) {
  std::vector<Match> out;
  for (Match range : pieces.ranges) {
    std::string_view text = pieces.content.view(range);
    for (Match part : join(segmentsOf(text, find(text), invert), behavior))
      if (part.end > part.begin)
        out.push_back({range.begin + part.begin, range.begin + part.end});
  }
  pieces.ranges = std::move(out);
}

/// Copies the pieces into new text, each through `rewrite(out, from, range)`.
template <typename Rewrite> void rewritePieces(Pieces &pieces, Rewrite rewrite) {
  TrackedText out = pieces.content.emptied();
  out.text.reserve(pieces.content.text.size() * 2);
  for (Match &range : pieces.ranges) {
    size_t begin = out.text.size();
    rewrite(out, pieces.content, range);
    range = {begin, out.text.size()};
  }
  pieces.content = std::move(out);
}

void appendWithSpace(TrackedText &out, const TrackedText &from, Match range) {
  out.text += from.text[range.begin] == ' ' ? "" : " ";
  out.mark(from, range.begin);
  out.append(from, range);
}

/// With `step.replacement` for spaces, and before the piece where the scheme asks for it and there is none.
void appendMetaspace(const PreTokenizerStep &step, TrackedText &out, const TrackedText &from, Match range) {
  std::string_view text = from.view(range);
  bool asked = step.prepend == PrependScheme::always || (step.prepend == PrependScheme::first && from.origins[range.begin] == 0);
  if (asked && !text.starts_with(' ') && !text.starts_with(step.replacement))
    out.text += step.replacement;
  for (size_t i = range.begin; i < range.end; ++i) {
    if (from.text[i] == ' ')
      out.text += step.replacement;
    else
      out.text += from.text[i];
    out.mark(from, i);
  }
}

void appendByteLevel(TrackedText &out, const TrackedText &from, Match range) {
  const std::vector<char32_t> &chars = byteLevelChars();
  for (size_t i = range.begin; i < range.end; ++i) {
    appendUtf8(out.text, chars[static_cast<uint8_t>(from.text[i])]);
    out.mark(from, i);
  }
}

} // namespace

const std::vector<char32_t> &byteLevelChars() {
  static const std::vector<char32_t> chars = [] {
    std::vector<char32_t> out(256);
    char32_t next = 256; // bytes that do not print take the characters from U+0100 on, in order
    for (uint32_t byte = 0; byte < 256; ++byte) {
      bool prints = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      out[byte] = prints ? byte : next++;
    }
    return out;
  }();
  return chars;
}

int byteLevelByte(char32_t c) {
  static const std::array<int16_t, 512> bytes = [] {
    std::array<int16_t, 512> out;
    out.fill(-1);
    for (size_t byte = 0; byte < 256; ++byte)
      out[byteLevelChars()[byte]] = static_cast<int16_t>(byte);
    return out;
  }();
  return c < bytes.size() ? bytes[c] : -1;
}

Result<PreTokenizer> PreTokenizer::create(const std::vector<PreTokenizerStep> &steps) {
  PreTokenizer out;
  out.steps_ = steps;
  for (const PreTokenizerStep &step : steps) {
    std::optional<Regex> &pattern = out.patterns_.emplace_back();
    if (step.kind == PreTokenizerKind::byteLevel && step.useRegex) {
      TRANSOM_ASSIGN(pattern, Regex::create(gpt2Pattern));
    } else if (step.kind == PreTokenizerKind::split) {
      // The empty string matches nothing, unlike the empty regular expression.
      if (step.pattern.isRegex || !step.pattern.text.empty()) {
        TRANSOM_ASSIGN(pattern, step.pattern.isRegex ? Regex::create(step.pattern.text) : Regex::literal(step.pattern.text));
      }
    } else if (step.kind == PreTokenizerKind::metaspace) {
      TRANSOM_ASSIGN(pattern, Regex::literal(step.replacement));
    }
  }
  return out;
}

bool PreTokenizer::needsOrigins() const {
  return std::ranges::any_of(steps_, [](const PreTokenizerStep &step) { return step.prepend == PrependScheme::first; });
}

Pieces PreTokenizer::apply(TrackedText text) const {
  Pieces pieces{std::move(text), {}};
  if (!pieces.content.text.empty())
    pieces.ranges.push_back({0, pieces.content.text.size()});
  for (size_t step = 0; step < steps_.size(); ++step)
    applyStep(step, pieces);
  return pieces;
}

void PreTokenizer::applyStep(size_t index, Pieces &pieces) const {
  const PreTokenizerStep &step = steps_[index];
  auto matches = [&](std::string_view text) {
    return patterns_[index] ? patterns_[index]->findAll(text) : std::vector<Match>();
  };
  auto chars = [](auto predicate) {
    return [predicate](std::string_view text) { return charMatches(text, predicate); };
  };
  switch (step.kind) {
  case PreTokenizerKind::byteLevel:
    if (step.addPrefixSpace)
      rewritePieces(pieces, appendWithSpace);
    if (step.useRegex)
      split(pieces, SplitBehavior::isolated, false, matches);
    return rewritePieces(pieces, appendByteLevel);
  case PreTokenizerKind::split:
    return split(pieces, step.behavior, step.invert, matches);
  case PreTokenizerKind::digits:
    return split(pieces, step.individualDigits ? SplitBehavior::isolated : SplitBehavior::contiguous, false,
                 chars(isNumeric));
  case PreTokenizerKind::punctuation:
    return split(pieces, step.behavior, false, chars(isPunctuation));
  case PreTokenizerKind::bert:
    split(pieces, SplitBehavior::removed, false, chars(isWhitespace));
    return split(pieces, SplitBehavior::isolated, false, chars(isPunctuation));
  case PreTokenizerKind::whitespace: // runs of word characters and runs of neither these nor space
    split(pieces, SplitBehavior::removed, false, chars(isWhitespace));
    return split(pieces, SplitBehavior::contiguous, false, chars(isWordChar));
  case PreTokenizerKind::whitespaceSplit:
    return split(pieces, SplitBehavior::removed, false, chars(isWhitespace));
  case PreTokenizerKind::metaspace:
    rewritePieces(pieces, [&](TrackedText &out, const TrackedText &from, Match range) { appendMetaspace(step, out, from, range); });
    if (step.split)
      split(pieces, SplitBehavior::mergedWithNext, false, matches);
    return;
  }
}

} // namespace transom::tokenizer
