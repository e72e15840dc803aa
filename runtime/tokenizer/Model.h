// The models that turn a piece into token ids: byte-pair encoding, WordPiece and Unigram.
#pragma once

#include "runtime/tokenizer/FlatIndex.h"
#include "runtime/tokenizer/PrefixTree.h"
#include "runtime/tokenizer/Regex.h"
#include "runtime/tokenizer/Spec.h"

#include <array>
#include <string_view>
#include <vector>

namespace transom::tokenizer {

/// Token text to id. Where a text occurs twice the larger id wins. Keeps a reference to `tokens`.
class VocabIndex {
public:
  explicit VocabIndex(const std::vector<std::string> &tokens);
  /// The id, or noToken. The empty text has none.
  int32_t find(std::string_view text) const;

private:
  const std::vector<std::string> *tokens_;
  FlatIndex index_;
};

/// The tokens <0x00> to <0xFF>, which stand for the bytes of text that has no other.
class ByteTokens {
public:
  /// None, unless `spec.byteFallback`.
  ByteTokens(const TokenizerSpec &spec, const VocabIndex &vocab);
  /// The tokens of all bytes of `text`, or none where one is missing.
  std::vector<int32_t> of(std::string_view text) const;

private:
  std::array<int32_t, 256> ids_; ///< or noToken
};

struct Token {
  int32_t id;
  Match range; ///< bytes of the text that was encoded
};

/// Byte-pair encoding: repeatedly joins the adjacent pair of the best rank, leftmost first. n log n in the piece.
class Bpe {
public:
  Bpe(const TokenizerSpec &spec, const VocabIndex &vocab);
  /// Appends the tokens of one piece (valid UTF-8, not empty).
  void encode(std::string_view piece, std::vector<Token> &out) const;

private:
  struct Symbol {
    int32_t id;
    int32_t previous, next; ///< positions in the word, -1 at its ends
    size_t size;            ///< bytes
    bool live;
  };
  std::vector<Symbol> symbolsOf(std::string_view piece) const;
  void mergeAll(std::vector<Symbol> &word) const;
  /// The rank of the pair, or -1.
  int32_t rankOf(int32_t left, int32_t right) const;

  const TokenizerSpec &spec_;
  const VocabIndex &vocab_;
  FlatIndex ranks_;
  ByteTokens byteTokens_;
};

/// WordPiece: the longest token that begins the rest of the word, again and again; unknown if there is none.
class WordPiece {
public:
  WordPiece(const TokenizerSpec &spec, const VocabIndex &vocab);
  void encode(std::string_view piece, std::vector<Token> &out) const;

private:
  const TokenizerSpec &spec_;
  const VocabIndex &vocab_;
  size_t longest_ = 0; ///< bytes of the longest token: no candidate is longer
};

/// Unigram (Kudo, 2018): of all ways to cut the piece into tokens the one with the best sum of scores; a character without token counts
/// as a token with a score of its own, below all others. Time is the piece's length by the longest token's.
class Unigram {
public:
  Unigram(const TokenizerSpec &spec, const VocabIndex &vocab);
  void encode(std::string_view piece, std::vector<Token> &out) const;

private:
  /// The best way to a place in the piece: its last token and where that begins.
  struct Step {
    double score = 0;
    size_t begin = 0;
    int32_t id = noToken; ///< noToken: no way leads here yet
  };
  std::vector<Step> bestSteps(std::string_view piece) const;
  void append(std::string_view piece, Match range, std::vector<Token> &out) const;

  const TokenizerSpec &spec_;
  const VocabIndex &vocab_;
  PrefixTree tokens_;
  double unknownScore_;
  ByteTokens byteTokens_;
};

} // namespace transom::tokenizer
