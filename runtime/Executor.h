// What a session asks of a device: memory for inputs and outputs, runs of programs, runs that feed themselves. A session has
// matched and checked the inputs by then.
#pragma once

#include "runtime/format/Contents.h"
#include "runtime/support/Status.h"

#include <cstddef>
#include <functional>

namespace transom {

/// What a step has written, for comparing devices: see Session::observe().
struct StepValue {
  size_t step = 0;                     ///< of the program
  std::string_view source;             ///< the step's, for people
  uint32_t buffer = 0;                 ///< of the program
  DType dtype = DType::f32;
  std::span<const int64_t> shape;      ///< live
  std::span<const std::byte> bytes;    ///< on the host, of the live part; until the call returns
};
/// An error ends the run.
using StepObserver = std::function<Status(const StepValue &)>;

/// Runs of one program, several under way at once, each of which reads what the one before it left in the program's inputs.
class StepLoop {
public:
  virtual ~StepLoop() = default;
  /// How many runs may be under way.
  virtual size_t depth() const = 0;
  /// Starts a run; does not wait. The caller keeps to depth().
  virtual Status launch() = 0;
  /// Waits for the oldest run under way. Its output of i32, [rows], is valid until the next call of next().
  virtual Result<std::span<const int32_t>> next() = 0;
  /// For runs that start from now on, the number of a row in an input of i32, [rows], is zero. Does not wait.
  virtual Status clear(size_t input, size_t row) = 0;
  /// Waits for all runs under way; their outputs are lost.
  virtual Status drain() = 0;
};

/// One device's side of a session. Used by one thread at a time. Programs are counted as in the artifact, those of other
/// devices included, which are never asked for.
class Executor {
public:
  virtual ~Executor() = default;

  /// Host memory that a run takes an input from, or leaves an output in; room for the largest shape.
  virtual std::byte *inputMemory(size_t program, size_t input) = 0;
  virtual const std::byte *outputMemory(size_t program, size_t output) const = 0;

  /// Computes sizes for these values of the symbols, which are in their bounds; those that a step sets are not read.
  /// Error: invalidArgument where a size is negative.
  virtual Status bind(size_t program, std::span<const int64_t> symbols) = 0;
  /// Runs the program as bound, on what lies in its inputs' memory. Allocates nothing, unless it fails, a library does, or the
  /// device needs a graph for sizes that are new. With an observer, step by step.
  virtual Status run(size_t program, const StepObserver *observer) = 0;
  /// As bound, and as the steps of the last run set them.
  virtual std::span<const int64_t> symbols(size_t program) const = 0;

  /// Makes ready what runs with these sizes will need; they are those that bind() takes, and of symbols that steps set.
  virtual Status prepare(size_t program, std::span<const int64_t> symbols) = 0;
  /// A loop over the program as bound, from what lies in its inputs' memory; `output` is what the host reads. The loop lives as
  /// long as the executor; another loop or run ends it. Error: unsupported where the device has none.
  virtual Result<StepLoop *> startLoop(size_t program, size_t output) = 0;

  /// All states are zero for the next run.
  virtual void clearStates() = 0;

  /// By step; empty unless the session profiles.
  virtual std::span<const uint64_t> stepNanoseconds(size_t program) const = 0;
  virtual uint32_t threads() const = 0;
  /// "CPU", "NVIDIA H100 80GB HBM3".
  virtual std::string deviceName() const = 0;
};

} // namespace transom
