// Matching: RE2 for the alternatives, own code for the one look-ahead. Translation is in RegexTranslate.cpp.
#include "runtime/tokenizer/Regex.h"

#include "runtime/tokenizer/Unicode.h"
#include "runtime/tokenizer/Utf8.h"

#include <re2/re2.h>

namespace transom::tokenizer {

namespace {

constexpr size_t none = std::string_view::npos;

Result<std::shared_ptr<const re2::RE2>> compile(const std::string &translated, std::string_view pattern) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_never_capture(true);
  options.set_max_mem(16 << 20);
  auto compiled = std::make_shared<const re2::RE2>(translated, options);
  if (!compiled->ok())
    return error(StatusCode::invalidFile, "regular expression '{}' does not compile ({})", pattern,
                 compiled->error());
  return compiled;
}

Match matchFrom(const re2::RE2 &regex, std::string_view text, size_t pos, re2::RE2::Anchor anchor) {
  re2::StringPiece input(text.data(), text.size()), found;
  if (!regex.Match(input, pos, text.size(), anchor, &found, 1))
    return {none, none};
  size_t begin = static_cast<size_t>(found.data() - text.data());
  return {begin, begin + found.size()};
}

/// \s+(?!\S) at `pos`; an empty match stands for none.
Match matchTrailingSpace(std::string_view text, size_t pos) {
  size_t end = pos, last = pos; // `last`: where the run's last character begins
  while (end < text.size()) {
    Utf8Char c = decodeUtf8(text, end);
    if (!isWhitespace(c.codepoint))
      return {pos, last};
    last = end;
    end += c.size;
  }
  return {pos, end};
}

} // namespace

Result<Regex> Regex::create(std::string_view pattern) {
  TRANSOM_ASSIGN(TranslatedRegex translated, translateRegex(pattern));
  Regex out;
  out.lookahead_ = translated.lookahead;
  if (!translated.before.empty() || !translated.lookahead) {
    TRANSOM_ASSIGN(out.before_, compile(translated.before, pattern));
  }
  if (!translated.after.empty()) {
    TRANSOM_ASSIGN(out.after_, compile(translated.after, pattern));
  }
  return out;
}

Result<Regex> Regex::literal(std::string_view text) {
  Regex out;
  TRANSOM_ASSIGN(out.before_, compile(re2::RE2::QuoteMeta(re2::StringPiece(text.data(), text.size())), text));
  return out;
}

Match Regex::next(std::string_view text, size_t pos) const {
  if (!lookahead_)
    return matchFrom(*before_, text, pos, re2::RE2::UNANCHORED);
  if (before_)
    if (Match match = matchFrom(*before_, text, pos, re2::RE2::ANCHOR_START); match.begin != none)
      return match;
  if (Match match = matchTrailingSpace(text, pos); match.end > match.begin)
    return match;
  return after_ ? matchFrom(*after_, text, pos, re2::RE2::ANCHOR_START) : Match{none, none};
}

std::vector<Match> Regex::findAll(std::string_view text) const {
  std::vector<Match> out;
  auto stepFrom = [&](size_t pos) { return pos < text.size() ? decodeUtf8(text, pos).size : 1; };
  size_t lastEnd = none; // an empty match right after a match does not count
  for (size_t pos = 0; pos <= text.size();) {
    Match match = next(text, pos);
    if (match.begin == none) {
      if (!lookahead_)
        break;
      pos += stepFrom(pos);
      continue;
    }
    bool empty = match.begin == match.end;
    if (!empty || match.begin != lastEnd) {
      out.push_back(match);
      lastEnd = match.end;
    }
    pos = empty ? match.end + stepFrom(match.end) : match.end;
  }
  return out;
}

} // namespace transom::tokenizer
