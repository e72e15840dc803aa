// Each function is one normaliser of Hugging Face tokenizers, with its order of operations.
#include "runtime/tokenizer/Normalizer.h"

#include "runtime/tokenizer/Unicode.h"
#include "runtime/tokenizer/Utf8.h"

namespace transom::tokenizer {

namespace {

/// Calls `visit(codepoint, bytes)` for each character.
template <typename Visit> void forEachChar(std::string_view text, Visit visit) {
  for (size_t pos = 0; pos < text.size();) {
    Utf8Char c = decodeUtf8(text, pos);
    visit(c.codepoint, text.substr(pos, c.size));
    pos += c.size;
  }
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  forEachChar(text, [&](char32_t c, std::string_view) { appendLowercase(out, c); });
  return out;
}

template <typename Predicate> std::string without(std::string_view text, Predicate predicate) {
  std::string out;
  out.reserve(text.size());
  forEachChar(text, [&](char32_t c, std::string_view bytes) {
    if (!predicate(c))
      out += bytes;
  });
  return out;
}

std::string cleanText(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  forEachChar(text, [&](char32_t c, std::string_view bytes) {
    if (isBertControl(c))
      return;
    if (isWhitespace(c))
      out += ' ';
    else
      out += bytes;
  });
  return out;
}

std::string spaceChineseChars(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  forEachChar(text, [&](char32_t c, std::string_view bytes) {
    bool chinese = isChineseChar(c);
    if (chinese)
      out += ' ';
    out += bytes;
    if (chinese)
      out += ' ';
  });
  return out;
}

std::string bert(const NormalizerStep &step, std::string text) {
  if (step.cleanText)
    text = cleanText(text);
  if (step.chineseChars)
    text = spaceChineseChars(text);
  if (step.accents)
    text = without(normalizeUnicode(text, NormalizationForm::nfd), isNonspacingMark);
  return step.lowercase ? lowercase(text) : text;
}

std::string strip(std::string_view text, bool left, bool right) {
  size_t begin = text.size(), end = 0;
  for (size_t pos = 0; pos < text.size();) {
    Utf8Char c = decodeUtf8(text, pos);
    if (!isWhitespace(c.codepoint)) {
      begin = std::min(begin, pos);
      end = pos + c.size;
    }
    pos += c.size;
  }
  if (end == 0)
    return std::string(left || right ? std::string_view() : text);
  size_t from = left ? begin : 0, to = right ? end : text.size();
  return std::string(text.substr(from, to - from));
}

} // namespace

std::string replaceAll(std::string_view text, const Regex &pattern, std::string_view content) {
  std::string out;
  size_t done = 0;
  for (Match match : pattern.findAll(text)) {
    out += text.substr(done, match.begin - done);
    out += content;
    done = match.end;
  }
  return out += text.substr(done);
}

Result<Normalizer> Normalizer::create(const std::vector<NormalizerStep> &steps) {
  Normalizer out;
  out.steps_ = steps;
  for (const NormalizerStep &step : steps) {
    std::optional<Regex> &pattern = out.patterns_.emplace_back();
    if (step.kind != NormalizerKind::replace)
      continue;
    TRANSOM_ASSIGN(pattern, step.pattern.isRegex ? Regex::create(step.pattern.text) : Regex::literal(step.pattern.text));
  }
  return out;
}

std::string Normalizer::apply(std::string text) const {
  for (size_t i = 0; i < steps_.size(); ++i)
    text = applyStep(steps_[i], patterns_[i], std::move(text));
  return text;
}

std::string Normalizer::applyStep(const NormalizerStep &step, const std::optional<Regex> &pattern,
                                  std::string text) const {
  switch (step.kind) {
  case NormalizerKind::bert:
    return bert(step, std::move(text));
  case NormalizerKind::nfc:
    return normalizeUnicode(text, NormalizationForm::nfc);
  case NormalizerKind::nfd:
    return normalizeUnicode(text, NormalizationForm::nfd);
  case NormalizerKind::nfkc:
    return normalizeUnicode(text, NormalizationForm::nfkc);
  case NormalizerKind::nfkd:
    return normalizeUnicode(text, NormalizationForm::nfkd);
  case NormalizerKind::lowercase:
    return lowercase(text);
  case NormalizerKind::stripAccents:
    return without(text, isCombiningMark);
  case NormalizerKind::strip:
    return strip(text, step.left, step.right);
  case NormalizerKind::replace:
    return replaceAll(text, *pattern, step.content);
  case NormalizerKind::prepend:
    return text.empty() ? text : step.content + text;
  }
  return text;
}

} // namespace transom::tokenizer
