// TokenizerSpec from the metadata of a GGUF file. Pre-tokeniser names and their patterns are those llama.cpp defines,
// in the wording of the models' own tokenizer.json (it writes out (?i:...) and merges a final \s+ into gaps).
#include "runtime/tokenizer/Model.h"
#include "runtime/tokenizer/Spec.h"
#include "runtime/tokenizer/Utf8.h"

namespace transom::tokenizer {

namespace {

constexpr std::string_view gpt2Words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view llama3Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view qwen2Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view tekkenWords =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view gpt4oWords =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct PreDefinition {
  std::string_view names; ///< separated by spaces
  std::vector<std::string_view> patterns; ///< applied one after the other
  bool ignoreMerges = false, addBos = false, nfc = false;
};

const std::vector<PreDefinition> &preDefinitions() {
  static const std::vector<PreDefinition> table = {
      {"smollm starcoder refact command-r exaone", {R"(\p{N})", gpt2Words}},
      {"gpt-2 phi-2 mpt olmo jina-es jina-de roberta-bpe", {gpt2Words}},
      {"llama-bpe llama3 llama-v3 falcon3", {llama3Words}, true, true},
      {"dbrx smaug-bpe", {llama3Words}},
      {"qwen2 deepseek-r1-qwen stablelm2", {qwen2Words}, false, false, true},
      {"tekken", {tekkenWords}, true, true},
      {"gpt-4o", {gpt4oWords}},
      {"default", {R"([\p{P}\$\+<=>\^~\|]+)", gpt2Words, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
  };
  return table;
}

Result<const PreDefinition *> findPre(const GgufTokenizerFields &fields) {
  std::string wanted = fields.pre.empty() ? "default" : fields.pre, known;
  for (const PreDefinition &definition : preDefinitions()) {
    if (fmt::format(" {} ", definition.names).find(fmt::format(" {} ", wanted)) != std::string::npos &&
        wanted.find(' ') == std::string::npos)
      return &definition;
    known += fmt::format("{}{}", known.empty() ? "" : " ", definition.names);
  }
  return error(StatusCode::unsupported, "tokenizer.ggml.pre: '{}' is not supported; supported: {}", wanted, known);
}

bool isSet(GgufTokenizerFields::Flag flag, bool absent) {
  return flag == GgufTokenizerFields::Flag::absent ? absent : flag == GgufTokenizerFields::Flag::on;
}

/// Control and unknown tokens become special added tokens, user-defined ones plain added tokens.
void addTypedTokens(const GgufTokenizerFields &fields, TokenizerSpec &spec) {
  enum : int32_t { unknown = 2, control = 3, userDefined = 4 };
  for (size_t id = 0; id < fields.tokenTypes.size(); ++id) {
    int32_t type = fields.tokenTypes[id];
    if ((type != unknown && type != control && type != userDefined) || fields.tokens[id].empty())
      continue;
    AddedToken token;
    token.content = fields.tokens[id];
    token.id = static_cast<int32_t>(id);
    token.special = type != userDefined;
    spec.addedTokens.push_back(std::move(token));
  }
}

Status readMerges(const GgufTokenizerFields &fields, TokenizerSpec &spec) {
  VocabIndex vocab(spec.vocab);
  spec.merges.reserve(fields.merges.size());
  for (size_t rank = 0; rank < fields.merges.size(); ++rank) {
    std::string_view line = fields.merges[rank];
    size_t space = line.find(' ', 1);
    std::string left(line.substr(0, space)), right(space == line.npos ? "" : line.substr(space + 1));
    Merge merge{vocab.find(left), vocab.find(right), vocab.find(left + right)};
    if (right.empty() || merge.left == noToken || merge.right == noToken || merge.result == noToken)
      return error(StatusCode::invalidFile,
                   "tokenizer.ggml.merges {}: expected two tokens that join to a token, found '{}'", rank,
                   sanitizeUtf8(line));
    spec.merges.push_back(merge);
  }
  return Status();
}

void setTemplate(TokenizerSpec &spec, int32_t first, int32_t last) {
  TemplatePiece a{PieceKind::sequenceA, noToken, 0}, b{PieceKind::sequenceB, noToken, 1};
  auto wrap = [&](std::vector<TemplatePiece> &out, TemplatePiece text) {
    if (first != noToken)
      out.push_back({PieceKind::special, first, text.typeId});
    out.push_back(text);
    if (last != noToken)
      out.push_back({PieceKind::special, last, text.typeId});
  };
  wrap(spec.single, a);
  wrap(spec.pair, a);
  wrap(spec.pair, b);
}

Status fillBpe(const GgufTokenizerFields &fields, TokenizerSpec &spec) {
  TRANSOM_ASSIGN(const PreDefinition *pre, findPre(fields));
  spec.model = ModelKind::bpe;
  spec.vocab = fields.tokens;
  spec.ignoreMerges = pre->ignoreMerges;
  TRANSOM_RETURN_IF_ERROR(readMerges(fields, spec));
  // The unknown token stays out of the model: a byte-level vocabulary has a token for every byte.
  if (pre->nfc)
    spec.normalizers.push_back({.kind = NormalizerKind::nfc});
  bool prefixSpace = isSet(fields.addSpacePrefix, false), gpt2Last = pre->patterns.back() == gpt2Words;
  if (prefixSpace && !gpt2Last)
    return error(StatusCode::unsupported, "tokenizer.ggml.add_space_prefix is not supported with tokenizer.ggml.pre '{}'",
                 fields.pre);
  for (std::string_view pattern : pre->patterns) // the byte-level step has the GPT-2 pattern built in
    if (!gpt2Last || pattern != gpt2Words)
      spec.preTokenizers.push_back({.kind = PreTokenizerKind::split, .pattern = {std::string(pattern), true}});
  spec.preTokenizers.push_back(
      {.kind = PreTokenizerKind::byteLevel, .addPrefixSpace = prefixSpace, .useRegex = gpt2Last});
  spec.decoders.push_back({.kind = DecoderKind::byteLevel});
  bool bos = isSet(fields.addBos, pre->addBos), eos = isSet(fields.addEos, false);
  if ((bos && fields.bosId == noToken) || (eos && fields.eosId == noToken))
    return error(StatusCode::invalidFile, "tokenizer.ggml.add_{0}_token is set, but {0}_token_id is missing",
                 bos && fields.bosId == noToken ? "bos" : "eos");
  setTemplate(spec, bos ? fields.bosId : noToken, eos ? fields.eosId : noToken);
  return Status();
}

/// GGUF writes a word's first token with U+2581 before it and drops "##" from the others; this undoes it.
std::string wordPieceToken(const std::string &token) {
  constexpr std::string_view wordStart = "\xE2\x96\x81";
  if (token.starts_with(wordStart))
    return token.substr(wordStart.size());
  if (token.empty() || (token.starts_with('[') && token.ends_with(']')))
    return token;
  return "##" + token;
}

Status fillWordPiece(const GgufTokenizerFields &fields, TokenizerSpec &spec) {
  spec.model = ModelKind::wordPiece;
  for (const std::string &token : fields.tokens)
    spec.vocab.push_back(wordPieceToken(token));
  spec.unknownId = fields.unknownId != noToken ? fields.unknownId : VocabIndex(spec.vocab).find("[UNK]");
  spec.continuingPrefix = "##";
  spec.normalizers.push_back({.kind = NormalizerKind::bert, .cleanText = true, .chineseChars = true, .accents = true,
                              .lowercase = true});
  spec.preTokenizers.push_back({.kind = PreTokenizerKind::bert});
  spec.decoders.push_back({.kind = DecoderKind::wordPiece, .cleanup = true, .content = "##"});
  int32_t cls = fields.clsId != noToken ? fields.clsId : fields.bosId;
  int32_t sep = fields.sepId != noToken ? fields.sepId : fields.eosId;
  if (cls == noToken || sep == noToken)
    return error(StatusCode::invalidFile, "tokenizer.ggml.{} is missing",
                 cls == noToken ? "cls_token_id" : "seperator_token_id");
  TemplatePiece a{PieceKind::sequenceA, noToken, 0}, b{PieceKind::sequenceB, noToken, 1};
  spec.single = {{PieceKind::special, cls, 0}, a, {PieceKind::special, sep, 0}};
  spec.pair = spec.single;
  spec.pair.push_back(b);
  spec.pair.push_back({PieceKind::special, sep, 1});
  return Status();
}

Result<TokenizerSpec> build(const GgufTokenizerFields &fields) {
  if (!fields.tokenTypes.empty() && fields.tokenTypes.size() != fields.tokens.size())
    return error(StatusCode::invalidFile, "tokenizer.ggml.token_type: expected {} entries, found {}",
                 fields.tokens.size(), fields.tokenTypes.size());
  TokenizerSpec spec;
  if (fields.model == "gpt2") {
    TRANSOM_RETURN_IF_ERROR(fillBpe(fields, spec));
  } else if (fields.model == "bert") {
    TRANSOM_RETURN_IF_ERROR(fillWordPiece(fields, spec));
  } else {
    return error(StatusCode::unsupported, "tokenizer.ggml.model: '{}' is not supported; supported: gpt2, bert",
                 fields.model);
  }
  addTypedTokens(fields, spec);
  spec.bosId = fields.bosId;
  spec.eosId = fields.eosId;
  spec.padId = fields.padId;
  spec.chatFormat = recognizeChatTemplate(fields.chatTemplate);
  TRANSOM_RETURN_IF_ERROR(validate(spec));
  return spec;
}

} // namespace

Result<TokenizerSpec> specFromGguf(const GgufTokenizerFields &fields) {
  Result<TokenizerSpec> spec = build(fields);
  return spec.ok() ? std::move(spec) : Result<TokenizerSpec>(spec.status().within(fields.fileName));
}

} // namespace transom::tokenizer
