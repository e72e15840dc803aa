// Cubins compiled on this machine, kept on disk: a kernel is compiled once for each GPU architecture and compiler.
#pragma once

#include "runtime/cuda/Nvrtc.h"

#include <optional>

namespace transom {

/// A folder of files named by what they were compiled from. Safe to share between threads and processes.
class JitCache {
public:
  /// An empty name: nothing is kept.
  explicit JitCache(std::string folder) : folder_(std::move(folder)) {}
  /// TRANSOM_CACHE, or transom/ in XDG_CACHE_HOME, or ~/.cache/transom; nothing is kept where none of them is set.
  static JitCache standard();

  /// The cubin of `input`: from its file, or compiled and kept. A file that is damaged or belongs to another key is
  /// compiled again and replaced; one that cannot be written is no error. Errors: Nvrtc::compileCubin's.
  Result<std::vector<std::byte>> compile(const Nvrtc &nvrtc, const NvrtcInput &input) const;
  /// Where the cubin of `input` is kept.
  std::string pathOf(const NvrtcInput &input, std::string_view compilerVersion) const;

private:
  std::string folder_;
};

} // namespace transom
