// Selections stand right behind what they select from, so that a later one of the same value can reuse them. A row-wise
// op whose only reader is a selection is replaced by itself on selected operands, until nothing changes.
#include "passes/SinkLastToken.h"

#include "ir/DimAnalysis.h"
#include "passes/FusedRegion.h"
#include "passes/RefineTypes.h"

#include "llvm/ADT/MapVector.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom {

namespace {

class Sinker {
public:
  Sinker(func::FuncOp function, Value lengths, SinkReach reach) : dims(function), lengths(lengths), reach(reach) {}

  void run(OpOperand &use) {
    use.set(select(use.get(), /*swapped=*/false)->getResult(0));
    while (!done && sinkOne())
      ;
  }

private:
  /// What stands for the chosen tokens of a value [batch, seq, ...], or [seq, batch, ...] if `swapped`.
  struct Selection {
    Operation *op = nullptr;
    bool swapped = false;
    Operation *operator->() const { return op; }
  };
  Selection select(Value value, bool swapped);
  void replace(Value value, Selection selection, Value by);
  bool sinkOne();
  /// Operands of `op` to select tokens from, if it computes each token's row from that token's rows alone.
  std::optional<SmallVector<unsigned>> rowOperands(Operation *op) const;
  std::optional<SmallVector<unsigned>> pointwiseOperands(Operation *op) const;

  DimAnalysis dims;
  Value lengths;
  SinkReach reach;
  bool done = false;
  llvm::MapVector<Value, Selection> selections;
};

Sinker::Selection Sinker::select(Value value, bool swapped) {
  if (Selection known = selections.lookup(value); known.op)
    return known;
  OpBuilder builder(value.getContext());
  builder.setInsertionPointAfterValue(value);
  Operation *selection;
  if (lengths) {
    Value rows = swapped ? swapBatchAndSeq(builder, value) : value;
    selection = builder.create<LastTokenOp>(value.getLoc(), rows, lengths);
  } else {
    SmallVector<int64_t> sizes(cast<RankedTensorType>(value.getType()).getShape());
    sizes.erase(sizes.begin() + (swapped ? 0 : 1));
    SmallVector<int64_t> shape;
    for (int64_t size : sizes)
      shape.push_back(!ShapedType::isDynamic(size) ? size : shape.empty() && !swapped ? 0 : -1);
    selection = builder.create<ReshapeOp>(value.getLoc(), value, builder.getDenseI64ArrayAttr(shape));
  }
  return selections[value] = {selection, swapped};
}

/// Ends the selection from `value`, for which `by` stands now.
void Sinker::replace(Value value, Selection selection, Value by) {
  Operation *rows = selection->getOperand(0).getDefiningOp();
  selection->getResult(0).replaceAllUsesWith(by);
  selections.erase(value);
  selection->erase();
  if (selection.swapped && lengths)
    rows->erase();
}

std::optional<SmallVector<unsigned>> Sinker::pointwiseOperands(Operation *op) const {
  const Dims &result = dims.of(op->getResult(0));
  SmallVector<unsigned> rows;
  for (OpOperand &operand : op->getOpOperands()) {
    const Dims &found = dims.of(operand.get());
    if (found.size() == result.size() && found[0] == result[0] && found[1] == result[1])
      rows.push_back(operand.getOperandNumber());
    else if (found.size() + 2 > result.size())
      return std::nullopt; // reaches the batch or token dimension by broadcasting
  }
  return rows;
}

std::optional<SmallVector<unsigned>> Sinker::rowOperands(Operation *op) const {
  const Dims &result = dims.of(op->getResult(0));
  if (result.size() < 3)
    return std::nullopt;
  if (auto matmul = dyn_cast<MatmulOp>(op))
    return matmul.getRhs().getType().getRank() == 2 ? std::optional(SmallVector<unsigned>{0}) : std::nullopt;
  auto slice = dyn_cast<SliceOp>(op);
  if (isa<RmsNormOp, LayerNormOp>(op) || (slice && slice.getAxis() >= 2))
    return SmallVector<unsigned>{0};
  return isPointwise(op) ? pointwiseOperands(op) : std::nullopt;
}

/// A selection of one token out of a [batch, 1, ...] or [1, batch, ...] tensor writes its shape with at most one size to infer.
static bool isSelectable(Value value, bool swapped) {
  auto shape = cast<RankedTensorType>(value.getType()).getShape();
  return llvm::count_if(shape.drop_front(2), ShapedType::isDynamic) + (swapped && ShapedType::isDynamic(shape[1])) <= 1;
}

static bool swapsFirstTwo(TransposeOp op) {
  ArrayRef<int64_t> permutation = op.getPermutation();
  if (permutation.size() < 2 || permutation[0] != 1 || permutation[1] != 0)
    return false;
  for (size_t axis = 2; axis < permutation.size(); ++axis)
    if (permutation[axis] != int64_t(axis))
      return false;
  return true;
}

/// `op` on operands without the token dimension.
static Operation *cloneForRows(Operation *op, IRMapping &mapping) {
  OpBuilder builder(op);
  if (auto slice = dyn_cast<SliceOp>(op))
    return builder.create<SliceOp>(op->getLoc(), mapping.lookup(slice.getInput()), slice.getAxis() - 1, slice.getStart(), slice.getSize());
  Operation *narrow = cloneRefined(builder, op, mapping);
  assert(narrow && "a row-wise op accepts one row");
  return narrow;
}

bool Sinker::sinkOne() {
  for (auto [value, selection] : selections) { // copies: selecting more moves the table
    Operation *op = value.getDefiningOp();
    if (!op || !value.hasOneUse())
      continue;
    if (auto transpose = dyn_cast<TransposeOp>(op); transpose && swapsFirstTwo(transpose) && isSelectable(transpose.getInput(), !selection.swapped)) {
      Selection below = select(transpose.getInput(), !selection.swapped);
      replace(value, selection, below->getResult(0));
      op->erase();
      return true;
    }
    std::optional<SmallVector<unsigned>> rows = rowOperands(op);
    bool swapped = selection.swapped;
    if (!rows || !llvm::all_of(*rows, [&](unsigned index) { return isSelectable(op->getOperand(index), swapped); }))
      continue;
    IRMapping mapping;
    for (unsigned index : *rows)
      mapping.map(op->getOperand(index), select(op->getOperand(index), swapped)->getResult(0));
    Operation *narrow = cloneForRows(op, mapping);
    done = isa<MatmulOp>(op) && reach == SinkReach::oneMatmul;
    replace(value, selection, narrow->getResult(0));
    op->erase();
    return true;
  }
  return false;
}

} // namespace

Value swapBatchAndSeq(OpBuilder &builder, Value value) {
  auto permutation = llvm::to_vector(llvm::seq<int64_t>(0, cast<RankedTensorType>(value.getType()).getRank()));
  std::swap(permutation[0], permutation[1]);
  return builder.create<TransposeOp>(value.getLoc(), value, builder.getDenseI64ArrayAttr(permutation));
}

void selectToken(func::FuncOp function, OpOperand &use, Value lengths, SinkReach reach) {
  Sinker(function, lengths, reach).run(use);
}

} // namespace transom
