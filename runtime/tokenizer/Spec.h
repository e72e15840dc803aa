// TokenizerSpec: everything that defines a tokenizer, as plain data. It is built from a model file, stored in the
// artifact, and turned into a Tokenizer; it does nothing itself.
#pragma once

#include "runtime/support/Status.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace transom::tokenizer {

constexpr int32_t noToken = -1;

/// Values of all enums are part of the artifact format: append only.
enum class ModelKind : uint8_t { bpe, wordPiece, unigram };

struct Merge {
  int32_t left, right, result; ///< token ids
};

/// Text that is found in the input before the model sees it.
struct AddedToken {
  std::string content;
  int32_t id = noToken;
  bool special = false;    ///< dropped by decode(skipSpecial)
  bool singleWord = false; ///< only where no word character touches it
  bool lstrip = false;     ///< takes the white space before it along
  bool rstrip = false;     ///< and after it
  bool normalized = false; ///< searched in the normalised text
};

struct Pattern {
  std::string text;
  bool isRegex = false;
};

enum class NormalizerKind : uint8_t {
  bert, nfc, nfd, nfkc, nfkd, lowercase, stripAccents, strip, replace, prepend, nmt, precompiled
};
struct NormalizerStep {
  NormalizerKind kind = NormalizerKind::nfc;
  bool cleanText = false, chineseChars = false, accents = false, lowercase = false; ///< of bert
  bool left = false, right = false;                                                ///< of strip
  Pattern pattern = {};                                                                 ///< of replace
  std::string content = {}; ///< of replace: the replacement; of prepend: the prefix
  std::string charsmap = {}; ///< of precompiled: bytes, see Charsmap.h
};

enum class PreTokenizerKind : uint8_t { byteLevel, split, digits, punctuation, bert, whitespace, whitespaceSplit, metaspace };
/// What becomes of the text that a splitting pattern matches.
enum class SplitBehavior : uint8_t { removed, isolated, mergedWithPrevious, mergedWithNext, contiguous };
/// Which pieces get a space before them that have none: none, those that begin the text, or all.
enum class PrependScheme : uint8_t { never, first, always };
struct PreTokenizerStep {
  PreTokenizerKind kind = PreTokenizerKind::byteLevel;
  bool addPrefixSpace = false, useRegex = false;  ///< of byteLevel
  bool individualDigits = false;                  ///< of digits
  bool invert = false;                            ///< of split: the pattern matches what to keep
  SplitBehavior behavior = SplitBehavior::isolated; ///< of split and punctuation
  Pattern pattern = {};                                ///< of split
  std::string replacement = {};                        ///< of metaspace: what stands for a space; one character
  PrependScheme prepend = PrependScheme::never;        ///< of metaspace
  bool split = false;                                  ///< of metaspace: before each replacement
};

enum class PieceKind : uint8_t { sequenceA, sequenceB, special };
struct TemplatePiece {
  PieceKind kind = PieceKind::sequenceA;
  int32_t id = noToken; ///< of special
  int32_t typeId = 0;
};

enum class DecoderKind : uint8_t { byteLevel, wordPiece, replace, fuse, strip, metaspace, byteFallback };
struct DecoderStep {
  DecoderKind kind = DecoderKind::byteLevel;
  bool cleanup = false;             ///< of wordPiece: no space before punctuation and in English contractions
  bool dropFirst = false;           ///< of metaspace: the first token's spaces are not text
  uint32_t start = 0, stop = 0;     ///< of strip: how many leading and trailing `content` to drop at most
  Pattern pattern = {};                  ///< of replace
  std::string content = {};              ///< of wordPiece: the prefix; of replace; of strip and metaspace: one character
};

/// Declared chat formats; not a template interpreter.
enum class ChatFormat : uint8_t {
  none,
  chatml,        ///< `<|im_start|>role\ncontent<|im_end|>\n`
  chatmlSmolLm2, ///< the same, with SmolLM2-Instruct's system prompt where the first message is no system message
};

struct TokenizerSpec {
  ModelKind model = ModelKind::bpe;
  std::vector<std::string> vocab; ///< the model's tokens by id; an empty string is an unused id
  std::vector<AddedToken> addedTokens; ///< ids inside or beyond the vocabulary
  std::vector<Merge> merges; ///< of bpe, best first
  bool ignoreMerges = false; ///< of bpe: a piece that is a token is taken whole
  bool fuseUnknown = false;  ///< of bpe: one unknown token for a run of them
  std::string continuingPrefix; ///< of wordPiece
  uint32_t maxCharsPerWord = 100; ///< of wordPiece: longer words are unknown
  std::vector<double> scores; ///< of unigram: the log probability of each token
  bool byteFallback = false;  ///< of bpe and unigram: unknown text becomes tokens <0x00> to <0xFF>, where all its bytes have one

  std::vector<NormalizerStep> normalizers;
  std::vector<PreTokenizerStep> preTokenizers;
  std::vector<TemplatePiece> single, pair; ///< what encode adds around one and two texts
  /// Type ids of the templates hold also where no special tokens are added; otherwise such texts have types 0 and 1.
  bool templateTypesAlways = true;
  std::vector<DecoderStep> decoders; ///< none: tokens are joined with spaces

  /// Spans of tokens leave out white space at their ends; with `prefixSpace` the first token of a text keeps a single space before it.
  bool trimSpans = false, prefixSpace = false;

  int32_t unknownId = noToken, bosId = noToken, eosId = noToken, padId = noToken, maskId = noToken;
  ChatFormat chatFormat = ChatFormat::none;
};

/// Whether ids, enums and sizes are consistent; every builder and Tokenizer::create call it. Errors: invalidFile.
Status validate(const TokenizerSpec &spec);

/// From the text of a Hugging Face tokenizer.json. Truncation and padding settings are ignored. `name` opens each error.
/// Errors: invalidFile; unsupported (names the component and lists what is supported).
Result<TokenizerSpec> specFromTokenizerJson(std::string_view json, std::string_view name);

/// Fills what tokenizer_config.json declares and tokenizer.json does not: bos, eos, pad and mask ids and the chat format.
Status applyTokenizerConfig(TokenizerSpec &spec, std::string_view json, std::string_view name);

/// The `tokenizer.*` metadata of a GGUF file, as found there. Absent ids are noToken.
struct GgufTokenizerFields {
  std::string model; ///< tokenizer.ggml.model: "gpt2" or "bert"
  std::string pre;   ///< tokenizer.ggml.pre
  std::vector<std::string> tokens;
  std::vector<int32_t> tokenTypes; ///< empty, or one a token: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
  std::vector<std::string> merges; ///< "left right"
  int32_t bosId = noToken, eosId = noToken, unknownId = noToken, padId = noToken;
  int32_t clsId = noToken, sepId = noToken; ///< of bert; where absent, bosId and eosId stand for them
  enum class Flag : uint8_t { absent, off, on };
  Flag addBos = Flag::absent, addEos = Flag::absent, addSpacePrefix = Flag::absent;
  std::string chatTemplate; ///< tokenizer.chat_template
  std::string fileName;     ///< opens each error
};
Result<TokenizerSpec> specFromGguf(const GgufTokenizerFields &fields);

/// The format whose template text this is; none for any other text.
ChatFormat recognizeChatTemplate(std::string_view jinja);

/// Bytes for the artifact (FlatBuffers, tokenizer.fbs). The same spec gives the same bytes.
std::vector<std::byte> serialize(const TokenizerSpec &spec);
/// Verifies every byte before use. Errors: invalidFile.
Result<TokenizerSpec> deserialize(std::span<const std::byte> bytes);

} // namespace transom::tokenizer
