// Fused regions and groups.
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
    if (auto yield = dyn_cast<YieldOp>(body.front().back()); yield && !yield.getValues().empty())
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
  if (!yield || yield.getValues().size() != 1 || yield.getValue().getType() != elementOf(getType()))
    return emitOpError("C3: expected to yield ") << elementOf(getType());
  return success();
}

//===-- Groups ------------------------------------------------------------------------------------------------------===//

FailureOr<llvm::SmallVector<Dims>> GroupOp::resultDims(llvm::ArrayRef<Dims> operands, EmitError emitError) {
  llvm::DenseMap<Value, Dims> known;
  for (auto [argument, dims] : llvm::zip(getBody().getArguments(), operands))
    known[argument] = dims;
  for (Operation &op : getBody().front().without_terminator()) {
    auto dims = llvm::map_to_vector(op.getOperands(), [&](Value operand) { return known.lookup(operand); });
    FailureOr<llvm::SmallVector<Dims>> inferred = cast<ShapedOp>(op).resultDims(dims, emitError);
    if (failed(inferred))
      return failure();
    for (auto [result, sizes] : llvm::zip(op.getResults(), *inferred))
      known[result] = sizes;
  }
  return llvm::map_to_vector(getBody().front().getTerminator()->getOperands(), [&](Value value) { return known.lookup(value); });
}

LogicalResult GroupOp::verifyRegions() {
  Block &block = getBody().front();
  if (block.getArgumentTypes() != getInputs().getTypes())
    return emitOpError("C1: expected one region argument per input, of its type");
  for (Operation &op : block.without_terminator())
    if (!isa<ShapedOp>(op) || isa<GroupOp>(op))
      return emitOpError("C2: '") << op.getName() << "' cannot stand in a group";
  if (getNumResults() == 0 || !isa<YieldOp>(block.getTerminator()) ||
      block.getTerminator()->getOperandTypes() != getResultTypes())
    return emitOpError("C3: expected to yield values of the results' types, at least one");
  return success();
}

} // namespace transom
