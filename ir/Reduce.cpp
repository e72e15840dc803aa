// Reductions, running sums and softmax.
#include "ir/Checks.h"

using namespace mlir;

namespace transom {

FailureOr<llvm::SmallVector<Dims>> ReduceOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &input = operands[0];
  llvm::SmallVector<bool> reduced(input.size(), false);
  if (adaptor.getAxes().empty())
    return emitError() << "C1: expected at least one axis";
  for (int64_t axis : adaptor.getAxes()) {
    if (failed(detail::expectAxis(emitError, "C1", axis, input.size())))
      return failure();
    if (reduced[axis])
      return emitError() << "C1: axis " << axis << " stands twice";
    reduced[axis] = true;
  }
  Dims result;
  for (size_t i = 0; i < input.size(); ++i) {
    if (!reduced[i])
      result.push_back(input[i]);
    else if (adaptor.getKeepDims())
      result.push_back(DimExpr(1));
  }
  return detail::single(result);
}

LogicalResult ReduceOp::verify() {
  if (getKind() == ReduceKind::mean && !isa<FloatType>(elementOf(getInput().getType())))
    return emitOpError("C2: expected floats for a mean, found ") << elementOf(getInput().getType());
  return success();
}

FailureOr<llvm::SmallVector<Dims>> CumulativeSumOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  if (failed(detail::expectAxis(emitError, "C1", adaptor.getAxis(), operands[0].size())))
    return failure();
  return detail::single(operands[0]);
}

FailureOr<llvm::SmallVector<Dims>> SoftmaxOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  if (failed(detail::expectAxis(emitError, "C1", adaptor.getAxis(), operands[0].size())))
    return failure();
  return detail::single(operands[0]);
}

} // namespace transom
