// The fake driver's device and its memory, which is the host's.
#pragma once

#include "runtime/cuda/Device.h"
#include "test/unit/FakeCuda.h"

#include <gtest/gtest.h>
#include <memory>

namespace transom::fake {

/// Device 0, while a FakeCuda lives; null after a failure of the test.
inline std::shared_ptr<const CudaDevice> openDevice() {
  auto device = CudaDevice::open(0);
  EXPECT_EQ(device.status().message(), "");
  return device.ok() ? *device : nullptr;
}
inline void *at(cuda::CUdeviceptr pointer) { return reinterpret_cast<void *>(static_cast<uintptr_t>(pointer)); }

} // namespace transom::fake
