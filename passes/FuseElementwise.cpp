// fuse-elementwise:
// 1. Walk each function, and each group, backwards and put every pointwise op into the groups of its readers, if all of them are
//    pointwise and iterate over its shape; an op read by several groups joins only if it costs nothing to repeat.
//    Otherwise it roots a group of its own.
// 2. Replace each group of more than one op by a fused op in its root's place.
// 3. Fold and merge equal scalars inside the regions.
#include "ir/DimAnalysis.h"
#include "passes/FusedRegion.h"
#include "passes/Passes.h"
#include "passes/Report.h"

#include "mlir/IR/Dominance.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

#define GEN_PASS_DEF_FUSEELEMENTWISEPASS
#include "passes/Passes.h.inc"

namespace {

/// Ops and inputs of one region: beyond these a kernel runs out of registers before it saves memory traffic.
constexpr size_t maxMembers = 32, maxInputs = 16;

using Operations = llvm::SmallSetVector<Operation *, 4>;

class Grouping {
public:
  Grouping(Block &block, const DimAnalysis &dims, const Reporter &reporter) : dims(dims), reporter(reporter) {
    for (Operation &op : llvm::reverse(block))
      if (isPointwise(&op))
        place(&op);
  }

  /// Root of each group to the ops computed inside its region; later roots first.
  llvm::MapVector<Operation *, Operations> inlined;

private:
  void place(Operation *op);
  /// The groups of all readers; empty, after a report, if `op` cannot be in all of them.
  Operations groupsOfReaders(Operation *op);
  bool fits(Operation *op, Operation *root);
  size_t inputsWith(Operation *root, Operation *added);

  const DimAnalysis &dims;
  const Reporter &reporter;
  llvm::DenseMap<Operation *, Operations> rootsOf;
};

/// Widening casts: reading the narrow input again is cheaper than writing and reading the wide result.
bool isFree(Operation *op) {
  auto cast = dyn_cast<CastOp>(op);
  auto bits = [](Value value) { return elementOf(value.getType()).getIntOrFloatBitWidth(); };
  return cast && bits(cast.getInput()) <= bits(cast.getResult());
}

void Grouping::place(Operation *op) {
  Operations roots = groupsOfReaders(op);
  if (roots.empty()) {
    roots.insert(op);
    inlined[op];
  } else {
    for (Operation *root : roots)
      inlined[root].insert(op);
  }
  rootsOf[op] = roots;
}

Operations Grouping::groupsOfReaders(Operation *op) {
  Operations roots;
  Operation *other = nullptr;
  for (Operation *reader : op->getUsers()) {
    auto group = rootsOf.find(reader);
    if (group != rootsOf.end())
      roots.insert(group->second.begin(), group->second.end());
    else
      other = reader;
  }
  if (roots.empty())
    return roots;
  if (other) {
    reporter.reject(op, "F1: expected only elementwise readers, found '" + other->getName().getStringRef() + "'");
    return {};
  }
  if (roots.size() > 1 && !isFree(op)) {
    reporter.reject(op, "F2: expected readers that fuse into one op, found " + llvm::Twine(roots.size()) + " that do not");
    return {};
  }
  return llvm::all_of(roots, [&](Operation *root) { return fits(op, root); }) ? roots : Operations();
}

bool Grouping::fits(Operation *op, Operation *root) {
  // Sizes must be known to be equal: an element computed twice is work repeated, and a size that may be 1 may broadcast.
  const Dims &mine = dims.of(op->getResult(0)), &theirs = dims.of(root->getResult(0));
  if (mine.size() != theirs.size() || !std::equal(mine.begin(), mine.end(), theirs.begin())) {
    reporter.reject(op, "F3: expected its reader's shape " + str(theirs) + ", found " + str(mine));
    return false;
  }
  if (inlined[root].size() + 1 >= maxMembers || inputsWith(root, op) > maxInputs) {
    reporter.reject(op, "F4: expected at most " + llvm::Twine(maxMembers) + " ops and " + llvm::Twine(maxInputs) + " inputs in one region");
    return false;
  }
  return true;
}

size_t Grouping::inputsWith(Operation *root, Operation *added) {
  Operations members = inlined[root];
  members.insert(root);
  members.insert(added);
  llvm::SmallDenseSet<Value> inputs;
  for (Operation *member : members)
    for (Value operand : member->getOperands())
      if (!operand.getDefiningOp() || !members.contains(operand.getDefiningOp()))
        inputs.insert(operand);
  return inputs.size();
}

class FuseElementwisePass : public impl::FuseElementwisePassBase<FuseElementwisePass> {
  using FuseElementwisePassBase::FuseElementwisePassBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isExternal())
      return;
    DimAnalysis dims(function);
    for (GroupOp group : function.getBody().front().getOps<GroupOp>())
      fuse(group.getBody().front(), dims);
    fuse(function.getBody().front(), dims);
    GreedyRewriteConfig config;
    config.enableRegionSimplification = GreedySimplifyRegionLevel::Disabled;
    if (failed(applyPatternsAndFoldGreedily(function, FrozenRewritePatternSet(), config)))
      return signalPassFailure();
    IRRewriter rewriter(&getContext());
    DominanceInfo dominance(function);
    eliminateCommonSubExpressions(rewriter, dominance, function);
  }

  void fuse(Block &block, const DimAnalysis &dims) {
    Reporter reporter(getArgument(), report);
    Grouping grouping(block, dims, reporter);
    for (auto &[root, members] : grouping.inlined) {
      if (members.empty())
        continue;
      OpBuilder builder(root);
      llvm::SmallPtrSet<Operation *, 8> inlined(members.begin(), members.end());
      FusedOp fused = buildFused(builder, root, inlined);
      reporter.applied(fused, llvm::Twine(members.size() + 1) + " elementwise ops became one");
      root->getResult(0).replaceAllUsesWith(fused.getResult());
      root->erase();
      // Members stand before their readers; one that another group holds too stays until that group is built.
      for (Operation *member : members)
        if (member->use_empty())
          member->erase();
    }
  }
};

} // namespace
} // namespace transom
