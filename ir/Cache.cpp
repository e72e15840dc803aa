// Caches and packed sequences.
#include "ir/Checks.h"

using namespace mlir;
using transom::detail::expectDims, transom::detail::single;

namespace transom {

FailureOr<llvm::SmallVector<Dims>> CacheAppendOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &cache = operands[0], &tokens = operands[1];
  if (tokens.size() != 4)
    return emitError() << "C1: expected new tokens of rank 4, found " << tokens.size();
  bool headsFirst = adaptor.getLayout() == HeadLayout::bhsd;
  Dims expected = {cache[0], cache[1], tokens[2], cache[3]};
  if (!headsFirst)
    expected = {cache[0], tokens[1], cache[1], cache[3]};
  if (failed(expectDims(emitError, "C2", "new tokens", expected, tokens)))
    return failure();
  for (const Dims &lengths : operands.drop_front(2))
    if (failed(expectDims(emitError, "C3", "lengths", {cache[0]}, lengths)))
      return failure();
  return single(cache);
}

LogicalResult CacheAppendOp::verify() {
  if (elementOf(getTokens().getType()) != getCache().getType().getElementType())
    return emitOpError("C4: expected tokens of ") << getCache().getType().getElementType();
  if (getLayout() == HeadLayout::thd)
    return emitOpError("C1: expected layout bhsd or bshd");
  return success();
}

FailureOr<llvm::SmallVector<Dims>> CumulativeLengthsOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  if (operands[0].size() != 1)
    return emitError() << "C1: expected rank 1, found " << operands[0].size();
  return single({operands[0][0] + DimExpr(1)});
}

FailureOr<llvm::SmallVector<Dims>> PackOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &input = operands[0];
  if (input.size() < 2)
    return emitError() << "C1: expected rank 2 or more, found " << input.size();
  if (failed(expectDims(emitError, "C2", "cumulative lengths", {input[0] + DimExpr(1)}, operands[1])))
    return failure();
  Dims result = {input[0] * input[1]};
  result.append(input.begin() + 2, input.end());
  return single(result);
}

FailureOr<llvm::SmallVector<Dims>> UnpackOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &packed = operands[0], &like = operands[2];
  if (packed.empty() || like.size() < 2)
    return emitError() << "C1: expected packed of rank 1 and like of rank 2 or more";
  if (failed(expectDims(emitError, "C2", "cumulative lengths", {like[0] + DimExpr(1)}, operands[1])))
    return failure();
  Dims result = {like[0], like[1]};
  result.append(packed.begin() + 1, packed.end());
  return single(result);
}

} // namespace transom
