// A session's programs on a GPU: all its memory, allocated at once; inputs copied in, one graph launched, outputs copied back.
#pragma once

#include "runtime/Executor.h"
#include "runtime/cuda/CudaGraphs.h"
#include "runtime/cuda/CudaStorage.h"

#include <array>

namespace transom {

class CudaExecutor final : public Executor, private StepLoop {
public:
  /// The model outlives it. Errors: Model::cuda's; outOfMemory, with need and have.
  static Result<std::unique_ptr<Executor>> create(const Model &model, int ordinal, bool profile);
  ~CudaExecutor() override;

  std::byte *inputMemory(size_t program, size_t input) override;
  const std::byte *outputMemory(size_t program, size_t output) const override;
  Status bind(size_t program, std::span<const int64_t> symbols) override;
  Status run(size_t program, const StepObserver *observer) override;
  std::span<const int64_t> symbols(size_t program) const override { return runners_[program]->symbols; }
  Status prepare(size_t program, std::span<const int64_t> symbols) override;
  Result<StepLoop *> startLoop(size_t program, size_t output) override;
  void clearStates() override { statesAreOld_ = true; }
  std::span<const uint64_t> stepNanoseconds(size_t program) const override;
  uint32_t threads() const override { return 0; }
  std::string deviceName() const override { return device().info().name; }

private:
  struct Runner {
    const artifact::Program &program;
    CudaStorage::Program places;
    std::vector<bool> onHost; ///< by output: kernels write it to the host's memory, so that no copy follows them
    CudaGraphs graphs;
    std::vector<int64_t> symbols;  ///< as bound, and as found from the inputs
    std::vector<int64_t> uploaded; ///< what the device's table holds; empty: nothing yet
    std::vector<artifact::Expr> mayBeNegative;
    std::vector<uint64_t> nanoseconds;
  };
  CudaExecutor(const Model &model, std::shared_ptr<const CudaModel> cuda);
  Status allocate(bool profile);
  void addRunner(size_t program, bool profile);

  const CudaDevice &device() const { return cuda_->device(); }
  const cuda::Driver &driver() const { return cuda_->device().driver(); }
  Status check(cuda::CUresult result, std::string_view what, const artifact::Program *program = nullptr);
  /// Ok where the session can go on; makes the device current for the calling thread and ends a loop.
  Status enter();
  /// After a failure: waits for what is under way, and finds out whether the GPU can go on. Gives the status back.
  Status fail(const Status &status);

  Status findSizes(Runner &runner);
  Status upload(Runner &runner);
  Status copyIn(const Runner &runner, uint64_t place, uint64_t bytes);
  Status execute(Runner &runner);
  Status stepThrough(Runner &runner, const StepObserver *observer);
  /// Each step by itself, timed where the session profiles and nobody observes.
  Status enqueueSteps(Runner &runner, CudaGraphs::Bucket &bucket, const StepObserver *observer);
  Status readMarks(Runner &runner, const CudaGraphs::Bucket &bucket);
  Status download(const Runner &runner);
  Status runBound(Runner &runner, const StepObserver *observer);
  Status beginLoop(Runner &runner, size_t output);
  Result<std::span<const CudaGraph>> loopGraphs(Runner &runner, CudaGraphs::Bucket &bucket, size_t output);
  Status enqueueRun(size_t slot);

  // StepLoop
  size_t depth() const override { return loopDepth; }
  Status launch() override;
  Result<std::span<const int32_t>> next() override;
  Status clear(size_t input, size_t row) override;
  Status drain() override;

  struct Loop {
    Runner *runner = nullptr; ///< null: none
    CudaGraphs::Bucket *bucket = nullptr;
    std::span<const CudaGraph> graphs; ///< by slot of the ring; none where the session profiles
    size_t output = 0, rows = 0;
    uint64_t launched = 0, taken = 0;
  };

  const Model &model_;
  std::shared_ptr<const CudaModel> cuda_;
  CudaStorage storage_;
  DeviceMemory arena_, states_, staging_, scratch_;
  PinnedMemory pinned_; ///< what staging_ holds, at the same places
  CudaStream stream_;
  CudaStream copies_;                             ///< of loops' outputs, beside the runs that follow
  std::array<CudaEvent, loopSlots> done_, taken_; ///< by slot of the ring: the run is done; its output is on the host
  std::vector<CudaEvent> marks_;               ///< between steps, where the session profiles
  std::vector<std::unique_ptr<Runner>> runners_; ///< by program; null for those of another device
  Loop loop_;
  bool statesAreOld_ = false; ///< to be cleared before anything else runs
  Status broken_;             ///< why nothing runs any more
};

} // namespace transom
