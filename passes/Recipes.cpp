// See Recipes.h.
#include "passes/Recipes.h"

#include "ir/Plan.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using llvm::SmallVector;
using llvm::ArrayRef;
using llvm::StringRef;

namespace transom {

namespace {

constexpr int64_t smallBytes = 1 << 20;
/// Largest intermediate tensor of a recipe, in multiples of what it reads.
constexpr int64_t growth = 4;

using Slice = llvm::SetVector<Operation *>;

bool isSource(Operation *op) { return isa<WeightOp, ConstantOp, RecipeOp>(op); }

/// Whether `op` may stand in a recipe, its operands aside.
bool isAllowed(Operation *op) {
  if (!isa<TransomDialect>(op->getDialect()) || op->getNumRegions() != 0 || op->getNumResults() != 1 || isSource(op))
    return false;
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  return type && type.hasStaticShape() && isPure(op) && !isa<MatmulOp, AttentionOp, YieldOp>(op);
}

/// `root` and everything it is computed from, operands first.
void sliceOf(Operation *root, Slice &slice) {
  if (slice.contains(root))
    return;
  for (Value operand : root->getOperands())
    sliceOf(operand.getDefiningOp(), slice);
  slice.insert(root);
}

/// Bytes of the op's result, as the artifact would store it; more than any limit where that overflows.
int64_t storedBytes(Operation *op) {
  Type type = op->getResult(0).getType();
  return plan::bytesAtBounds(op->getParentOfType<ModuleOp>(), type, dimsOf(type)).value_or(INT64_MAX);
}

/// Succeeds if `slice`, whose last op is the result, is cheap enough to store. Says why not otherwise.
std::optional<std::string> whyTooLarge(const Slice &slice) {
  int64_t sources = 0;
  for (Operation *op : slice)
    if (isSource(op))
      sources = std::min(sources, INT64_MAX - storedBytes(op)) + storedBytes(op);
  int64_t limit = std::max(sources, smallBytes);
  auto report = [](auto &&...parts) {
    std::string text;
    llvm::raw_string_ostream stream(text);
    (stream << ... << parts);
    return text;
  };
  if (storedBytes(slice.back()) > limit)
    return report("its result of ", slice.back()->getResult(0).getType(), " is larger than what it reads, expected at most ",
                  limit, " bytes");
  for (Operation *op : slice)
    if (!isSource(op) && storedBytes(op) / growth > limit)
      return report("a step of ", op->getResult(0).getType(), " is more than ", growth, " times larger than what it reads");
  return std::nullopt;
}

/// "blk.0.norm.weight.transpose.cast": the weights, then what is done to them.
std::string describeSlice(const Slice &slice) {
  SmallVector<StringRef> sources, steps;
  for (Operation *op : slice) {
    if (auto weight = dyn_cast<WeightOp>(op))
      sources.push_back(weight.getName());
    else if (auto recipe = dyn_cast<RecipeOp>(op))
      sources.push_back(recipe.getName());
    else if (!isa<ConstantOp>(op) && (steps.empty() || steps.back() != op->getName().stripDialect()))
      steps.push_back(op->getName().stripDialect());
  }
  // A few weights are named all, many by the first and their number; of a long way the end.
  constexpr size_t namedSources = 3, namedSteps = 4;
  std::string name;
  llvm::raw_string_ostream stream(name);
  if (sources.empty())
    stream << "constant";
  else if (sources.size() <= namedSources)
    llvm::interleave(sources, stream, "+");
  else
    stream << sources.front() << "+" << sources.size() - 1;
  for (StringRef step : ArrayRef(steps).take_back(namedSteps))
    stream << "." << step;
  return name;
}

RecipeOp createRecipe(const Slice &slice) {
  Operation *root = slice.back();
  OpBuilder builder(root);
  auto recipe = builder.create<RecipeOp>(root->getLoc(), root->getResult(0).getType(), "unnamed");
  builder.setInsertionPointToStart(&recipe.getBody().emplaceBlock());
  IRMapping mapping;
  for (Operation *op : slice) {
    auto inner = dyn_cast<RecipeOp>(op);
    if (!inner) {
      builder.clone(*op, mapping);
      continue;
    }
    Block &body = inner.getBody().front();
    for (Operation &step : body.without_terminator())
      builder.clone(step, mapping);
    mapping.map(inner.getResult(), mapping.lookup(cast<YieldOp>(body.getTerminator()).getValue()));
  }
  builder.create<YieldOp>(root->getLoc(), mapping.lookup(root->getResult(0)));
  return recipe;
}

} // namespace

RecipeNames::RecipeNames(ModuleOp module) {
  module.walk([&](Operation *op) {
    if (auto weight = dyn_cast<WeightOp>(op))
      taken.insert(weight.getName());
    else if (auto recipe = dyn_cast<RecipeOp>(op))
      taken.insert(recipe.getName());
  });
}

void RecipeNames::assign(RecipeOp recipe, StringRef wish) {
  std::string body;
  llvm::raw_string_ostream stream(body);
  recipe.print(stream, OpPrintingFlags().useLocalScope());
  std::string &name = byBody[body];
  if (name.empty()) {
    name = wish.str();
    for (int copy = 2; !taken.insert(name).second; ++copy)
      name = wish.str() + "." + std::to_string(copy);
  }
  recipe.setName(name);
}

RecipeOp makeRecipe(Operation *op, RecipeNames &names) {
  Slice slice;
  sliceOf(op, slice);
  RecipeOp recipe = createRecipe(slice);
  names.assign(recipe, describeSlice(slice));
  return recipe;
}

void makeRecipes(func::FuncOp function, RecipeNames &names, const Reporter &reporter) {
  llvm::DenseSet<Operation *> fixed; // computable from weights and constants alone
  SmallVector<Operation *> order;
  for (Operation &op : function.getBody().front()) {
    auto isFixed = [&](Value operand) {
      Operation *producer = operand.getDefiningOp();
      return producer && (isSource(producer) || fixed.contains(producer));
    };
    if (isAllowed(&op) && op.getNumOperands() != 0 && llvm::all_of(op.getOperands(), isFixed)) {
      fixed.insert(&op);
      order.push_back(&op);
    }
  }
  // Users come before their operands: an op that stays makes its operands needed.
  for (Operation *op : llvm::reverse(order)) {
    auto isNeeded = [&](Operation *user) { return !fixed.contains(user); };
    if (llvm::none_of(op->getUsers(), isNeeded))
      continue;
    Slice slice;
    sliceOf(op, slice);
    if (std::optional<std::string> reason = whyTooLarge(slice)) {
      reporter.reject(op, "not stored ahead of time: " + *reason);
      fixed.erase(op);
      continue;
    }
    RecipeOp recipe = createRecipe(slice);
    names.assign(recipe, describeSlice(slice));
    reporter.applied(recipe, "stored ahead of time as " + recipe.getName());
    op->getResult(0).replaceUsesWithIf(recipe.getResult(), [&](OpOperand &use) { return isNeeded(use.getOwner()); });
  }
}

} // namespace transom
