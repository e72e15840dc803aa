// Products of few rows with norms between them, by the kernels of kernels/NormChain.cuh with generated epilogues.
#pragma once

#include "codegen/cuda/SkinnyChain.h"

namespace transom::cuda {

/// A product of a chain, in one 16-bit type. Those at even places give columns: the first reads rows as they are, the others a norm's. Those at odd
/// places end in a norm; they read what the one before gives, or attention over that.
struct NormChainProduct {
  ProductProgram program; ///< with what stands behind it column by column; before a norm, the norm's one operand
  ChainAttention attention;
  mlir::Operation *norm = nullptr; ///< behind it
  CudaBuffer scale, y;             ///< of the norm, and its result
  std::optional<CudaBuffer> shift;
  size_t results = 0; ///< of the columns, each as wide as the others

  /// Whether there is a kernel for these sizes.
  bool fits() const;
  /// Of a product that gives columns: whether attention can read them as the kernel leaves them.
  bool feeds(const ChainAttention &attention) const;
  /// In how many parts the moments of the norm's rows come.
  int64_t parts() const;
};

/// Memory that the kernels of a chain share, each used until the next kernel but one.
struct NormChainMemory {
  CudaBuffer sums, moments, z;       ///< f32 [mostChainRows, width], f32 [mostChainRows, parts, 2], [mostChainRows, width]
  std::array<CudaBuffer, 3> columns; ///< [mostChainRows, width of a result] each
};

/// The launch of the chain's product `index`, for at most mostChainRows rows, on sm_90a alone. The last one writes its results where they belong. Fails after
/// a diagnostic on what has no CUDA form.
mlir::FailureOr<CudaLaunchPlan> emitNormChain(KernelPool &pool, llvm::ArrayRef<NormChainProduct> chain, size_t index, const NormChainMemory &memory, llvm::StringRef name);

} // namespace transom::cuda
