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
  uint32_t registers = 0;  ///< of a thread
  uint64_t spillBytes = 0; ///< what does not fit them, stored and loaded
};

/// Compiles every kernel for every architecture, on all processors; in the order of the architectures, then of the kernels.
/// `progress` gets the share that is done, on the calling thread; may be empty. Equal kernels give equal bytes.
/// Errors: notFound where there is no NVRTC; unsupported, with the kernel and the line, where one does not compile.
Result<std::vector<Cubin>> compileCubins(const std::vector<artifact::CudaKernel> &kernels, const std::vector<artifact::CudaHeader> &headers,
                                         const std::vector<std::string> &architectures, const std::function<void(double)> &progress);

} // namespace transom
