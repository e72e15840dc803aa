// An artifact on a GPU: its weights uploaded, its kernels loaded. What sessions on that GPU share.
#pragma once

#include "runtime/cuda/CublasLt.h"
#include "runtime/cuda/DeviceMemory.h"
#include "runtime/cuda/Kernels.h"
#include "runtime/format/Artifact.h"

#include <memory>
#include <vector>

namespace transom {

/// Immutable, and safe to share between threads; sessions keep it alive. It holds nothing of the artifact's file.
class CudaModel {
public:
  /// In this order, so that nothing is allocated for a model that cannot run: cubins are chosen for the device, or
  /// kernels compiled for it; modules loaded; cuBLASLt loaded where a program has products; then weights are uploaded.
  /// Errors: unsupported where GPU, driver and artifact do not fit; notFound where a library is missing; outOfMemory
  /// with need and have; what Nvrtc says. Runs code of the file: load only artifacts that you trust.
  static Result<std::shared_ptr<const CudaModel>> load(const Artifact &artifact, std::shared_ptr<const CudaDevice> device);

  /// Of weight `index` of the artifact, aligned to 256 bytes; 0 where no program for CUDA uses it.
  cuda::CUdeviceptr weight(size_t index) const { return weights_[index]; }
  /// Of kernel `index` of Contents::cudaKernels; null where no program for CUDA uses it. Its dynamic shared memory is allowed.
  cuda::CUfunction kernel(size_t index) const { return kernels_.function(index); }
  /// Null where no program for CUDA has a product.
  const std::shared_ptr<const CublasLtHandle> &cublasLt() const { return cublasLt_; }
  const CudaDevice &device() const { return *device_; }
  const std::shared_ptr<const CudaDevice> &sharedDevice() const { return device_; }
  /// GPU memory of the weights.
  uint64_t weightBytes() const { return memory_.bytes(); }

private:
  CudaModel() = default;
  std::shared_ptr<const CudaDevice> device_;
  CudaKernels kernels_;
  std::shared_ptr<const CublasLtHandle> cublasLt_;
  DeviceMemory memory_;
  std::vector<cuda::CUdeviceptr> weights_;
};

/// GPU memory for the weights that programs for CUDA use, as CudaModel lays them out.
uint64_t cudaWeightBytes(const artifact::Contents &contents);

} // namespace transom
