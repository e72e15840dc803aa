// Turning weight-only subgraphs into transom.recipe ops. The rule for which is in the description of fold-constants.
#pragma once

#include "ir/Transom.h"
#include "passes/Report.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

namespace transom {

/// Names of recipes: readable, unique in the module, the same for equal bodies in several functions.
class RecipeNames {
public:
  explicit RecipeNames(mlir::ModuleOp module);
  /// Names `recipe`, whose body is complete. `wish` is the name it has if no other tensor has it.
  void assign(RecipeOp recipe, llvm::StringRef wish);

private:
  llvm::StringSet<> taken;
  llvm::StringMap<std::string> byBody;
};

/// A recipe, in front of `op`, of what `op` computes from weights, constants and recipes alone. Replaces and erases nothing.
RecipeOp makeRecipe(mlir::Operation *op, RecipeNames &names);

/// Replaces every weight-only op whose result is read by other ops. Leaves the replaced ops dead in place.
void makeRecipes(mlir::func::FuncOp function, RecipeNames &names, const Reporter &reporter);

} // namespace transom
