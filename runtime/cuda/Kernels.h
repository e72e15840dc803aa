// The kernels of an artifact on a device: which cubin each comes from, compiled where there is none, loaded.
#pragma once

#include "runtime/cuda/Device.h"
#include "runtime/format/Artifact.h"

#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace transom {

/// Where to take a kernel from on a device of this compute capability: an index into `code`, or nothing. The exact
/// architecture comes first ("sm_90a", which runs nowhere else, then "sm_90"), then the highest below it of the same major number.
std::optional<size_t> chooseCubin(std::span<const artifact::Code> code, std::string_view kernel, int major, int minor);

/// The architecture that a kernel is compiled for where there is no cubin: the device's own, with the features that only it
/// has ("sm_90a"), or else the highest of the same major number that the compiler knows. `known` as Nvrtc::architectures.
/// Nothing where there is none.
std::optional<std::string> chooseArchitecture(std::span<const int> known, int major, int minor);

/// Loaded kernels of the programs for CUDA. Move-only.
class CudaKernels {
public:
  CudaKernels() = default;
  /// Errors: CudaModel::load's.
  static Result<CudaKernels> load(const Artifact &artifact, std::shared_ptr<const CudaDevice> device);
  CudaKernels(CudaKernels &&other) noexcept { *this = std::move(other); }
  CudaKernels &operator=(CudaKernels &&other) noexcept;
  ~CudaKernels();

  cuda::CUfunction function(size_t index) const { return functions_[index]; }

private:
  Status loadModule(const void *image, const std::string &what, cuda::CUmodule &module);
  Status findFunction(const artifact::CudaKernel &kernel, cuda::CUmodule module, cuda::CUfunction &function) const;
  std::shared_ptr<const CudaDevice> device_;
  std::vector<cuda::CUmodule> modules_;
  std::vector<cuda::CUfunction> functions_; ///< null: not used
};

} // namespace transom
