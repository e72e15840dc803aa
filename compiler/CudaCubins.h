// Generated CUDA kernels to cubins, by NVRTC. No GPU is needed.
#pragma once

#include "runtime/format/Contents.h"
#include "runtime/support/Status.h"

#include <functional>
#include <string>
#include <vector>

namespace transom {

/// One kernel for one architecture.
struct Cubin {
  std::string architecture, kernel; ///< "sm_90a"; the kernel's name
  std::vector<std::byte> bytes;
};

/// Compiles every kernel for every architecture, on all processors; in the order of the architectures, then of the kernels. What was
/// compiled before comes from the cache on disk that the runtime uses as well (runtime/cuda/JitCache.h). `progress` gets the share that is done, on the calling thread; may be empty. Equal kernels give equal bytes.
/// Errors: notFound where there is no NVRTC; unsupported, with the kernel and the line, where one does not compile.
Result<std::vector<Cubin>> compileCubins(const std::vector<artifact::CudaKernel> &kernels, const std::vector<artifact::CudaHeader> &headers,
                                         const std::vector<std::string> &architectures, const std::function<void(double)> &progress);

} // namespace transom
