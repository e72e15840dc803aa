// The function of one kernel while it is emitted: its buffers and sizes as LLVM values, and calls of skeletons.
#pragma once

#include "codegen/cpu/CpuTarget.h"
#include "ir/Plan.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"

namespace transom {

/// Prefix of the skeletons' names in the module, so that no kernel's name meets them.
inline constexpr llvm::StringRef skeletonPrefix = "skeleton.";

class KernelEntry {
public:
  using Values = llvm::ArrayRef<llvm::Value *>;

  /// Starts the function, named as the kernel. finish() ends it.
  KernelEntry(plan::KernelOp kernel, llvm::Module &module, const CpuTarget &target);
  llvm::Function *finish();
  plan::KernelOp kernel() const { return kernel_; }

  llvm::IRBuilder<> b;
  const CpuTarget &target;
  /// The work items to compute.
  llvm::Value *begin, *end;

  /// Address of an operand's or a result's buffer: `value` is an argument of the kernel or a result of its op; null
  /// gives a null pointer.
  llvm::Value *pointer(mlir::Value value);
  /// Size `axis` of such a value (negative: from the last), a constant where its type says so; product of [from, to).
  llvm::Value *size(mlir::Value value, int axis);
  llvm::Value *sizes(mlir::Value value, int from, int to);
  /// The rows that cumulative lengths [rows + 1] describe.
  llvm::Value *rowsOf(mlir::Value cumulative) { return b.CreateSub(size(cumulative, 0), integer(1)); }
  /// a * b of sizes: no overflow, and nothing to compute where one of them is 1.
  llvm::Value *multiply(llvm::Value *a, llvm::Value *b);
  /// Row-major strides in elements.
  llvm::SmallVector<llvm::Value *> strides(mlir::Value value);

  llvm::ConstantInt *integer(int64_t value) { return b.getInt64(uint64_t(value)); }
  llvm::Value *number(double value) { return llvm::ConstantFP::get(b.getFloatTy(), value); }
  /// Address of an array of i64 (or pointers) on the stack.
  llvm::Value *array(Values values);

  /// Address of a constant table.
  llvm::Value *table(llvm::ArrayRef<double> numbers);
  /// Extends the range of work items: each of them becomes `factor` items.
  void multiplyItems(llvm::Value *factor);

  /// Calls the skeleton, which is then inlined. Argument types must be the skeleton's.
  llvm::Value *call(llvm::StringRef skeleton, Values arguments);

private:
  unsigned indexOf(mlir::Value value);

  plan::KernelOp kernel_;
  llvm::Module &module_;
  llvm::Function *function_;
  llvm::SmallVector<llvm::Value *> pointers_;
  llvm::SmallVector<llvm::SmallVector<llvm::Value *>> sizes_;
};

} // namespace transom
