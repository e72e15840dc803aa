// Products of some rows in 16 bits: the skeleton of kernels/GemmSkinny.cuh with a generated epilogue.
#pragma once

#include "codegen/cuda/ProductColumns.h"

namespace transom::cuda {

/// Up to so many rows the skeleton has kernels.
constexpr int64_t mostSkinnyRows = 64;
/// Up to how many rows it is the one for a product: mostSkinnyRows, fewer for a large matrix, and 0 where types or sizes do not fit, or steps
/// write the matrix.
int64_t skinnyRows(const ProductProgram &program);

/// The launch for at most mostSkinnyRows rows, and no more than `most`, with a kernel for each form that these need. None, without a
/// diagnostic, where the epilogue needs columns that no thread has, or results in 8 bits. Fails after a diagnostic on what has no CUDA form.
mlir::FailureOr<std::optional<CudaLaunchPlan>> emitSkinnyGemm(KernelPool &pool, const ProductProgram &program, int64_t most, llvm::StringRef name);

/// In how many parts of K a product goes whose sums the kernel behind it adds: for some 256 blocks.
int64_t skinnyParts(int64_t n, int64_t k);
/// The launch of the product alone; parts: f32 [skinnyParts, mostSkinnyRows, n], of which it writes the rows that there are.
CudaLaunchPlan emitSkinnyParts(KernelPool &pool, const ProductProgram &program, const CudaBuffer &parts, int64_t most, llvm::StringRef name);

} // namespace transom::cuda
