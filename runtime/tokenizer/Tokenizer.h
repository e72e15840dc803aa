// Text to token ids and back. Same ids as Hugging Face tokenizers; this is the header that programs include.
#pragma once

#include "runtime/tokenizer/ChatFormat.h"
#include "runtime/tokenizer/Spec.h"
#include "runtime/tokenizer/Utf8.h"

#include <memory>
#include <optional>

namespace transom::tokenizer {

struct EncodeOptions {
  /// Put the tokens of the model's template (begin of text, [CLS], ...) around the text.
  bool addSpecialTokens = true;
  /// Read the names of special tokens inside the text as those tokens; off for text from strangers.
  bool parseSpecialTokens = true;
  /// Cuts the texts' ends, those of the longer text of a pair first, until they fit with the tokens around them. A template that alone
  /// is longer stays whole.
  size_t maxTokens = SIZE_MAX;
  /// Find out where the tokens stand; for encodePair().
  bool spans = false;
};

/// Where a token stands: bytes [begin, end) of a text, whole characters, as the reference's offsets are. A token that is part of a
/// character has all of it; ill-formed UTF-8 counts as the U+FFFD that stand for it.
struct TokenSpan {
  int32_t text = -1; ///< 0, or 1 for the second of a pair; -1: the token is the template's
  size_t begin = 0, end = 0;
};

struct Encoding {
  std::vector<int32_t> ids = {};
  std::vector<int32_t> typeIds = {}; ///< one an id
  std::vector<TokenSpan> spans = {}; ///< one an id, if EncodeOptions::spans
  bool truncated = false;            ///< to EncodeOptions::maxTokens
};

/// Immutable; copies share their data; every method may be called from several threads at once.
/// Text may be any bytes: ill-formed UTF-8 counts as U+FFFD for each maximal subpart.
/// Time grows linearly with the text (n log n within one word).
class Tokenizer {
public:
  /// Errors: those of validate(), and patterns that do not compile.
  static Result<Tokenizer> create(TokenizerSpec spec);

  std::vector<int32_t> encode(std::string_view text, EncodeOptions options = {}) const;
  /// With type ids, and spans on demand; `second` is the second text of a pair.
  Encoding encodePair(std::string_view first, std::optional<std::string_view> second, EncodeOptions options = {}) const;

  /// The text of `ids`, valid UTF-8. Ids that are no token are skipped.
  std::string decode(std::span<const int32_t> ids, bool skipSpecial = true) const;

  /// The prompt text for a conversation; encode it with parseSpecialTokens and without addSpecialTokens.
  /// Errors: unsupported, if the model declares no known chat format.
  Result<std::string> applyChat(std::span<const ChatMessage> messages) const;

  /// One more than the largest id.
  int32_t vocabSize() const;
  std::optional<int32_t> idOf(std::string_view token) const;
  /// The token as the vocabulary writes it (byte-level characters, "##" prefix); nullopt for an unused id.
  std::optional<std::string_view> tokenOf(int32_t id) const;
  bool isSpecial(int32_t id) const;
  const TokenizerSpec &spec() const;

private:
  friend class StreamingDecoder;
  struct Data;
  std::shared_ptr<const Data> data_;
};

/// Decodes a growing sequence: each call yields the text that the new id completes, in whole characters. What is yielded
/// in all, finish() included, is what decode() gives for the whole sequence. For one thread. Where the decoder changes the
/// joined text (no byte-level BPE and no WordPiece does), all of it comes from finish().
class StreamingDecoder {
public:
  explicit StreamingDecoder(Tokenizer tokenizer, bool skipSpecial = true);
  std::string push(int32_t id);
  /// The end of the sequence; the decoder then starts anew.
  std::string finish();

private:
  Tokenizer tokenizer_;
  bool skipSpecial_;
  bool first_ = true;
  Utf8Stream stream_;
  std::vector<int32_t> held_; ///< all ids, where the decoder cannot stream
};

} // namespace transom::tokenizer
