// Products of many rows on GPUs of compute capability 9.0: the skeleton of kernels/GemmHopper.cuh with a generated epilogue.
#pragma once

#include "codegen/cuda/RowExpressions.h"

namespace transom::cuda {

/// lhs [rows, k] times weight [n, k]^T, both in one 16-bit type, or both in 8 bits and lhs with a scale for each row, with what follows it, column by column.
struct HopperProgram {
  mlir::Value product; ///< as the epilogue's ops name it; [rows, n]
  CudaBuffer lhs, weight;
  int64_t n = 0, k = 0;
  RowProgram epilogue;
};

/// The launch, whose kernel is empty on other GPUs: its condition is the caller's. None, without a diagnostic, where sizes do not fit the
/// copy engine or the epilogue needs columns that no thread has. Fails after a diagnostic on what has no CUDA form.
mlir::FailureOr<std::optional<CudaLaunchPlan>> emitHopperGemm(KernelPool &pool, const HopperProgram &program, llvm::StringRef name);

} // namespace transom::cuda
