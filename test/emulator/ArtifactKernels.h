// The CUDA kernels of an artifact as a library that the emulator runs.
#pragma once

#include "runtime/format/Contents.h"
#include "test/emulator/Build.h"

namespace transom::emulator {

/// The path of the library. Errors: buildKernels'; invalidArgument where the artifact has no kernels for CUDA.
Result<std::string> buildArtifactKernels(const artifact::Contents &contents, const BuildOptions &options = {});

} // namespace transom::emulator
