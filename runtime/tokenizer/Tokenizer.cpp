// The stages in order: added tokens, normaliser, normalised added tokens, pre-tokeniser, model, template.
#include "runtime/tokenizer/Tokenizer.h"

#include "runtime/tokenizer/AddedTokens.h"
#include "runtime/tokenizer/Decoder.h"
#include "runtime/tokenizer/Model.h"
#include "runtime/tokenizer/Normalizer.h"
#include "runtime/tokenizer/PreTokenizer.h"
#include "runtime/tokenizer/Unicode.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <variant>

namespace transom::tokenizer {

namespace {

/// Finds where tokens stand in `raw`.
struct SpanFinder {
  std::string_view raw;
  const TokenizerSpec &spec;
  Tracking tracking;

  /// Of the token that a range of processed text became; nothing where text is not tracked.
  Match of(const TrackedText &text, Match range, bool first) const {
    if (tracking == Tracking::off || range.begin == range.end)
      return {0, 0};
    size_t last = text.origins[range.end - 1];
    Match span{text.origins[range.begin], last + decodeUtf8(raw, last).size};
    return spec.trimSpans ? trimmed(span, text.view(range), first) : span;
  }

private:
  /// Without as many characters at its ends as the token has white space there.
  Match trimmed(Match span, std::string_view token, bool first) const {
    size_t leading = 0, trailing = 0, count = 0;
    for (size_t pos = 0; pos < token.size(); ++count) {
      Utf8Char c = decodeUtf8(token, pos);
      bool isSpace = isWhitespace(c.codepoint) || c.codepoint == byteLevelChars()[' '];
      leading += isSpace && leading == count;
      trailing = isSpace ? trailing + 1 : 0;
      pos += c.size;
    }
    // A single space may be one that was put before the text.
    if (leading == 1 && spec.prefixSpace && (first || span.begin == 0))
      leading = 0;
    for (; leading > 0 && span.begin < span.end; --leading)
      span.begin += decodeUtf8(raw, span.begin).size;
    for (; trailing > 0 && span.end > span.begin; --trailing)
      span.end = previousChar(raw, span.end);
    return span;
  }
};

} // namespace

struct Tokenizer::Data {
  TokenizerSpec spec;
  VocabIndex vocab;
  std::variant<Bpe, WordPiece, Unigram> model;
  Normalizer normalizer;
  PreTokenizer preTokenizer;
  Decoder decoder;
  AddedTokenFinder rawTokens, normalizedTokens;
  std::unordered_map<int32_t, std::string> addedById; ///< as decoding sees them: a normalised token in its normalised form
  std::unordered_map<std::string_view, int32_t> addedByText;
  std::unordered_set<std::string_view> specialTexts;

  Data(TokenizerSpec from, Normalizer normalizerStage, PreTokenizer preTokenizerStage, Decoder decoderStage)
      : spec(std::move(from)), vocab(spec.vocab), model(makeModel()), normalizer(std::move(normalizerStage)),
        preTokenizer(std::move(preTokenizerStage)), decoder(std::move(decoderStage)), rawTokens(makeFinder(false)),
        normalizedTokens(makeFinder(true)) {
    for (const AddedToken &token : spec.addedTokens) {
      addedById[token.id] = token.normalized ? normalizer.apply({token.content}).text : token.content;
      addedByText[token.content] = token.id;
      if (token.special)
        specialTexts.insert(token.content);
    }
  }

  std::variant<Bpe, WordPiece, Unigram> makeModel() const {
    switch (spec.model) {
    case ModelKind::bpe:
      return Bpe(spec, vocab);
    case ModelKind::wordPiece:
      return WordPiece(spec, vocab);
    case ModelKind::unigram:
      break;
    }
    return Unigram(spec, vocab);
  }
  AddedTokenFinder makeFinder(bool normalized) const {
    std::vector<AddedToken> tokens;
    std::vector<std::string> contents;
    for (const AddedToken &token : spec.addedTokens)
      if (token.normalized == normalized) {
        tokens.push_back(token);
        contents.push_back(normalized ? normalizer.apply({token.content}).text : token.content);
      }
    return AddedTokenFinder(std::move(tokens), contents);
  }

  /// Tokens of a text, without its template. Ranges are of the text with ill-formed parts replaced, if they are tracked.
  std::vector<Token> encodeText(std::string_view raw, bool parseSpecial, Tracking tracking) const {
    std::string repaired;
    if (!isValidUtf8(raw))
      raw = repaired = sanitizeUtf8(raw);
    std::vector<Token> tokens;
    SpanFinder spans{raw, spec, tracking};
    for (Stretch outer : rawTokens.find(raw, parseSpecial)) {
      TrackedText text = TrackedText::of(raw, {outer.begin, outer.end}, tracking);
      if (outer.id != noToken) {
        tokens.push_back({outer.id, spans.of(text, {0, text.text.size()}, tokens.empty())});
        continue;
      }
      text = normalizer.apply(std::move(text));
      for (Stretch inner : normalizedTokens.find(text.text, parseSpecial)) {
        Match range{inner.begin, inner.end};
        if (inner.id != noToken)
          tokens.push_back({inner.id, spans.of(text, range, tokens.empty())});
        else
          encodePlain(text.slice(range), spans, tokens);
      }
    }
    return tokens;
  }

  void encodePlain(TrackedText text, const SpanFinder &spans, std::vector<Token> &tokens) const {
    Pieces pieces = preTokenizer.apply(std::move(text));
    for (Match piece : pieces.ranges) {
      size_t first = tokens.size();
      std::visit([&](const auto &m) { m.encode(pieces.content.view(piece), tokens); }, model);
      for (size_t i = first; i < tokens.size(); ++i) {
        Match &range = tokens[i].range;
        range = spans.of(pieces.content, {piece.begin + range.begin, piece.begin + range.end}, i == 0);
      }
    }
  }

  std::optional<std::string_view> tokenOf(int32_t id) const {
    if (auto added = addedById.find(id); added != addedById.end())
      return added->second;
    if (id < 0 || static_cast<size_t>(id) >= spec.vocab.size() || spec.vocab[id].empty())
      return std::nullopt;
    return spec.vocab[id];
  }

  /// By its text, as in the reference: a normalised token may not be, and a second token of the same text is.
  bool isSpecial(int32_t id) const {
    std::optional<std::string_view> text = tokenOf(id);
    return text && specialTexts.contains(*text);
  }
};

Result<Tokenizer> Tokenizer::create(TokenizerSpec spec) {
  TRANSOM_RETURN_IF_ERROR(validate(spec));
  TRANSOM_ASSIGN(Normalizer normalizer, Normalizer::create(spec.normalizers));
  TRANSOM_ASSIGN(PreTokenizer preTokenizer, PreTokenizer::create(spec.preTokenizers));
  TRANSOM_ASSIGN(Decoder decoder, Decoder::create(spec.decoders));
  Tokenizer out;
  out.data_ = std::make_shared<const Data>(std::move(spec), std::move(normalizer), std::move(preTokenizer),
                                           std::move(decoder));
  return out;
}

namespace {

/// Cuts one or two texts to `most` tokens in all; the reference calls it "longest first". True where something was cut.
bool truncate(std::span<std::vector<Token>> texts, size_t most) {
  size_t sum = 0;
  for (const std::vector<Token> &text : texts)
    sum += text.size();
  if (sum <= most)
    return false;
  if (texts.size() == 1) {
    texts[0].resize(most);
    return true;
  }
  size_t shorter = texts[0].size() > texts[1].size() ? 1 : 0;
  texts[shorter].resize(std::min(texts[shorter].size(), most / 2));
  texts[1 - shorter].resize(most - texts[shorter].size());
  return true;
}

} // namespace

std::vector<int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  return encodePair(text, std::nullopt, options).ids;
}

Encoding Tokenizer::encodePair(std::string_view first, std::optional<std::string_view> second,
                               EncodeOptions options) const {
  const TokenizerSpec &spec = data_->spec;
  Tracking tracking = options.spans || data_->preTokenizer.needsOrigins() ? Tracking::on : Tracking::off;
  std::vector<Token> texts[2] = {data_->encodeText(first, options.parseSpecialTokens, tracking), {}};
  if (second)
    texts[1] = data_->encodeText(*second, options.parseSpecialTokens, tracking);
  const std::vector<TemplatePiece> &pieces = second ? spec.pair : spec.single;
  auto isSpecial = [](const TemplatePiece &piece) { return piece.kind == PieceKind::special; };
  size_t around = options.addSpecialTokens ? static_cast<size_t>(std::ranges::count_if(pieces, isSpecial)) : 0;
  Encoding out;
  out.truncated = truncate(std::span(texts).first(second ? 2 : 1), options.maxTokens - std::min(around, options.maxTokens));
  auto put = [&](int32_t id, int32_t typeId, TokenSpan span) {
    out.ids.push_back(id);
    out.typeIds.push_back(typeId);
    if (options.spans)
      out.spans.push_back(span);
  };
  for (const TemplatePiece &piece : pieces) {
    if (isSpecial(piece)) {
      if (options.addSpecialTokens)
        put(piece.id, piece.typeId, {});
      continue;
    }
    int32_t index = piece.kind == PieceKind::sequenceB;
    bool fromTemplate = options.addSpecialTokens || spec.templateTypesAlways;
    for (const Token &token : texts[index])
      put(token.id, fromTemplate ? piece.typeId : index, {index, token.range.begin, token.range.end});
  }
  return out;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skipSpecial) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (int32_t id : ids)
    if (std::optional<std::string_view> token = data_->tokenOf(id); token && !(skipSpecial && data_->isSpecial(id)))
      tokens.emplace_back(*token);
  return data_->decoder.decode(std::move(tokens));
}

Result<std::string> Tokenizer::applyChat(std::span<const ChatMessage> messages) const {
  return formatChat(data_->spec.chatFormat, messages);
}

int32_t Tokenizer::vocabSize() const {
  int32_t size = static_cast<int32_t>(data_->spec.vocab.size());
  for (const AddedToken &token : data_->spec.addedTokens)
    size = std::max(size, token.id + 1);
  return size;
}

std::optional<int32_t> Tokenizer::idOf(std::string_view token) const {
  if (auto added = data_->addedByText.find(token); added != data_->addedByText.end())
    return added->second;
  int32_t id = data_->vocab.find(token);
  return id == noToken ? std::nullopt : std::optional<int32_t>(id);
}

std::optional<std::string_view> Tokenizer::tokenOf(int32_t id) const { return data_->tokenOf(id); }
bool Tokenizer::isSpecial(int32_t id) const { return data_->isSpecial(id); }
const TokenizerSpec &Tokenizer::spec() const { return data_->spec; }

StreamingDecoder::StreamingDecoder(Tokenizer tokenizer, bool skipSpecial)
    : tokenizer_(std::move(tokenizer)), skipSpecial_(skipSpecial) {}

std::string StreamingDecoder::push(int32_t id) {
  const Decoder &decoder = tokenizer_.data_->decoder;
  if (!decoder.streams()) {
    held_.push_back(id);
    return std::string();
  }
  std::optional<std::string_view> token = tokenizer_.tokenOf(id);
  if (!token || (skipSpecial_ && tokenizer_.isSpecial(id)))
    return std::string();
  std::string bytes = decoder.bytesOf(*token, first_);
  first_ = false;
  return stream_.push(bytes);
}

std::string StreamingDecoder::finish() {
  std::string out = stream_.finish() + tokenizer_.decode(held_, skipSpecial_);
  held_.clear();
  first_ = true;
  return out;
}

} // namespace transom::tokenizer
