// The normalisation steps of a tokenizer, ready to run.
#pragma once

#include "runtime/tokenizer/Charsmap.h"
#include "runtime/tokenizer/Regex.h"
#include "runtime/tokenizer/Spec.h"
#include "runtime/tokenizer/TrackedText.h"

#include <optional>

namespace transom::tokenizer {

/// `text` with every match of `pattern` replaced by `content`.
TrackedText replaceAll(const TrackedText &text, const Regex &pattern, std::string_view content);

class Normalizer {
public:
  static Result<Normalizer> create(const std::vector<NormalizerStep> &steps);
  /// `text` must be valid UTF-8.
  TrackedText apply(TrackedText text) const;
  bool empty() const { return steps_.empty(); }

private:
  TrackedText applyStep(size_t index, TrackedText text) const;

  std::vector<NormalizerStep> steps_;
  std::vector<std::optional<Regex>> patterns_; ///< one a step
  std::vector<Charsmap> charsmaps_;            ///< one a step, without entries but for those that have one
};

} // namespace transom::tokenizer
