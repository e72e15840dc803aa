// Attention, rotary embedding, positions.
#include "ir/Checks.h"

using namespace mlir;
using transom::detail::expectDims, transom::detail::single;

namespace transom {

namespace {

/// Indices of the parts of a [batch, heads, seq, head_dim]-like shape; -1 where the layout has no such dimension.
struct HeadAxes {
  int rank = 4, batch = 0, heads = 1, seq = 2;
  explicit HeadAxes(HeadLayout layout) {
    switch (layout) {
    case HeadLayout::bhsd: break;
    case HeadLayout::bshd: seq = 1, heads = 2; break;
    case HeadLayout::thd: rank = 3, batch = -1, seq = 0, heads = 1; break;
    }
  }
};

} // namespace

FailureOr<llvm::SmallVector<Dims>> AttentionOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  HeadLayout layout = adaptor.getLayout();
  HeadAxes axes(layout), keyAxes = isa<CacheType>(adaptor.getKey().getType()) ? HeadAxes(HeadLayout::bhsd) : axes;
  const Dims &query = operands[0], &key = operands[1], &value = operands[2];
  if (query.size() != size_t(axes.rank) || key.size() != size_t(keyAxes.rank) || value.size() != key.size())
    return emitError() << "C1: expected rank " << axes.rank << " for layout " << stringifyHeadLayout(layout);
  if (failed(expectDims(emitError, "C2", "key and value alike, value", key, value)))
    return failure();
  if (!query.back().mayEqual(key.back()) || (axes.batch >= 0 && !query[axes.batch].mayEqual(key[keyAxes.batch])))
    return emitError() << "C2: query " << transom::str(query) << " and key " << transom::str(key) << " differ in batch or head_dim";
  bool cached = isa<CacheType>(adaptor.getKey().getType()), ownKeys = cached || adaptor.getKeyCumulativeLengths();
  if (axes.batch < 0 && !ownKeys && !query[axes.seq].mayEqual(key[keyAxes.seq]))
    return emitError() << "C2: query " << transom::str(query) << " and key " << transom::str(key) << " differ in tokens";
  auto heads = query[axes.heads].constant(), keyHeads = key[keyAxes.heads].constant();
  if (heads && keyHeads && (*keyHeads <= 0 || *heads % *keyHeads != 0))
    return emitError() << "C3: " << *heads << " query heads do not share " << *keyHeads << " key/value heads evenly";
  Dims result = query;
  if (axes.batch >= 0) {
    Dims row = {query[axes.batch]};
    if (Value mask = adaptor.getMask())
      if (failed(expectDims(emitError, "C6", "mask", {query[axes.batch], key[keyAxes.seq]}, dimsOf(mask.getType()))))
        return failure();
    for (Value lengths : {adaptor.getPastLengths(), adaptor.getLengths()})
      if (lengths && failed(expectDims(emitError, "C6", "lengths", row, dimsOf(lengths.getType()))))
        return failure();
    if (Value bias = adaptor.getBias()) {
      Dims full = {query[axes.batch], query[axes.heads], query[axes.seq], key[keyAxes.seq]};
      Dims found = dimsOf(bias.getType());
      bool fits = found.size() == 4;
      for (size_t i = 0; fits && i < 4; ++i)
        fits = found[i] == DimExpr(1) || found[i].mayEqual(full[i]);
      if (!fits)
        return emitError() << "C6: bias " << transom::str(found) << " does not broadcast to " << transom::str(full);
    }
  }
  Value cumulative = adaptor.getCumulativeLengths(), keyCumulative = adaptor.getKeyCumulativeLengths();
  if (!cumulative)
    return single(result);
  Dims ends = {cached ? key[0] + DimExpr(1) : DimExpr()};
  if (failed(expectDims(emitError, "C6", "cumulative lengths", ends, dimsOf(cumulative.getType()))) ||
      (keyCumulative && failed(expectDims(emitError, "C6", "key lengths", dimsOf(cumulative.getType()), dimsOf(keyCumulative.getType())))))
    return failure();
  if (Value past = adaptor.getPastLengths(); past && cached)
    if (failed(expectDims(emitError, "C6", "lengths", {key[0]}, dimsOf(past.getType()))))
      return failure();
  return single(result);
}

LogicalResult AttentionOp::verify() {
  bool cached = isa<CacheType>(getKey().getType()), packed = getLayout() == HeadLayout::thd;
  if (cached != isa<CacheType>(getValue().getType()))
    return emitOpError("C4: key and value are both caches or both tensors");
  if (cached != bool(getPastLengths()) || (cached && !packed) != bool(getLengths()))
    return emitOpError("C4: caches come with past, padded ones also with lengths, and only they do");
  if (packed != bool(getCumulativeLengths()))
    return emitOpError("C5: layout thd comes with cumulative lengths, and only it does");
  if (packed && (getMask() || getBias()))
    return emitOpError("C5: packed sequences take no mask or bias");
  if (getKeyCumulativeLengths() && (!packed || cached))
    return emitOpError("C5: key lengths come with packed keys alone");
  if ((getWindow() && *getWindow() <= 0) || (getSoftcap() && !(getSoftcap()->convertToDouble() > 0)) || !getScale().isFinite())
    return emitOpError("C7: expected a positive window and softcap and a finite scale");
  return success();
}

FailureOr<llvm::SmallVector<Dims>> RotaryOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  HeadAxes axes(adaptor.getLayout());
  const Dims &input = operands[0];
  if (input.size() != size_t(axes.rank))
    return emitError() << "C1: expected rank " << axes.rank << " for layout " << stringifyHeadLayout(adaptor.getLayout())
                       << ", found " << input.size();
  Dims positions = {input[axes.seq]};
  if (axes.batch >= 0)
    positions.insert(positions.begin(), input[axes.batch]);
  if (failed(expectDims(emitError, "C2", "positions", positions, operands[1])))
    return failure();
  int64_t dims = adaptor.getDims(), headDim = input.back().constant().value_or(dims);
  if (dims <= 0 || dims % 2 != 0 || dims > headDim)
    return emitError() << "C3: expected an even number of at most " << headDim << " rotated dims, found " << dims;
  if (operands.size() > 2 && failed(expectDims(emitError, "C4", "factors", {DimExpr(dims / 2)}, operands[2])))
    return failure();
  return single(input);
}

LogicalResult RotaryOp::verify() {
  if (!(getBase().convertToDouble() > 0) || !(getScale().convertToDouble() > 0))
    return emitOpError("C5: expected a positive base and scale");
  return success();
}

FailureOr<llvm::SmallVector<Dims>> PositionsOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  if (operands[1].size() != 2)
    return emitError() << "C1: expected like of rank 2, found " << operands[1].size();
  if (failed(expectDims(emitError, "C1", "start", {operands[1][0]}, operands[0])))
    return failure();
  return single(operands[1]);
}

} // namespace transom
