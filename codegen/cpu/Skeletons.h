// Which skeleton computes an op, and with what arguments.
#pragma once

#include "codegen/cpu/KernelEntry.h"

namespace transom {

/// Emits the kernel's op into its entry. Fails, after a diagnostic that names the op, where the CPU has no form of it for
/// these types.
mlir::LogicalResult emitKernel(KernelEntry &entry, plan::KernelOp kernel);

/// A row of the table of skeletons, by the op's full name.
struct SkeletonRow {
  llvm::StringRef op;
  mlir::LogicalResult (*emit)(KernelEntry &entry, mlir::Operation *op);
};
/// Ops that move elements.
llvm::ArrayRef<SkeletonRow> copyRows();

/// Fails with a diagnostic unless the values that are not null are of fp32.
mlir::LogicalResult expectFloats(mlir::Operation *op, mlir::ValueRange values);

/// Wraps a typed emitter as a row.
template <typename Op, mlir::LogicalResult (*emit)(KernelEntry &, Op)> SkeletonRow skeletonRow() {
  return {Op::getOperationName(),
          [](KernelEntry &entry, mlir::Operation *op) { return emit(entry, mlir::cast<Op>(op)); }};
}

} // namespace transom
