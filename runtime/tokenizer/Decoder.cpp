// Decoders of Hugging Face tokenizers: a chain of maps from token texts to token texts, joined at the end.
#include "runtime/tokenizer/Decoder.h"

#include "runtime/tokenizer/Normalizer.h"
#include "runtime/tokenizer/PreTokenizer.h"
#include "runtime/tokenizer/Utf8.h"

#include <charconv>
#include <utility>

namespace transom::tokenizer {

namespace {

/// The bytes that a byte-level token stands for; a token with any other character stands for itself.
std::string byteLevelBytes(std::string_view token) {
  std::string out;
  for (size_t pos = 0; pos < token.size();) {
    Utf8Char c = decodeUtf8(token, pos);
    int byte = byteLevelByte(c.codepoint);
    if (byte < 0)
      return std::string(token);
    out += static_cast<char>(byte);
    pos += c.size;
  }
  return out;
}

void replaceLiteral(std::string &text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

/// Undoes the spaces that WordPiece puts around punctuation, in the reference's order.
void cleanUp(std::string &text) {
  static constexpr std::pair<std::string_view, std::string_view> rules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},     {" ' ", "'"},  {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (auto [from, to] : rules)
    replaceLiteral(text, from, to);
}

std::string wordPieceText(const DecoderStep &step, std::string_view token, bool first) {
  std::string out;
  if (first)
    out = token;
  else if (token.starts_with(step.content))
    out = token.substr(step.content.size());
  else
    out = fmt::format(" {}", token);
  if (step.cleanup)
    cleanUp(out);
  return out;
}

/// Drops at most `start` leading and `stop` trailing copies of the step's character.
std::string stripToken(const DecoderStep &step, std::string_view token) {
  const std::string &content = step.content;
  std::string_view rest = token;
  for (uint32_t i = 0; i < step.start && rest.starts_with(content); ++i)
    rest.remove_prefix(content.size());
  for (uint32_t i = 0; i < step.stop && rest.ends_with(content); ++i)
    rest.remove_suffix(content.size());
  return std::string(rest);
}

/// With spaces for the step's character; those of the first token may be dropped.
std::string metaspaceText(const DecoderStep &step, std::string token, bool first) {
  replaceLiteral(token, step.content, first && step.dropFirst ? "" : " ");
  return token;
}

/// The byte that a token of the form <0x4F> stands for, or -1.
int fallbackByte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>')
    return -1;
  uint8_t byte = 0;
  auto [end, problem] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  return problem == std::errc() && end == token.data() + 5 ? byte : -1;
}

/// Runs of byte tokens become their text; in a run that is no text each byte becomes U+FFFD, as in the reference.
std::vector<std::string> joinBytes(const std::vector<std::string> &tokens) {
  std::vector<std::string> out;
  std::string bytes;
  auto flush = [&] {
    if (!bytes.empty() && isValidUtf8(bytes))
      out.push_back(bytes);
    else
      out.insert(out.end(), bytes.size(), "\xEF\xBF\xBD");
    bytes.clear();
  };
  for (const std::string &token : tokens) {
    if (int byte = fallbackByte(token); byte >= 0) {
      bytes += static_cast<char>(byte);
      continue;
    }
    flush();
    out.push_back(token);
  }
  flush();
  return out;
}

std::string joined(const std::vector<std::string> &tokens) {
  std::string out;
  for (const std::string &token : tokens)
    out += token;
  return out;
}

} // namespace

Result<Decoder> Decoder::create(const std::vector<DecoderStep> &steps) {
  Decoder out;
  out.steps_ = steps;
  bool joins = false;
  for (const DecoderStep &step : steps) {
    std::optional<Regex> &pattern = out.patterns_.emplace_back();
    if (step.kind == DecoderKind::replace) {
      TRANSOM_ASSIGN(pattern, step.pattern.isRegex ? Regex::create(step.pattern.text) : Regex::literal(step.pattern.text));
    }
    out.streams_ = out.streams_ && !joins; // a step that sees the joined text needs all of it
    joins = joins || step.kind == DecoderKind::byteLevel || step.kind == DecoderKind::fuse;
    if (step.kind == DecoderKind::byteFallback) // what a byte becomes depends on later ones
      out.streams_ = false;
  }
  return out;
}

std::string Decoder::decode(std::vector<std::string> tokens) const {
  if (steps_.empty()) {
    std::string out;
    for (size_t i = 0; i < tokens.size(); ++i)
      out += i == 0 ? tokens[i] : " " + tokens[i];
    return out;
  }
  for (size_t step = 0; step < steps_.size(); ++step)
    tokens = applyStep(step, std::move(tokens));
  return joined(tokens);
}

std::vector<std::string> Decoder::applyStep(size_t index, std::vector<std::string> tokens) const {
  const DecoderStep &step = steps_[index];
  switch (step.kind) {
  case DecoderKind::byteLevel:
    for (std::string &token : tokens)
      token = byteLevelBytes(token);
    return {sanitizeUtf8(joined(tokens))};
  case DecoderKind::fuse:
    return {joined(tokens)};
  case DecoderKind::wordPiece:
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = wordPieceText(step, tokens[i], i == 0);
    return tokens;
  case DecoderKind::replace:
    for (std::string &token : tokens)
      token = replaceAll({token}, *patterns_[index], step.content).text;
    return tokens;
  case DecoderKind::strip:
    for (std::string &token : tokens)
      token = stripToken(step, token);
    return tokens;
  case DecoderKind::metaspace:
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = metaspaceText(step, std::move(tokens[i]), i == 0);
    return tokens;
  case DecoderKind::byteFallback:
    return joinBytes(tokens);
  }
  return tokens;
}

std::string Decoder::bytesOf(std::string_view token, bool first) const {
  if (steps_.empty())
    return first ? std::string(token) : fmt::format(" {}", token);
  std::string text(token);
  for (size_t i = 0; i < steps_.size(); ++i) {
    const DecoderStep &step = steps_[i];
    if (step.kind == DecoderKind::byteLevel)
      return byteLevelBytes(text);
    if (step.kind == DecoderKind::wordPiece)
      text = wordPieceText(step, text, first);
    else if (step.kind == DecoderKind::metaspace)
      text = metaspaceText(step, std::move(text), first);
    else
      text = applyStep(i, {text})[0];
  }
  return text;
}

} // namespace transom::tokenizer
