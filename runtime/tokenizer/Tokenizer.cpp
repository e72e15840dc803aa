// The stages in order: added tokens, normaliser, normalised added tokens, pre-tokeniser, model, template.
#include "runtime/tokenizer/Tokenizer.h"

#include "runtime/tokenizer/AddedTokens.h"
#include "runtime/tokenizer/Decoder.h"
#include "runtime/tokenizer/Model.h"
#include "runtime/tokenizer/Normalizer.h"
#include "runtime/tokenizer/PreTokenizer.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <variant>

namespace transom::tokenizer {

struct Tokenizer::Data {
  TokenizerSpec spec;
  VocabIndex vocab;
  std::variant<Bpe, WordPiece> model;
  Normalizer normalizer;
  PreTokenizer preTokenizer;
  Decoder decoder;
  AddedTokenFinder rawTokens, normalizedTokens;
  /// An added token as decoding sees it. A normalised token decodes to its normalised form, and counts as special only
  /// if that form still is the text of a special token, as in the reference.
  struct DecodedToken {
    std::string text;
    bool special;
  };
  std::unordered_map<int32_t, DecodedToken> addedById;
  std::unordered_map<std::string_view, int32_t> addedByText;

  Data(TokenizerSpec from, Normalizer normalizerStage, PreTokenizer preTokenizerStage, Decoder decoderStage)
      : spec(std::move(from)), vocab(spec.vocab), model(makeModel()), normalizer(std::move(normalizerStage)),
        preTokenizer(std::move(preTokenizerStage)), decoder(std::move(decoderStage)), rawTokens(makeFinder(false)),
        normalizedTokens(makeFinder(true)) {
    std::unordered_set<std::string_view> specialTexts;
    for (const AddedToken &token : spec.addedTokens)
      if (token.special)
        specialTexts.insert(token.content);
    for (const AddedToken &token : spec.addedTokens) {
      std::string text = token.normalized ? normalizer.apply(token.content) : token.content;
      bool special = specialTexts.contains(text);
      addedById[token.id] = {std::move(text), special};
      addedByText[token.content] = token.id;
    }
  }

  std::variant<Bpe, WordPiece> makeModel() const {
    if (spec.model == ModelKind::bpe)
      return Bpe(spec, vocab);
    return WordPiece(spec, vocab);
  }
  AddedTokenFinder makeFinder(bool normalized) const {
    std::vector<AddedToken> tokens;
    std::vector<std::string> contents;
    for (const AddedToken &token : spec.addedTokens)
      if (token.normalized == normalized) {
        tokens.push_back(token);
        contents.push_back(normalized ? normalizer.apply(token.content) : token.content);
      }
    return AddedTokenFinder(std::move(tokens), contents);
  }

  void encodePlain(std::string text, std::vector<int32_t> &ids) const {
    Pieces pieces = preTokenizer.apply(std::move(text));
    for (Match range : pieces.ranges) {
      std::string_view piece = std::string_view(pieces.text).substr(range.begin, range.end - range.begin);
      std::visit([&](const auto &m) { m.encode(piece, ids); }, model);
    }
  }

  /// The ids of a text, without its template.
  std::vector<int32_t> encodeText(std::string_view raw, bool parseSpecial) const {
    std::string repaired;
    if (!isValidUtf8(raw))
      raw = repaired = sanitizeUtf8(raw);
    std::vector<int32_t> ids;
    for (Stretch outer : rawTokens.find(raw, parseSpecial)) {
      if (outer.id != noToken) {
        ids.push_back(outer.id);
        continue;
      }
      std::string text = normalizer.apply(std::string(raw.substr(outer.begin, outer.end - outer.begin)));
      for (Stretch inner : normalizedTokens.find(text, parseSpecial)) {
        if (inner.id != noToken)
          ids.push_back(inner.id);
        else
          encodePlain(text.substr(inner.begin, inner.end - inner.begin), ids);
      }
    }
    return ids;
  }

  std::optional<std::string_view> tokenOf(int32_t id) const {
    if (auto added = addedById.find(id); added != addedById.end())
      return added->second.text;
    if (id < 0 || static_cast<size_t>(id) >= spec.vocab.size() || spec.vocab[id].empty())
      return std::nullopt;
    return spec.vocab[id];
  }

  bool isSpecial(int32_t id) const {
    auto added = addedById.find(id);
    return added != addedById.end() && added->second.special;
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

std::vector<int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  return encodePair(text, std::nullopt, options).ids;
}

Encoding Tokenizer::encodePair(std::string_view first, std::optional<std::string_view> second,
                               EncodeOptions options) const {
  const TokenizerSpec &spec = data_->spec;
  std::vector<int32_t> texts[2] = {data_->encodeText(first, options.parseSpecialTokens), {}};
  if (second)
    texts[1] = data_->encodeText(*second, options.parseSpecialTokens);
  Encoding out;
  for (const TemplatePiece &piece : second ? spec.pair : spec.single) {
    if (piece.kind == PieceKind::special) {
      if (options.addSpecialTokens) {
        out.ids.push_back(piece.id);
        out.typeIds.push_back(piece.typeId);
      }
      continue;
    }
    size_t index = piece.kind == PieceKind::sequenceB;
    bool fromTemplate = options.addSpecialTokens || spec.templateTypesAlways;
    out.ids.insert(out.ids.end(), texts[index].begin(), texts[index].end());
    out.typeIds.resize(out.ids.size(), fromTemplate ? piece.typeId : static_cast<int32_t>(index));
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
