// Which skeleton computes an op, and with what arguments.
#pragma once

#include "codegen/cpu/KernelEntry.h"

namespace transom {

/// Emits the kernel's op into its entry. Fails, after a diagnostic that names the op, where the CPU has no form of it for
/// these types.
mlir::LogicalResult emitKernel(KernelEntry &entry, plan::KernelOp kernel);

/// Emits one op over the entry's work items: a kernel's own, or one of a group.
mlir::LogicalResult emitOp(KernelEntry &entry, mlir::Operation *op);
/// Emits a group, op by op on rows in scratch (Groups.cpp).
mlir::LogicalResult emitGroup(KernelEntry &entry, GroupOp group);

/// "f32", "q4_1", ...: how skeletons name storage types; empty for those they do not read.
std::string storageName(mlir::Type element);
/// The most rows of `rows` columns that buffer `buffer` (arguments, then results) has in any launch of the kernel; nothing
/// where a launch does not say, or there is none.
std::optional<int64_t> mostRows(plan::KernelOp kernel, unsigned buffer, int64_t columns);

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
