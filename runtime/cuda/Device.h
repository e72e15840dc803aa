// A GPU that is in use: its primary context and what it can do.
#pragma once

#include "runtime/cuda/Driver.h"

#include <cstdint>
#include <memory>
#include <string>

namespace transom {

struct CudaDeviceInfo {
  std::string name; ///< "NVIDIA H100 80GB HBM3"
  int major = 0, minor = 0; ///< compute capability
  int multiprocessors = 0;
  uint64_t l2Bytes = 0;
  uint64_t sharedBytes = 0; ///< most dynamic shared memory of a block, static included
  uint64_t totalBytes = 0;  ///< memory
  /// "sm_90"
  uint32_t sm() const { return static_cast<uint32_t>(major * 10 + minor); } ///< 90: 9.0
  std::string architecture() const { return fmt::format("sm_{}{}", major, minor); }
};

/// Shared by all that lives on it: memory, modules, streams. Safe to use from any thread; a thread calls makeCurrent()
/// before it calls the driver. Retains the device's primary context, which PyTorch and CUDA's runtime use too.
class CudaDevice {
public:
  /// How many there are. Errors: Driver::get's; 0 is no error.
  static Result<int> count();
  /// Errors: Driver::get's; notFound where `ordinal` is none, saying how many there are. The calling thread has its context.
  static Result<std::shared_ptr<const CudaDevice>> open(int ordinal);
  CudaDevice(const CudaDevice &) = delete;
  CudaDevice &operator=(const CudaDevice &) = delete;
  ~CudaDevice();

  const cuda::Driver &driver() const { return *driver_; }
  int ordinal() const { return ordinal_; }
  const CudaDeviceInfo &info() const { return info_; }
  cuda::CUcontext context() const { return context_; }
  /// Gives the calling thread this device's context.
  Status makeCurrent() const;
  /// The same for a destructor, which goes on whatever the driver says: what is freed then is gone with the context at the latest.
  void makeCurrentToFree() const { static_cast<void>(makeCurrent()); }

  struct Memory {
    uint64_t free = 0, total = 0; ///< bytes
  };
  /// Now, whoever uses it. Makes the device current.
  Result<Memory> memory() const;

private:
  CudaDevice() = default;
  const cuda::Driver *driver_ = nullptr;
  int ordinal_ = 0;
  cuda::CUdevice device_ = 0;
  cuda::CUcontext context_ = nullptr;
  CudaDeviceInfo info_;
};

} // namespace transom
