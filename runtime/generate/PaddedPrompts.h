// Prompts padded as frameworks pad them, for programs that count each row's tokens from its front.
#pragma once

#include "runtime/Session.h"

namespace transom {

/// Whether a program takes `lengths` [batch] ("prefill", "decode") and the caller gave `attention_mask` [batch, seq] instead:
/// padding on the left, on the right, or between tokens.
bool needCompaction(const artifact::Program &program, std::span<const TensorView> inputs);

/// Such inputs as the program takes them: the valid tokens of each row move to its front, in their order; `lengths` counts
/// them. Where `past_lengths` is missing too, rows have no past.
class CompactedInputs {
public:
  /// Tensors of `inputs` outlive the object. Errors: invalidArgument, naming the input that does not fit the mask.
  static Result<CompactedInputs> of(const artifact::Program &program, std::span<const TensorView> inputs);
  std::span<const TensorView> views() const { return views_; }

private:
  struct Rows {
    std::vector<int64_t> shape;
    std::vector<std::byte> bytes;
  };
  void addTokens(const TensorView &input, const std::vector<std::vector<int64_t>> &valid);
  void addCounts(std::string_view name, std::span<const int32_t> counts);

  std::vector<TensorView> views_;
  std::vector<std::unique_ptr<Rows>> owned_; ///< what views_ of changed inputs point to
};

} // namespace transom
