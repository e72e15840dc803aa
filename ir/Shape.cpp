// Ops that move numbers without computing.
#include "ir/Checks.h"

using namespace mlir;
using transom::detail::expectAxis, transom::detail::single;
using llvm::ArrayRef;

namespace transom {

static bool isQuantised(Type type) { return isa<BlockType>(elementOf(type)); }

FailureOr<llvm::SmallVector<Dims>> ReshapeOp::inferDims(Adaptor adaptor, ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &input = operands[0];
  Dims result;
  int rest = -1;
  for (auto [index, entry] : llvm::enumerate(adaptor.getShape())) {
    if (entry < -1 || (entry == -1 && rest >= 0) || (entry == 0 && index >= input.size()))
      return emitError() << "C1: entry " << index << " of the shape, " << entry << ", is not allowed";
    if (entry == -1)
      rest = index;
    result.push_back(entry > 0 ? DimExpr(entry) : entry == 0 ? input[index] : DimExpr(1));
  }
  // Sizes kept in place cancel on both sides, unknown ones included.
  Dims from, to;
  for (size_t i = 0; i < std::max(input.size(), result.size()); ++i) {
    bool kept = i < result.size() && adaptor.getShape()[i] == 0;
    if (i < input.size() && !kept)
      from.push_back(input[i]);
    if (i < result.size() && !kept)
      to.push_back(result[i]);
  }
  if (rest >= 0) {
    DimExpr total = product(from), others = product(to);
    result[rest] = total.dividedBy(others);
    if (total.constant() && others.constant() && result[rest].isUnknown())
      return emitError() << "C2: " << total.str() << " elements do not fill a shape with " << others.str() << " a row";
  } else if (!product(from).mayEqual(product(to))) {
    return emitError() << "C2: " << transom::str(input) << " and " << transom::str(result) << " differ in elements";
  }
  return single(result);
}

OpFoldResult ReshapeOp::fold(FoldAdaptor adaptor) {
  if (getInput().getType() == getType() && getType().hasStaticShape())
    return getInput();
  if (auto elements = dyn_cast_or_null<DenseElementsAttr>(adaptor.getInput()))
    if (getType().hasStaticShape())
      return elements.reshape(getType());
  return {};
}

FailureOr<llvm::SmallVector<Dims>> SplitRowsOp::inferDims(Adaptor, ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &input = operands[0], &like = operands[1];
  if (input.empty() || like.size() < 2)
    return emitError() << "C1: expected input of rank 1 or more and like of rank 2 or more";
  if (!input[0].mayEqual(like[0] * like[1]))
    return emitError() << "C2: expected " << (like[0] * like[1]).str() << " rows, found " << input[0].str();
  Dims result = {like[0], like[1]};
  result.append(input.begin() + 1, input.end());
  return single(result);
}

FailureOr<llvm::SmallVector<Dims>> TransposeOp::inferDims(Adaptor adaptor, ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &input = operands[0];
  ArrayRef<int64_t> permutation = adaptor.getPermutation();
  llvm::SmallVector<bool> seen(input.size(), false);
  Dims result;
  for (int64_t axis : permutation) {
    if (axis < 0 || axis >= int64_t(input.size()) || seen[axis])
      return emitError() << "C1: expected each of 0 to " << int64_t(input.size()) - 1 << " once, found " << axis;
    seen[axis] = true;
    result.push_back(input[axis]);
  }
  if (result.size() != input.size())
    return emitError() << "C1: expected " << input.size() << " dimensions, found " << result.size();
  if (isQuantised(adaptor.getInput().getType()) && permutation.back() != int64_t(input.size()) - 1)
    return emitError() << "C2: quantised blocks stay in the last dimension";
  return single(result);
}

OpFoldResult TransposeOp::fold(FoldAdaptor) {
  for (auto [index, axis] : llvm::enumerate(getPermutation()))
    if (axis != int64_t(index))
      return {};
  return getInput().getType() == getType() ? getInput() : OpFoldResult();
}

FailureOr<llvm::SmallVector<Dims>> SliceOp::inferDims(Adaptor adaptor, ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &input = operands[0];
  int64_t axis = adaptor.getAxis(), start = adaptor.getStart(), size = adaptor.getSize();
  if (failed(expectAxis(emitError, "C1", axis, input.size())))
    return failure();
  int64_t end;
  if (start < 0 || size < 1 || __builtin_add_overflow(start, size, &end) || input[axis].constant().value_or(end) < end)
    return emitError() << "C2: start " << start << " size " << size << " leaves dimension " << axis << " of "
                       << transom::str(input);
  int64_t block = axis + 1 == int64_t(input.size()) ? detail::blockLength(adaptor.getInput().getType()) : 1;
  if (start % block != 0 || size % block != 0)
    return emitError() << "C3: expected whole blocks of " << block << ", found start " << start << " size " << size;
  Dims result = input;
  result[axis] = DimExpr(size);
  return single(result);
}

FailureOr<llvm::SmallVector<Dims>> ConcatOp::inferDims(Adaptor adaptor, ArrayRef<Dims> operands, EmitError emitError) {
  if (operands.empty())
    return emitError() << "expected an input";
  Dims result = operands[0];
  int64_t axis = adaptor.getAxis();
  if (failed(expectAxis(emitError, "C1", axis, result.size())))
    return failure();
  for (const Dims &next : operands.drop_front()) {
    Dims expected = result;
    if (size_t(axis) < next.size())
      expected[axis] = next[axis];
    if (failed(detail::expectDims(emitError, "C2", "inputs alike but along the axis, one", expected, next)))
      return failure();
    for (size_t i = 0; i < result.size(); ++i)
      result[i] = int64_t(i) == axis ? result[i] + next[i] : detail::known(result[i], next[i]);
  }
  return single(result);
}

OpFoldResult ConcatOp::fold(FoldAdaptor) {
  return getInputs().size() == 1 && getInputs()[0].getType() == getType() ? getInputs()[0] : OpFoldResult();
}

LogicalResult ConcatOp::verify() {
  if (isQuantised(getType()) && getAxis() + 1 == uint64_t(getType().getRank()))
    return emitOpError("C3: quantised blocks' dimension cannot be concatenated");
  return success();
}

FailureOr<llvm::SmallVector<Dims>> PadOp::inferDims(Adaptor adaptor, ArrayRef<Dims> operands, EmitError emitError) {
  Dims result = operands[0];
  if (failed(expectAxis(emitError, "C1", adaptor.getAxis(), result.size())))
    return failure();
  int64_t before = adaptor.getBefore(), after = adaptor.getAfter();
  if (before < 0 || after < 0)
    return emitError() << "C2: expected no negative padding, found " << before << " and " << after;
  result[adaptor.getAxis()] = result[adaptor.getAxis()] + DimExpr(before) + DimExpr(after);
  return single(result);
}

FailureOr<llvm::SmallVector<Dims>> BroadcastOp::inferDims(Adaptor, ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &input = operands[0], &like = operands[1];
  bool fits = input.size() <= like.size();
  for (size_t i = 0; fits && i < input.size(); ++i) {
    const DimExpr &size = input[input.size() - 1 - i];
    fits = size == DimExpr(1) || size.mayEqual(like[like.size() - 1 - i]);
  }
  if (!fits)
    return emitError() << "C1: " << transom::str(input) << " does not broadcast to " << transom::str(like);
  return single(like);
}

FailureOr<llvm::SmallVector<Dims>> IotaOp::inferDims(Adaptor adaptor, ArrayRef<Dims> operands, EmitError emitError) {
  if (failed(expectAxis(emitError, "C1", adaptor.getAxis(), operands[0].size())))
    return failure();
  return single({operands[0][adaptor.getAxis()]});
}
Type IotaOp::inferElement(Adaptor adaptor, unsigned) { return IntegerType::get(adaptor.getLike().getContext(), 32); }

} // namespace transom
