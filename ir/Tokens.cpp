// Embedding lookup, first and last token, token selection.
#include "ir/Checks.h"

using namespace mlir;
using transom::detail::expectDims, transom::detail::single;

namespace transom {

static Type i32(Value value) { return IntegerType::get(value.getContext(), 32); }

FailureOr<llvm::SmallVector<Dims>> EmbeddingOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  if (operands[0].size() != 2)
    return emitError() << "C1: expected a table of rank 2, found " << transom::str(operands[0]);
  Dims result = operands[1];
  result.push_back(operands[0][1]);
  return single(result);
}
Type EmbeddingOp::inferElement(Adaptor adaptor, unsigned) {
  if (std::optional<Type> to = adaptor.getTo())
    return *to;
  Type element = elementOf(adaptor.getTable().getType());
  return isa<BlockType>(element) ? Float32Type::get(element.getContext()) : element;
}

/// Sizes of one token of each row; `packed` says what operand 1 is.
static FailureOr<llvm::SmallVector<Dims>> tokenOfRow(llvm::ArrayRef<Dims> operands, bool packed, EmitError emitError) {
  const Dims &input = operands[0];
  size_t rank = packed ? 1 : 2;
  if (input.size() < rank)
    return emitError() << "C1: expected rank " << rank << " or more, found " << input.size();
  Dims result = input;
  if (!packed)
    result.erase(result.begin() + 1);
  if (packed ? failed(detail::expectCumulative(emitError, "C2", operands.back()))
             : operands.size() > 1 && failed(expectDims(emitError, "C2", "lengths", {input[0]}, operands[1])))
    return failure();
  if (packed)
    result[0] = operands.back()[0] - DimExpr(1);
  return single(result);
}
static LogicalResult verifyTokenOfRow(Operation *op, bool padded, bool packed) {
  if (padded == packed)
    return op->emitOpError("C3: expected either lengths or cumulative lengths");
  return success();
}

FailureOr<llvm::SmallVector<Dims>> LastTokenOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  return tokenOfRow(operands, bool(adaptor.getCumulative()), emitError);
}
LogicalResult LastTokenOp::verify() { return verifyTokenOfRow(*this, bool(getLengths()), bool(getCumulative())); }

FailureOr<llvm::SmallVector<Dims>> FirstTokenOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  return tokenOfRow(operands, bool(adaptor.getCumulative()), emitError);
}
LogicalResult FirstTokenOp::verify() { return verifyTokenOfRow(*this, bool(getLengths()), bool(getCumulative())); }

FailureOr<llvm::SmallVector<Dims>> ArgmaxOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  if (operands[0].empty())
    return emitError() << "C1: expected rank 1 or more";
  Dims result = operands[0];
  result.pop_back();
  return single(result);
}
Type ArgmaxOp::inferElement(Adaptor adaptor, unsigned) { return i32(adaptor.getInput()); }

FailureOr<llvm::SmallVector<Dims>> TopKOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  int64_t k = adaptor.getK();
  if (operands[0].empty() || k < 1 || operands[0].back().constant().value_or(k) < k)
    return emitError() << "C1: expected 1 <= k <= last dimension, found k " << k << " of " << transom::str(operands[0]);
  Dims result = operands[0];
  result.back() = DimExpr(k);
  return llvm::SmallVector<Dims>{result, result};
}
Type TopKOp::inferElement(Adaptor adaptor, unsigned result) {
  return result == 0 ? elementOf(adaptor.getInput().getType()) : i32(adaptor.getInput());
}

FailureOr<llvm::SmallVector<Dims>> SampleOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  if (operands[0].size() != 2)
    return emitError() << "C1: expected logits [batch, vocab], found " << transom::str(operands[0]);
  Dims rows = {operands[0][0]};
  for (const Dims &option : operands.drop_front())
    if (failed(expectDims(emitError, "C2", "options", rows, option)))
      return failure();
  return single(rows);
}
Type SampleOp::inferElement(Adaptor adaptor, unsigned) { return i32(adaptor.getLogits()); }

} // namespace transom
