// From tokens back to text.
#pragma once

#include "runtime/tokenizer/Regex.h"
#include "runtime/tokenizer/Spec.h"

#include <optional>

namespace transom::tokenizer {

class Decoder {
public:
  static Result<Decoder> create(const std::vector<DecoderStep> &steps);
  /// The text of a whole sequence of tokens, as valid UTF-8.
  std::string decode(std::vector<std::string> tokens) const;

  /// Whether text can be produced token by token: each token's bytes depend on the token and on whether it is the first.
  bool streams() const { return streams_; }
  /// What one token adds, as bytes that need not end at a character border. Only where streams().
  std::string bytesOf(std::string_view token, bool first) const;

private:
  std::vector<std::string> applyStep(size_t step, std::vector<std::string> tokens) const;

  std::vector<DecoderStep> steps_;
  std::vector<std::optional<Regex>> patterns_; ///< one a step
  bool streams_ = true;
};

} // namespace transom::tokenizer
