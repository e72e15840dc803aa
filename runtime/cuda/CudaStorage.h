// Where everything of a session lies in a GPU's memory, from the artifact's contents alone.
#pragma once

#include "runtime/Model.h"

namespace transom {

/// Offsets are multiples of 256 bytes.
struct CudaStorage {
  /// In the memory for inputs and outputs, on the device and, at the same places, on the host.
  struct Program {
    uint64_t symbols = 0; ///< one i64 for each of the artifact's symbols, then the inputs
    std::vector<uint64_t> inputs, outputs;
    uint64_t inputEnd = 0;
    uint64_t workspace = 0; ///< in the scratch
  };
  std::vector<Program> programs; ///< by program; empty for those of other devices
  std::vector<uint64_t> states;  ///< in the memory of the states; of those that no program for CUDA uses: 0
  uint64_t libraryWorkspace = 0; ///< in the scratch: cuBLASLt's
  uint64_t ring = 0;             ///< in the memory for inputs and outputs: outputs of loops, in `loopSlots` places
  uint64_t ringSlot = 0;         ///< bytes of each; 0: no loops

  uint64_t arenaBytes = 0, stateBytes = 0, stagingBytes = 0, scratchBytes = 0, pinnedBytes = 0;

  explicit CudaStorage(const artifact::Contents &contents);
};

/// Runs of a loop that may be under way; and places for their outputs, so that the last one taken stays while others run.
inline constexpr size_t loopDepth = 4, loopSlots = loopDepth + 1;

/// See memoryPlanOf.
MemoryPlan cudaMemoryPlanOf(const artifact::Contents &contents);

} // namespace transom
