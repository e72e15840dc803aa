// See Driver.h.
#include "runtime/cuda/Driver.h"

#include <atomic>
#include <dlfcn.h>

namespace transom::cuda {

namespace {

/// cuLaunchKernelEx and tensor maps are there from CUDA 12.0 on.
constexpr int neededVersion = 12000;

std::atomic<const Driver *> replacement = nullptr;

Result<Driver> load() {
  void *library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *reason = ::dlerror();
    bool absent = reason && std::string_view(reason).find("No such file") != std::string_view::npos;
    return error(StatusCode::notFound, "no NVIDIA driver: libcuda.so.1 {}{}", absent ? "was not found" : "cannot be loaded: ",
                 absent || !reason ? "" : reason);
  }
  Driver driver;
  const char *missing = nullptr;
#define TRANSOM_FIND(name, symbol, parameters)                                                                         \
  driver.name = reinterpret_cast<decltype(driver.name)>(::dlsym(library, symbol));                                     \
  if (!driver.name && !missing)                                                                                        \
    missing = symbol;
  TRANSOM_CUDA_DRIVER_FUNCTIONS(TRANSOM_FIND)
#undef TRANSOM_FIND
  int version = driver.cuDriverGetVersion ? versionOf(driver) : 0;
  if (version != 0 && version < neededVersion)
    return error(StatusCode::unsupported, "the NVIDIA driver is for CUDA {}, needed is one for CUDA {} or newer",
                 versionText(version), versionText(neededVersion));
  if (missing)
    return error(StatusCode::notFound, "no usable NVIDIA driver: libcuda.so.1 has no {}", missing);
  return driver;
}

StatusCode codeOf(CUresult result) {
  switch (result) {
  case CUDA_ERROR_OUT_OF_MEMORY:
    return StatusCode::outOfMemory;
  case CUDA_ERROR_NO_DEVICE:
  case CUDA_ERROR_INVALID_DEVICE:
    return StatusCode::notFound;
  case CUDA_ERROR_STUB_LIBRARY:
  case CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER:
  case CUDA_ERROR_DEVICE_UNAVAILABLE:
  case CUDA_ERROR_INVALID_IMAGE:
  case CUDA_ERROR_NO_BINARY_FOR_GPU:
  case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
  case CUDA_ERROR_NOT_PERMITTED:
  case CUDA_ERROR_NOT_SUPPORTED:
  case CUDA_ERROR_SYSTEM_NOT_READY:
  case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
  case CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE:
    return StatusCode::unsupported;
  default:
    return StatusCode::internal;
  }
}

} // namespace

Result<const Driver *> Driver::get() {
  if (const Driver *driver = replacement.load(std::memory_order_acquire))
    return driver;
  static const Result<Driver> driver = load();
  if (!driver.ok())
    return driver.status();
  return &*driver;
}

void Driver::replace(const Driver *driver) { replacement.store(driver, std::memory_order_release); }

Status Driver::check(CUresult result, std::string_view what) const {
  if (result == CUDA_SUCCESS)
    return {};
  const char *name = nullptr, *text = nullptr;
  if (cuGetErrorName(result, &name) != CUDA_SUCCESS || !name)
    return error(codeOf(result), "{}: CUDA error {}", what, static_cast<int>(result));
  if (cuGetErrorString(result, &text) != CUDA_SUCCESS || !text)
    return error(codeOf(result), "{}: {}", what, name);
  return error(codeOf(result), "{}: {} ({})", what, name, text);
}

bool isSticky(CUresult result) {
  switch (result) {
  case CUDA_ERROR_ECC_UNCORRECTABLE:
  case CUDA_ERROR_NVLINK_UNCORRECTABLE:
  case CUDA_ERROR_CONTAINED:
  case CUDA_ERROR_ILLEGAL_ADDRESS:
  case CUDA_ERROR_LAUNCH_TIMEOUT:
  case CUDA_ERROR_CONTEXT_IS_DESTROYED:
  case CUDA_ERROR_ASSERT:
  case CUDA_ERROR_HARDWARE_STACK_ERROR:
  case CUDA_ERROR_ILLEGAL_INSTRUCTION:
  case CUDA_ERROR_MISALIGNED_ADDRESS:
  case CUDA_ERROR_INVALID_ADDRESS_SPACE:
  case CUDA_ERROR_INVALID_PC:
  case CUDA_ERROR_LAUNCH_FAILED:
  case CUDA_ERROR_TENSOR_MEMORY_LEAK:
  case CUDA_ERROR_UNKNOWN:
    return true;
  default:
    return false;
  }
}

int versionOf(const Driver &driver) {
  int version = 0;
  return driver.cuDriverGetVersion(&version) == CUDA_SUCCESS ? version : 0;
}

std::string versionText(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

} // namespace transom::cuda
