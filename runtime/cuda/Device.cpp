// See Device.h.
#include "runtime/cuda/Device.h"

namespace transom {

using namespace cuda;

Result<int> CudaDevice::count() {
  TRANSOM_ASSIGN(const Driver *driver, Driver::get());
  CUresult started = driver->cuInit(0);
  if (started == CUDA_ERROR_NO_DEVICE)
    return 0;
  TRANSOM_RETURN_IF_ERROR(driver->check(started, "cannot start the NVIDIA driver"));
  int count = 0;
  TRANSOM_RETURN_IF_ERROR(driver->check(driver->cuDeviceGetCount(&count), "cannot count the GPUs"));
  return count;
}

static Status readInfo(const Driver &driver, CUdevice device, CudaDeviceInfo &info) {
  char name[256] = {};
  size_t bytes = 0;
  TRANSOM_RETURN_IF_ERROR(driver.check(driver.cuDeviceGetName(name, sizeof name - 1, device), "its name"));
  TRANSOM_RETURN_IF_ERROR(driver.check(driver.cuDeviceTotalMem(&bytes, device), "its memory"));
  info.name = name;
  info.totalBytes = bytes;
  int l2Bytes = 0, sharedBytes = 0;
  const std::pair<CUdevice_attribute, int *> attributes[] = {
      {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &info.major},
      {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &info.minor},
      {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &info.multiprocessors},
      {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, &l2Bytes},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &sharedBytes},
  };
  for (auto [attribute, value] : attributes)
    TRANSOM_RETURN_IF_ERROR(driver.check(driver.cuDeviceGetAttribute(value, attribute, device), "its attributes"));
  info.l2Bytes = static_cast<uint64_t>(l2Bytes);
  info.sharedBytes = static_cast<uint64_t>(sharedBytes);
  return {};
}

Result<std::shared_ptr<const CudaDevice>> CudaDevice::open(int ordinal) {
  TRANSOM_ASSIGN(int there, count());
  if (there == 0)
    return error(StatusCode::notFound, "no GPU {}: the NVIDIA driver sees none", ordinal);
  if (ordinal < 0 || ordinal >= there)
    return error(StatusCode::notFound, "no GPU {}: there {} {}, counted from 0", ordinal, there == 1 ? "is" : "are", there);
  std::shared_ptr<CudaDevice> device(new CudaDevice);
  TRANSOM_ASSIGN(device->driver_, Driver::get());
  const Driver &driver = *device->driver_;
  std::string what = fmt::format("GPU {}", ordinal);
  TRANSOM_RETURN_IF_ERROR(driver.check(driver.cuDeviceGet(&device->device_, ordinal), what));
  TRANSOM_RETURN_IF_ERROR(readInfo(driver, device->device_, device->info_).within(what));
  device->ordinal_ = ordinal;
  CUcontext context = nullptr;
  TRANSOM_RETURN_IF_ERROR(driver.check(driver.cuDevicePrimaryCtxRetain(&context, device->device_), what));
  device->context_ = context;
  TRANSOM_RETURN_IF_ERROR(device->makeCurrent());
  return std::shared_ptr<const CudaDevice>(std::move(device));
}

CudaDevice::~CudaDevice() {
  if (context_)
    driver_->cuDevicePrimaryCtxRelease(device_);
}

Status CudaDevice::makeCurrent() const {
  CUresult result = driver_->cuCtxSetCurrent(context_);
  return result == CUDA_SUCCESS ? Status() : driver_->check(result, fmt::format("GPU {}", ordinal_));
}

Result<CudaDevice::Memory> CudaDevice::memory() const {
  TRANSOM_RETURN_IF_ERROR(makeCurrent());
  size_t free = 0, total = 0;
  TRANSOM_RETURN_IF_ERROR(driver_->check(driver_->cuMemGetInfo(&free, &total), fmt::format("memory of GPU {}", ordinal_)));
  return Memory{free, total};
}

} // namespace transom
