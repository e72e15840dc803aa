// Each function is one normaliser of Hugging Face tokenizers, with its order of operations.
#include "runtime/tokenizer/Normalizer.h"

#include "runtime/tokenizer/Unicode.h"
#include "runtime/tokenizer/Utf8.h"

namespace transom::tokenizer {

namespace {

/// Calls `rewrite(out, codepoint, bytes)` for each character, which appends what becomes of it.
template <typename Rewrite> TrackedText rewritten(const TrackedText &from, Rewrite rewrite) {
  TrackedText out = from.emptied();
  for (size_t pos = 0; pos < from.text.size();) {
    Utf8Char c = decodeUtf8(from.text, pos);
    rewrite(out.text, c.codepoint, std::string_view(from.text).substr(pos, c.size));
    out.mark(from, pos);
    pos += c.size;
  }
  return out;
}

TrackedText lowercase(const TrackedText &text) {
  return rewritten(text, [](std::string &out, char32_t c, std::string_view) { appendLowercase(out, c); });
}

template <typename Predicate> TrackedText without(const TrackedText &text, Predicate predicate) {
  return rewritten(text, [&](std::string &out, char32_t c, std::string_view bytes) {
    if (!predicate(c))
      out += bytes;
  });
}

TrackedText cleanText(const TrackedText &text) {
  return rewritten(text, [](std::string &out, char32_t c, std::string_view bytes) {
    if (isBertControl(c))
      return;
    if (isWhitespace(c))
      out += ' ';
    else
      out += bytes;
  });
}

TrackedText spaceChineseChars(const TrackedText &text) {
  return rewritten(text, [](std::string &out, char32_t c, std::string_view bytes) {
    bool chinese = isChineseChar(c);
    if (chinese)
      out += ' ';
    out += bytes;
    if (chinese)
      out += ' ';
  });
}

/// Of machine translation's preprocessing: control characters are dropped, what counts as a space becomes one.
TrackedText nmt(const TrackedText &text) {
  return rewritten(text, [](std::string &out, char32_t c, std::string_view bytes) {
    bool control = (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
    bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 ||
                 c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
    if (space)
      out += ' ';
    else if (!control)
      out += bytes;
  });
}

TrackedText normalForm(const TrackedText &from, NormalizationForm form) {
  TrackedText out = from.emptied();
  std::vector<size_t> sources;
  out.text = normalizeUnicode(from.text, form, from.tracking == Tracking::on ? &sources : nullptr);
  for (size_t source : sources)
    out.origins.push_back(from.origins[source]);
  return out;
}

TrackedText bert(const NormalizerStep &step, TrackedText text) {
  if (step.cleanText)
    text = cleanText(text);
  if (step.chineseChars)
    text = spaceChineseChars(text);
  if (step.accents)
    text = without(normalForm(text, NormalizationForm::nfd), isNonspacingMark);
  return step.lowercase ? lowercase(text) : text;
}

TrackedText strip(const TrackedText &from, bool left, bool right) {
  size_t begin = from.text.size(), end = 0;
  for (size_t pos = 0; pos < from.text.size();) {
    Utf8Char c = decodeUtf8(from.text, pos);
    if (!isWhitespace(c.codepoint)) {
      begin = std::min(begin, pos);
      end = pos + c.size;
    }
    pos += c.size;
  }
  if (end == 0)
    return left || right ? from.emptied() : from;
  return from.slice({left ? begin : 0, right ? end : from.text.size()});
}

TrackedText prepend(const TrackedText &from, std::string_view prefix) {
  if (from.text.empty())
    return from;
  TrackedText out = from.emptied();
  out.text = prefix;
  out.mark(from, 0);
  out.append(from, {0, from.text.size()});
  return out;
}

} // namespace

TrackedText replaceAll(const TrackedText &from, const Regex &pattern, std::string_view content) {
  TrackedText out = from.emptied();
  size_t done = 0;
  for (Match match : pattern.findAll(from.text)) {
    out.append(from, {done, match.begin});
    out.text += content;
    out.mark(from, match.end == 0 ? 0 : match.end - 1);
    done = match.end;
  }
  out.append(from, {done, from.text.size()});
  return out;
}

Result<Normalizer> Normalizer::create(const std::vector<NormalizerStep> &steps) {
  Normalizer out;
  out.steps_ = steps;
  for (const NormalizerStep &step : steps) {
    std::optional<Regex> &pattern = out.patterns_.emplace_back();
    Charsmap &charsmap = out.charsmaps_.emplace_back();
    if (step.kind == NormalizerKind::replace) {
      TRANSOM_ASSIGN(pattern, step.pattern.isRegex ? Regex::create(step.pattern.text) : Regex::literal(step.pattern.text));
    } else if (step.kind == NormalizerKind::precompiled) {
      TRANSOM_ASSIGN(charsmap, Charsmap::create(step.charsmap));
    }
  }
  return out;
}

TrackedText Normalizer::apply(TrackedText text) const {
  for (size_t i = 0; i < steps_.size(); ++i)
    text = applyStep(i, std::move(text));
  return text;
}

TrackedText Normalizer::applyStep(size_t index, TrackedText text) const {
  const NormalizerStep &step = steps_[index];
  switch (step.kind) {
  case NormalizerKind::bert:
    return bert(step, std::move(text));
  case NormalizerKind::nfc:
    return normalForm(text, NormalizationForm::nfc);
  case NormalizerKind::nfd:
    return normalForm(text, NormalizationForm::nfd);
  case NormalizerKind::nfkc:
    return normalForm(text, NormalizationForm::nfkc);
  case NormalizerKind::nfkd:
    return normalForm(text, NormalizationForm::nfkd);
  case NormalizerKind::lowercase:
    return lowercase(text);
  case NormalizerKind::stripAccents:
    return without(text, isCombiningMark);
  case NormalizerKind::strip:
    return strip(text, step.left, step.right);
  case NormalizerKind::replace:
    return replaceAll(text, *patterns_[index], step.content);
  case NormalizerKind::prepend:
    return prepend(text, step.content);
  case NormalizerKind::nmt:
    return nmt(text);
  case NormalizerKind::precompiled:
    return charsmaps_[index].apply(text);
  }
  return text;
}

} // namespace transom::tokenizer
