// Caches of keys and values.
#include "ir/Checks.h"

using namespace mlir;
using transom::detail::expectDims, transom::detail::single;

namespace transom {

FailureOr<llvm::SmallVector<Dims>> CacheAppendOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &cache = operands[0], &tokens = operands[1];
  HeadLayout layout = adaptor.getLayout();
  size_t rank = layout == HeadLayout::thd ? 3 : 4;
  if (tokens.size() != rank)
    return emitError() << "C1: expected new tokens of rank " << rank << ", found " << tokens.size();
  Dims expected = {cache[0], cache[1], tokens[2], cache[3]};
  if (layout == HeadLayout::bshd)
    expected = {cache[0], tokens[1], cache[1], cache[3]};
  else if (layout == HeadLayout::thd)
    expected = {tokens[0], cache[1], cache[3]};
  if (failed(expectDims(emitError, "C2", "new tokens", expected, tokens)))
    return failure();
  if (failed(expectDims(emitError, "C3", "past lengths", {cache[0]}, operands[2])))
    return failure();
  if (Value lengths = adaptor.getLengths())
    if (failed(expectDims(emitError, "C3", "lengths", {cache[0]}, dimsOf(lengths.getType()))))
      return failure();
  if (Value cumulative = adaptor.getCumulativeLengths())
    if (failed(expectDims(emitError, "C3", "cumulative lengths", {cache[0] + DimExpr(1)}, dimsOf(cumulative.getType()))))
      return failure();
  return single(cache);
}

LogicalResult CacheAppendOp::verify() {
  if (elementOf(getTokens().getType()) != getCache().getType().getElementType())
    return emitOpError("C4: expected tokens of ") << getCache().getType().getElementType();
  bool packed = getLayout() == HeadLayout::thd;
  if (packed == bool(getLengths()) || packed != bool(getCumulativeLengths()))
    return emitOpError("C5: layout ") << stringifyHeadLayout(getLayout()) << " comes with "
                                      << (packed ? "cumulative lengths" : "lengths") << " alone";
  return success();
}

} // namespace transom
