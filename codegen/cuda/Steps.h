// From one op of a plan to launches: the ops that have kernels of their own.
#pragma once

#include "codegen/cuda/RowExpressions.h"
#include "codegen/cuda/Weights.h"

namespace transom::cuda {

/// One step of the plan at work: the op that it computes, what stands for its operands and results, and what it may add.
struct Step {
  KernelPool &pool;
  WeightForms &weights;
  mlir::Operation *op; ///< of the kernel's body; a group, or one op
  llvm::DenseMap<mlir::Value, CudaBuffer> memory; ///< of the op's operands and results
  std::string name;
  /// The most sequences' places that tokens packed by `cumulative` may have.
  std::function<DimExpr(mlir::Value cumulative)> longestOf;
  /// Attention's result is rounded to 8 bits in the kernel and goes there, by this scale; none: to its own buffer as it is.
  struct Rounding { CudaBuffer result, scale; };
  std::optional<Rounding> rounding = {};
  /// An op on each number of what this one makes, which its kernel does; of the same sizes. `memory` has its result and its operands but these numbers.
  mlir::Operation *follower = nullptr;
  CudaForfeits *forfeits = nullptr; ///< not null: results depend on no other rows, and this counts what that costs

  int64_t scratchAt = 0;     ///< bytes of scratch used so far, behind the program's arena
  int64_t mostScratch = 0;
  int64_t workspaceBytes = 0; ///< of the program's workspace
  mlir::ModuleOp module = {};

  const CudaBuffer &buffer(mlir::Value value) const { return memory.find(value)->second; }
  Dims sizes(mlir::Value value) const { return sizesOf(buffer(value)); }
  DType stored(mlir::Value value) const { return storedType(buffer(value)); }
  /// Memory for this step alone. `shape` at its bounds.
  CudaBuffer scratch(DType dtype, Dims shape);
  /// Zeroed memory that steps share. `shape` at its bounds.
  CudaBuffer workspace(DType dtype, Dims shape);
};

/// Whether the kernels for `attention`, whose numbers are stored as `type`, can round its result.
bool attentionRounds(AttentionOp attention, DType type);
/// Attention in all its forms.
mlir::FailureOr<CudaLaunchPlan> emitAttention(Step &step, AttentionOp op);
/// All other ops that have a kernel of their own. Fails, after a diagnostic, on one that has no CUDA form.
mlir::FailureOr<CudaLaunchPlan> emitOp(Step &step);

} // namespace transom::cuda
