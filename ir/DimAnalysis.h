// Symbolic sizes of every value of an entry function, from the names that its arguments carry.
#pragma once

#include "ir/Transom.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace transom {

/// Computed once per function; a pass that changes the function makes a new one, or adds the ops that it made.
class DimAnalysis {
public:
  explicit DimAnalysis(mlir::func::FuncOp function);
  /// Adds what follows for the results of `op`, and for the values in a group, from what is known of its operands.
  void add(mlir::Operation &op);
  /// Sizes of a tensor or cache; unknown where nothing is known. Static sizes are constants.
  const Dims &of(mlir::Value value) const;

private:
  llvm::DenseMap<mlir::Value, Dims> dims;
};

/// The sizes that `transom.dims` names on argument `index`, or those of the type.
Dims argumentDims(mlir::func::FuncOp function, unsigned index);
/// `dims` as a `transom.dims` attribute.
mlir::ArrayAttr dimsAttribute(mlir::MLIRContext *context, const Dims &dims);

/// Bounds of a size by `transom.bounds` of the module; nullopt if it has none.
struct Bounds {
  int64_t min, max;
};
std::optional<Bounds> boundsOf(mlir::ModuleOp module, llvm::StringRef name);
/// The largest value of `expr` within the module's bounds: the sum of each term at its largest. nullopt if a size has no
/// bounds or the value overflows.
std::optional<int64_t> maximumOf(mlir::ModuleOp module, const DimExpr &expr);

} // namespace transom
