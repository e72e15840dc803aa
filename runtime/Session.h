// A session: the memory and threads to run a model's programs. Everything is allocated when it is created.
#pragma once

#include "runtime/Memory.h"
#include "runtime/ProgramPlan.h"

namespace transom {

/// A dense row-major tensor in the caller's memory, or in a session's for outputs.
struct TensorView {
  std::string_view name;
  DType dtype = DType::f32;
  std::span<const int64_t> shape;
  const void *data = nullptr;
};

struct SessionOptions {
  uint32_t threads = 0; ///< 0: one per processor that this process may use
  bool profile = false; ///< measure each step
};

/// Used by one thread at a time; sessions of one model run concurrently, each on threads of its own.
class Session {
public:
  /// Error: outOfMemory, with what was needed.
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<const Model> model, SessionOptions options = {});

  /// Runs a program. `inputs` are all its inputs, in any order; their bytes are copied. The outputs, in the program's
  /// order, live in the session until its next run. Allocates nothing, unless it fails or oneDNN does.
  /// Errors: invalidArgument, naming the input, what was expected and what was found.
  Result<std::span<const TensorView>> run(size_t program, std::span<const TensorView> inputs);

  /// Where an input's bytes lie, room for its largest shape. What is written there and given to run() as its data is not
  /// copied.
  std::byte *inputMemory(size_t program, size_t input) { return runners_[program]->inputs[input]; }

  /// All states back to zero.
  void clearStates() { states_.clear(); }

  const Model &model() const { return *model_; }
  uint32_t threads() const { return pool_.threads(); }
  /// Time spent so far in each step of a program; empty without SessionOptions::profile.
  std::span<const uint64_t> stepNanoseconds(size_t program) const { return runners_[program]->plan.stepNanoseconds(); }

private:
  struct Runner {
    const artifact::Program &program;
    std::vector<std::byte *> inputs;
    ProgramPlan plan;
    std::vector<TensorView> outputs;
    std::vector<std::vector<int64_t>> outputShapes;
    std::vector<const TensorView *> given; ///< by input, during run()
  };
  Session(std::shared_ptr<const Model> model, uint32_t threads)
      : model_(std::move(model)), pool_(threads), symbols_(model_->contents().symbols.size()) {}
  Status allocate(const SessionOptions &options);
  void addRunner(const artifact::Program &program, uint64_t &staged, const std::vector<std::byte *> &states);
  Status matchInputs(Runner &runner, std::span<const TensorView> inputs);
  Status bindSymbols(const Runner &runner);
  Status checkShapes(const Runner &runner) const;

  std::shared_ptr<const Model> model_;
  ThreadPool pool_;
  MemoryBlock arena_, states_, staging_, scratch_;
  std::vector<std::optional<Runner>> runners_; ///< by program; empty for those of another device
  std::vector<int64_t> symbols_;
};

} // namespace transom
