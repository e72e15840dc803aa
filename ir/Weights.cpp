// Weights, constants, recipes.
#include "ir/Checks.h"

using namespace mlir;

namespace transom {

LogicalResult WeightOp::verify() {
  if (!getType().hasStaticShape())
    return emitOpError("C1: expected a static shape, found ") << getType();
  if (getName().empty())
    return emitOpError("C2: expected a tensor name");
  int64_t block = detail::blockLength(getType());
  if (block > 1 && (getType().getRank() == 0 || getType().getShape().back() % block != 0))
    return emitOpError("C3: expected whole blocks of ") << block << " in the last dimension, found " << getType();
  return success();
}

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

LogicalResult RecipeOp::verifyRegions() {
  if (getName().empty())
    return emitOpError("C3: expected a name");
  if (!getType().hasStaticShape())
    return emitOpError("C1: expected a static shape, found ") << getType();
  Block &block = getBody().front();
  for (Operation &op : block)
    if (!isa<TransomDialect>(op.getDialect()) || op.getNumRegions() != 0)
      return emitOpError("C1: '") << op.getName() << "' cannot stand in a recipe";
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (block.getNumArguments() != 0 || !yield || yield.getValues().size() != 1 || yield.getValue().getType() != getType())
    return emitOpError("C2: expected a region without arguments that yields ") << getType();
  return success();
}

} // namespace transom
