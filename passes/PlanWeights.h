// The weights of a plan, each once.
#pragma once

#include "ir/Plan.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

namespace transom {

/// Whether `op` (null: no) becomes a weight of the plan.
bool isWeightLike(mlir::Operation *op);

/// Declares the weights of a module at its end.
class WeightTable {
public:
  explicit WeightTable(mlir::ModuleOp module);
  /// The name of what `op`, a weight, recipe or constant, stands for. Fails, after a diagnostic, where another tensor has that name.
  mlir::FailureOr<llvm::StringRef> declare(mlir::Operation *op);
  llvm::ArrayRef<plan::WeightOp> weights() const { return ordered; }

private:
  plan::WeightOp create(mlir::Operation *op, mlir::StringAttr name, mlir::ElementsAttr value);
  llvm::StringRef declareConstant(ConstantOp op);
  /// Keeps `weight`, or erases it where it is declared already.
  mlir::FailureOr<llvm::StringRef> add(plan::WeightOp weight);

  mlir::ModuleOp module;
  llvm::StringSet<> taken;
  llvm::StringMap<plan::WeightOp> byName;
  llvm::DenseMap<mlir::Attribute, plan::WeightOp> constants;
  llvm::SmallVector<plan::WeightOp> ordered;
};

} // namespace transom
