// See PlanGroups.h.
#include "passes/PlanGroups.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

bool isLibraryWeight(Type type) {
  return isa<BlockType, Float32Type, Float16Type, BFloat16Type>(elementOf(type));
}

/// inlineGroup(), and what the ops became.
static void inlineBody(GroupOp group, IRMapping &mapping) {
  OpBuilder builder(group);
  mapping.map(group.getBody().getArguments(), group.getInputs());
  Block &block = group.getBody().front();
  for (Operation &op : block.without_terminator())
    builder.clone(op, mapping);
  for (auto [result, value] : llvm::zip(group.getResults(), block.getTerminator()->getOperands()))
    result.replaceAllUsesWith(mapping.lookup(value));
  group.erase();
}

/// Makes a group of ops that only later ones read, in the place of the last; `first`, if any, is its first input.
static GroupOp wrap(ArrayRef<Operation *> ops, Value first) {
  llvm::SmallPtrSet<Operation *, 8> inside(ops.begin(), ops.end());
  llvm::SetVector<Value> inputs, results;
  if (first)
    inputs.insert(first);
  for (Operation *op : ops) {
    for (Value operand : op->getOperands())
      if (!inside.contains(operand.getDefiningOp()))
        inputs.insert(operand);
    for (Value result : op->getResults())
      if (llvm::any_of(result.getUsers(), [&](Operation *user) { return !inside.contains(user); }))
        results.insert(result);
  }
  OpBuilder builder(ops.back()->getContext());
  builder.setInsertionPointAfter(ops.back());
  auto locations = llvm::map_to_vector(ops, [](Operation *op) { return op->getLoc(); });
  auto group = builder.create<GroupOp>(builder.getFusedLoc(locations), ValueRange(results.getArrayRef()).getTypes(), inputs.getArrayRef());
  Block &body = group.getBody().emplaceBlock();
  IRMapping mapping;
  for (Value input : inputs)
    mapping.map(input, body.addArgument(input.getType(), input.getLoc()));
  builder.setInsertionPointToEnd(&body);
  for (Operation *op : ops)
    builder.clone(*op, mapping);
  builder.create<YieldOp>(group.getLoc(), llvm::map_to_vector(results, [&](Value value) { return mapping.lookup(value); }));
  for (auto [value, result] : llvm::zip(results.takeVector(), group.getResults()))
    value.replaceUsesWithIf(result, [&](OpOperand &use) { return !inside.contains(use.getOwner()); });
  for (Operation *op : llvm::reverse(ops))
    op->erase();
  return group;
}

/// What ops of an inlined body became.
static SmallVector<Operation *> mapped(ArrayRef<Operation *> ops, IRMapping &mapping) {
  return llvm::map_to_vector(ops, [&](Operation *op) { return mapping.lookup(op); });
}

static bool hasKernel(GroupOp group) {
  std::string reason;
  return succeeded(plan::GroupKernel::of(group, reason));
}
static void inlineUnlessKernel(GroupOp group) {
  if (!hasKernel(group))
    inlineGroup(group);
}

/// Whether the matrix library can compute the root, and what comes before it nothing but its lhs.
static bool suitsLibrary(GroupForm form) {
  auto rhs = dyn_cast<BlockArgument>(form.root.getRhs());
  return rhs && plan::isGemv(form.root) && isLibraryWeight(rhs.getType()) && llvm::all_of(form.prologue, [&](Operation *op) {
           return llvm::none_of(op->getUsers(), [&](Operation *user) { return llvm::is_contained(form.epilogue, user); });
         });
}

/// The matrix library computes the root: the ops around it in groups of their own.
static void split(GroupOp group, GroupForm form, llvm::DenseMap<Operation *, GroupOp> &epilogues) {
  IRMapping mapping;
  inlineBody(group, mapping);
  SmallVector<Operation *> before = mapped(form.prologue, mapping), behind = mapped(form.epilogue, mapping);
  Operation *root = mapping.lookup(form.root.getOperation());
  if (before.size() > 1) // a single op has a kernel of its own, shared with its equals
    inlineUnlessKernel(wrap(before, Value()));
  if (behind.empty())
    return;
  GroupOp epilogue = wrap(behind, root->getResult(0));
  bool alone = llvm::all_of(root->getUsers(), [&](Operation *user) { return user == epilogue; });
  if (!hasKernel(epilogue))
    inlineGroup(epilogue);
  else if (alone && epilogue.getNumOperands() + epilogue.getNumResults() <= plan::maxEpilogueBuffers)
    epilogues[root] = epilogue;
}

/// Whether one kernel computes all of the group.
static bool staysWhole(GroupOp group, const DimAnalysis &dims) {
  std::string reason;
  FailureOr<plan::GroupKernel> kernel = plan::GroupKernel::of(group, reason);
  if (failed(kernel))
    return false;
  DimExpr rows = kernel->rowsOf([&](unsigned index) { return dims.of(group.getInputs()[index]); });
  auto module = group->getParentOfType<ModuleOp>();
  return !kernel->form.root || maximumOf(module, rows).value_or(maxGemvRows + 1) <= maxGemvRows;
}

llvm::DenseMap<Operation *, GroupOp> prepareGroups(func::FuncOp function) {
  llvm::DenseMap<Operation *, GroupOp> epilogues;
  DimAnalysis dims(function);
  // All questions before the first change: it makes values that the analysis does not know.
  SmallVector<GroupOp> apart;
  for (GroupOp group : function.getBody().front().getOps<GroupOp>())
    if (!staysWhole(group, dims))
      apart.push_back(group);
  for (GroupOp group : apart) {
    // Without a kernel for all of it the parts may still have one each.
    FailureOr<GroupForm> form = matchGroup(group);
    if (succeeded(form) && form->root && suitsLibrary(*form))
      split(group, *form, epilogues);
    else
      inlineGroup(group);
  }
  return epilogues;
}

} // namespace transom
