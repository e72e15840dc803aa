// Matrix products on the CPU by oneDNN, which is loaded when a model first needs it. Threads are the runtime's own:
// oneDNN is called with one thread for a part of the product.
#pragma once

#include "runtime/cpu/ThreadPool.h"
#include "runtime/format/KernelAbi.h"
#include "runtime/support/Status.h"

#include <cstddef>
#include <span>
#include <string>

namespace transom {

/// The loaded library.
class GemmLibrary {
public:
  /// Loads it once per process, from TRANSOM_ONEDNN, from lib/ beside this program or library, or from the system.
  /// Error: notFound, saying where it was looked for and how to get it.
  static Result<const GemmLibrary *> get();

  /// out[m, n] = lhs[m, k] * rhs[n, k]^T, row-major; the rows of out are `outStride` floats apart. False on failure.
  bool multiply(int64_t m, int64_t n, int64_t k, const float *lhs, const float *rhs, float *out,
                int64_t outStride) const;
  const std::string &path() const { return path_; }

private:
  GemmLibrary() = default;
  static Result<GemmLibrary> load();
  std::string path_;
  using Sgemm = int (*)(char, char, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t,
                        float, float *, int64_t);
  Sgemm sgemm_ = nullptr;
  void (*setThreads_)(int) = nullptr;
};

/// One product, all pointers and sizes known.
struct GemmTask {
  const GemmLibrary *library = nullptr;
  int64_t m = 0, n = 0, k = 0;
  void *lhs = nullptr, *rhs = nullptr, *out = nullptr;
  /// Writes rows of rhs as f32 (see artifact.fbs); null where rhs is f32 already.
  TransomCpuKernel unpack = nullptr;
  const int64_t *unpackSizes = nullptr;
  /// Runs over rows of the product once they are there (see artifact.fbs); null where nothing follows.
  TransomCpuKernel epilogue = nullptr;
  std::span<void *const> buffers = {}; ///< the epilogue's; the first is `out`
  const int64_t *epilogueSizes = nullptr;
  uint64_t epilogueScratch = 0;
};

/// The most that a product can be, for its scratch.
struct GemmBounds {
  uint64_t n = 0, k = 0;
  bool unpacks = false, hasEpilogue = false;
  uint64_t epilogueScratch = 0;
};
/// Scratch bytes per thread.
uint64_t gemmScratch(const GemmBounds &bounds);

/// Runs the product on the pool; `scratch` holds `scratchStride` bytes for each thread. False if the library failed.
bool runGemm(const GemmTask &task, ThreadPool &pool, std::byte *scratch, uint64_t scratchStride);

} // namespace transom
