// See GroupBuilder.h.
#include "passes/GroupBuilder.h"

#include "ir/Plan.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

static SmallVector<Operation *> inBlockOrder(const Members &members) {
  SmallVector<Operation *> ordered(members.begin(), members.end());
  llvm::sort(ordered, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return ordered;
}

SmallVector<Operation *> dependentsBetween(const Members &members) {
  SmallVector<Operation *> ordered = inBlockOrder(members), result;
  llvm::SmallPtrSet<Operation *, 16> dependents;
  for (Operation *op = ordered.front(); op != ordered.back(); op = op->getNextNode()) {
    auto depends = [&](Value operand) {
      Operation *producer = operand.getDefiningOp();
      return producer && (members.contains(producer) || dependents.contains(producer));
    };
    if (!members.contains(op) && llvm::any_of(op->getOperands(), depends) && dependents.insert(op).second)
      result.push_back(op);
  }
  return result;
}

bool isConvex(const Members &members) {
  SmallVector<Operation *> between = dependentsBetween(members);
  llvm::SmallPtrSet<Operation *, 16> behind(between.begin(), between.end());
  return llvm::none_of(members, [&](Operation *member) {
    return llvm::any_of(member->getOperands(), [&](Value operand) { return operand.getDefiningOp() && behind.contains(operand.getDefiningOp()); });
  });
}

bool isReadOutside(Value value, const Members &members) {
  return llvm::any_of(value.getUsers(), [&](Operation *user) { return !members.contains(user); });
}

/// The location of `named` first: it names the step.
static Location locationOf(llvm::ArrayRef<Operation *> members, Operation *named) {
  SmallVector<Location> locations = {named->getLoc()};
  for (Operation *op : members)
    locations.push_back(op->getLoc());
  return FusedLoc::get(named->getContext(), locations);
}

GroupOp makeGroup(const Members &members, Operation *named, DimAnalysis &dims) {
  SmallVector<Operation *> ordered = inBlockOrder(members), behind = dependentsBetween(members);
  llvm::SetVector<Value> inputs, results;
  for (Operation *op : ordered) {
    for (Value operand : op->getOperands())
      if (!operand.getDefiningOp() || !members.contains(operand.getDefiningOp()))
        inputs.insert(operand);
    for (Value result : op->getResults())
      if (isReadOutside(result, members))
        results.insert(result);
  }

  OpBuilder builder(ordered.back()->getContext());
  builder.setInsertionPointAfter(ordered.back());
  auto types = llvm::map_to_vector(results, [](Value value) { return value.getType(); });
  auto group = builder.create<GroupOp>(locationOf(ordered, named), types, inputs.getArrayRef());
  Block &body = group.getBody().emplaceBlock();
  for (Value input : inputs.getArrayRef()) {
    BlockArgument argument = body.addArgument(input.getType(), input.getLoc());
    input.replaceUsesWithIf(argument, [&](OpOperand &use) { return members.contains(use.getOwner()); });
  }
  for (auto [index, member] : llvm::enumerate(results))
    Value(member).replaceUsesWithIf(group.getResult(index), [&](OpOperand &use) { return !members.contains(use.getOwner()); });
  for (Operation *op : ordered)
    op->moveBefore(&body, body.end());
  builder.setInsertionPointToEnd(&body);
  builder.create<YieldOp>(named->getLoc(), results.getArrayRef());

  Operation *last = group;
  for (Operation *op : behind) {
    op->moveAfter(last);
    last = op;
  }
  dims.add(*group);
  return group;
}

Cost savedBy(GroupOp group, const DimAnalysis &dims) {
  Cost saved{.bytes = 0, .launches = -1};
  Operation *yield = group.getBody().front().getTerminator();
  for (Operation &op : group.getBody().front().without_terminator()) {
    *saved.launches += !isReshape(&op);
    Value result = op.getResult(0);
    if (isReshape(&op) || llvm::is_contained(yield->getOperands(), result))
      continue;
    Cost cost = costOf(result, dims);
    saved.bytes = saved.bytes && cost.bytes ? std::optional(*saved.bytes + *cost.bytes) : std::nullopt;
  }
  return saved;
}

std::string describe(GroupOp group) {
  SmallVector<llvm::StringRef> names;
  for (Operation &op : group.getBody().front().without_terminator())
    if (names.empty() || names.back() != op.getName().stripDialect())
      names.push_back(op.getName().stripDialect());
  return llvm::join(names, ", ");
}

Cost costOf(Value intermediate, const DimAnalysis &dims) {
  auto module = intermediate.getParentRegion()->getParentOfType<ModuleOp>();
  std::optional<int64_t> bytes = plan::bytesAtBounds(module, intermediate.getType(), dims.of(intermediate));
  return {.bytes = bytes ? std::optional(2 * *bytes) : std::nullopt, .launches = 1};
}

} // namespace transom
