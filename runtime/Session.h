// A session: the memory of a device, or threads and memory of the CPU, to run a model's programs. Matches and checks inputs; an
// executor does the rest.
#pragma once

#include "runtime/Executor.h"
#include "runtime/Model.h"

namespace transom {

/// A dense row-major tensor in the caller's memory, or in a session's for outputs.
struct TensorView {
  std::string_view name;
  DType dtype = DType::f32;
  std::span<const int64_t> shape;
  const void *data = nullptr;
};

struct SessionOptions {
  DeviceChoice device = {};
  uint32_t threads = 0; ///< on the CPU; 0: one per processor that this process may use
  bool profile = false; ///< measure each step
};

/// Used by one thread at a time, though not always the same one; sessions of one model run concurrently.
class Session {
public:
  /// Everything is allocated here. Errors: resolveDevice's; Model::cpu's or Model::cuda's; outOfMemory, with what was needed.
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<const Model> model, SessionOptions options = {});

  /// Runs a program of this session's device. `inputs` are all its inputs, in any order; their bytes are copied. The outputs, in the
  /// program's order, live in the session until its next run. On the CPU it allocates nothing, unless it fails or oneDNN does; on
  /// CUDA a graph for sizes that are new: see prepare().
  /// Errors: invalidArgument, naming the input, what was expected and what was found; internal.
  Result<std::span<const TensorView>> run(size_t program, std::span<const TensorView> inputs);
  /// The same, step by step, with all that each step writes to the arena or to outputs. Slow.
  Result<std::span<const TensorView>> observe(size_t program, std::span<const TensorView> inputs, const StepObserver &observer);

  /// Makes ready what runs with such sizes need. `sizes` are the values of the artifact's symbols, in their order; those that
  /// steps set included. Error: invalidArgument where one is out of its bounds.
  Status prepare(size_t program, std::span<const int64_t> sizes);
  /// A loop over a program from these inputs: see StepLoop. The session runs nothing else until the loop is done with.
  /// Errors: run()'s; unsupported where the device has no loops.
  Result<StepLoop *> startLoop(size_t program, std::span<const TensorView> inputs, size_t output);

  /// Where an input's bytes lie, room for its largest shape. What is written there and given to run() as its data is not
  /// copied.
  std::byte *inputMemory(size_t program, size_t input) { return executor_->inputMemory(program, input); }

  /// All states back to zero.
  void clearStates() { executor_->clearStates(); }

  const Model &model() const { return *model_; }
  /// The session's, never automatic.
  DeviceChoice device() const { return device_; }
  /// For Model::programIndex and others.
  artifact::Device programDevice() const {
    return device_.kind == DeviceChoice::Kind::cuda ? artifact::Device::cuda : artifact::Device::cpu;
  }
  /// "CPU", "NVIDIA H100 80GB HBM3".
  std::string deviceName() const { return executor_->deviceName(); }
  /// The program of that name for this session's device; notFound lists those there are.
  Result<size_t> programIndex(std::string_view name) const { return model_->programIndex(name, programDevice()); }
  /// On the CPU; 0 on CUDA.
  uint32_t threads() const { return executor_->threads(); }
  /// Time spent so far in each step of a program; empty without SessionOptions::profile.
  std::span<const uint64_t> stepNanoseconds(size_t program) const { return executor_->stepNanoseconds(program); }

private:
  struct Runner {
    std::vector<TensorView> outputs;
    std::vector<std::vector<int64_t>> outputShapes;
    std::vector<const TensorView *> given; ///< by input, during run()
  };
  Session(std::shared_ptr<const Model> model, DeviceChoice device)
      : model_(std::move(model)), device_(device), symbols_(model_->contents().symbols.size()) {}
  Result<std::span<const TensorView>> run(size_t program, std::span<const TensorView> inputs, const StepObserver *observer);
  /// Everything of a run that comes before its steps.
  Status take(size_t program, std::span<const TensorView> inputs);
  Status checkProgram(size_t program) const;
  Status matchInputs(const artifact::Program &program, Runner &runner, std::span<const TensorView> inputs);
  Status bindSymbols(const artifact::Program &program, const Runner &runner);
  Status checkShapes(const artifact::Program &program, const Runner &runner) const;

  std::shared_ptr<const Model> model_;
  DeviceChoice device_;
  std::unique_ptr<Executor> executor_;
  std::vector<Runner> runners_; ///< by program
  std::vector<int64_t> symbols_;
};

} // namespace transom
