// Selections stand right behind what they select from, so that a later one of the same value can reuse them. A row-wise
// op whose only reader is a selection is replaced by itself on selected operands, until nothing changes.
#include "passes/SinkLastToken.h"

#include "ir/DimAnalysis.h"
#include "passes/FusedRegion.h"
#include "passes/RefineTypes.h"

#include "llvm/ADT/MapVector.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

namespace {

class Sinker {
public:
  Sinker(func::FuncOp function, Value lengths, SinkReach reach) : dims(function), lengths(lengths), reach(reach) {}

  void run(OpOperand &use) {
    use.set(select(use.get()));
    while (!done && sinkOne())
      ;
  }

private:
  Value select(Value value);
  bool sinkOne();
  /// Operands of `op` to select tokens from, if it computes each token's row from that token's rows alone.
  std::optional<SmallVector<unsigned>> rowOperands(Operation *op) const;
  std::optional<SmallVector<unsigned>> pointwiseOperands(Operation *op) const;

  DimAnalysis dims;
  Value lengths;
  SinkReach reach;
  bool done = false;
  llvm::MapVector<Value, Operation *> selections;
};

Value Sinker::select(Value value) {
  if (Operation *known = selections.lookup(value))
    return known->getResult(0);
  OpBuilder builder(value.getContext());
  builder.setInsertionPointAfterValue(value);
  Operation *selection;
  if (lengths) {
    selection = builder.create<LastTokenOp>(value.getLoc(), value, lengths);
  } else {
    SmallVector<int64_t> shape = {0};
    for (int64_t size : cast<RankedTensorType>(value.getType()).getShape().drop_front(2))
      shape.push_back(ShapedType::isDynamic(size) ? -1 : size);
    selection = builder.create<ReshapeOp>(value.getLoc(), value, builder.getDenseI64ArrayAttr(shape));
  }
  selections[value] = selection;
  return selection->getResult(0);
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
  if (isa<RmsNormOp, LayerNormOp>(op))
    return SmallVector<unsigned>{0};
  return isPointwise(op) ? pointwiseOperands(op) : std::nullopt;
}

/// A selection of one token out of a [batch, 1, ...] tensor writes its shape with at most one dynamic size.
static bool isSelectable(Value value) {
  auto shape = cast<RankedTensorType>(value.getType()).getShape();
  return llvm::count_if(shape.drop_front(2), ShapedType::isDynamic) <= 1;
}

bool Sinker::sinkOne() {
  for (auto [value, selection] : selections) { // copies: selecting more moves the table
    Operation *op = value.getDefiningOp();
    if (!op || !value.hasOneUse())
      continue;
    std::optional<SmallVector<unsigned>> rows = rowOperands(op);
    if (!rows || !llvm::all_of(*rows, [&](unsigned index) { return isSelectable(op->getOperand(index)); }))
      continue;
    IRMapping mapping;
    for (unsigned index : *rows)
      mapping.map(op->getOperand(index), select(op->getOperand(index)));
    OpBuilder builder(op);
    Operation *narrow = cloneRefined(builder, op, mapping);
    assert(narrow && "a row-wise op accepts one row");
    done = isa<MatmulOp>(op) && reach == SinkReach::oneMatmul;
    selection->getResult(0).replaceAllUsesWith(narrow->getResult(0));
    selections.erase(value);
    selection->erase();
    op->erase();
    return true;
  }
  return false;
}

} // namespace

void selectToken(func::FuncOp function, OpOperand &use, Value lengths, SinkReach reach) {
  Sinker(function, lengths, reach).run(use);
}

} // namespace transom
