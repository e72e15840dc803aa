// Blocks of GPU memory and of page-locked host memory. Freed with the object, which keeps the device open.
#pragma once

#include "runtime/cuda/Device.h"

#include <cstddef>
#include <string_view>
#include <utility>

namespace transom {

/// What a new block of GPU memory holds.
enum class Fill : uint8_t { nothing, zeros };

/// GPU memory, aligned to 256 bytes. Move-only; may be empty. No work may use it when it is freed.
class DeviceMemory {
public:
  DeviceMemory() = default;
  /// Makes the device current. Zeros are there for every stream when it returns. Error: outOfMemory,
  /// "needs X MiB of GPU memory for `what`, Y MiB of Z MiB are free".
  static Result<DeviceMemory> allocate(std::shared_ptr<const CudaDevice> device, uint64_t bytes, std::string_view what, Fill fill);
  DeviceMemory(DeviceMemory &&other) noexcept { *this = std::move(other); }
  DeviceMemory &operator=(DeviceMemory &&other) noexcept;
  ~DeviceMemory();

  /// 0 where empty.
  cuda::CUdeviceptr pointer() const { return pointer_; }
  uint64_t bytes() const { return bytes_; }

private:
  std::shared_ptr<const CudaDevice> device_;
  cuda::CUdeviceptr pointer_ = 0;
  uint64_t bytes_ = 0;
};

/// Host memory that the GPU copies from and to while the host goes on. Move-only; may be empty. Its content is undefined at first.
class PinnedMemory {
public:
  PinnedMemory() = default;
  /// Makes the device current. Error: outOfMemory.
  static Result<PinnedMemory> allocate(std::shared_ptr<const CudaDevice> device, uint64_t bytes, std::string_view what);
  PinnedMemory(PinnedMemory &&other) noexcept { *this = std::move(other); }
  PinnedMemory &operator=(PinnedMemory &&other) noexcept;
  ~PinnedMemory();

  std::byte *data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

private:
  std::shared_ptr<const CudaDevice> device_;
  std::byte *data_ = nullptr;
  uint64_t bytes_ = 0;
};

/// outOfMemory unless the device has `bytes` free now: "needs X MiB of GPU memory for `what`, Y MiB of Z MiB are free".
Status checkFree(const CudaDevice &device, uint64_t bytes, std::string_view what);

} // namespace transom
