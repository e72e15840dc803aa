// The two models that turn a piece into token ids: byte-pair encoding and WordPiece.
#pragma once

#include "runtime/tokenizer/FlatIndex.h"
#include "runtime/tokenizer/Regex.h"
#include "runtime/tokenizer/Spec.h"

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

} // namespace transom::tokenizer
