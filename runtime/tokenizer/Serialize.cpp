// TokenizerSpec to and from FlatBuffers (tokenizer.fbs).
#include "runtime/tokenizer/Spec.h"
#include "runtime/tokenizer/tokenizer_generated.h"

namespace transom::tokenizer {

namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

template <typename Enum> uint8_t number(Enum value) { return static_cast<uint8_t>(value); }

/// The enum of a stored number; `last` is the largest value this version knows.
template <typename Enum> Status readEnum(Enum &out, uint8_t value, Enum last, std::string_view field) {
  if (value > number(last))
    return error(StatusCode::invalidFile, "tokenizer {}: value {} is unknown (largest known {}); the artifact may be newer",
                 field, value, number(last));
  out = static_cast<Enum>(value);
  return Status();
}

/// Copies strings out of the buffer. A corrupt buffer may point to one long string many times over, so that the copies
/// would outgrow it without bound; a sound one never holds more text than bytes.
class TextReader {
public:
  explicit TextReader(size_t bytes) : left_(bytes) {}
  std::string operator()(const flatbuffers::String *string) {
    return string ? copied(string->c_str(), string->size()) : std::string();
  }
  std::string operator()(const flatbuffers::Vector<uint8_t> *bytes) {
    return bytes ? copied(reinterpret_cast<const char *>(bytes->data()), bytes->size()) : std::string();
  }
  bool overrun() const { return overrun_; }

private:
  std::string copied(const char *data, size_t size) {
    overrun_ = overrun_ || size > left_;
    if (overrun_)
      return std::string();
    left_ -= size;
    return std::string(data, size);
  }
  size_t left_;
  bool overrun_ = false;
};

std::vector<fb::TemplatePiece> packTemplate(const std::vector<TemplatePiece> &pieces) {
  std::vector<fb::TemplatePiece> out;
  for (const TemplatePiece &piece : pieces)
    out.emplace_back(number(piece.kind), piece.id, piece.typeId);
  return out;
}

Status unpackTemplate(std::vector<TemplatePiece> &out, const flatbuffers::Vector<const fb::TemplatePiece *> *pieces) {
  for (const fb::TemplatePiece *piece : *pieces) {
    TemplatePiece &to = out.emplace_back();
    TRANSOM_RETURN_IF_ERROR(readEnum(to.kind, piece->kind(), PieceKind::special, "template piece"));
    to.id = piece->id();
    to.typeId = piece->type_id();
  }
  return Status();
}

auto packAdded(FlatBufferBuilder &builder, const TokenizerSpec &spec) {
  std::vector<Offset<fb::AddedToken>> out;
  for (const AddedToken &token : spec.addedTokens)
    out.push_back(fb::CreateAddedToken(builder, builder.CreateString(token.content), token.id, token.special,
                                       token.singleWord, token.lstrip, token.rstrip, token.normalized));
  return builder.CreateVector(out);
}

auto packNormalizers(FlatBufferBuilder &builder, const TokenizerSpec &spec) {
  std::vector<Offset<fb::Normalizer>> out;
  for (const NormalizerStep &step : spec.normalizers) {
    auto pattern = builder.CreateString(step.pattern.text), content = builder.CreateString(step.content);
    auto charsmap = builder.CreateVector(reinterpret_cast<const uint8_t *>(step.charsmap.data()), step.charsmap.size());
    out.push_back(fb::CreateNormalizer(builder, number(step.kind), step.cleanText, step.chineseChars, step.accents,
                                       step.lowercase, step.left, step.right, pattern, step.pattern.isRegex, content, charsmap));
  }
  return builder.CreateVector(out);
}

auto packPreTokenizers(FlatBufferBuilder &builder, const TokenizerSpec &spec) {
  std::vector<Offset<fb::PreTokenizer>> out;
  for (const PreTokenizerStep &step : spec.preTokenizers) {
    auto pattern = builder.CreateString(step.pattern.text), replacement = builder.CreateString(step.replacement);
    out.push_back(fb::CreatePreTokenizer(builder, number(step.kind), step.addPrefixSpace, step.useRegex,
                                         step.individualDigits, step.invert, number(step.behavior), pattern,
                                         step.pattern.isRegex, replacement, number(step.prepend), step.split));
  }
  return builder.CreateVector(out);
}

auto packDecoders(FlatBufferBuilder &builder, const TokenizerSpec &spec) {
  std::vector<Offset<fb::Decoder>> out;
  for (const DecoderStep &step : spec.decoders) {
    auto pattern = builder.CreateString(step.pattern.text), content = builder.CreateString(step.content);
    out.push_back(fb::CreateDecoder(builder, number(step.kind), step.cleanup, step.start, step.stop, pattern,
                                    step.pattern.isRegex, content, step.dropFirst));
  }
  return builder.CreateVector(out);
}

void unpackAdded(TokenizerSpec &spec, const fb::Tokenizer &from, TextReader &text) {
  for (const fb::AddedToken *token : *from.added_tokens())
    spec.addedTokens.push_back({text(token->content()), token->id(), token->special(), token->single_word(),
                                token->lstrip(), token->rstrip(), token->normalized()});
}

Status unpackSteps(TokenizerSpec &spec, const fb::Tokenizer &from, TextReader &text) {
  for (const fb::Normalizer *step : *from.normalizers()) {
    NormalizerStep &to = spec.normalizers.emplace_back();
    TRANSOM_RETURN_IF_ERROR(readEnum(to.kind, step->kind(), NormalizerKind::precompiled, "normalizer"));
    to.cleanText = step->clean_text();
    to.chineseChars = step->chinese_chars();
    to.accents = step->accents();
    to.lowercase = step->lowercase();
    to.left = step->left();
    to.right = step->right();
    to.pattern = {text(step->pattern()), step->pattern_is_regex()};
    to.content = text(step->content());
    to.charsmap = text(step->charsmap());
  }
  for (const fb::PreTokenizer *step : *from.pre_tokenizers()) {
    PreTokenizerStep &to = spec.preTokenizers.emplace_back();
    TRANSOM_RETURN_IF_ERROR(readEnum(to.kind, step->kind(), PreTokenizerKind::metaspace, "pre-tokenizer"));
    TRANSOM_RETURN_IF_ERROR(readEnum(to.behavior, step->behavior(), SplitBehavior::contiguous, "split behavior"));
    TRANSOM_RETURN_IF_ERROR(readEnum(to.prepend, step->prepend(), PrependScheme::always, "prepend scheme"));
    to.addPrefixSpace = step->add_prefix_space();
    to.useRegex = step->use_regex();
    to.individualDigits = step->individual_digits();
    to.invert = step->invert();
    to.pattern = {text(step->pattern()), step->pattern_is_regex()};
    to.replacement = text(step->replacement());
    to.split = step->split();
  }
  for (const fb::Decoder *step : *from.decoders()) {
    DecoderStep &to = spec.decoders.emplace_back();
    TRANSOM_RETURN_IF_ERROR(readEnum(to.kind, step->kind(), DecoderKind::byteFallback, "decoder"));
    to.cleanup = step->cleanup();
    to.dropFirst = step->drop_first();
    to.start = step->start();
    to.stop = step->stop();
    to.pattern = {text(step->pattern()), step->pattern_is_regex()};
    to.content = text(step->content());
  }
  return Status();
}

} // namespace

std::vector<std::byte> serialize(const TokenizerSpec &spec) {
  FlatBufferBuilder builder(1 << 20);
  std::vector<fb::Merge> merges;
  merges.reserve(spec.merges.size());
  for (const Merge &merge : spec.merges)
    merges.emplace_back(merge.left, merge.right, merge.result);
  // In statements of their own: arguments would be evaluated in an order that the compiler chooses.
  auto vocab = builder.CreateVectorOfStrings(spec.vocab);
  auto added = packAdded(builder, spec);
  auto mergeVector = builder.CreateVectorOfStructs(merges);
  auto prefix = builder.CreateString(spec.continuingPrefix);
  auto normalizers = packNormalizers(builder, spec);
  auto preTokenizers = packPreTokenizers(builder, spec);
  auto single = builder.CreateVectorOfStructs(packTemplate(spec.single));
  auto pair = builder.CreateVectorOfStructs(packTemplate(spec.pair));
  auto decoders = packDecoders(builder, spec);
  auto scores = builder.CreateVector(spec.scores);
  fb::FinishTokenizerBuffer(
      builder, fb::CreateTokenizer(builder, number(spec.model), vocab, added, mergeVector, spec.ignoreMerges,
                                   spec.fuseUnknown, prefix, spec.maxCharsPerWord, normalizers, preTokenizers, single,
                                   pair, spec.templateTypesAlways, decoders, spec.unknownId, spec.bosId, spec.eosId,
                                   spec.padId, number(spec.chatFormat), spec.trimSpans, spec.prefixSpace, spec.maskId, scores,
                                   spec.byteFallback));
  auto *begin = reinterpret_cast<const std::byte *>(builder.GetBufferPointer());
  return std::vector<std::byte>(begin, begin + builder.GetSize());
}

Result<TokenizerSpec> deserialize(std::span<const std::byte> bytes) {
  auto *data = reinterpret_cast<const uint8_t *>(bytes.data());
  flatbuffers::Verifier verifier(data, bytes.size());
  if (bytes.size() < 8 || !fb::VerifyTokenizerBuffer(verifier))
    return error(StatusCode::invalidFile, "tokenizer section of {} bytes is corrupt", bytes.size());
  const fb::Tokenizer &from = *fb::GetTokenizer(data);
  if (!from.vocab() || !from.added_tokens() || !from.merges() || !from.normalizers() || !from.pre_tokenizers() ||
      !from.single() || !from.pair() || !from.decoders())
    return error(StatusCode::invalidFile, "tokenizer section lacks a required field");
  TextReader text(bytes.size());
  TokenizerSpec spec;
  TRANSOM_RETURN_IF_ERROR(readEnum(spec.model, from.model(), ModelKind::unigram, "model"));
  TRANSOM_RETURN_IF_ERROR(readEnum(spec.chatFormat, from.chat_format(), ChatFormat::chatmlSmolLm2, "chat format"));
  spec.vocab.reserve(from.vocab()->size());
  for (const flatbuffers::String *token : *from.vocab())
    spec.vocab.push_back(text(token));
  unpackAdded(spec, from, text);
  spec.merges.reserve(from.merges()->size());
  for (const fb::Merge *merge : *from.merges())
    spec.merges.push_back({merge->left(), merge->right(), merge->result()});
  spec.ignoreMerges = from.ignore_merges();
  spec.fuseUnknown = from.fuse_unknown();
  spec.continuingPrefix = text(from.continuing_prefix());
  spec.maxCharsPerWord = from.max_chars_per_word();
  TRANSOM_RETURN_IF_ERROR(unpackSteps(spec, from, text));
  TRANSOM_RETURN_IF_ERROR(unpackTemplate(spec.single, from.single()));
  TRANSOM_RETURN_IF_ERROR(unpackTemplate(spec.pair, from.pair()));
  spec.templateTypesAlways = from.template_types_always();
  spec.unknownId = from.unknown_id();
  spec.bosId = from.bos_id();
  spec.eosId = from.eos_id();
  spec.padId = from.pad_id();
  spec.trimSpans = from.trim_spans();
  spec.prefixSpace = from.prefix_space();
  spec.maskId = from.mask_id();
  if (from.scores())
    spec.scores.assign(from.scores()->begin(), from.scores()->end());
  spec.byteFallback = from.byte_fallback();
  if (text.overrun())
    return error(StatusCode::invalidFile, "tokenizer section holds more text than its {} bytes", bytes.size());
  TRANSOM_RETURN_IF_ERROR(validate(spec));
  return spec;
}

} // namespace transom::tokenizer
