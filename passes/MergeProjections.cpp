// merge-projections:
// 1. Collect, in every function, the products of each left-hand side whose weights can stand in one recipe: a plan for one
//    merged product each.
// 2. Drop from the plans what reads a weight that something else reads too, until nothing is left to drop: no weight is
//    stored merged and alone. Functions that hold the same layer merge it alike and share the recipe.
// 3. Put the merged product, the merged bias and the slices in the place of the first product of each plan.
#include "passes/Passes.h"
#include "passes/Recipes.h"

#include "mlir/Support/DebugStringHelper.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom {

#define GEN_PASS_DEF_MERGEPROJECTIONSPASS
#include "passes/Passes.h.inc"

namespace {

/// Beyond this the rows of the result no longer fit a cache beside the weights, and lifetimes grow for nothing.
constexpr int64_t maxColumns = 1 << 16;

bool isStored(Value value) { return isa_and_nonnull<WeightOp, RecipeOp, ConstantOp>(value.getDefiningOp()); }

RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }

/// The op that adds a stored vector [N] to the product alone, and that vector; null if there is none.
struct Bias {
  AddOp add;
  Value vector;
};
Bias biasOf(MatmulOp product) {
  auto add = product->hasOneUse() ? dyn_cast<AddOp>(*product->user_begin()) : AddOp();
  if (!add || add.getType() != product.getType())
    return {};
  Value vector = add.getLhs() == product.getResult() ? add.getRhs() : add.getLhs();
  auto expected = RankedTensorType::get({typeOf(product).getShape().back()}, typeOf(product).getElementType());
  return isStored(vector) && vector.getType() == expected ? Bias{add, vector} : Bias{};
}

/// Products that become one, in the order of the block.
struct Plan {
  SmallVector<MatmulOp> products;
};

class Planner {
public:
  Planner(ModuleOp module, const Reporter &reporter) : module(module), reporter(reporter) {
    for (auto function : module.getOps<func::FuncOp>())
      if (!function.isExternal())
        collect(function);
    while (dropShared())
      continue;
    llvm::erase_if(plans, [](const Plan &plan) { return plan.products.size() < 2; });
  }

  std::vector<Plan> plans;

private:
  void collect(func::FuncOp function);
  void collect(ArrayRef<MatmulOp> siblings);
  bool dropShared();
  void reject(MatmulOp product, const llvm::Twine &condition) {
    reporter.reject(product, condition, Cost{.launches = 1});
  }

  /// What a weight is in every function: its name or its numbers.
  static Attribute keyOf(Value weight) {
    Operation *op = weight.getDefiningOp();
    return isa<ConstantOp>(op) ? Attribute(cast<ConstantOp>(op).getValue()) : Attribute(op->getAttrOfType<StringAttr>("name"));
  }

  ModuleOp module;
  const Reporter &reporter;
};

void Planner::collect(func::FuncOp function) {
  llvm::MapVector<Value, SmallVector<MatmulOp>> readers;
  for (auto product : function.getBody().front().getOps<MatmulOp>())
    readers[product.getLhs()].push_back(product);
  for (auto &[lhs, siblings] : readers)
    if (siblings.size() > 1)
      collect(siblings);
}

void Planner::collect(ArrayRef<MatmulOp> siblings) {
  llvm::MapVector<std::pair<Type, Type>, SmallVector<MatmulOp>> byType;
  for (MatmulOp product : siblings) {
    if (isStored(product.getRhs()) && product.getTransposeRhs() && typeOf(product.getRhs()).getRank() == 2)
      byType[{typeOf(product.getRhs()).getElementType(), typeOf(product).getElementType()}].push_back(product);
    else
      reject(product, "M1: expected a weight [N, K] with transpose_rhs, found " + llvm::Twine(debugString(product.getRhs().getType())));
  }
  for (auto &[type, products] : byType) {
    if (products.size() == 1) {
      if (byType.size() > 1)
        reject(products[0], "M2: expected a weight of the type of the other products', found " + llvm::Twine(debugString(type.first)));
      continue;
    }
    Plan plan;
    int64_t columns = 0;
    for (MatmulOp product : products) {
      int64_t more = typeOf(product.getRhs()).getDimSize(0);
      if (columns + more > maxColumns) {
        reject(product, "M4: expected at most " + llvm::Twine(maxColumns) + " columns in all, found " + llvm::Twine(columns + more));
        continue;
      }
      columns += more;
      plan.products.push_back(product);
    }
    plans.push_back(plan);
  }
}

bool Planner::dropShared() {
  // For each weight, what its readers merge it into: the merged weights of a plan, or the reader itself.
  llvm::DenseMap<Operation *, Attribute> mergedBy;
  for (Plan &plan : plans) {
    auto keys = llvm::map_to_vector(plan.products, [](MatmulOp product) { return keyOf(product.getRhs()); });
    if (keys.size() > 1)
      for (MatmulOp product : plan.products)
        mergedBy[product] = ArrayAttr::get(module.getContext(), keys);
  }
  llvm::DenseMap<Attribute, llvm::SmallDenseSet<Attribute>> wholes;
  Attribute alone = UnitAttr::get(module.getContext());
  for (auto function : module.getOps<func::FuncOp>())
    for (Operation &op : function.getOps())
      for (OpOperand &operand : op.getOpOperands())
        if (isStored(operand.get())) {
          Attribute merged = operand.getOperandNumber() == 1 ? mergedBy.lookup(&op) : Attribute();
          wholes[keyOf(operand.get())].insert(merged ? merged : alone);
        }
  bool dropped = false;
  for (Plan &plan : plans)
    llvm::erase_if(plan.products, [&](MatmulOp product) {
      if (plan.products.size() < 2 || wholes[keyOf(product.getRhs())].size() == 1)
        return false;
      reject(product, "M3: expected a weight that nothing else reads");
      return dropped = true;
    });
  return dropped;
}

//===-- Rewriting ---------------------------------------------------------------------------------------------------===//

/// Stored tensors one after the other, as one recipe at the builder's place.
Value concatenate(OpBuilder &builder, Location loc, ArrayRef<Value> parts, RecipeNames &names) {
  SmallVector<Value> copies;
  for (Value part : parts) // the originals may stand further down
    copies.push_back(builder.clone(*part.getDefiningOp())->getResult(0));
  auto whole = builder.create<ConcatOp>(loc, copies, 0);
  RecipeOp recipe = makeRecipe(whole, names);
  whole.erase();
  for (Value copy : copies)
    copy.getDefiningOp()->erase();
  return recipe;
}

/// The biases of all products; zeros for one that has none. None at all if no product has one.
SmallVector<Value> biasesOf(OpBuilder &builder, ArrayRef<MatmulOp> products) {
  if (llvm::none_of(products, [](MatmulOp product) { return biasOf(product).add; }))
    return {};
  return llvm::map_to_vector(products, [&](MatmulOp product) -> Value {
    if (Bias bias = biasOf(product); bias.add)
      return bias.vector;
    auto type = RankedTensorType::get({typeOf(product).getShape().back()}, typeOf(product).getElementType());
    return builder.create<ConstantOp>(product.getLoc(), DenseElementsAttr::get(type, builder.getZeroAttr(type.getElementType())));
  });
}

/// `stored` may hold a tensor twice: two products may have one bias.
void eraseUnused(ArrayRef<Value> stored) {
  llvm::SetVector<Value> distinct(stored.begin(), stored.end());
  for (Value value : distinct)
    if (value.use_empty())
      value.getDefiningOp()->erase();
}

MatmulOp merge(ArrayRef<MatmulOp> products, RecipeNames &names) {
  MatmulOp first = products.front();
  OpBuilder builder(first);
  auto locations = llvm::map_to_vector(products, [](MatmulOp product) { return product.getLoc(); });
  Location loc = builder.getFusedLoc(locations);
  auto weights = llvm::map_to_vector(products, [](MatmulOp product) -> Value { return product.getRhs(); });
  SmallVector<Value> biases = biasesOf(builder, products);

  Value weight = concatenate(builder, loc, weights, names);
  SmallVector<int64_t> shape(typeOf(first).getShape());
  shape.back() = typeOf(weight).getDimSize(0);
  auto merged = builder.create<MatmulOp>(loc, typeOf(first).clone(shape), first.getLhs(), weight, builder.getUnitAttr());
  Value whole = merged;
  if (!biases.empty())
    whole = builder.create<AddOp>(loc, whole.getType(), whole, concatenate(builder, loc, biases, names));

  int64_t start = 0, axis = int64_t(shape.size()) - 1;
  SmallVector<Operation *> old;
  for (MatmulOp product : products) {
    Operation *last = product;
    if (Bias bias = biasOf(product); bias.add)
      last = bias.add;
    int64_t size = typeOf(product).getShape().back();
    auto slice = builder.create<SliceOp>(last->getLoc(), product.getType(), whole, axis, start, size);
    start += size;
    last->getResult(0).replaceAllUsesWith(slice);
    old.push_back(last);
    if (last != product)
      old.push_back(product);
  }
  for (Operation *op : old)
    op->erase();
  eraseUnused(weights);
  eraseUnused(biases);
  return merged;
}

struct MergeProjectionsPass : impl::MergeProjectionsPassBase<MergeProjectionsPass> {
  using MergeProjectionsPassBase::MergeProjectionsPassBase;

  void runOnOperation() override {
    Reporter reporter(getArgument(), report);
    Planner planner(getOperation(), reporter);
    RecipeNames names(getOperation());
    for (Plan &plan : planner.plans) {
      size_t count = plan.products.size();
      MatmulOp merged = merge(plan.products, names);
      reporter.applied(merged, llvm::Twine(count) + " products became one of " + llvm::Twine(typeOf(merged).getShape().back()) + " columns",
                       Cost{.launches = int64_t(count) - 1});
    }
  }
};

} // namespace
} // namespace transom
