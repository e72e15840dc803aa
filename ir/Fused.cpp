// Fused regions.
#include "ir/Checks.h"

using namespace mlir;

namespace transom {

FailureOr<llvm::SmallVector<Dims>> FusedOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  if (operands.empty())
    return emitError() << "C5: expected an input";
  FailureOr<Dims> dims = detail::broadcastLeading(operands, 0, "C2", emitError);
  if (failed(dims))
    return failure();
  if (adaptor.getReduce()) {
    if (dims->empty())
      return emitError() << "C2: a row reduction needs rank 1 or more";
    dims->back() = DimExpr(1);
  }
  return detail::single(*dims);
}

Type FusedOp::inferElement(Adaptor adaptor, unsigned) {
  // The region is empty while the parser or a builder is still at work; verification comes after.
  Region &body = adaptor.getBody();
  if (!body.empty() && !body.front().empty())
    if (auto yield = dyn_cast<YieldOp>(body.front().back()))
      return yield.getValue().getType();
  return elementOf(adaptor.getInputs().front().getType());
}

LogicalResult FusedOp::verifyRegions() {
  Block &block = getBody().front();
  if (block.getNumArguments() != getInputs().size())
    return emitOpError("C1: expected ") << getInputs().size() << " region arguments, found " << block.getNumArguments();
  for (auto [argument, input] : llvm::zip(block.getArguments(), getInputs()))
    if (argument.getType() != elementOf(input.getType()))
      return emitOpError("C1: expected a region argument of ") << elementOf(input.getType()) << ", found " << argument.getType();
  for (Operation &op : block.without_terminator())
    if (!isa<arith::ArithDialect, math::MathDialect>(op.getDialect()))
      return emitOpError("C4: '") << op.getName() << "' is neither arith nor math";
  for (Operation &op : block.without_terminator())
    if (!llvm::all_of(op.getResultTypes(), isScalar))
      return emitOpError("C4: '") << op.getName() << "' is not of scalars";
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield || yield.getValue().getType() != elementOf(getType()))
    return emitOpError("C3: expected to yield ") << elementOf(getType());
  return success();
}

} // namespace transom
