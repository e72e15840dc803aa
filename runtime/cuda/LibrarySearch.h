// Where CUDA's libraries are found: by environment, by name, under /usr/local/cuda, in NVIDIA's Python wheels.
#pragma once

#include "runtime/support/Status.h"

#include <span>
#include <string>
#include <vector>

namespace transom {

struct LibraryName {
  const char *title;       ///< "NVRTC"
  const char *environment; ///< a variable that names the file; then nothing else is tried
  const char *stem;        ///< "libnvrtc.so"
  const char *wheel;       ///< the wheel's folder under nvidia/: "cuda_nvrtc"
  const char *package;     ///< what to install: "nvidia-cuda-nvrtc"
};

struct OpenedLibrary {
  void *handle = nullptr; ///< never closed
  std::string path;
};

/// Opens the library, version 13 before 12. Error: notFound, saying what was tried and what to do.
Result<OpenedLibrary> openCudaLibrary(const LibraryName &name);

/// What is tried, in order: names for the dynamic loader and files that exist.
std::vector<std::string> libraryCandidates(const LibraryName &name);

} // namespace transom
