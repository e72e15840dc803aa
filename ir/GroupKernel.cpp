// Group kernels, from the results backwards: each result needs columns of the values it is made of, down to the product.
//
// 1. Sizes follow from the arguments'; what one row is from the root's lhs, or from the first op. Every value then has so
//    many numbers a row.
// 2. The prologue, and a group without a root, run op by op on whole rows.
// 3. Behind a root, a result's columns [c, c + w) need columns [shift + c, shift + c + w) of what it is computed from; only
//    slices move the shift. Results that reach the same columns of the product form a band.
// 4. Values that leave the group are written where they belong at once; others get scratch.
#include "ir/GroupKernel.h"

#include "ir/Quiet.h"

#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom::plan {

/// Columns of tiles, as floats: 2 KiB a row stay in the L1 cache.
static constexpr int64_t blockColumns = 512;
/// With a prologue, fewer columns than this would cost less than it does.
static constexpr int64_t columnsWorthPrologue = 64;

static bool isViewOp(Operation *op) { return isReshape(op) || isa_and_nonnull<SliceOp>(op); }
static bool isPointwise(Operation *op) {
  auto fused = dyn_cast<FusedOp>(op);
  return fused ? !fused.getReduce() : isa<ScalarOp>(op);
}
static bool isCache(Value value) { return isa<CacheType>(value.getType()); }

static int64_t staticProduct(ArrayRef<DimExpr> dims) {
  int64_t product = 1;
  for (const DimExpr &dim : dims)
    product *= dim.constant().value_or(1);
  return product;
}
static int64_t lastDim(Value value) { return dimsOf(value.getType()).back().constant().value_or(0); }

/// Dimensions of operand 0 that count rows, by what the op does with the others.
static size_t rowDims(Operation *op, Value operand) {
  size_t rank = dimsOf(operand.getType()).size();
  if (auto rotary = dyn_cast<RotaryOp>(op))
    return rotary.getLayout() == HeadLayout::thd ? 1 : 2;
  if (isa<CacheAppendOp>(op))
    return rank - 2;
  return isa<EmbeddingOp>(op) ? rank : rank - 1;
}

class GroupKernelBuilder {
public:
  GroupKernelBuilder(GroupOp group, std::string &reason) : group(group), block(group.getBody().front()), reason(reason) {}

  FailureOr<GroupKernel> build() {
    FailureOr<GroupForm> form = matchGroup(group, &reason);
    if (failed(form))
      return failure();
    kernel.form = *form;
    if (failed(findSizes()) || failed(findRows()) || failed(checkOps()))
      return failure();
    if (!form->root) {
      if (failed(wholeRows(form->epilogue)))
        return failure();
    } else if (failed(wholeRows(form->prologue)) || failed(columns())) {
      return failure();
    }
    return kernel;
  }

private:
  LogicalResult refuse(const llvm::Twine &why) {
    reason = why.str();
    return failure();
  }
  std::string nameOf(Operation *op) { return ("'" + op->getName().getStringRef() + "'").str(); }

  /// Step 1.
  LogicalResult findSizes() {
    for (BlockArgument argument : block.getArguments()) {
      Dims &own = kernel.sizes[argument] = dimsOf(argument.getType());
      for (auto [axis, dim] : llvm::enumerate(own))
        if (!dim.constant())
          dim = DimExpr::symbol(GroupKernel::sizeName(argument, axis));
    }
    for (Operation &op : block.without_terminator()) {
      auto operands = llvm::map_to_vector(op.getOperands(), [&](Value operand) { return kernel.sizes.lookup(operand); });
      QuietDiagnostics quiet(op.getContext());
      auto inferred = cast<ShapedOp>(op).resultDims(operands, [&] { return op.emitOpError(); });
      for (auto [index, result] : llvm::enumerate(op.getResults())) {
        Dims own = dimsOf(result.getType());
        for (size_t axis = 0; axis < own.size(); ++axis) {
          if (!own[axis].constant() && succeeded(inferred))
            own[axis] = (*inferred)[index][axis];
          if (own[axis].isUnknown() && isPointwise(&op))
            own[axis] = sharedSize(operands, own.size() - axis);
          if (own[axis].isUnknown())
            return refuse("the sizes of " + nameOf(&op) + " do not follow from the group's inputs");
        }
        kernel.sizes[result] = own;
      }
    }
    return success();
  }

  /// Operands of one shape have a name each for the same size: the first that is not 1, counted from the last.
  static DimExpr sharedSize(ArrayRef<Dims> operands, size_t fromLast) {
    for (const Dims &own : operands)
      if (own.size() >= fromLast && !own[own.size() - fromLast].constant())
        return own[own.size() - fromLast];
    return DimExpr();
  }

  LogicalResult findRows() {
    Operation *reader = kernel.form.root;
    if (!reader)
      for (Operation &op : block.without_terminator())
        if (!isViewOp(&op)) {
          reader = &op;
          break;
        }
    if (!reader)
      for (auto slice : block.getOps<SliceOp>()) {
        reader = slice;
        break;
      }
    if (!reader)
      return refuse("it computes nothing");
    Value anchor = rowOperand(reader);
    Dims dims = dimsOf(anchor.getType());
    if (dims.empty() || isCache(anchor))
      return refuse("single numbers have no rows");
    kernel.rowFactor = staticProduct(ArrayRef(dims).take_front(rowDims(reader, anchor)));
    if (kernel.rowFactor == 0)
      return refuse("it has no rows");
    // The launch's buffers say how many rows there are: back to an argument.
    bool isStatic = cast<RankedTensorType>(anchor.getType()).hasStaticShape();
    while (Operation *op = anchor.getDefiningOp())
      anchor = rowOperand(op);
    auto argument = cast<BlockArgument>(anchor);
    kernel.rowBuffer = argument.getArgNumber();
    kernel.rowBufferElements = kernel.rowElements(argument);
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type || type.hasStaticShape() != isStatic || kernel.rowBufferElements == 0)
      return refuse("no argument says how many rows there are");
    return success();
  }

  /// The operand whose rows the op works on.
  Value rowOperand(Operation *op) {
    if (auto embedding = dyn_cast<EmbeddingOp>(op))
      return embedding.getIndices();
    if (auto append = dyn_cast<CacheAppendOp>(op))
      return append.getTokens();
    return isPointwise(op) ? widest(op) : op->getOperand(0);
  }

  /// The operand of a pointwise op that has its result's shape, if there is one.
  Value widest(Operation *op) {
    for (Value operand : op->getOperands())
      if (llvm::equal(cast<RankedTensorType>(operand.getType()).getShape(), cast<RankedTensorType>(op->getResult(0).getType()).getShape()))
        return operand;
    return op->getOperand(0);
  }

  bool isInner(Value value) { return value.getDefiningOp() != nullptr; }

  /// What every op must be, wherever it stands.
  LogicalResult checkOps() {
    for (Operation &op : block.without_terminator()) {
      Value result = op.getResult(0);
      if (auto slice = dyn_cast<SliceOp>(op)) {
        bool ofRow = slice.getAxis() + 1 == dimsOf(result.getType()).size() && kernel.rowElements(slice.getInput()) == lastDim(slice.getInput());
        if (!ofRow)
          return refuse("a slice is not of whole rows' columns");
      } else if (isReshape(&op)) {
        if (kernel.rowElements(op.getOperand(0)) != kernel.rowElements(result))
          return refuse("a reshape moves numbers between rows");
      } else if (!isPointwise(&op) && !isa<RmsNormOp, LayerNormOp, RotaryOp, CacheAppendOp, EmbeddingOp, QuantizeOp, RoundE4m3Op, MatmulOp>(op)) {
        return refuse(nameOf(&op) + " does not work on rows");
      }
      if (isPointwise(&op))
        for (Value operand : op.getOperands())
          if (isInner(operand) && kernel.rowElements(operand) != kernel.rowElements(result))
            return refuse(nameOf(&op) + " broadcasts a value of the group");
      if (auto rotary = dyn_cast<RotaryOp>(op); rotary && rotary.getLayout() == HeadLayout::bhsd)
        return refuse("rotary turns heads that lie apart");
      if (auto append = dyn_cast<CacheAppendOp>(op)) {
        if (append.getLayout() == HeadLayout::bhsd)
          return refuse("a cache takes heads that lie apart");
        result = append.getTokens();
      }
      int64_t width = lastDim(result), elements = kernel.rowElements(result);
      if (width <= 0 || elements <= 0 || elements % width != 0)
        return refuse(nameOf(&op) + " has rows of no known size");
    }
    if (auto root = kernel.form.root) {
      if (!isGemv(root) || !isa<BlockArgument>(root.getRhs()))
        return refuse("the matrix is not a weight [n, k]");
      if (kernel.rowElements(root.getLhs()) != lastDim(root.getLhs()))
        return refuse("the product's rows are not the group's");
    }
    return success();
  }

  //===-- Step 2 --------------------------------------------------------------------------------------------------===//

  int64_t keepRow(Value value, int64_t elements) {
    int64_t at = kernel.rowBytes;
    kernel.rowBytes += aligned(bytesOfRow(elementOf(value.getType()), elements).value_or(0));
    return at;
  }

  LogicalResult wholeRows(ArrayRef<Operation *> ops) {
    for (Operation *op : ops)
      if (!isViewOp(op))
        kernel.rows.push_back({op, op->getResult(0)});
    if (kernel.form.root) {
      if (!isLhsOfArgument())
        place(kernel.rows, kernel.form.root.getLhs(), RowStep::asLhs);
    } else {
      for (OpOperand &operand : block.getTerminator()->getOpOperands()) {
        if (isa<BlockArgument>(operand.get()))
          return refuse("it returns an argument");
        place(kernel.rows, operand.get(), int(operand.getOperandNumber()));
      }
    }
    for (RowStep &step : kernel.rows)
      if (step.op && step.output == RowStep::inScratch) {
        if (isCache(step.value)) {
          if (!isRead(step.value))
            return refuse("a cache's update is not returned");
          continue;
        }
        step.scratch = keepRow(step.value, kernel.rowElements(step.value));
      }
    return success();
  }

  bool isRead(Value value) { return !value.use_empty(); }

  /// Whether lhs is an argument under another shape.
  bool isLhsOfArgument() {
    Value lhs = reshapedFrom(kernel.form.root.getLhs());
    kernel.keepsLhs = !isa<BlockArgument>(lhs);
    return isa<BlockArgument>(lhs);
  }

  /// Makes the step that computes `value` write to `output`, or adds one that copies.
  void place(SmallVectorImpl<RowStep> &steps, Value value, int output) {
    Value base = reshapedFrom(value);
    for (RowStep &step : steps)
      if (step.op && step.value == base && step.shift == 0 && step.output == RowStep::inScratch) {
        step.output = output;
        return;
      }
    steps.push_back({nullptr, value, 0, output});
  }

  //===-- Step 3 --------------------------------------------------------------------------------------------------===//

  LogicalResult columns() {
    for (Operation *op : kernel.form.prologue)
      for (Operation *user : op->getUsers())
        if (op->getResult(0) != kernel.form.root.getLhs() && user != kernel.form.root && !llvm::is_contained(kernel.form.prologue, user))
          return refuse("what comes before the product is used behind it");
    for (OpOperand &operand : block.getTerminator()->getOpOperands()) {
      Value value = operand.get();
      Operation *op = value.getDefiningOp();
      if (!op || llvm::is_contained(kernel.form.prologue, op))
        return refuse("it returns what comes before the product");
      auto append = dyn_cast<CacheAppendOp>(op);
      Band fresh;
      fresh.columns = kernel.rowElements(append ? append.getTokens() : value);
      fresh.step = gemvRows;
      if (failed(collect(fresh, value, 0)))
        return failure();
      if (fresh.products.empty())
        return refuse("a result does not depend on the product");
      Band &band = bandLike(fresh);
      if (failed(collect(band, value, 0)))
        return failure();
      place(band.steps, value, int(operand.getOperandNumber()));
    }
    for (Band &band : kernel.bands) {
      band.block = std::max(band.step, blockColumns / band.step * band.step);
      for (RowStep &step : band.steps)
        if (step.op && step.output == RowStep::inScratch && !isCache(step.value))
          step.scratch = keepRow(step.value, band.block);
    }
    return success();
  }

  /// The band of the same columns, or a new one.
  Band &bandLike(const Band &fresh) {
    for (Band &band : kernel.bands)
      if (band.columns == fresh.columns && band.products == fresh.products)
        return band;
    Band &band = kernel.bands.emplace_back();
    band.columns = fresh.columns;
    band.step = fresh.step;
    return band;
  }

  /// Adds the steps that compute columns `shift` and on of `value`.
  LogicalResult collect(Band &band, Value value, int64_t shift) {
    Operation *op = value.getDefiningOp();
    if (!op || value == kernel.form.root.getLhs())
      return success();
    if (op == kernel.form.root) {
      if (!llvm::is_contained(band.products, shift))
        band.products.push_back(shift);
      return success();
    }
    if (auto slice = dyn_cast<SliceOp>(op))
      return collect(band, slice.getInput(), shift + int64_t(slice.getStart()));
    if (isReshape(op))
      return collect(band, op->getOperand(0), shift);
    if (llvm::any_of(band.steps, [&](const RowStep &step) { return step.op == op && step.shift == shift; }))
      return success();
    if (failed(checkColumns(band, op, shift)))
      return failure();
    auto append = dyn_cast<CacheAppendOp>(op);
    if (append) {
      if (failed(collect(band, append.getTokens(), 0)))
        return failure();
    } else {
      for (Value operand : op->getOperands())
        if (failed(collect(band, operand, shift)))
          return failure();
    }
    band.steps.push_back({op, value, shift});
    return success();
  }

  /// Whether the op can compute some columns by themselves; widens the band's items to whole heads.
  LogicalResult checkColumns(Band &band, Operation *op, int64_t shift) {
    if (isPointwise(op))
      return success();
    Value heads = isa<CacheAppendOp>(op) ? cast<CacheAppendOp>(op).getTokens() : op->getOperand(0);
    int64_t width = lastDim(heads);
    bool single = isa<RmsNormOp, LayerNormOp>(op) && width * 2 > kernel.rowElements(heads);
    if (!isa<RotaryOp, CacheAppendOp, RmsNormOp, LayerNormOp>(op) || single)
      return refuse(nameOf(op) + " behind the product needs whole rows of it");
    if (width <= 0 || shift % width != 0)
      return refuse(nameOf(op) + " would get parts of heads");
    int64_t step = (gemvRows + width - 1) / width * width;
    if (band.step % width != 0) {
      if (band.step != gemvRows && band.step != step)
        return refuse("heads of two sizes meet");
      band.step = step;
    }
    return success();
  }

  GroupOp group;
  Block &block;
  std::string &reason;
  GroupKernel kernel;
};

FailureOr<GroupKernel> GroupKernel::of(GroupOp group, std::string &reason) { return GroupKernelBuilder(group, reason).build(); }

std::string GroupKernel::sizeName(BlockArgument argument, size_t axis) {
  return llvm::formatv("s{0}_{1}", argument.getArgNumber(), axis);
}

int64_t GroupKernel::rowElements(Value value) const {
  int64_t all = staticProduct(dimsOf(value.getType()));
  return all % rowFactor == 0 ? all / rowFactor : 0;
}

DimExpr GroupKernel::rowsOf(llvm::function_ref<Dims(unsigned)> sizesOf) const {
  return product(sizesOf(rowBuffer)).dividedBy(DimExpr(rowBufferElements));
}

DimExpr GroupKernel::items(const DimExpr &rows) const {
  if (!form.root)
    return rows;
  int64_t items = 0;
  for (const Band &band : bands)
    items += band.items();
  return DimExpr(items);
}

int64_t GroupKernel::grain() const {
  if (!form.root || rows.empty())
    return 1;
  return std::max<int64_t>(1, columnsWorthPrologue / bands.front().step);
}

int64_t GroupKernel::lhsBytes() const {
  return keepsLhs ? aligned(rowElements(MatmulOp(form.root).getLhs()) * int64_t(sizeof(float))) : 0;
}

int64_t GroupKernel::tileBytes() const {
  int64_t most = 0;
  for (const Band &band : bands)
    most = std::max(most, int64_t(band.products.size()) * band.block * int64_t(sizeof(float)));
  return aligned(most);
}

//===-- Memory ------------------------------------------------------------------------------------------------------===//

std::optional<unsigned> updatedCache(GroupOp group, unsigned result) {
  Value value = group.getBody().front().getTerminator()->getOperand(result);
  if (!isCache(value))
    return std::nullopt;
  while (auto append = value.getDefiningOp<CacheAppendOp>())
    value = append.getCache();
  auto argument = dyn_cast<BlockArgument>(value);
  return argument ? std::optional(argument.getArgNumber()) : std::nullopt;
}

/// Whether `user` reads of `value` its own rows only.
static bool readsRowsOf(const GroupForm &form, Operation *user, Value value) {
  auto use = form.uses.find(user);
  return use != form.uses.end() && llvm::all_of(user->getOpOperands(), [&](OpOperand &operand) {
           return operand.get() != value || use->second.operands[operand.getOperandNumber()] > 0;
         });
}

bool groupCanOverwrite(GroupOp group, unsigned index, unsigned result) {
  Block &block = group.getBody().front();
  Value argument = block.getArgument(index), value = block.getTerminator()->getOperand(result);
  if (isCache(value) || isCache(argument))
    return updatedCache(group, result) == index;
  value = reshapedFrom(value);
  Operation *writer = value.getDefiningOp();
  Type from = argument.getType(), to = value.getType();
  bool alike = bytesOfRow(elementOf(from), 1) == bytesOfRow(elementOf(to), 1) && bytesOfRow(elementOf(to), 1) &&
               llvm::equal(cast<ShapedType>(from).getShape(), cast<ShapedType>(to).getShape());
  if (!writer || !alike || isViewOp(writer) || isa<MatmulOp>(writer) || llvm::count(block.getTerminator()->getOperands(), value) > 1)
    return false;
  FailureOr<GroupForm> form = matchGroup(group);
  if (failed(form))
    return false;
  for (Operation *user : argument.getUsers()) {
    // Behind a product other items read other columns, so the writer must be the one reader, number by number.
    bool only = user == writer && isPointwise(writer);
    bool before = !form->root && !isViewOp(user) && user->isBeforeInBlock(writer) && readsRowsOf(*form, user, argument);
    bool norm = !form->root && user == writer && isa<RmsNormOp, LayerNormOp>(writer) && writer->getOperand(0) == argument &&
                llvm::count(writer->getOperands(), argument) == 1;
    if (!only && !before && !norm)
      return false;
  }
  return !form->root || (value.hasOneUse() && llvm::is_contained(form->epilogue, writer));
}

} // namespace transom::plan
