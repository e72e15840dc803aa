// Loops of elementwise kernels.
//
// 1. The kernel's work items are rows (the result's last size static, or a row reduction) or elements. Both become a
//    range of element indices [first, last), which for an op of a group is given.
// 2. The range is cut into runs that stay within a row; where all inputs have the result's very shape, one run covers it.
// 3. Per run, each input's start follows from the row's index by its strides, 0 in dimensions it broadcasts.
// 4. A run goes by in vectors, its end under a mask. A row reduction accumulates a vector and folds it at the row's end.
#include "codegen/cpu/Regions.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

namespace {

/// How an input lies under the common shape.
struct Input {
  mlir::Value value;
  Type element;
  bool scalarColumns = false; // its last size is 1 for certain: one number a row
  llvm::Value *wide = nullptr; // null: for certain as wide as a row; else an i1 that is known when the kernel runs
};

class RegionLoops {
public:
  RegionLoops(KernelEntry &entry, ValueRange inputs, mlir::Value result, Block &scalars, std::optional<ReduceKind> reduce)
      : entry_(entry), b_(entry.b), result_(result), scalars_(scalars), reduce_(reduce) {
    rank_ = int(dimsOf(result.getType()).size());
    for (mlir::Value value : inputs)
      inputs_.push_back({value, elementOf(value.getType())});
  }
  LogicalResult emit();

private:
  void findShape();
  llvm::Value *sameShape(const Input &input);
  void emitRuns();
  llvm::Value *rowStart(const Input &input, llvm::Value *row);
  LogicalResult emitRun(llvm::Value *row, llvm::Value *column, llvm::Value *columnEnd);
  llvm::Value *vectorAt(const Input &input, llvm::Value *start, llvm::Value *column, llvm::Value *mask);
  llvm::Value *step(llvm::Value *column, llvm::Value *mask, llvm::Value *sum);
  llvm::Value *maskFor(llvm::Value *column, llvm::Value *columnEnd);
  llvm::Value *neutral();
  llvm::Value *combine(llvm::Value *a, llvm::Value *b);
  llvm::Value *fold(llvm::Value *sum);

  llvm::BasicBlock *block(const char *name) {
    return llvm::BasicBlock::Create(b_.getContext(), name, b_.GetInsertBlock()->getParent());
  }
  Type resultElement() const { return elementOf(result_.getType()); }
  /// Rows of a reduction accumulate in fp32 at least; so do registers.
  Type accumulator() const { return resultElement(); }
  int lanes() const { return entry_.target.lanes; }

  KernelEntry &entry_;
  llvm::IRBuilder<> &b_;
  mlir::Value result_;
  Block &scalars_;
  std::optional<ReduceKind> reduce_;
  int rank_;
  SmallVector<Input> inputs_;
  llvm::Value *width_ = nullptr; // elements of a row of the common shape
  llvm::Value *flat_ = nullptr;  // i1: all inputs have the result's shape, or are single numbers
  SmallVector<llvm::Value *> starts_;
  llvm::Value *resultStart_ = nullptr;
  bool failed_ = false;
};

bool isOne(llvm::Value *value) {
  auto *constant = llvm::dyn_cast<llvm::ConstantInt>(value);
  return constant && constant->isOne();
}

/// The common shape's width: the result's, or of a reduction the inputs'.
void RegionLoops::findShape() {
  width_ = rank_ == 0 ? entry_.integer(1) : entry_.size(result_, -1);
  if (reduce_) {
    width_ = entry_.integer(1);
    for (const Input &input : inputs_) {
      if (dimsOf(input.value.getType()).empty())
        continue;
      llvm::Value *size = entry_.size(input.value, -1);
      if (llvm::isa<llvm::ConstantInt>(width_) && !isOne(width_))
        break;
      width_ = isOne(width_) || (llvm::isa<llvm::ConstantInt>(size) && !isOne(size))
                   ? size
                   : b_.CreateSelect(b_.CreateICmpEQ(width_, entry_.integer(1)), size, width_);
    }
  }
  for (Input &input : inputs_) {
    Dims dims = dimsOf(input.value.getType());
    llvm::Value *size = dims.empty() ? entry_.integer(1) : entry_.size(input.value, -1);
    // In a result of single columns, runs go down the rows: an input with rows of its own is read along.
    bool single = llvm::all_of(dims, [](const DimExpr &dim) { return dim == DimExpr(1); });
    input.scalarColumns = isOne(size) && (single || !isOne(width_));
    if (!input.scalarColumns && !llvm::isa<llvm::ConstantInt>(size))
      input.wide = b_.CreateOr(b_.CreateICmpNE(size, entry_.integer(1)), b_.CreateICmpEQ(width_, entry_.integer(1)));
  }
}

/// Whether element i of the result needs element i of the input (or its only one), for all i.
llvm::Value *RegionLoops::sameShape(const Input &input) {
  Dims dims = dimsOf(input.value.getType());
  if (llvm::all_of(dims, [](const DimExpr &dim) { return dim == DimExpr(1); }))
    return b_.getTrue();
  if (reduce_ || int(dims.size()) != rank_ || input.scalarColumns)
    return b_.getFalse();
  llvm::Value *same = b_.getTrue();
  for (int axis = 0; axis < rank_; ++axis)
    same = b_.CreateAnd(same, b_.CreateICmpEQ(entry_.size(input.value, axis), entry_.size(result_, axis)));
  return same;
}

LogicalResult RegionLoops::emit() {
  findShape();
  flat_ = b_.getTrue();
  for (const Input &input : inputs_)
    flat_ = b_.CreateAnd(flat_, sameShape(input));
  emitRuns();
  return failure(failed_);
}

/// Step 2: for (at = first; at < last; at = runEnd).
void RegionLoops::emitRuns() {
  bool byRows = reduce_ || rank_ == 0 || llvm::isa<llvm::ConstantInt>(width_);
  llvm::Value *first = entry_.begin, *last = entry_.end;
  if (entry_.firstElement) {
    first = entry_.firstElement;
    last = entry_.lastElement;
  } else if (byRows) {
    first = entry_.multiply(first, width_);
    last = entry_.multiply(last, width_);
  }
  // A reduction visits its rows one by one even where they are empty.
  llvm::Value *at0 = reduce_ ? entry_.begin : first, *end = reduce_ ? entry_.end : last;
  llvm::BasicBlock *before = b_.GetInsertBlock(), *run = block("run"), *done = block("done");
  b_.CreateCondBr(b_.CreateICmpSLT(at0, end), run, done);
  b_.SetInsertPoint(run);
  llvm::PHINode *at = b_.CreatePHI(b_.getInt64Ty(), 2, reduce_ ? "row" : "at");
  at->addIncoming(at0, before);
  llvm::Value *row = at, *column = entry_.integer(0), *columnEnd = width_, *next;
  if (reduce_) {
    next = b_.CreateAdd(at, entry_.integer(1), "", true, true);
  } else {
    llvm::Value *length = b_.CreateSelect(flat_, entry_.integer(INT64_MAX), width_);
    row = b_.CreateUDiv(at, length);
    column = b_.CreateURem(at, length);
    llvm::Value *left = b_.CreateSub(end, at), *inRow = b_.CreateSub(length, column);
    left = b_.CreateSelect(b_.CreateICmpSLT(left, inRow), left, inRow);
    columnEnd = b_.CreateAdd(column, left);
    next = b_.CreateAdd(at, left, "next", true, true);
  }
  if (failed(emitRun(row, column, columnEnd)))
    failed_ = true;
  at->addIncoming(next, b_.GetInsertBlock());
  b_.CreateCondBr(b_.CreateICmpSLT(next, end), run, done);
  b_.SetInsertPoint(done);
}

/// Element index of column 0 of the input in row `row` of the common shape.
llvm::Value *RegionLoops::rowStart(const Input &input, llvm::Value *row) {
  int rank = int(dimsOf(input.value.getType()).size());
  llvm::Value *start = entry_.integer(0), *left = row;
  SmallVector<llvm::Value *> strides = entry_.strides(input.value);
  for (int axis = rank_ - 2; axis >= 0; --axis) {
    llvm::Value *size = entry_.size(result_, axis);
    llvm::Value *place = axis == 0 ? left : b_.CreateURem(left, size);
    left = axis == 0 ? left : b_.CreateUDiv(left, size);
    int own = axis - (rank_ - rank);
    if (own < 0)
      break;
    llvm::Value *ownSize = entry_.size(input.value, own);
    if (isOne(ownSize))
      continue;
    llvm::Value *offset = entry_.multiply(place, strides[own]);
    if (!llvm::isa<llvm::ConstantInt>(ownSize))
      offset = b_.CreateSelect(b_.CreateICmpEQ(ownSize, entry_.integer(1)), entry_.integer(0), offset);
    start = b_.CreateAdd(start, offset, "", true, true);
  }
  return start;
}

llvm::Value *RegionLoops::maskFor(llvm::Value *column, llvm::Value *columnEnd) {
  SmallVector<uint32_t> places(lanes());
  for (int i = 0; i < lanes(); ++i)
    places[i] = uint32_t(i);
  llvm::Value *left = b_.CreateTrunc(b_.CreateSub(columnEnd, column), b_.getInt32Ty());
  llvm::Value *index = llvm::ConstantDataVector::get(b_.getContext(), places);
  return b_.CreateICmpULT(index, b_.CreateVectorSplat(unsigned(lanes()), left), "live");
}

llvm::Value *RegionLoops::vectorAt(const Input &input, llvm::Value *start, llvm::Value *column, llvm::Value *mask) {
  llvm::Type *type = memoryType(entry_, input.element), *scalar = type->getScalarType();
  llvm::Value *base = entry_.pointer(input.value);
  llvm::Align align(scalar->getScalarSizeInBits() / 8);
  auto one = [&] {
    llvm::Value *address = b_.CreateInBoundsGEP(scalar, base, start);
    return b_.CreateVectorSplat(unsigned(lanes()), b_.CreateAlignedLoad(scalar, address, align));
  };
  llvm::Value *value;
  if (input.scalarColumns) {
    value = one();
  } else {
    llvm::Value *address = b_.CreateInBoundsGEP(scalar, base, b_.CreateAdd(start, column, "", true, true));
    llvm::Value *rest = llvm::Constant::getNullValue(type);
    if (input.wide) {
      // Decided when the kernel runs: a row of numbers, or one number for the row.
      rest = one();
      llvm::Value *wide = b_.CreateVectorSplat(unsigned(lanes()), input.wide);
      mask = mask ? b_.CreateAnd(mask, wide) : wide;
    }
    value = mask ? b_.CreateMaskedLoad(type, address, align, mask, rest)
                 : static_cast<llvm::Value *>(b_.CreateAlignedLoad(type, address, align));
  }
  return fromMemory(entry_, value, input.element);
}

/// One vector: computes it and stores it, or adds it to `sum`.
llvm::Value *RegionLoops::step(llvm::Value *column, llvm::Value *mask, llvm::Value *sum) {
  SmallVector<llvm::Value *> arguments;
  for (auto [input, start] : llvm::zip(inputs_, starts_))
    arguments.push_back(vectorAt(input, start, column, mask));
  llvm::Value *value = emitScalars(entry_, scalars_, arguments);
  if (!value)
    return nullptr;
  if (reduce_)
    return combine(sum, mask ? b_.CreateSelect(mask, value, neutral()) : value);
  llvm::Type *scalar = memoryType(entry_, resultElement())->getScalarType();
  llvm::Value *address = b_.CreateInBoundsGEP(scalar, entry_.pointer(result_), b_.CreateAdd(resultStart_, column, "", true, true));
  llvm::Align align(scalar->getScalarSizeInBits() / 8);
  value = toMemory(entry_, value, resultElement());
  if (mask)
    b_.CreateMaskedStore(value, address, align, mask);
  else
    b_.CreateAlignedStore(value, address, align);
  return value;
}

/// Steps 3 and 4.
LogicalResult RegionLoops::emitRun(llvm::Value *row, llvm::Value *column, llvm::Value *columnEnd) {
  starts_.clear();
  for (const Input &input : inputs_)
    starts_.push_back(rowStart(input, row));
  resultStart_ = reduce_ ? row : entry_.multiply(row, width_);

  llvm::Value *zero = reduce_ ? neutral() : nullptr;
  llvm::Value *whole = b_.CreateSub(columnEnd, b_.CreateURem(b_.CreateSub(columnEnd, column), entry_.integer(lanes())));
  llvm::BasicBlock *before = b_.GetInsertBlock(), *loop = block("vector"), *check = block("rest"), *tail = block("tail"),
                   *after = block("after");
  b_.CreateCondBr(b_.CreateICmpSLT(column, whole), loop, check);

  b_.SetInsertPoint(loop);
  llvm::PHINode *at = b_.CreatePHI(b_.getInt64Ty(), 2, "column");
  at->addIncoming(column, before);
  llvm::PHINode *sum = reduce_ ? b_.CreatePHI(zero->getType(), 2, "sum") : nullptr;
  llvm::Value *stepped = step(at, nullptr, sum);
  if (!stepped)
    return failure();
  llvm::Value *next = b_.CreateAdd(at, entry_.integer(lanes()), "", true, true);
  at->addIncoming(next, loop);
  b_.CreateCondBr(b_.CreateICmpSLT(next, whole), loop, check);

  b_.SetInsertPoint(check);
  llvm::PHINode *sumSoFar = nullptr;
  if (reduce_) {
    sum->addIncoming(zero, before);
    sum->addIncoming(stepped, loop);
    sumSoFar = b_.CreatePHI(zero->getType(), 2);
    sumSoFar->addIncoming(zero, before);
    sumSoFar->addIncoming(stepped, loop);
  }
  b_.CreateCondBr(b_.CreateICmpSLT(whole, columnEnd), tail, after);

  b_.SetInsertPoint(tail);
  llvm::Value *last = step(whole, maskFor(whole, columnEnd), sumSoFar);
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
  if (!reduce_)
    return success();
  llvm::PHINode *total = b_.CreatePHI(zero->getType(), 2);
  total->addIncoming(sumSoFar, check);
  total->addIncoming(last, tail);
  llvm::Value *folded = toMemory(entry_, b_.CreateVectorSplat(unsigned(lanes()), fold(total)), resultElement());
  llvm::Type *scalar = folded->getType()->getScalarType();
  b_.CreateStore(b_.CreateExtractElement(folded, uint64_t(0)), b_.CreateInBoundsGEP(scalar, entry_.pointer(result_), row));
  return success();
}

//===-- Row reductions ----------------------------------------------------------------------------------------------===//

llvm::Value *RegionLoops::neutral() {
  llvm::Type *type = registerType(entry_, accumulator());
  if (*reduce_ == ReduceKind::sum || *reduce_ == ReduceKind::mean)
    return llvm::Constant::getNullValue(type);
  bool largest = *reduce_ == ReduceKind::max;
  if (type->isFPOrFPVectorTy())
    return llvm::ConstantFP::getInfinity(type, /*Negative=*/largest);
  unsigned bits = type->getScalarSizeInBits();
  return llvm::ConstantInt::get(type, largest ? llvm::APInt::getSignedMinValue(bits) : llvm::APInt::getSignedMaxValue(bits));
}

llvm::Value *RegionLoops::combine(llvm::Value *x, llvm::Value *y) {
  bool floats = x->getType()->isFPOrFPVectorTy();
  if (*reduce_ == ReduceKind::sum || *reduce_ == ReduceKind::mean)
    return floats ? b_.CreateFAdd(x, y) : b_.CreateAdd(x, y);
  bool largest = *reduce_ == ReduceKind::max;
  if (!floats)
    return b_.CreateBinaryIntrinsic(largest ? llvm::Intrinsic::smax : llvm::Intrinsic::smin, x, y);
  // NaN wins: y is taken unless x is better or a NaN.
  llvm::Value *keep = b_.CreateOr(largest ? b_.CreateFCmpOGT(x, y) : b_.CreateFCmpOLT(x, y), b_.CreateFCmpUNO(x, x));
  return b_.CreateSelect(keep, x, y);
}

/// All lanes to one number, pairwise.
llvm::Value *RegionLoops::fold(llvm::Value *sum) {
  for (int half = lanes() / 2; half > 0; half /= 2) {
    SmallVector<int> low, high;
    for (int i = 0; i < half; ++i) {
      low.push_back(i);
      high.push_back(i + half);
    }
    sum = combine(b_.CreateShuffleVector(sum, low), b_.CreateShuffleVector(sum, high));
  }
  llvm::Value *total = b_.CreateExtractElement(sum, uint64_t(0));
  if (*reduce_ != ReduceKind::mean)
    return total;
  llvm::Value *count = b_.CreateSIToFP(width_, total->getType());
  return b_.CreateFDiv(total, count);
}

} // namespace

LogicalResult emitElementwise(KernelEntry &entry, Operation *op) {
  if (auto fused = dyn_cast<FusedOp>(op))
    return RegionLoops(entry, fused.getInputs(), fused.getResult(), fused.getBody().front(), fused.getReduce()).emit();
  // A single op: its scalar form in a region of its own.
  auto scalar = cast<ScalarOp>(op);
  Region region;
  Block &block = region.emplaceBlock();
  for (mlir::Value operand : op->getOperands())
    block.addArgument(elementOf(operand.getType()), op->getLoc());
  OpBuilder builder(op->getContext());
  builder.setInsertionPointToEnd(&block);
  mlir::Value value = scalar.emitScalar(builder, op->getLoc(), block.getArguments());
  builder.create<transom::YieldOp>(op->getLoc(), value);
  return RegionLoops(entry, op->getOperands(), op->getResult(0), block, std::nullopt).emit();
}

} // namespace transom
