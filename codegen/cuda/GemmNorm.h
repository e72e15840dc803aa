// Products of many rows with a norm behind them, in one kernel of compute capability 9.0: the skeleton of kernels/GemmNorm.cuh.
#pragma once

#include "codegen/cuda/ProductColumns.h"

namespace transom::cuda {

/// From so many rows on the kernel takes products of 8 bits: from more than two turns of its clusters on, were there one on every multiprocessor. Not measured but far beyond; of
/// fewer turns too many clusters may have nothing to do in the last.
int64_t leastNormRows(int64_t columns);

/// The launch of a product of 16 or 8 bits with `behind`, whose first op is a norm of what the product's epilogue gives, its one result (cutAtWholeRows). Its kernel
/// is empty on GPUs other than 9.0: the condition is the caller's. None, without a diagnostic, where sizes do not fit, or results need more than the norm's
/// own columns. Fails after a diagnostic on what has no CUDA form.
mlir::FailureOr<std::optional<CudaLaunchPlan>> emitGemmNorm(KernelPool &pool, const ProductProgram &program, const RowProgram &behind, llvm::StringRef name);

} // namespace transom::cuda
