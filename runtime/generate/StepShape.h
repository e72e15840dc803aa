// What both forms of decoders share: looking up a program's values, and laying out new tokens as a padded batch.
#pragma once

#include "runtime/Session.h"

namespace transom {

/// The value of that name, which must have this type and rank. Error: unsupported, naming what is missing or different.
Result<const artifact::Value *> findValue(const std::vector<artifact::Value> &values, std::string_view name,
                                          DType dtype, size_t rank);

/// The least and the most that a dimension can be.
struct Range {
  int64_t min = 0, max = 0;
};
Range rangeOf(const artifact::Expr &dim, std::span<const artifact::Symbol> symbols);

/// New tokens of a step, right-padded with zeros: [batch, seq]. Allocates when constructed only.
class TokenBatch {
public:
  TokenBatch(Range batch, Range seq) : batch_(batch), seq_(seq), tokens_(static_cast<size_t>(batch.max * seq.max)) {}
  void fill(std::span<const std::span<const int32_t>> rows);
  int64_t batch() const { return shape_[0]; }
  int64_t seq() const { return shape_[1]; }
  TensorView view(std::string_view name) const { return {name, DType::i32, shape_, tokens_.data()}; }

private:
  Range batch_, seq_;
  int64_t shape_[2] = {};
  std::vector<int32_t> tokens_;
};

/// The engines; see DecoderEngine::create.
class DecoderEngine;
Result<std::unique_ptr<DecoderEngine>> createCachedEngine(Session &session);
Result<std::unique_ptr<DecoderEngine>> createNaiveEngine(Session &session);

} // namespace transom
