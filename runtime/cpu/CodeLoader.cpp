// The code section is a shared object. It is copied into an anonymous file and loaded from there, as the dynamic
// loader takes no offsets into files.
#include "runtime/cpu/CodeLoader.h"

#include "runtime/cpu/CpuFeatures.h"

#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

namespace transom {

namespace {

/// Ok where this machine can run the section.
Status checkFeatures(const artifact::Code &code) {
  for (const std::string &listed : code.features) {
    std::string_view feature = listed;
    if (feature.starts_with('+'))
      feature.remove_prefix(1);
    std::optional<bool> has = cpuHas(feature);
    if (!has)
      return error(StatusCode::unsupported, "code {} needs the CPU feature {}, which this runtime does not know",
                   code.target, feature);
    if (!*has)
      return error(StatusCode::unsupported,
                   "code {} needs the CPU feature {}, which this machine lacks; compile with another --cpu",
                   code.target, feature);
  }
  return {};
}

/// The loader knows what is loaded by its path: `file` stays open as long as the code is, or the next file would get its
/// number, and the next model this one's code.
Result<void *> loadSharedObject(std::span<const std::byte> bytes, int &opened) {
  int file = ::memfd_create("transom-code", MFD_CLOEXEC);
  if (file < 0)
    return error(StatusCode::io, "cannot create memory for code: {}", std::strerror(errno));
  std::span<const std::byte> rest = bytes;
  while (!rest.empty()) {
    ssize_t count = ::write(file, rest.data(), rest.size());
    if (count <= 0 && errno != EINTR) {
      Status status = error(StatusCode::io, "cannot write code to memory: {}", std::strerror(errno));
      ::close(file);
      return status;
    }
    rest = rest.subspan(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  }
  void *handle = ::dlopen(fmt::format("/proc/self/fd/{}", file).c_str(), RTLD_NOW | RTLD_LOCAL);
  Status status = handle ? Status() : error(StatusCode::invalidFile, "cannot load code: {}", ::dlerror());
  if (!handle) {
    ::close(file);
    return status;
  }
  opened = file;
  return handle;
}

} // namespace

Result<LoadedCode> LoadedCode::load(const Artifact &artifact) {
  LoadedCode loaded;
  Status refused;
  for (const artifact::Code &code : artifact.contents().code) {
    if (!code.isFor(artifact::Device::cpu))
      continue;
    if (refused = checkFeatures(code); !refused.ok())
      continue;
    TRANSOM_ASSIGN(loaded.handle_, loadSharedObject(artifact.bytes(code.section), loaded.file_));
    loaded.target_ = code.target;
    for (const std::string &kernel : code.kernels) {
      void *symbol = ::dlsym(loaded.handle_, kernel.c_str());
      if (!symbol)
        return error(StatusCode::invalidFile, "code {}: kernel {} is missing", code.target, kernel);
      loaded.kernels_.push_back(reinterpret_cast<TransomCpuKernel>(symbol));
    }
    return loaded;
  }
  if (!refused.ok())
    return refused;
  for (const artifact::Program &program : artifact.contents().programs)
    if (program.device == artifact::Device::cpu && !program.steps.empty())
      return error(StatusCode::unsupported, "the artifact has no code for CPUs");
  return loaded;
}

LoadedCode::LoadedCode(LoadedCode &&other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(file_, other.file_);
  std::swap(target_, other.target_);
  std::swap(kernels_, other.kernels_);
}

LoadedCode::~LoadedCode() {
  if (handle_)
    ::dlclose(handle_);
  if (file_ >= 0)
    ::close(file_);
}

} // namespace transom
