// Normalisations.
#include "ir/Checks.h"

using namespace mlir;

namespace transom {

static FailureOr<llvm::SmallVector<Dims>> normDims(llvm::ArrayRef<Dims> operands, EmitError emitError) {
  if (operands[0].empty())
    return emitError() << "C1: expected rank 1 or more";
  for (const Dims &parameter : operands.drop_front())
    if (failed(detail::expectDims(emitError, "C1", "scale and bias", {operands[0].back()}, parameter)))
      return failure();
  return detail::single(operands[0]);
}

FailureOr<llvm::SmallVector<Dims>> LayerNormOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  return normDims(operands, emitError);
}
FailureOr<llvm::SmallVector<Dims>> RmsNormOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  return normDims(operands, emitError);
}

template <typename Op> static LogicalResult verifyEpsilon(Op op) {
  if (!(op.getEpsilon().convertToDouble() > 0))
    return op.emitOpError("C2: expected a positive epsilon");
  return success();
}
LogicalResult LayerNormOp::verify() { return verifyEpsilon(*this); }
LogicalResult RmsNormOp::verify() { return verifyEpsilon(*this); }

} // namespace transom
