// Finds added tokens in text: the longest at the leftmost place, with their stripping and word rules.
#pragma once

#include "runtime/tokenizer/Spec.h"

#include <array>
#include <string_view>
#include <vector>

namespace transom::tokenizer {

/// A stretch of text; `id` is noToken where it is plain text.
struct Stretch {
  size_t begin, end;
  int32_t id;
};

class AddedTokenFinder {
public:
  /// `contents[i]` is what to look for on behalf of `tokens[i]` (its normalised form, for normalised tokens).
  AddedTokenFinder(std::vector<AddedToken> tokens, const std::vector<std::string> &contents);

  bool empty() const { return tokens_.empty(); }
  /// The whole of `text` (valid UTF-8), cut at the tokens. Special tokens count as text unless `parseSpecial`.
  std::vector<Stretch> find(std::string_view text, bool parseSpecial) const;

private:
  struct Node {
    uint8_t byte = 0;
    int32_t child = -1, sibling = -1, token = -1;
  };
  int32_t childOf(int32_t node, uint8_t byte) const;
  void insert(std::string_view content, int32_t token);
  /// The longest token at `pos`: its index, with its size in `size`; -1 for none.
  int32_t longestAt(std::string_view text, size_t pos, size_t &size) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_{Node()}; ///< a trie over bytes; node 0 is the root
  std::array<int32_t, 256> roots_;  ///< the root's children by byte, for speed
};

} // namespace transom::tokenizer
