// See Views.h.
#include "passes/Views.h"

#include "ir/DimAnalysis.h"
#include "passes/Permutations.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace transom {

void joinReshapes(func::FuncOp function) {
  DimAnalysis dims(function);
  for (auto op : llvm::make_early_inc_range(function.getBody().front().getOps<ReshapeOp>())) {
    Operation *inner = op.getInput().getDefiningOp();
    if (!isa_and_nonnull<ReshapeOp, SplitRowsOp>(inner))
      continue;
    Value source = inner->getOperand(0);
    const Dims &from = dims.of(source), &to = dims.of(op);
    if (source.getType() == op.getType() && llvm::equal(from, to)) {
      op.replaceAllUsesWith(source);
      op.erase();
    } else if (auto shape = reshapeShape(from, to)) {
      op.getInputMutable().assign(source);
      op.setShape(*shape);
    }
  }
}

void eraseDead(func::FuncOp function) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
    if (isOpTriviallyDead(&op))
      op.erase();
}

} // namespace transom
