// The invariants of a TokenizerSpec that the rest of the library relies on. Patterns are checked where they compile.
#include "runtime/tokenizer/Spec.h"
#include "runtime/tokenizer/Utf8.h"

#include <cmath>

namespace transom::tokenizer {

namespace {

constexpr int32_t maxTokenId = 1 << 24;

template <typename... Args> Status invalid(fmt::format_string<Args...> format, Args &&...args) {
  return error(StatusCode::invalidFile, format, std::forward<Args>(args)...);
}

Status checkTokens(const TokenizerSpec &spec) {
  if (spec.vocab.empty())
    return invalid("tokenizer vocabulary: expected tokens, found none");
  if (spec.vocab.size() > static_cast<size_t>(maxTokenId))
    return invalid("tokenizer vocabulary: {} tokens, at most {} are possible", spec.vocab.size(), maxTokenId);
  for (size_t id = 0; id < spec.vocab.size(); ++id)
    if (!isValidUtf8(spec.vocab[id]))
      return invalid("tokenizer vocabulary: token {} is not valid UTF-8", id);
  for (const AddedToken &token : spec.addedTokens) {
    if (token.content.empty() || !isValidUtf8(token.content))
      return invalid("added token {}: expected text in UTF-8, found {}", token.id,
                     token.content.empty() ? "none" : "invalid bytes");
    if (token.id < 0 || token.id >= maxTokenId)
      return invalid("added token '{}': id {} is outside 0 to {}", token.content, token.id, maxTokenId - 1);
  }
  return Status();
}

Status checkId(const TokenizerSpec &spec, int32_t id, std::string_view what) {
  if (id == noToken || (id >= 0 && static_cast<size_t>(id) < spec.vocab.size()))
    return Status();
  for (const AddedToken &token : spec.addedTokens)
    if (token.id == id)
      return Status();
  return invalid("{}: id {} is no token (vocabulary of {})", what, id, spec.vocab.size());
}

Status checkModel(const TokenizerSpec &spec) {
  auto inVocab = [&](int32_t id) { return id >= 0 && static_cast<size_t>(id) < spec.vocab.size(); };
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const Merge &merge = spec.merges[rank];
    if (!inVocab(merge.left) || !inVocab(merge.right) || !inVocab(merge.result))
      return invalid("merge {}: ids {} {} {} are not all in the vocabulary of {}", rank, merge.left, merge.right,
                     merge.result, spec.vocab.size());
  }
  if (spec.model == ModelKind::wordPiece && spec.unknownId == noToken)
    return invalid("WordPiece: the unknown token is missing from the vocabulary");
  if (spec.model == ModelKind::unigram) {
    if (!inVocab(spec.unknownId))
      return invalid("Unigram: unknown token: expected an id of the vocabulary of {}, found {}", spec.vocab.size(), spec.unknownId);
    if (spec.scores.size() != spec.vocab.size())
      return invalid("Unigram: expected a score for each of {} tokens, found {}", spec.vocab.size(), spec.scores.size());
    for (size_t id = 0; id < spec.scores.size(); ++id)
      if (!std::isfinite(spec.scores[id]))
        return invalid("Unigram: score of token {} is not finite", id);
  }
  TRANSOM_RETURN_IF_ERROR(checkId(spec, spec.unknownId, "unknown token"));
  TRANSOM_RETURN_IF_ERROR(checkId(spec, spec.bosId, "begin-of-sequence token"));
  TRANSOM_RETURN_IF_ERROR(checkId(spec, spec.eosId, "end-of-sequence token"));
  TRANSOM_RETURN_IF_ERROR(checkId(spec, spec.padId, "padding token"));
  return checkId(spec, spec.maskId, "mask token");
}

Status checkTemplate(const TokenizerSpec &spec, const std::vector<TemplatePiece> &pieces, std::string_view name,
                     int wantA, int wantB) {
  int countA = 0, countB = 0;
  for (const TemplatePiece &piece : pieces) {
    countA += piece.kind == PieceKind::sequenceA;
    countB += piece.kind == PieceKind::sequenceB;
    if (piece.kind == PieceKind::special) {
      if (piece.id == noToken)
        return invalid("{} template: a special token without id", name);
      TRANSOM_RETURN_IF_ERROR(checkId(spec, piece.id, fmt::format("{} template", name)));
    }
  }
  if (countA != wantA || countB != wantB)
    return invalid("{} template: expected {} of sequence A and {} of sequence B, found {} and {}", name, wantA, wantB,
                   countA, countB);
  return Status();
}

Status checkStrings(const TokenizerSpec &spec) {
  auto bad = [](std::string_view what) { return invalid("{}: text is not valid UTF-8", what); };
  if (!isValidUtf8(spec.continuingPrefix))
    return bad("WordPiece prefix");
  for (const NormalizerStep &step : spec.normalizers)
    if (!isValidUtf8(step.content) || !isValidUtf8(step.pattern.text))
      return bad("normalizer");
  for (const PreTokenizerStep &step : spec.preTokenizers) {
    if (!isValidUtf8(step.pattern.text) || !isValidUtf8(step.replacement))
      return bad("pre-tokenizer");
    if (step.kind == PreTokenizerKind::metaspace && countCodepoints(step.replacement) != 1)
      return invalid("metaspace pre-tokenizer: expected a replacement of one character, found '{}'", step.replacement);
  }
  for (const DecoderStep &step : spec.decoders) {
    if (!isValidUtf8(step.content) || !isValidUtf8(step.pattern.text))
      return bad("decoder");
    bool oneCharacter = step.kind == DecoderKind::strip || step.kind == DecoderKind::metaspace;
    if (oneCharacter && countCodepoints(step.content) != 1)
      return invalid("{} decoder: expected one character, found '{}'", step.kind == DecoderKind::strip ? "strip" : "metaspace",
                     step.content);
  }
  return Status();
}

} // namespace

Status validate(const TokenizerSpec &spec) {
  TRANSOM_RETURN_IF_ERROR(checkTokens(spec));
  TRANSOM_RETURN_IF_ERROR(checkModel(spec));
  TRANSOM_RETURN_IF_ERROR(checkTemplate(spec, spec.single, "single", 1, 0));
  TRANSOM_RETURN_IF_ERROR(checkTemplate(spec, spec.pair, "pair", 1, 1));
  return checkStrings(spec);
}

} // namespace transom::tokenizer
