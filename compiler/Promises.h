// What each pass promises to leave, as questions about single ops. Legality.h asks them.
#pragma once

#include "ir/DimAnalysis.h"

namespace transom {

/// An op of a function, with the sizes of the function's values.
struct Place {
  mlir::Operation *op;
  const DimAnalysis &dims;
  /// Whether a rejection by the pass explains what is left of an op.
  llvm::function_ref<bool(mlir::Operation *)> isReported;

  std::optional<int64_t> maximumOf(const DimExpr &size) const { return transom::maximumOf(op->getParentOfType<mlir::ModuleOp>(), size); }
};

enum class Exception {
  none,             ///< nothing may break the promise
  reported,         ///< an op may that the pass has reported as a rejection
  reportedAnywhere, ///< ops may if the pass has reported any: it rewrites all of them or none
};

struct Promise {
  llvm::StringRef pass;
  llvm::StringRef text; ///< what holds of every op
  Exception exception;
  bool (*broken)(const Place &place);
};

/// In the order of the passes.
llvm::ArrayRef<Promise> allPromises();

} // namespace transom
