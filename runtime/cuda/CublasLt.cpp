// See CublasLt.h: the library and its handle.
#include "runtime/cuda/CublasLt.h"

#include "runtime/cuda/LibrarySearch.h"

#include <atomic>
#include <dlfcn.h>

namespace transom {

namespace cuda {

namespace {

constexpr LibraryName libraryName = {"cuBLASLt", "TRANSOM_CUBLASLT", "libcublasLt.so", "cublas", "nvidia-cublas"};

std::atomic<const CublasLt *> replacement = nullptr;

Result<CublasLt> load() {
  TRANSOM_ASSIGN(OpenedLibrary opened, openCudaLibrary(libraryName));
  CublasLt library;
  auto missing = [&](const char *symbol) {
    return error(StatusCode::unsupported, "{}: not a usable cuBLASLt: it has no {}", opened.path, symbol);
  };
#define TRANSOM_FIND(name, ...)                                                                                        \
  if (!(library.name = reinterpret_cast<decltype(library.name)>(::dlsym(opened.handle, #name))))                       \
    return missing(#name);
  TRANSOM_CUBLASLT_FUNCTIONS(TRANSOM_FIND)
  TRANSOM_FIND(cublasLtGetVersion)
  TRANSOM_FIND(cublasLtGetStatusName)
#undef TRANSOM_FIND
  return library;
}

} // namespace

Result<const CublasLt *> CublasLt::get() {
  if (const CublasLt *library = replacement.load(std::memory_order_acquire))
    return library;
  static const Result<CublasLt> library = load();
  if (!library.ok())
    return library.status();
  return &*library;
}

void CublasLt::replace(const CublasLt *library) { replacement.store(library, std::memory_order_release); }

Status CublasLt::check(cublasStatus_t status, std::string_view what) const {
  if (status == CUBLAS_STATUS_SUCCESS)
    return {};
  StatusCode code = StatusCode::internal;
  if (status == CUBLAS_STATUS_ALLOC_FAILED)
    code = StatusCode::outOfMemory;
  else if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_ARCH_MISMATCH ||
           status == CUBLAS_STATUS_NOT_INITIALIZED) // with a driver that is too old, for one
    code = StatusCode::unsupported;
  const char *name = cublasLtGetStatusName(status);
  return name ? error(code, "{}: {}", what, name) : error(code, "{}: cuBLASLt error {}", what, static_cast<int>(status));
}

} // namespace cuda

Result<std::shared_ptr<const CublasLtHandle>> CublasLtHandle::create(std::shared_ptr<const CudaDevice> device) {
  std::shared_ptr<CublasLtHandle> handle(new CublasLtHandle);
  TRANSOM_ASSIGN(handle->library_, cuda::CublasLt::get());
  TRANSOM_RETURN_IF_ERROR(device->makeCurrent());
  const cuda::CublasLt &library = *handle->library_;
  cuda::cublasLtHandle_t created = nullptr;
  std::string what = fmt::format("cannot start cuBLASLt (version {}) on GPU {}", library.cublasLtGetVersion(), device->ordinal());
  TRANSOM_RETURN_IF_ERROR(library.check(library.cublasLtCreate(&created), what));
  handle->handle_ = created;
  handle->device_ = std::move(device);
  return std::shared_ptr<const CublasLtHandle>(std::move(handle));
}

CublasLtHandle::~CublasLtHandle() {
  if (!handle_)
    return;
  device_->makeCurrentToFree();
  library_->cublasLtDestroy(handle_);
}

} // namespace transom
