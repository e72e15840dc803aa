// Turns an artifact's code section for CPUs into callable kernels. This runs code that the artifact carries.
#pragma once

#include "runtime/format/Artifact.h"
#include "runtime/format/KernelAbi.h"

namespace transom {

/// A loaded shared object; its kernels are callable as long as this lives. Move-only.
class LoadedCode {
public:
  /// Loads the first section for a CPU whose features this machine has all of. Without one: unsupported, naming what
  /// is missing. An artifact with no CPU code and no kernel to run gives an empty object.
  static Result<LoadedCode> load(const Artifact &artifact);
  LoadedCode(LoadedCode &&other) noexcept;
  LoadedCode &operator=(LoadedCode &&) = delete;
  ~LoadedCode();

  /// In the order of the section's table.
  std::span<const TransomCpuKernel> kernels() const { return kernels_; }
  /// "cpu:x86-64-v3"; empty for an empty object.
  const std::string &target() const { return target_; }

private:
  LoadedCode() = default;
  void *handle_ = nullptr;
  int file_ = -1; ///< holds the code
  std::string target_;
  std::vector<TransomCpuKernel> kernels_;
};

} // namespace transom
