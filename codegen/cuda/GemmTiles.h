// Products of many rows in tiles, with a generated epilogue that has eight columns of a row at once: the skeleton of kernels/GemmHopper.cuh, and of
// kernels/GemmE4m3.cuh.
#pragma once

#include "codegen/cuda/ProductColumns.h"

namespace transom::cuda {

/// The launch of a product in 16 bits, or in 8 with a scale for each row of lhs, on compute capability 9.0. Its kernel is empty on other GPUs: the
/// condition is the caller's. None, without a diagnostic, where sizes do not fit the copy engine or the epilogue needs columns that no thread
/// has. Fails after a diagnostic on what has no CUDA form.
mlir::FailureOr<std::optional<CudaLaunchPlan>> emitHopperGemm(KernelPool &pool, const ProductProgram &program, llvm::StringRef name);

/// The same of a product in 8 bits for all GPUs from 8.9 on; empty on others.
mlir::FailureOr<std::optional<CudaLaunchPlan>> emitE4m3Gemm(KernelPool &pool, const ProductProgram &program, llvm::StringRef name);

} // namespace transom::cuda
