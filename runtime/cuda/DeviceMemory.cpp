// See DeviceMemory.h.
#include "runtime/cuda/DeviceMemory.h"

namespace transom {

using namespace cuda;

static double mebibytes(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

static Status tooLittle(const CudaDevice::Memory &memory, uint64_t bytes, std::string_view what) {
  return error(StatusCode::outOfMemory, "needs {:.1f} MiB of GPU memory for {}, {:.1f} MiB of {:.1f} MiB are free",
               mebibytes(bytes), what, mebibytes(memory.free), mebibytes(memory.total));
}

Status checkFree(const CudaDevice &device, uint64_t bytes, std::string_view what) {
  TRANSOM_ASSIGN(CudaDevice::Memory memory, device.memory());
  return bytes <= memory.free ? Status() : tooLittle(memory, bytes, what);
}

Result<DeviceMemory> DeviceMemory::allocate(std::shared_ptr<const CudaDevice> device, uint64_t bytes, std::string_view what,
                                            Fill fill) {
  DeviceMemory block;
  if (bytes == 0)
    return block;
  const Driver &driver = device->driver();
  TRANSOM_RETURN_IF_ERROR(device->makeCurrent());
  CUdeviceptr pointer = 0;
  CUresult result = driver.cuMemAlloc(&pointer, bytes);
  if (result == CUDA_ERROR_OUT_OF_MEMORY)
    if (Result<CudaDevice::Memory> memory = device->memory(); memory.ok())
      return tooLittle(*memory, bytes, what);
  TRANSOM_RETURN_IF_ERROR(driver.check(result, fmt::format("{:.1f} MiB of GPU memory for {}", mebibytes(bytes), what)));
  block.device_ = std::move(device);
  block.pointer_ = pointer;
  block.bytes_ = bytes;
  if (fill == Fill::zeros) {
    TRANSOM_RETURN_IF_ERROR(driver.check(driver.cuMemsetD8Async(pointer, 0, bytes, nullptr), "clearing GPU memory"));
    TRANSOM_RETURN_IF_ERROR(driver.check(driver.cuStreamSynchronize(nullptr), "clearing GPU memory"));
  }
  return block;
}

DeviceMemory &DeviceMemory::operator=(DeviceMemory &&other) noexcept {
  std::swap(device_, other.device_);
  std::swap(pointer_, other.pointer_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  if (!pointer_)
    return;
  device_->makeCurrentToFree();
  device_->driver().cuMemFree(pointer_);
}

Result<PinnedMemory> PinnedMemory::allocate(std::shared_ptr<const CudaDevice> device, uint64_t bytes, std::string_view what) {
  PinnedMemory block;
  if (bytes == 0)
    return block;
  TRANSOM_RETURN_IF_ERROR(device->makeCurrent());
  void *data = nullptr;
  CUresult result = device->driver().cuMemHostAlloc(&data, bytes, CU_MEMHOSTALLOC_PORTABLE);
  TRANSOM_RETURN_IF_ERROR(device->driver().check(
      result, fmt::format("{:.1f} MiB of page-locked host memory for {}", mebibytes(bytes), what)));
  block.device_ = std::move(device);
  block.data_ = static_cast<std::byte *>(data);
  block.bytes_ = bytes;
  return block;
}

PinnedMemory &PinnedMemory::operator=(PinnedMemory &&other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

PinnedMemory::~PinnedMemory() {
  if (!data_)
    return;
  device_->makeCurrentToFree();
  device_->driver().cuMemFreeHost(data_);
}

} // namespace transom
