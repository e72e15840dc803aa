// See PlanWeights.h.
#include "passes/PlanWeights.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using llvm::StringRef;

namespace transom {

bool isWeightLike(Operation *op) { return isa_and_nonnull<WeightOp, RecipeOp, ConstantOp>(op); }

WeightTable::WeightTable(ModuleOp module) : module(module) {
  module.walk([&](Operation *op) {
    if (auto weight = dyn_cast<WeightOp>(op))
      taken.insert(weight.getName());
    else if (auto recipe = dyn_cast<RecipeOp>(op))
      taken.insert(recipe.getName());
  });
}

FailureOr<StringRef> WeightTable::declare(Operation *op) {
  if (auto weight = dyn_cast<WeightOp>(op))
    return add(create(op, weight.getNameAttr(), {}));
  if (auto constant = dyn_cast<ConstantOp>(op))
    return declareConstant(constant);
  auto recipe = cast<RecipeOp>(op);
  plan::WeightOp weight = create(op, recipe.getNameAttr(), {});
  IRMapping mapping;
  recipe.getBody().cloneInto(&weight.getRecipe(), mapping);
  Operation *yield = weight.getRecipe().front().getTerminator();
  OpBuilder(yield).create<plan::YieldOp>(yield->getLoc(), yield->getOperands());
  yield->erase();
  return add(weight);
}

plan::WeightOp WeightTable::create(Operation *op, StringAttr name, ElementsAttr value) {
  return OpBuilder::atBlockEnd(module.getBody())
      .create<plan::WeightOp>(op->getLoc(), name, TypeAttr::get(op->getResult(0).getType()), value);
}

StringRef WeightTable::declareConstant(ConstantOp op) {
  plan::WeightOp &known = constants[op.getValueAttr()];
  if (!known) {
    std::string name;
    for (size_t number = constants.size() - 1; name.empty() || !taken.insert(name).second; ++number)
      name = "constant." + std::to_string(number);
    known = create(op, StringAttr::get(op.getContext(), name), op.getValueAttr());
    ordered.push_back(known);
  }
  return known.getName();
}

static std::string text(Operation *op) {
  std::string result;
  llvm::raw_string_ostream stream(result);
  op->print(stream, OpPrintingFlags().useLocalScope());
  return result;
}

FailureOr<StringRef> WeightTable::add(plan::WeightOp weight) {
  auto [entry, isNew] = byName.try_emplace(weight.getName(), weight);
  if (isNew) {
    ordered.push_back(weight);
    return weight.getName();
  }
  if (text(weight) != text(entry->second))
    return weight.emitError("two different tensors are named \"") << weight.getName() << '"';
  weight->erase();
  return entry->second.getName();
}

} // namespace transom
