// Launches and libraries of kernels; Cluster.cpp runs them.
#include "test/emulator/Cluster.h"

#include <dlfcn.h>
#include <mutex>

namespace transom::emulator {

Status launch(const Entry &kernel, const LaunchShape &shape, void **arguments, const LaunchOptions &options) {
  static std::mutex turn;
  std::lock_guard lock(turn);
  return theCluster().run(kernel, shape, arguments, options);
}

Result<std::shared_ptr<const KernelLibrary>> KernelLibrary::open(const std::string &path) {
  std::shared_ptr<KernelLibrary> library(new KernelLibrary);
  library->handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library->handle_)
    return error(StatusCode::notFound, "kernels: {}", dlerror());
  library->table_ = static_cast<const EntryTable *>(dlsym(library->handle_, entryTableSymbol));
  if (!library->table_)
    return error(StatusCode::invalidFile, "{}: expected a library of emulated kernels", path);
  if (library->table_->version != EntryTable::currentVersion)
    return error(StatusCode::invalidFile, "{}: expected version {} of emulated kernels, found {}", path, EntryTable::currentVersion,
                 library->table_->version);
  *library->table_->machine = &theCluster().machine;
  return std::shared_ptr<const KernelLibrary>(std::move(library));
}

KernelLibrary::~KernelLibrary() {
  if (handle_)
    dlclose(handle_);
}

const Entry *KernelLibrary::find(std::string_view name) const {
  for (const Entry &entry : entries())
    if (entry.name == name)
      return &entry;
  return nullptr;
}

} // namespace transom::emulator
