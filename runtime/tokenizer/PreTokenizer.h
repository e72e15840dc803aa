// The steps that cut normalised text into the pieces the model sees.
#pragma once

#include "runtime/tokenizer/Regex.h"
#include "runtime/tokenizer/Spec.h"
#include "runtime/tokenizer/TrackedText.h"

#include <optional>

namespace transom::tokenizer {

/// Text and the pieces it is cut into, in order; what no piece covers is dropped.
struct Pieces {
  TrackedText content;
  std::vector<Match> ranges;
};

class PreTokenizer {
public:
  static Result<PreTokenizer> create(const std::vector<PreTokenizerStep> &steps);
  /// `text` must be valid UTF-8. No piece is empty.
  Pieces apply(TrackedText text) const;
  /// Whether what it does depends on where a piece stands in the original text, so that the text must be tracked.
  bool needsOrigins() const;

private:
  void applyStep(size_t step, Pieces &pieces) const;

  std::vector<PreTokenizerStep> steps_;
  std::vector<std::optional<Regex>> patterns_; ///< one a step
};

/// The character that stands for each byte in a byte-level vocabulary (GPT-2's table).
const std::vector<char32_t> &byteLevelChars();
/// The byte that a character of such a vocabulary stands for, or -1.
int byteLevelByte(char32_t c);

} // namespace transom::tokenizer
