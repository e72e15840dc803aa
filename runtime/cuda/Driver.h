// The NVIDIA driver as a table of functions, loaded when something first needs a GPU. Tests put another table in its place.
#pragma once

#include "runtime/cuda/DriverApi.h"
#include "runtime/support/Status.h"

#include <string_view>

namespace transom::cuda {

/// One pointer per function, named as in the reference; none is null in a table that get() returns.
struct Driver {
#define TRANSOM_DECLARE(name, symbol, parameters) CUresult(*name) parameters = nullptr;
  TRANSOM_CUDA_DRIVER_FUNCTIONS(TRANSOM_DECLARE)
#undef TRANSOM_DECLARE

  /// The table of libcuda.so.1, loaded once per process; or what replace() has put in its place. Does not call cuInit:
  /// CudaDevice does. Safe from any thread. Errors: notFound where there is no driver; unsupported where it is older
  /// than CUDA 12.0, with the version found.
  static Result<const Driver *> get();
  /// For tests: get() returns `driver` until replace(nullptr). What was opened on the old table must be gone before.
  static void replace(const Driver *driver);

  /// Ok for CUDA_SUCCESS; otherwise "`what`: NAME (description)" with the code outOfMemory, notFound (no such device),
  /// unsupported (driver, image and GPU do not fit) or internal.
  Status check(CUresult result, std::string_view what) const;
};

/// Whether the error stays with the context: every later call in this process fails too.
bool isSticky(CUresult result);

/// The highest CUDA version that the driver supports, as cuDriverGetVersion says it: 13000 is 13.0; 0 where it does not say.
int versionOf(const Driver &driver);
/// 13000 as "13.0".
std::string versionText(int version);

} // namespace transom::cuda
