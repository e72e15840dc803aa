// The table from ops that move elements to skeletons. Elements are copied by size; quantised blocks as bytes.
#include "codegen/cpu/Skeletons.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

namespace {

/// A tensor as the copies see it: a block-quantised one has bytes as its last dimension. Rank 0 counts as rank 1.
struct Elements {
  unsigned bits;
  SmallVector<llvm::Value *> sizes, strides;

  Elements(KernelEntry &entry, mlir::Value value) {
    Type element = elementOf(value.getType());
    bool blocks = isa<BlockType>(element);
    bits = blocks ? 8 : std::max(8u, element.getIntOrFloatBitWidth());
    Dims dims = dimsOf(value.getType());
    for (int axis = 0; axis < int(dims.size()); ++axis)
      sizes.push_back(entry.size(value, axis));
    if (sizes.empty())
      sizes.push_back(entry.integer(1));
    if (blocks)
      sizes.back() = entry.integer(plan::bytesOfRow(element, *dims.back().constant()).value());
    strides.assign(sizes.size(), entry.integer(1));
    for (int axis = int(sizes.size()) - 2; axis >= 0; --axis)
      strides[axis] = entry.multiply(strides[axis + 1], sizes[axis + 1]);
  }
  llvm::Value *product(KernelEntry &entry, int from) const {
    llvm::Value *product = entry.integer(1);
    for (llvm::Value *size : llvm::ArrayRef(sizes).drop_front(std::min<size_t>(from, sizes.size())))
      product = entry.multiply(product, size);
    return product;
  }
};

std::string sized(const char *skeleton, const Elements &elements) { return skeleton + std::to_string(elements.bits); }

/// Ranks up to kernels/Copy.h's maxRank.
constexpr size_t maxRank = 8;

/// Result element i is the input's at offset + i * strides.
LogicalResult copyByStrides(KernelEntry &entry, Operation *op, KernelEntry::Values strides, llvm::Value *offset) {
  Elements result(entry, op->getResult(0));
  if (strides.size() > maxRank)
    return op->emitOpError("on the CPU takes tensors of rank ") << maxRank << " at most, found " << strides.size();
  entry.call(sized("copy_", result),
             {entry.pointer(op->getOperand(0)), entry.pointer(op->getResult(0)), entry.array(result.sizes), entry.array(strides),
              entry.integer(int64_t(strides.size())), offset, entry.begin, entry.end});
  return success();
}

LogicalResult emitTranspose(KernelEntry &entry, TransposeOp op) {
  Elements input(entry, op.getInput());
  SmallVector<llvm::Value *> strides;
  for (int64_t axis : op.getPermutation())
    strides.push_back(input.strides[axis]);
  if (strides.empty())
    strides.push_back(entry.integer(1));
  return copyByStrides(entry, op, strides, entry.integer(0));
}

LogicalResult emitSlice(KernelEntry &entry, SliceOp op) {
  Elements input(entry, op.getInput());
  int64_t start = int64_t(op.getStart());
  if (size_t(op.getAxis()) + 1 == input.sizes.size()) // blocks: to bytes
    start = plan::bytesOfRow(elementOf(op.getInput().getType()), start).value() / (input.bits / 8);
  llvm::Value *offset = entry.multiply(entry.integer(start), input.strides[op.getAxis()]);
  return copyByStrides(entry, op, input.strides, offset);
}

LogicalResult emitBroadcast(KernelEntry &entry, BroadcastOp op) {
  Elements input(entry, op.getInput()), result(entry, op.getResult());
  SmallVector<llvm::Value *> strides(result.sizes.size(), entry.integer(0));
  size_t behind = result.sizes.size() - input.sizes.size();
  for (size_t axis = 0; axis < input.sizes.size(); ++axis)
    strides[behind + axis] = entry.b.CreateSelect(entry.b.CreateICmpEQ(input.sizes[axis], entry.integer(1)), entry.integer(0),
                                                  input.strides[axis]);
  return copyByStrides(entry, op, strides, entry.integer(0));
}

/// The padding value's bits as an element.
uint64_t fillBits(Type element, const llvm::APFloat &value) {
  if (auto type = dyn_cast<FloatType>(element)) {
    llvm::APFloat number = value;
    bool inexact;
    number.convert(type.getFloatSemantics(), llvm::APFloat::rmNearestTiesToEven, &inexact);
    return number.bitcastToAPInt().getZExtValue();
  }
  double number = value.convertToDouble();
  return element.isInteger(1) ? number != 0 : uint64_t(int64_t(number));
}

LogicalResult emitPad(KernelEntry &entry, PadOp op) {
  Elements input(entry, op.getInput()), result(entry, op.getResult());
  int axis = int(op.getAxis());
  uint64_t fill = fillBits(elementOf(op.getInput().getType()), op.getValue());
  entry.call(sized("pad_", result),
             {entry.pointer(op.getInput()), entry.pointer(op.getResult()), entry.integer(int64_t(fill)), result.sizes[axis],
              input.sizes[axis], entry.integer(int64_t(op.getBefore())), result.product(entry, axis + 1), result.sizes.back(),
              entry.begin, entry.end});
  return success();
}

LogicalResult emitConcat(KernelEntry &entry, ConcatOp op) {
  int axis = int(op.getAxis());
  Elements result(entry, op.getResult());
  SmallVector<llvm::Value *> pointers, sizes;
  for (mlir::Value input : op.getInputs()) {
    pointers.push_back(entry.pointer(input));
    sizes.push_back(Elements(entry, input).sizes[axis]);
  }
  entry.call(sized("concat_", result),
             {entry.array(pointers), entry.array(sizes), entry.integer(int64_t(sizes.size())), entry.pointer(op.getResult()),
              result.sizes[axis], result.product(entry, axis + 1), result.sizes.back(), entry.begin, entry.end});
  return success();
}

LogicalResult emitCacheAppend(KernelEntry &entry, CacheAppendOp op) {
  Elements cache(entry, op.getCache()), tokens(entry, op.getTokens());
  if (op.getLayout() == HeadLayout::thd) {
    entry.call(sized("cache_append_packed_", cache),
               {entry.pointer(op.getResult()), entry.pointer(op.getTokens()), entry.pointer(op.getPastLengths()),
                entry.pointer(op.getCumulativeLengths()), entry.rowsOf(op.getCumulativeLengths()), cache.sizes[1], cache.sizes[2],
                cache.sizes[3], entry.begin, entry.end});
    return success();
  }
  bool headsFirst = op.getLayout() == HeadLayout::bhsd;
  entry.call(sized("cache_append_", cache),
             {entry.pointer(op.getResult()), entry.pointer(op.getTokens()), entry.pointer(op.getPastLengths()),
              entry.pointer(op.getLengths()), cache.sizes[1], tokens.sizes[headsFirst ? 2 : 1], cache.sizes[2], cache.sizes[3],
              entry.integer(headsFirst), entry.begin, entry.end});
  return success();
}

template <typename Op> LogicalResult emitTokenOfRow(KernelEntry &entry, Op op) {
  Elements input(entry, op.getInput());
  bool packed = op.getCumulative() != nullptr;
  entry.call(sized("token_of_row_", input),
             {entry.pointer(op.getInput()), entry.pointer(op.getLengths()), entry.pointer(op.getCumulative()),
              entry.pointer(op.getResult()), input.sizes[packed ? 0 : 1], input.product(entry, packed ? 1 : 2),
              entry.integer(std::is_same_v<Op, LastTokenOp>), entry.begin, entry.end});
  return success();
}

/// Rows of one token of a tensor whose first `leading` dimensions are the tokens'. A token that is one number has no
/// rows of its own: then work items, which are rows of tokens, are counted in tokens.
struct TokenRows { llvm::Value *rows, *width; };
TokenRows tokenRows(KernelEntry &entry, const Elements &elements, size_t leading) {
  if (elements.sizes.size() == leading) {
    entry.multiplyItems(elements.sizes.back());
    return {entry.integer(1), entry.integer(1)};
  }
  llvm::Value *rows = entry.integer(1);
  for (llvm::Value *size : llvm::ArrayRef(elements.sizes).drop_front(leading).drop_back())
    rows = entry.multiply(rows, size);
  return {rows, elements.sizes.back()};
}

LogicalResult emitPack(KernelEntry &entry, PackOp op) {
  Elements input(entry, op.getInput());
  TokenRows token = tokenRows(entry, Elements(entry, op.getResult()), 1);
  entry.call(sized("pack_", input), {entry.pointer(op.getInput()), entry.pointer(op.getIndex()), entry.pointer(op.getResult()),
                                     entry.sizes(op.getInput(), 0, 2), token.rows, token.width, entry.begin, entry.end});
  return success();
}

LogicalResult emitUnpackRows(KernelEntry &entry, UnpackOp op) {
  Elements result(entry, op.getResult());
  TokenRows token = tokenRows(entry, result, 2);
  entry.call(sized("unpack_rows_", result), {entry.pointer(op.getPacked()), entry.pointer(op.getIndex()), entry.pointer(op.getResult()),
                                             entry.size(op.getPacked(), 0), token.rows, token.width, entry.begin, entry.end});
  return success();
}

} // namespace

llvm::ArrayRef<SkeletonRow> copyRows() {
  static const SkeletonRow rows[] = {
      skeletonRow<TransposeOp, emitTranspose>(), skeletonRow<SliceOp, emitSlice>(),
      skeletonRow<BroadcastOp, emitBroadcast>(), skeletonRow<PadOp, emitPad>(),
      skeletonRow<ConcatOp, emitConcat>(),       skeletonRow<CacheAppendOp, emitCacheAppend>(),
      skeletonRow<LastTokenOp, emitTokenOfRow<LastTokenOp>>(),
      skeletonRow<FirstTokenOp, emitTokenOfRow<FirstTokenOp>>(),
      skeletonRow<PackOp, emitPack>(),           skeletonRow<UnpackOp, emitUnpackRows>(),
  };
  return rows;
}

} // namespace transom
