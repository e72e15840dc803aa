// Products of many rows on GPUs of compute capability 9.0: the skeleton of kernels/GemmHopper.cuh with a generated epilogue.
#pragma once

#include "codegen/cuda/ProductColumns.h"

namespace transom::cuda {

/// The launch of a product in 16 bits, or in 8 with a scale for each row of lhs. Its kernel is empty on other GPUs: the condition is the
/// caller's. None, without a diagnostic, where sizes do not fit the copy engine or the epilogue needs columns that no thread has. Fails after a diagnostic on what has no CUDA form.
mlir::FailureOr<std::optional<CudaLaunchPlan>> emitHopperGemm(KernelPool &pool, const ProductProgram &program, llvm::StringRef name);

} // namespace transom::cuda
