// Runs CUDA kernels on the CPU, one block at a time, each CUDA thread as a fiber; what a library of kernels from Build.h holds. It
// follows CUDA's rules for warps, barriers and shared memory, and reports where a kernel breaks them. It says nothing of speed, knows
// nothing of memory that is ordered weakly, and cannot run blocks that wait for each other.
#pragma once

#include "runtime/support/Status.h"
#include "test/emulator/Abi.h"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace transom::emulator {

/// In which order threads of a block, and blocks, get their turn. A kernel's results must not depend on it: what a missing
/// barrier leaves to chance differs between the two.
enum class Order { forward, reverse };

struct LaunchShape {
  Dim3 grid, block;
  uint32_t sharedBytes = 0; ///< dynamic
};

struct LaunchOptions {
  Order order = Order::forward;
  /// Most shared memory of a block, static and dynamic: 163 KiB on sm_80, 227 on sm_90.
  uint32_t mostSharedBytes = 227 * 1024;
};

/// A loaded library of kernels; Entry pointers live as long as it.
class KernelLibrary {
public:
  static Result<std::shared_ptr<const KernelLibrary>> open(const std::string &path);
  ~KernelLibrary();
  /// Null where there is none of that name.
  const Entry *find(std::string_view name) const;
  std::span<const Entry> entries() const { return {table_->entries, table_->count}; }

private:
  KernelLibrary() = default;
  void *handle_ = nullptr;
  const EntryTable *table_ = nullptr;
};

/// Runs the whole grid. `arguments` as cuLaunchKernel takes them: a pointer to each parameter. Shared memory is filled with 0xff
/// before each block. Errors (internal) name the kernel, the block and what its threads were doing: a barrier or a collective that
/// not all reach, lanes of a warp at different collectives, shared memory out of bounds, traps. Launches from several threads take turns.
Status launch(const Entry &kernel, const LaunchShape &shape, void **arguments, const LaunchOptions &options = {});

} // namespace transom::emulator
