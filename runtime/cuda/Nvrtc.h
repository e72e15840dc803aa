// NVIDIA's runtime compiler: CUDA C++ to a cubin, no GPU needed. Loaded when first needed; a library of its own
// (transom_nvrtc), since the compiler uses it as well.
#pragma once

#include "runtime/support/Status.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace transom {

/// Text that sources include by this name.
struct NvrtcHeader {
  std::string name, text;
};

struct NvrtcInput {
  std::string name; ///< of the kernel; its text is called NAME.cu in messages
  std::string source;
  std::span<const NvrtcHeader> headers; ///< all there are: none of the system is found
  std::string architecture;   ///< "sm_90a"
  uint32_t maxRegisters = 0;  ///< 0: no limit
};

/// What the compiler said.
struct NvrtcLog {
  std::string text;           ///< all of it, ptxas's report included
  uint32_t registers = 0;     ///< of a thread: the most of all entries
  uint64_t spillBytes = 0;    ///< stored and loaded, of all functions
  uint64_t stackBytes = 0;    ///< of a thread: the most of all functions
};

/// The loaded library. Immutable; safe to use from many threads at once.
class Nvrtc {
public:
  /// Loads it once per process: TRANSOM_NVRTC, the system's, /usr/local/cuda, NVIDIA's wheels in a venv.
  /// Errors: notFound, saying where it was looked for; unsupported where it is older than 12.0.
  static Result<const Nvrtc *> get();

  /// Errors: unsupported where the source does not compile: "kernel NAME: NAME.cu(12): error: ...: `the line`", or where
  /// the architecture is none the library knows; outOfMemory; internal. `log` is filled in either way, where it is not null.
  Result<std::vector<std::byte>> compileCubin(const NvrtcInput &input, NvrtcLog *log = nullptr) const;

  /// "13.0"
  std::string version() const { return fmt::format("{}.{}", major_, minor_); }
  const std::string &path() const { return path_; }
  /// Architectures it compiles for, as numbers: 75, 80, ..., rising.
  const std::vector<int> &architectures() const { return architectures_; }
  /// The options of a compile, the architecture's first.
  static std::vector<std::string> options(const NvrtcInput &input);

private:
  struct Functions;
  Nvrtc() = default;
  static Result<Nvrtc> load();
  const Functions *functions_ = nullptr; ///< lives as long as the process
  int major_ = 0, minor_ = 0;
  std::string path_;
  std::vector<int> architectures_;
};

/// Shorthand for Nvrtc::get() and compileCubin.
Result<std::vector<std::byte>> compileCubin(const NvrtcInput &input, NvrtcLog *log = nullptr);

} // namespace transom
