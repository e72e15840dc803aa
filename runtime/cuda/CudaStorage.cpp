// See CudaStorage.h.
#include "runtime/cuda/CudaStorage.h"

#include <algorithm>

namespace transom {

namespace {

constexpr uint64_t alignment = 256; // of cuMemAlloc; vector loads and cuBLASLt need at most that

/// The next place of `bytes` in a block of which `used` are taken.
uint64_t take(uint64_t &used, uint64_t bytes) {
  uint64_t offset = used;
  used += CheckedSize(bytes).alignedTo(alignment).value();
  return offset;
}

} // namespace

CudaStorage::CudaStorage(const artifact::Contents &contents) : programs(contents.programs.size()), states(contents.states.size()) {
  std::vector<bool> used = statesOf(contents, artifact::Device::cuda);
  for (size_t i = 0; i < states.size(); ++i)
    if (used[i])
      states[i] = take(stateBytes, contents.states[i].bytes);
  uint64_t library = 0;
  for (size_t p = 0; p < programs.size(); ++p) {
    const artifact::Program &program = contents.programs[p];
    if (program.device != artifact::Device::cuda)
      continue;
    arenaBytes = std::max(arenaBytes, program.arenaBytes);
    programs[p].symbols = take(stagingBytes, contents.symbols.size() * sizeof(int64_t));
    for (const artifact::Value &value : program.inputs)
      programs[p].inputs.push_back(take(stagingBytes, value.bytes));
    programs[p].inputEnd = stagingBytes;
    for (const artifact::Value &value : program.outputs) {
      programs[p].outputs.push_back(take(stagingBytes, value.bytes));
      if (program.name == "step")
        ringSlot = std::max(ringSlot, CheckedSize(value.bytes).alignedTo(alignment).value());
    }
    programs[p].workspace = take(scratchBytes, program.workspaceBytes);
    for (const artifact::Step &step : program.steps)
      if (auto *gemm = std::get_if<artifact::CudaGemm>(&step.kind))
        library = std::max(library, gemm->workspace);
  }
  libraryWorkspace = take(scratchBytes, library);
  ring = take(stagingBytes, ringSlot * loopSlots);
  pinnedBytes = stagingBytes;
}

MemoryPlan cudaMemoryPlanOf(const artifact::Contents &contents) {
  CudaStorage storage(contents);
  return {.weights = cudaWeightBytes(contents), .states = storage.stateBytes, .arena = storage.arenaBytes,
          .staging = storage.stagingBytes, .scratch = storage.scratchBytes, .pinned = storage.pinnedBytes};
}

} // namespace transom
