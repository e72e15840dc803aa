// Kernels of products with few rows: skeletons of kernels/Gemv*.cuh with a generated epilogue.
#pragma once

#include "codegen/cuda/RowExpressions.h"
#include "codegen/cuda/Weights.h"

namespace transom::cuda {

/// A product with what follows it, column by column, in `epilogue` (the root's result is one of the values that it reads).
struct GemvProgram {
  mutable MatmulOp root; ///< ops of MLIR have no const methods
  mlir::Operation *norm = nullptr; ///< rms_norm or layer_norm before it, or null
  CudaBuffer lhs, weight;          ///< x, before the norm; the matrix in the form that is read
  CudaBuffer normScale, normBias;  ///< where there is a norm; a bias has as many sizes as it has, none: none
  RowProgram epilogue;
  int64_t mostRows = 1;
  bool oneForm = false; ///< only the kernel for the most rows: how warps share a sum depends on the rows that a kernel is for
  /// Where the largest logit of each row goes (u64 [rows], zero before): for the one result; nothing: nowhere.
  std::optional<CudaBuffer> best;
};

/// The launch, with a kernel for each power of two of rows up to the most, unless `oneForm`. Nothing, without a diagnostic, where the epilogue needs columns
/// that no thread has: then the product and what follows it must be kernels of their own. Fails after a diagnostic on what has no
/// CUDA form.
mlir::FailureOr<std::optional<CudaLaunchPlan>> emitGemv(KernelPool &pool, const GemvProgram &program, llvm::StringRef name);

} // namespace transom::cuda
