// Runs CUDA kernels on the CPU, one block or cluster of blocks at a time, each CUDA thread as a fiber; what a library of kernels from
// Build.h holds. It follows CUDA's rules for warps, barriers, shared memory and asynchronous units, and reports where a kernel breaks
// them. It says nothing of speed, knows nothing of memory that is ordered weakly, and cannot run clusters that wait for each other.
#pragma once

#include "runtime/support/Status.h"
#include "test/emulator/Abi.h"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace transom::emulator {

/// In which order threads of a block, and blocks, get their turn: all in turns from the first on, or from the last on, each warp as far
/// ahead of the others as it can go. A kernel's results must not depend on it: what a missing barrier leaves to chance differs between the two.
enum class Order { forward, reverse };
/// When asynchronous work is done, of the copies and products of sm_90: at once, or as late as may be. A result that is used before it
/// is waited for shows in the second, memory that is given away too early in either.
enum class Timing { eager, lazy };

struct LaunchShape {
  Dim3 grid, block;
  uint32_t sharedBytes = 0; ///< dynamic
};

struct LaunchOptions {
  Order order = Order::forward;
  Timing timing = Timing::eager;
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
  /// __CUDA_ARCH__ of its kernels: 800, 900.
  int architecture() const { return static_cast<int>(table_->architecture); }

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
