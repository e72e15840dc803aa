// The kernels of a plan: one for each distinct op, with its name and how its work is counted.
#pragma once

#include "ir/DimAnalysis.h"
#include "ir/Plan.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

namespace transom {

/// A readable name for the kernel of `op`: `stem` (the op's name if empty), what it works on, and its sizes.
std::string kernelName(mlir::Operation *op, llvm::StringRef stem = "");

/// Work items of a launch of `op`, as ir/Plan.td's kernels count them; unknown where sizes are.
struct KernelWork {
  DimExpr items;
  int64_t grain = 1;
};
KernelWork workOf(mlir::Operation *op, const DimAnalysis &dims);

/// Rows of a group that has a kernel, and what a thread needs to compute it where it has at most `rows`.
DimExpr rowsOf(GroupOp group, const DimAnalysis &dims);
int64_t scratchOf(GroupOp group, int64_t rows);

/// Makes kernels at the end of a module, each distinct body once.
class KernelTable {
public:
  explicit KernelTable(mlir::ModuleOp module) : module(module) {}
  /// The kernel that computes `op`; a new one is named `name`, with a number behind it if that is taken.
  plan::KernelOp of(mlir::Operation *op, llvm::StringRef name);
  /// The kernel that decodes rows of a weight for matrix products.
  plan::KernelOp unpacking(mlir::RankedTensorType weight, mlir::Location loc);
  llvm::ArrayRef<plan::KernelOp> kernels() const { return ordered; }

private:
  plan::KernelOp unique(plan::KernelOp candidate, llvm::StringRef name);
  plan::KernelOp create(mlir::Location loc, mlir::Operation *body, bool unpack);

  mlir::ModuleOp module;
  llvm::SmallVector<plan::KernelOp> ordered;
  llvm::StringMap<plan::KernelOp> byText;
  llvm::StringSet<> taken;
};

} // namespace transom
