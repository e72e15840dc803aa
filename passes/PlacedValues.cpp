// See PlacedValues.h.
#include "passes/PlacedValues.h"

#include "ir/Plan.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom {

bool isStored(Value value) { return isa_and_nonnull<WeightOp, RecipeOp, ConstantOp>(value.getDefiningOp()); }

PlacedValues::PlacedValues(func::FuncOp function, RecipeNames &names)
    : dims(function), module(function->getParentOfType<ModuleOp>()), names(names) {}

Placed PlacedValues::at(Value value) const {
  auto found = places.find(value);
  if (found != places.end())
    return found->second;
  return {value, identityPermutation(dims.of(value).size())};
}

Dims PlacedValues::baseDims(Value value) const { return permuted(dims.of(value), inverse(at(value).order)); }

Permutation PlacedValues::wayTo(Value value, ArrayRef<int64_t> order) const {
  return compose(at(value).order, inverse(order));
}

int64_t PlacedValues::costOf(Value value, ArrayRef<int64_t> order) const {
  Permutation way = wayTo(value, order);
  Placed placed = at(value);
  if (movesOnlyUnits(way, baseDims(value)))
    return 0;
  if (isStored(placed.base) && !isa<BlockType>(elementOf(placed.base.getType())))
    return 0;
  int64_t bytes = plan::bytesAtBounds(module, placed.base.getType(), baseDims(value)).value_or(0);
  return bytes < INT64_MAX / 4 ? std::max<int64_t>(2 * bytes, 1) : INT64_MAX / 2;
}

Value PlacedValues::reshape(Value base, const Dims &from, const Dims &to, Operation *before) {
  auto shape = reshapeShape(from, to);
  if (!shape)
    return {};
  auto type = RankedTensorType::get(shapeOf(to), elementOf(base.getType()));
  if (type == base.getType() && llvm::all_of_zip(from, to, [](const DimExpr &a, const DimExpr &b) { return a == b || a.isUnknown(); }))
    return base;
  OpBuilder builder(before);
  return keep(builder.create<ReshapeOp>(before->getLoc(), type, base, *shape));
}

Value PlacedValues::settle(Value value, ArrayRef<int64_t> order, Operation *stop, const llvm::Twine &condition) {
  Placed placed = at(value);
  Permutation way = wayTo(value, order);
  if (isIdentity(way))
    return placed.base;
  OpBuilder builder(stop);
  Value &known = settled[{placed.base, builder.getDenseI64ArrayAttr(way)}];
  if (known)
    return known;
  Dims from = baseDims(value), to = permuted(from, way);
  if (movesOnlyUnits(way, from))
    if (Value view = reshape(placed.base, from, to, stop))
      return known = view;
  if (isStored(placed.base))
    if (Value weight = transposedWeight(placed.base, way, stop))
      return known = weight;
  if (!movesOnlyUnits(way, from))
    stopped.push_back({stop, condition.str(), costOf(value, order)});
  auto type = RankedTensorType::get(shapeOf(permuted(transom::dimsOf(placed.base.getType()), way)), elementOf(placed.base.getType()));
  return known = keep(builder.create<TransposeOp>(value.getLoc(), type, placed.base, way));
}

Value PlacedValues::settle(Value value, Operation *stop, const llvm::Twine &condition) {
  if (!isa<RankedTensorType>(value.getType()))
    return at(value).base;
  return settle(value, identityPermutation(dims.of(value).size()), stop, condition);
}

/// The transpose that a recipe ends with; null if it does not, or uses it for more.
static TransposeOp lastTranspose(RecipeOp recipe) {
  if (!recipe)
    return {};
  auto last = cast<YieldOp>(recipe.getBody().front().getTerminator()).getValue().getDefiningOp<TransposeOp>();
  return last && last->hasOneUse() ? last : TransposeOp();
}

Value PlacedValues::transposedWeight(Value weight, ArrayRef<int64_t> permutation, Operation *before) {
  int64_t rank = permutation.size();
  if (isa<BlockType>(elementOf(weight.getType())) && permutation.back() != rank - 1)
    return {};
  auto recipe = dyn_cast<RecipeOp>(weight.getDefiningOp());
  TransposeOp inner = lastTranspose(recipe);
  Permutation whole = inner ? compose(inner.getPermutation(), permutation) : Permutation(permutation);
  OpBuilder builder(before);
  if (inner && isIdentity(whole))
    if (auto source = inner.getInput().getDefiningOp<WeightOp>())
      return keep(builder.clone(*source));
  auto type = RankedTensorType::get(shapeOf(permuted(transom::dimsOf(weight.getType()), permutation)), elementOf(weight.getType()));
  auto result = builder.create<RecipeOp>(weight.getLoc(), type, "unnamed");
  builder.setInsertionPointToStart(&result.getBody().emplaceBlock());
  IRMapping mapping;
  std::string name = "constant";
  if (recipe) {
    name = recipe.getName().str();
    for (Operation &op : recipe.getBody().front().without_terminator())
      if (&op != inner)
        builder.clone(op, mapping);
  } else {
    builder.clone(*weight.getDefiningOp(), mapping);
    if (auto source = weight.getDefiningOp<WeightOp>())
      name = source.getName().str();
  }
  Value last = inner ? inner.getInput() : recipe ? cast<YieldOp>(recipe.getBody().front().getTerminator()).getValue() : weight;
  last = mapping.lookup(last);
  if (!isIdentity(whole))
    last = builder.create<TransposeOp>(weight.getLoc(), type, last, whole);
  builder.create<YieldOp>(weight.getLoc(), last);
  names.assign(result, name + ".transpose");
  return keep(result);
}

Operation *PlacedValues::clone(Operation *op) {
  Operation *copy = OpBuilder(op).clone(*op);
  made.push_back(copy);
  return copy;
}

void PlacedValues::undo() {
  for (Operation *op : llvm::reverse(made))
    op->erase();
  made.clear();
  places.clear();
  settled.clear();
}

} // namespace transom
