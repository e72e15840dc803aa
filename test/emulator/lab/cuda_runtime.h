// What the kernel lab uses of CUDA's runtime, on the emulator: memory is the host's, launches run at once, time is the host's.
#pragma once

#include "test/emulator/Device.h"
#include "test/emulator/Emulator.h"
#include "test/emulator/Tensor.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>

struct cudaDeviceProp {
  char name[256] = "the emulator";
  int major = 8, minor = 0, multiProcessorCount = 1;
};
enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2, cudaErrorLaunchFailure = 719 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaLaunchAttributeID {
  cudaLaunchAttributeClusterDimension = 4,
  cudaLaunchAttributeProgrammaticStreamSerialization = 6,
};
union cudaLaunchAttributeValue {
  struct { unsigned x, y, z; } clusterDim;
  int programmaticStreamSerializationAllowed;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};
using cudaStream_t = struct EmulatedStream *;
struct EmulatedEvent { std::chrono::steady_clock::time_point at; };
using cudaEvent_t = EmulatedEvent *;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute *attrs = nullptr;
  unsigned numAttrs = 0;
};

namespace emulated {
inline std::string lastError;
} // namespace emulated

inline const char *cudaGetErrorString(cudaError_t e) {
  return e == cudaSuccess ? "no error" : e == cudaErrorMemoryAllocation ? "out of memory" : emulated::lastError.c_str();
}
template <class T> cudaError_t cudaMalloc(T **p, size_t bytes) {
  *p = static_cast<T *>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFree(void *p) {
  std::free(p);
  return cudaSuccess;
}
inline cudaError_t cudaMemset(void *p, int value, size_t bytes) {
  std::memset(p, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t) { return cudaMemset(p, value, bytes); }
inline cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceCount(int *count) {
  *count = 1;
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int) {
  *properties = {};
  return cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaEventCreate(cudaEvent_t *e) {
  *e = new EmulatedEvent;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t) {
  e->at = std::chrono::steady_clock::now();
  return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b) {
  *ms = std::chrono::duration<float, std::milli>(b->at - a->at).count();
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t e) {
  delete e;
  return cudaSuccess;
}
template <class K> cudaError_t cudaFuncSetAttribute(K *, cudaFuncAttribute, int) { return cudaSuccess; }

namespace emulated {
/// A kernel that is known only when it runs.
template <class... P> struct LabLaunch {
  inline static void (*kernel)(P...) = nullptr;
  template <size_t... i> static void expand(void **arguments, std::index_sequence<i...>) { kernel(*static_cast<P *>(arguments[i])...); }
  static void call(void **arguments) { expand(arguments, std::index_sequence_for<P...>{}); }
};
} // namespace emulated

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...), A... arguments) {
  emulated::machine = &transom::emulator::theMachine();
  emulated::LabLaunch<P...>::kernel = kernel;
  std::tuple<P...> values(arguments...);
  void *pointers[sizeof...(P) + 1];
  std::apply([&](auto &...value) { size_t i = 0; ((pointers[i++] = (void *)&value), ...); }, values);
  transom::emulator::Entry entry{"lab", emulated::LabLaunch<P...>::call, nullptr, 0};
  const char *reverse = std::getenv("TRANSOM_EMULATED_REVERSE");
  transom::emulator::LaunchShape shape{config->gridDim, config->blockDim, (uint32_t)config->dynamicSmemBytes};
  transom::emulator::LaunchOptions options;
  options.order = reverse ? transom::emulator::Order::reverse : transom::emulator::Order::forward;
  auto status = transom::emulator::launch(entry, shape, pointers, options);
  emulated::lastError = status.message();
  return status.ok() ? cudaSuccess : cudaErrorLaunchFailure;
}
