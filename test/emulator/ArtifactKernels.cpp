// See ArtifactKernels.h.
#include "test/emulator/ArtifactKernels.h"

namespace transom::emulator {

Result<std::string> buildArtifactKernels(const artifact::Contents &contents, const BuildOptions &options) {
  if (contents.cudaKernels.empty())
    return error(StatusCode::invalidArgument, "the artifact has no kernels for CUDA");
  std::vector<Text> headers, kernels;
  for (const artifact::CudaHeader &header : contents.cudaHeaders)
    headers.push_back({header.name, header.text});
  for (const artifact::CudaKernel &kernel : contents.cudaKernels)
    kernels.push_back({kernel.name, kernel.source});
  return buildKernels(headers, kernels, options);
}

} // namespace transom::emulator
