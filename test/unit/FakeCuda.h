// The NVIDIA driver and cuBLASLt without a GPU: device memory is host memory, kernels run on the emulator (test/emulator) or are
// counted only, products are plain loops. It checks what it is given as a strict driver would, and can fail at any call.
#pragma once

#include "runtime/cuda/CublasLt.h"
#include "runtime/cuda/Driver.h"
#include "test/emulator/Emulator.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace transom::fake {

/// When work that is enqueued is done. lazy: as late as the driver may, when something waits for it; so a result that is read too early,
/// or a staging buffer that is overwritten too early, shows. Also of asynchronous work within kernels.
using emulator::Timing;

struct Options {
  int devices = 1;
  int major = 8, minor = 0;       ///< compute capability
  int driverVersion = 13000;      ///< as cuDriverGetVersion says it
  uint64_t memoryBytes = uint64_t(1) << 32;
  uint32_t sharedBytes = 163 * 1024; ///< most shared memory of a block
  int clusters = 2;                  ///< that run at once
  Timing timing = Timing::eager;
  emulator::Order order = emulator::Order::forward;
  /// A kernel that no library has: launches of it are counted and do nothing, or cuModuleGetFunction does not find it.
  bool countUnknownKernels = true;
};

/// Stands in for driver and cuBLASLt from its construction to its end; one at a time. Safe to use from many threads.
class FakeCuda {
public:
  explicit FakeCuda(const Options &options = {});
  ~FakeCuda();
  FakeCuda(const FakeCuda &) = delete;

  /// Kernels to run where a module's function has one of their names. Of equal names the last library counts.
  void addKernels(std::shared_ptr<const emulator::KernelLibrary> library);

  /// Calls since construction, of both libraries.
  uint64_t calls() const;
  /// Calls of a function ("cuMemAlloc"), or launches of a kernel ("kernel NAME"), or its blocks ("blocks of kernel NAME"), that were carried out.
  uint64_t count(std::string_view name) const;
  /// The `call`-th call from now on (1: the next) fails with `result`; of cuBLASLt with a status that fits. A call that frees something
  /// frees it all the same. Sticky results (illegal address and such) stay with every later call. 0: none.
  void failAt(uint64_t call, cuda::CUresult result);
  /// The function that failAt() has let fail; empty: none yet.
  std::string failedIn() const;

  /// What the driver was asked to do and must not be: a line each, in order.
  std::vector<std::string> faults() const;
  /// What has been made and not been destroyed: a line each.
  std::vector<std::string> leaks() const;
  /// Both in one text; empty where all is well.
  std::string problems() const;
  /// Bytes of device memory that are allocated.
  uint64_t allocatedBytes() const;
};

/// An image that the fake takes for a cubin with these kernels. Real cubins are taken, too.
std::vector<std::byte> imageOf(const std::vector<std::string> &kernels);

} // namespace transom::fake
