// See PlanGroups.h.
#include "passes/PlanGroups.h"

#include "passes/GroupBuilder.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

bool isLibraryWeight(Type type) {
  return isa<BlockType, Float8E4M3FNType, Float32Type, Float16Type, BFloat16Type>(elementOf(type));
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

//===-- Reports -----------------------------------------------------------------------------------------------------===//

/// What it costs that `ops` of a group's body are steps of their own.
static Cost costApart(ArrayRef<Operation *> ops, const DimAnalysis &dims) {
  Cost cost{.bytes = 0, .launches = -1};
  for (Operation *op : ops) {
    if (isa<ReshapeOp>(op))
      continue;
    ++*cost.launches;
    if (llvm::none_of(op->getUsers(), [&](Operation *user) { return llvm::is_contained(ops, user); }))
      continue;
    std::optional<int64_t> bytes = costOf(op->getResult(0), dims).bytes;
    cost.bytes = bytes && cost.bytes ? std::optional(*cost.bytes + *bytes) : std::nullopt;
  }
  cost.launches = std::max<int64_t>(*cost.launches, 0);
  return cost;
}

/// What it costs that a product is a step between those of the ops before and behind it.
static Cost costOfParts(GroupForm form, const DimAnalysis &dims) {
  SmallVector<Operation *> parts = {form.root};
  if (!form.prologue.empty())
    parts.push_back(form.prologue.back());
  if (!form.epilogue.empty())
    parts.push_back(form.epilogue.front());
  return costApart(parts, dims);
}

/// A part of a group, and what falls apart with it.
struct Part {
  SmallVector<Operation *> ops; ///< while their group is whole, afterwards what they became
  Cost cost;
};

//===-- Taking apart ------------------------------------------------------------------------------------------------===//

namespace {

class Preparation {
public:
  Preparation(func::FuncOp function, const Reporter &reporter) : function(function), reporter(reporter), dims(function) {}

  llvm::DenseMap<Operation *, GroupOp> run() {
    // All questions before the first change: it makes values that the analysis does not know.
    SmallVector<std::pair<GroupOp, std::string>> apart;
    for (GroupOp group : function.getBody().front().getOps<GroupOp>()) {
      std::string why;
      if (!staysWhole(group, why))
        apart.push_back({group, why});
    }
    for (auto &[group, why] : apart)
      takeApart(group, why);
    return std::move(epilogues);
  }

private:
  bool staysWhole(GroupOp group, std::string &why);
  void takeApart(GroupOp group, std::string why);
  void split(GroupOp group, GroupForm form);
  GroupOp wrapUnlessRefused(const Part &part, Value first);

  func::FuncOp function;
  const Reporter &reporter;
  DimAnalysis dims;
  llvm::DenseMap<Operation *, GroupOp> epilogues;
};

/// Whether one kernel computes all of the group. If not, `why` says why none does; empty where the matrix library computes
/// the product whatever a kernel could do.
bool Preparation::staysWhole(GroupOp group, std::string &why) {
  FailureOr<GroupForm> form = matchGroup(group, &why);
  bool few = true;
  if (succeeded(form) && form->root) {
    DimExpr rows = product(llvm::ArrayRef(dims.of(form->root.getLhs())).drop_back());
    few = maximumOf(group->getParentOfType<ModuleOp>(), rows).value_or(maxGemvRows + 1) <= maxGemvRows;
  }
  return few && succeeded(plan::GroupKernel::of(group, why));
}

/// Why the matrix library cannot compute the root, or what comes before it makes more than its lhs; empty if it can.
static std::string whyNoLibrary(GroupForm form) {
  auto rhs = dyn_cast<BlockArgument>(form.root.getRhs());
  if (!rhs || !plan::isGemv(form.root) || !isLibraryWeight(rhs.getType()))
    return "the matrix library does not read the weight of its product";
  for (Operation *op : form.prologue)
    if (llvm::any_of(op->getUsers(), [&](Operation *user) { return llvm::is_contained(form.epilogue, user); }))
      return "what comes before the product is used behind it";
  return "";
}

void Preparation::takeApart(GroupOp group, std::string why) {
  FailureOr<GroupForm> form = matchGroup(group);
  std::string whyNot = succeeded(form) && form->root ? whyNoLibrary(*form) : why;
  bool splits = succeeded(form) && form->root && whyNot.empty();
  if (why.empty())
    why = whyNot; // many rows: a kernel would not do
  auto body = llvm::map_to_vector(group.getBody().front().without_terminator(), [](Operation &op) { return &op; });
  if (!why.empty())
    reporter.reject(group, "G1: expected a kernel for all of it, found none: " + why, splits ? costOfParts(*form, dims) : costApart(body, dims));
  if (splits) // without a kernel for all of it the parts may still have one each
    split(group, *form);
  else
    inlineGroup(group);
}

/// Ops as one group if a kernel computes it, else null: they stay as they are.
GroupOp Preparation::wrapUnlessRefused(const Part &part, Value first) {
  GroupOp group = wrap(part.ops, first);
  std::string why;
  if (succeeded(plan::GroupKernel::of(group, why)))
    return group;
  reporter.reject(group, "G2: expected a kernel for one side of the product, found none: " + why, part.cost);
  inlineGroup(group);
  return {};
}

/// The matrix library computes the root: the ops around it in groups of their own.
void Preparation::split(GroupOp group, GroupForm form) {
  Part before{form.prologue, costApart(form.prologue, dims)}, behind{form.epilogue, costApart(form.epilogue, dims)};
  Cost ofProduct = costOf(form.root, dims);
  IRMapping mapping;
  inlineBody(group, mapping);
  before.ops = mapped(form.prologue, mapping), behind.ops = mapped(form.epilogue, mapping);
  Operation *root = mapping.lookup(form.root.getOperation());
  if (before.ops.size() > 1) // a single op has a kernel of its own, shared with its equals
    wrapUnlessRefused(before, Value());
  if (behind.ops.empty())
    return;
  GroupOp epilogue = wrapUnlessRefused(behind, root->getResult(0));
  if (!epilogue)
    return;
  size_t buffers = epilogue.getNumOperands() + epilogue.getNumResults();
  if (llvm::any_of(root->getUsers(), [&](Operation *user) { return user != epilogue; }))
    reporter.reject(epilogue, "G3: expected no other reader of the product", ofProduct);
  else if (buffers > plan::maxEpilogueBuffers)
    reporter.reject(epilogue, "G3: expected at most " + llvm::Twine(plan::maxEpilogueBuffers) + " buffers, found " + llvm::Twine(buffers), ofProduct);
  else
    epilogues[root] = epilogue;
}

} // namespace

llvm::DenseMap<Operation *, GroupOp> prepareGroups(func::FuncOp function, const Reporter &reporter) {
  return Preparation(function, reporter).run();
}

} // namespace transom
