// See Group.h.
#include "ir/Group.h"

#include "llvm/ADT/SmallPtrSet.h"

using namespace mlir;

namespace transom {

FailureOr<GroupForm> matchGroup(GroupOp group) {
  GroupForm form;
  Block &block = group.getBody().front();
  for (auto matmul : block.getOps<MatmulOp>()) {
    if (form.root)
      return failure();
    form.root = matmul;
  }
  llvm::SmallPtrSet<Operation *, 8> before;
  if (form.root)
    before.insert(form.root.getLhs().getDefiningOp());
  for (Operation &op : llvm::reverse(block))
    if (before.contains(&op))
      for (Value operand : op.getOperands())
        before.insert(operand.getDefiningOp());
  for (Operation &op : block.without_terminator())
    if (&op != form.root)
      (before.contains(&op) ? form.prologue : form.epilogue).push_back(&op);
  return form;
}

} // namespace transom
