// Two products of few rows in one kernel of sm_90a: the skeleton of kernels/SkinnyChain.cuh with a generated epilogue of the first.
#pragma once

#include "codegen/cuda/ProductColumns.h"

namespace transom::cuda {

/// Up to so many rows the skeleton has a kernel.
constexpr int64_t mostChainRows = 32;

/// Attention between two products: over the rows' own tokens, packed or padded.
struct ChainAttention {
  mutable AttentionOp op;               ///< or null; ops of MLIR have no const methods
  std::optional<CudaBuffer> cumulative; ///< lengths of packed sequences
  std::optional<CudaBuffer> mask;       ///< of padded rows; without it all is valid
  DimExpr places;                       ///< of a padded row
  std::array<size_t, 3> operands = {};  ///< which of the first product's results are query, key and value

  explicit operator bool() const { return bool(op); }
  int64_t headDim() const;
  /// Whether the kernels for few rows have it: heads of 32, 64 or 128 numbers, as many of keys as of queries, `width` in all.
  bool fits(int64_t width) const;
  /// The kernels' last operands: cumulative lengths, mask, count, scale.
  std::string operandsText(KernelText &text) const;
};

/// A product with what follows it column by column, attention over its results or nothing, and a product of that, all of them in one 16-bit
/// type. Nobody else reads what stands between. The second product's epilogue is not part of the chain.
struct SkinnyChain {
  ProductProgram first, second;
  ChainAttention attention; ///< or none

  /// In how many parts of K the second product comes: 0 where types, sizes or the epilogue have no such kernel.
  int64_t parts() const;
};

/// The launch, for at most mostChainRows rows, on sm_90a alone. parts: f32 [chain.parts(), mostChainRows, second.n], of which it writes the rows
/// that there are. Fails after a diagnostic on what has no CUDA form.
mlir::FailureOr<CudaLaunchPlan> emitSkinnyChain(KernelPool &pool, const SkinnyChain &chain, const CudaBuffer &parts, llvm::StringRef name);

} // namespace transom::cuda
