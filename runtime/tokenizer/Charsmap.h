// SentencePiece's precompiled normalisation: what becomes of characters, as a table in a model's file.
#pragma once

#include "runtime/support/Status.h"
#include "runtime/tokenizer/TrackedText.h"

#include <optional>

namespace transom::tokenizer {

/// The file's bytes (SentencePiece, normalizer.cc): the size of a tree in bytes, little-endian uint32; the tree, a double array of uint32
/// units (Darts, "Double-ARray Trie System"); replacements in UTF-8, each ended by a zero byte. The tree maps texts to places in these.
///
/// Bytes are not trusted: what leads out of the table, or into the middle of a character, replaces nothing.
class Charsmap {
public:
  /// Replaces nothing.
  Charsmap() = default;
  /// Errors: invalidFile (sizes, replacements that are no UTF-8).
  static Result<Charsmap> create(std::string_view bytes);

  /// As the reference does it: a user-perceived character of less than six bytes goes by what the table has for it or for its
  /// shortest beginning, and so may lose its rest; all others go code point by code point.
  TrackedText apply(const TrackedText &text) const;

private:
  /// What becomes of the shortest beginning of `text` that the table has.
  std::optional<std::string_view> replacementOf(std::string_view text) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

} // namespace transom::tokenizer
