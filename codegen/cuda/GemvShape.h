// The numbers of a product of few rows by tensor cores: GemvShape and GemvStreamShape of kernels/, and how they are chosen.
#pragma once

#include "codegen/cuda/KernelText.h"

namespace transom::cuda {

struct GemvShape {
  std::string format;
  int64_t outputs, inner;
  int rows, splits, warps = 8, depth = 4, stepK;
  bool minima;
  int64_t staged = wholeStaged;
  static constexpr int64_t wholeStaged = 72 * 1024; ///< the template's default

  int64_t turns() const;
  uint32_t sharedBytes() const;
  uint32_t streamBytes() const; ///< shared memory of GemvStreamShape
  std::string text(llvm::StringRef pairs) const;

  /// Warps and depth, chosen on an H100 and an H200 (bench/cuda): bytes in flight before the wait, and room for the successor's blocks.
  /// plain: the matrix is not quantised.
  void tune(bool plain);
  /// How many blocks stay and take tile after tile (kernels/GemvStream.cuh); 0: each takes one. It pays where x is staged for several
  /// rows, and for the largest matrices: Llama-3.2-1B's head on an H200, 0.750 to 0.734 ms a token; there 128256 rows, 65024 gain nothing.
  int64_t stay(bool plain, int64_t tiles);
  /// Stages less of x at once, so that `most` bytes of shared memory are enough.
  void shrink(uint32_t most);
};

} // namespace transom::cuda
