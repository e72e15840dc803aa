// The file of weights that a random graph reads: made up from the names, so that a graph as text is all there is to keep.
#pragma once

#include "compiler/import/files/TensorSource.h"

#include "mlir/IR/BuiltinOps.h"

#include <deque>

namespace transom::random {

/// Owns the bytes of its tensors.
class WeightFile {
public:
  /// Every weight that `module` names.
  explicit WeightFile(mlir::ModuleOp module);
  const TensorSource &source() const { return tensors; }

private:
  TensorSource tensors;
  std::deque<std::vector<std::byte>> bytes;
};

} // namespace transom::random
