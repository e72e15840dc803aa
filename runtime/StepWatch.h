// Finds what each step of a program writes, and gives it to an observer. Artifacts do not say which of a step's buffers are
// results, so their bytes before and after are compared. For tools that compare devices, not for speed.
#pragma once

#include "runtime/Executor.h"

namespace transom {

class StepWatch {
public:
  StepWatch(const artifact::Program &program, const StepObserver &observer) : program_(program), observer_(observer), seen_(program.buffers.size()) {}

  /// The bytes of a buffer now, on the host, at the bounds of the symbols.
  using BytesOf = std::function<Result<std::span<const std::byte>>(uint32_t buffer)>;
  /// Call before and after each step, in order. `symbols` are live.
  Status before(size_t step, const BytesOf &bytesOf);
  Status after(size_t step, std::span<const int64_t> symbols, const BytesOf &bytesOf);

private:
  const artifact::Program &program_;
  const StepObserver &observer_;
  std::vector<bool> seen_;                        ///< buffers that a step has touched
  std::vector<uint32_t> watched_;                 ///< of the step under way: in the arena, or outputs
  std::vector<std::vector<std::byte>> snapshots_; ///< of `watched_`
};

} // namespace transom
