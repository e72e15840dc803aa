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
  /// Where the work is not whole rows of a pointwise op's result: its elements [first, last).
  llvm::Value *firstElement = nullptr, *lastElement = nullptr;
  /// The thread's scratch.
  llvm::Value *scratch;

  /// A value's address and sizes.
  struct Place {
    llvm::Value *pointer = nullptr;
    llvm::SmallVector<llvm::Value *> sizes;
  };
  /// Says where a value of a group's body lies. Arguments of the kernel and results of its op are known.
  void bind(mlir::Value value, Place place) { places_[value] = std::move(place); }
  const Place &place(mlir::Value value) const;

  /// Address of a value; null gives a null pointer.
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
  /// for (at = from; at < to; at += step) body(at)
  void loop(llvm::Value *from, llvm::Value *to, llvm::Value *step, llvm::function_ref<void(llvm::Value *)> body);
  /// A function that kernels of the module share, never inlined; `emit` fills it where it is new.
  llvm::Function *shared(llvm::StringRef name, llvm::ArrayRef<llvm::Type *> types, llvm::function_ref<void(Values)> emit);

private:
  plan::KernelOp kernel_;
  llvm::Module &module_;
  llvm::Function *function_;
  llvm::DenseMap<mlir::Value, Place> places_;
};

} // namespace transom
