// A driver table over host memory, for tests of what needs memory, streams and events only: one GPU of 64 MiB, copies at once.
#pragma once

#include "runtime/cuda/Driver.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace transom::test {

/// In place from construction to destruction; one at a time.
class HostDriver {
public:
  static constexpr size_t totalBytes = size_t(64) << 20;

  HostDriver() {
    now = this;
    cuda::Driver::replace(&table());
  }
  ~HostDriver() {
    cuda::Driver::replace(nullptr);
    now = nullptr;
  }

  /// Blocks, streams, events and contexts that have been made and not destroyed.
  std::atomic<int> alive = 0;
  /// Copies to the device until one fails; negative: none does.
  std::atomic<int> copiesLeft = -1;
  std::atomic<size_t> used = 0;

private:
  static inline HostDriver *now = nullptr;
  static inline std::mutex mutex;
  static inline std::map<cuda::CUdeviceptr, size_t> blocks;

  static cuda::CUresult make(void **handle) {
    *handle = std::malloc(1);
    ++now->alive;
    return cuda::CUDA_SUCCESS;
  }
  static cuda::CUresult destroy(void *handle) {
    std::free(handle);
    --now->alive;
    return cuda::CUDA_SUCCESS;
  }
  static cuda::CUresult allocate(cuda::CUdeviceptr *pointer, size_t bytes) {
    if (bytes > totalBytes - now->used)
      return cuda::CUDA_ERROR_OUT_OF_MEMORY;
    void *data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(data, 0xA5, bytes);
    *pointer = reinterpret_cast<uintptr_t>(data);
    std::lock_guard lock(mutex);
    blocks[*pointer] = bytes;
    now->used += bytes;
    ++now->alive;
    return cuda::CUDA_SUCCESS;
  }
  static cuda::CUresult release(cuda::CUdeviceptr pointer) {
    std::lock_guard lock(mutex);
    now->used -= blocks[pointer];
    blocks.erase(pointer);
    return destroy(reinterpret_cast<void *>(static_cast<uintptr_t>(pointer)));
  }
  static cuda::CUresult copyToDevice(cuda::CUdeviceptr to, const void *from, size_t bytes, cuda::CUstream) {
    if (now->copiesLeft >= 0 && now->copiesLeft-- == 0)
      return cuda::CUDA_ERROR_ILLEGAL_ADDRESS;
    std::memcpy(reinterpret_cast<void *>(static_cast<uintptr_t>(to)), from, bytes);
    return cuda::CUDA_SUCCESS;
  }

  static const cuda::Driver &table() {
    using namespace cuda;
    static const Driver driver = [] {
      Driver d;
      d.cuInit = [](unsigned) { return CUDA_SUCCESS; };
      d.cuDriverGetVersion = [](int *version) { return *version = 12040, CUDA_SUCCESS; };
      d.cuGetErrorName = [](CUresult result, const char **name) {
        *name = result == CUDA_ERROR_ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : nullptr;
        return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
      };
      d.cuGetErrorString = [](CUresult, const char **text) { return *text = "an illegal address", CUDA_SUCCESS; };
      d.cuDeviceGetCount = [](int *count) { return *count = 1, CUDA_SUCCESS; };
      d.cuDeviceGet = [](CUdevice *device, int) { return *device = 7, CUDA_SUCCESS; };
      d.cuDeviceGetName = [](char *name, int length, CUdevice) { return std::strncpy(name, "Host", size_t(length)), CUDA_SUCCESS; };
      d.cuDeviceTotalMem = [](size_t *bytes, CUdevice) { return *bytes = totalBytes, CUDA_SUCCESS; };
      d.cuDeviceGetAttribute = [](int *value, CUdevice_attribute attribute, CUdevice) {
        *value = attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 8 : 6;
        return CUDA_SUCCESS;
      };
      d.cuDevicePrimaryCtxRetain = [](CUcontext *context, CUdevice) {
        *context = reinterpret_cast<CUcontext>(now);
        return ++now->alive, CUDA_SUCCESS;
      };
      d.cuDevicePrimaryCtxRelease = [](CUdevice) { return --now->alive, CUDA_SUCCESS; };
      d.cuCtxSetCurrent = [](CUcontext) { return CUDA_SUCCESS; };
      d.cuMemGetInfo = [](size_t *free, size_t *total) {
        *free = totalBytes - now->used;
        return *total = totalBytes, CUDA_SUCCESS;
      };
      d.cuMemAlloc = allocate;
      d.cuMemFree = release;
      d.cuMemHostAlloc = [](void **pointer, size_t bytes, unsigned) {
        *pointer = std::malloc(bytes);
        return ++now->alive, CUDA_SUCCESS;
      };
      d.cuMemFreeHost = destroy;
      d.cuMemcpyHtoDAsync = copyToDevice;
      d.cuMemsetD8Async = [](CUdeviceptr pointer, unsigned char value, size_t bytes, CUstream) {
        std::memset(reinterpret_cast<void *>(static_cast<uintptr_t>(pointer)), value, bytes);
        return CUDA_SUCCESS;
      };
      d.cuStreamCreate = [](CUstream *stream, unsigned) { return make(reinterpret_cast<void **>(stream)); };
      d.cuStreamDestroy = [](CUstream stream) { return destroy(stream); };
      d.cuStreamSynchronize = [](CUstream) { return CUDA_SUCCESS; };
      d.cuEventCreate = [](CUevent *event, unsigned) { return make(reinterpret_cast<void **>(event)); };
      d.cuEventDestroy = [](CUevent event) { return destroy(event); };
      d.cuEventRecord = [](CUevent, CUstream) { return CUDA_SUCCESS; };
      d.cuEventSynchronize = [](CUevent) { return CUDA_SUCCESS; };
      return d;
    }();
    return driver;
  }
};

} // namespace transom::test
