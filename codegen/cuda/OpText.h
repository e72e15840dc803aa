// The text of a kernel of one op: sizes and numbers of its operands and results, a thread or a block for each item.
#pragma once

#include "codegen/cuda/Steps.h"

namespace transom::cuda {

using Launch = mlir::FailureOr<CudaLaunchPlan>;

/// The launch of a reduction, of an op that moves numbers; nothing, without a diagnostic, where the op is none.
std::optional<Launch> emitReduction(Step &step);
std::optional<Launch> emitCopy(Step &step);
/// The rest. Fails, after a diagnostic, on one that has no CUDA form.
Launch emitOther(Step &step);

/// What emitters of ops are made of. Indices are int64 expressions.
class OpText {
public:
  explicit OpText(Step &step) : step(step), op(step.op), text(step.pool) {}

protected:
  static constexpr int threads = 256;

  std::string in(mlir::Value value) { return text.pointer(step.buffer(value)); }
  std::string out(mlir::Value value) { return text.pointer(step.buffer(value), true); }
  std::string size(mlir::Value value, size_t axis) { return "(" + text.size(step.sizes(value)[axis]) + ")"; }
  std::string sizeOf(llvm::ArrayRef<DimExpr> dims) { return "(" + text.size(product(dims)) + ")"; }
  /// A number of `value` as scalar code computes with it.
  std::string load(mlir::Value value, const std::string &index) { return fromMemory(in(value) + "[" + index + "]", step.stored(value)); }
  /// A number of `from` as `to` stores it: as it is, or in another floating type.
  std::string moved(mlir::Value from, const std::string &index, mlir::Value to);
  /// A computed number as the first result stores it.
  std::string result(const std::string &value) { return toMemory(value, step.stored(op->getResult(0))); }

  /// Lines that take the linear index `i` apart over `dims`; the names of the places, outermost first.
  llvm::SmallVector<std::string> places(const std::string &i, const Dims &dims);
  /// The index of an element by its places; sizes of 1 are broadcast where `broadcast`.
  std::string indexOf(const Dims &dims, llvm::ArrayRef<std::string> places, bool broadcast = false);
  /// The element of `value` that broadcasting puts at `places` of a larger shape.
  std::string broadcastIndex(mlir::Value value, llvm::ArrayRef<std::string> places);

  /// A thread for each of `items` elements: `body` sees the index `i`.
  Launch eachElement(DimExpr items, llvm::function_ref<void()> body);
  /// A block for each of `items`: `body` sees the index `row`.
  Launch eachBlock(DimExpr items, llvm::function_ref<void()> body);
  /// The launch of the text so far: a block for each `per` of `items`.
  Launch finish(DimExpr items, uint32_t per, uint32_t block = threads);

  Step &step;
  mlir::Operation *op;
  KernelText text;
};

} // namespace transom::cuda
