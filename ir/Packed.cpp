// Packed sequences.
#include "ir/Checks.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using transom::detail::expectDims, transom::detail::single;

namespace transom {

FailureOr<llvm::SmallVector<Dims>> ValidTokensOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &rows = operands[0];
  if (adaptor.getLengths() ? rows.size() < 2 : rows.size() != 2)
    return emitError() << "C1: expected rows [batch, seq], found " << transom::str(rows);
  if (adaptor.getLengths() && failed(expectDims(emitError, "C2", "lengths", {rows[0]}, operands[1])))
    return failure();
  std::optional<DimExpr> tokens = DimExpr::parse(adaptor.getSize());
  return llvm::SmallVector<Dims>{{tokens.value_or(DimExpr())}, {rows[0] + DimExpr(1)}};
}
Type ValidTokensOp::inferElement(Adaptor adaptor, unsigned) { return IntegerType::get(adaptor.getRows().getContext(), 32); }

LogicalResult ValidTokensOp::verify() {
  if (!getLengths() && !isa<IntegerType>(elementOf(getRows().getType())))
    return emitOpError("C1: expected a mask of integers, found ") << getRows().getType();
  std::optional<DimExpr> tokens = DimExpr::parse(getSize());
  if (!tokens || tokens->asSymbol() != getSize().str())
    return emitOpError("C3: expected a name, found \"") << getSize() << '"';
  return success();
}

FailureOr<llvm::SmallVector<Dims>> PackOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &input = operands[0];
  if (input.size() < 2)
    return emitError() << "C1: expected rank 2 or more, found " << input.size();
  if (operands[1].size() != 1)
    return emitError() << "C2: expected an index of rank 1, found " << transom::str(operands[1]);
  Dims result = {operands[1][0]};
  result.append(input.begin() + 2, input.end());
  return single(result);
}

FailureOr<llvm::SmallVector<Dims>> UnpackOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &packed = operands[0], &like = operands[2];
  if (packed.empty() || like.size() < 2)
    return emitError() << "C1: expected packed of rank 1 and like of rank 2 or more";
  if (failed(expectDims(emitError, "C2", "an index", {packed[0]}, operands[1])))
    return failure();
  Dims result = {like[0], like[1]};
  result.append(packed.begin() + 1, packed.end());
  return single(result);
}

FailureOr<llvm::SmallVector<Dims>> ReducePackedOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &input = operands[0];
  if (input.empty())
    return emitError() << "C1: expected rank 1 or more";
  if (failed(detail::expectCumulative(emitError, "C2", operands[1])))
    return failure();
  Dims result = input;
  result[0] = operands[1][0] - DimExpr(1);
  return single(result);
}

LogicalResult ReducePackedOp::verify() {
  if (getKind() == ReduceKind::mean && !isa<FloatType>(elementOf(getInput().getType())))
    return emitOpError("C3: expected floats for a mean, found ") << elementOf(getInput().getType());
  return success();
}

FailureOr<llvm::SmallVector<Dims>> CumulativeLengthsOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  if (operands[0].size() != 1)
    return emitError() << "C1: expected rank 1, found " << operands[0].size();
  return single({operands[0][0] + DimExpr(1)});
}

} // namespace transom
