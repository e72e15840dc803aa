// A library of emulated kernels from CUDA text: rewritten, compiled by the host's g++, cached by what it was made of.
#pragma once

#include "runtime/support/Status.h"

#include <span>
#include <string>
#include <vector>

namespace transom::emulator {

struct Text {
  std::string name, text;
};

struct BuildOptions {
  /// __CUDA_ARCH__: 750, 800, 890, or 900, which is sm_90a.
  int architecture = 800;
  /// Compiles with AddressSanitizer, so that accesses outside of allocations are found. The process must have it, too.
#if defined(__SANITIZE_ADDRESS__)
  bool sanitize = true;
#else
  bool sanitize = false;
#endif
  /// Where libraries are kept; empty: the build's.
  std::string folder;
};

/// The path of a library with a kernel for each of `kernels`: the name of an extern "C" entry, and a text that includes none but
/// `headers` by their names. Kernels of equal text are compiled once. Errors: the compiler's first, with kernel and line.
Result<std::string> buildKernels(std::span<const Text> headers, std::span<const Text> kernels, const BuildOptions &options = {});

/// The headers of the kernel library in codegen/cuda/kernels.
Result<std::vector<Text>> kernelHeaders();

} // namespace transom::emulator
