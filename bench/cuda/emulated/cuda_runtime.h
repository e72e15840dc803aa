// The calls of the CUDA runtime that the lab's checks make, on the emulator of test/emulator: device memory is host memory, a launch
// runs the kernel's threads as fibers. For bench/cuda/emulate.py, which puts this folder before CUDA's own headers.
#pragma once

#define LAB_EMULATED 1

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "test/emulator/Emulator.h"
#include "test/emulator/TensorMap.h"

// Behind the standard library: it makes macros of words that the library uses.
#include "test/emulator/Device.h"

namespace transom::emulator {
Machine &theMachine();
}

enum cudaError_t { cudaSuccess, cudaErrorUnknown };
using cudaStream_t = void *;
using cudaEvent_t = double *; // milliseconds
enum { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
enum { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum { cudaLaunchAttributeProgrammaticStreamSerialization };

inline std::string &cudaLastMessage() {
  static std::string message = "not under the emulator";
  return message;
}
inline const char *cudaGetErrorString(cudaError_t) { return cudaLastMessage().c_str(); }

struct cudaDeviceProp {
  const char *name;
  int major, minor, multiProcessorCount;
};
inline cudaError_t cudaGetDeviceCount(int *count) {
  *count = 1;
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int) {
  *properties = {"emulator", __CUDA_ARCH__ / 100, __CUDA_ARCH__ / 10 % 10, 3}; // few, so that a block has several tiles
  return cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

template <class T> cudaError_t cudaMalloc(T **p, size_t bytes) {
  *p = static_cast<T *>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  return *p ? cudaSuccess : cudaErrorUnknown;
}
inline cudaError_t cudaFree(void *p) {
  std::free(p);
  return cudaSuccess;
}
inline cudaError_t cudaMemset(void *p, int value, size_t bytes) {
  std::memset(p, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, int) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

struct cudaLaunchAttribute {
  int id;
  struct {
    int programmaticStreamSerializationAllowed;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute *attrs;
  int numAttrs;
};
template <class Kernel> cudaError_t cudaFuncSetAttribute(Kernel *, int, int) { return cudaSuccess; }

/// One thread of a kernel: what an emulated library's Entry::call does.
template <class... P> struct EmulatedCall {
  static inline void (*kernel)(P...);
  static void run(void **arguments) { std::apply(kernel, *static_cast<std::tuple<P...> *>(arguments[0])); }
};
/// LAB_ORDER=reverse in the environment: threads and blocks take their turns from the last to the first. LAB_TIMING=lazy: asynchronous
/// work is done as late as may be.
template <class... P> cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *how, void (*kernel)(P...), P... arguments) {
  using namespace transom::emulator;
  emulated::machine = &theMachine();
  std::tuple<P...> all(arguments...);
  void *place = &all;
  EmulatedCall<P...>::kernel = kernel;
  static const char *order = std::getenv("LAB_ORDER"), *timing = std::getenv("LAB_TIMING");
  LaunchOptions options;
  options.timing = timing && std::strcmp(timing, "lazy") == 0 ? Timing::lazy : Timing::eager;
  options.order = order && std::strcmp(order, "reverse") == 0 ? Order::reverse : Order::forward;
  Entry entry{__PRETTY_FUNCTION__, EmulatedCall<P...>::run, nullptr, 0};
  transom::Status status = launch(entry, {how->gridDim, how->blockDim, static_cast<uint32_t>(how->dynamicSmemBytes)}, &place, options);
  if (status.ok())
    return cudaSuccess;
  cudaLastMessage() = status.message();
  return cudaErrorUnknown;
}

enum cudaDriverEntryPointQueryResult { cudaDriverEntryPointSuccess };
enum { cudaEnableDefault };
/// cuTensorMapEncodeTiled, which is all that the lab asks for.
inline cudaError_t cudaGetDriverEntryPointByVersion(const char *, void **entry, unsigned, int, cudaDriverEntryPointQueryResult *result) {
  using namespace transom::cuda;
  auto encode = +[](CUtensorMap *map, CUtensorMapDataType type, uint32_t rank, void *address, const uint64_t *sizes, const uint64_t *strides,
                    const uint32_t *box, const uint32_t *steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion,
                    CUtensorMapFloatOOBfill) {
    cudaLastMessage() = transom::emulator::encodeTensorMap(map, type, rank, address, sizes, strides, box, steps, interleave, swizzle);
    return cudaLastMessage().empty() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  };
  *entry = reinterpret_cast<void *>(encode);
  *result = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}

inline cudaError_t cudaEventCreate(cudaEvent_t *event) {
  *event = new double(0);
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  *event = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
  return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t stop) {
  *ms = static_cast<float>(*stop - *start);
  return cudaSuccess;
}
