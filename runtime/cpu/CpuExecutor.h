// A session's programs on the CPU: memory, threads, and the programs with all addresses filled in.
#pragma once

#include "runtime/Executor.h"
#include "runtime/Memory.h"
#include "runtime/ProgramPlan.h"

namespace transom {

class CpuExecutor final : public Executor {
public:
  /// The model outlives it. Errors: Model::cpu's; outOfMemory, with what was needed.
  static Result<std::unique_ptr<Executor>> create(const Model &model, uint32_t threads, bool profile);

  std::byte *inputMemory(size_t program, size_t input) override { return runners_[program]->inputs[input]; }
  const std::byte *outputMemory(size_t program, size_t output) const override { return runners_[program]->outputs[output]; }
  Status bind(size_t program, std::span<const int64_t> symbols) override { return runners_[program]->plan.bind(symbols); }
  Status run(size_t program, const StepObserver *observer) override { return runners_[program]->plan.execute(pool_, observer); }
  std::span<const int64_t> symbols(size_t program) const override { return runners_[program]->plan.symbols(); }
  Status prepare(size_t, std::span<const int64_t>) override { return {}; }
  Result<StepLoop *> startLoop(size_t program, size_t output) override;
  void clearStates() override { states_.clear(); }
  std::span<const uint64_t> stepNanoseconds(size_t program) const override;
  uint32_t threads() const override { return pool_.threads(); }
  std::string deviceName() const override { return "CPU"; }

private:
  struct Runner {
    std::vector<std::byte *> inputs, outputs;
    ProgramPlan plan;
  };
  CpuExecutor(const Model &model, const CpuBackend &code, uint32_t threads) : model_(model), code_(code), pool_(threads) {}
  Status allocate(bool profile);
  void addRunner(const artifact::Program &program, uint64_t &staged, const std::vector<std::byte *> &states);

  const Model &model_;
  const CpuBackend &code_;
  ThreadPool pool_;
  MemoryBlock arena_, states_, staging_, scratch_;
  std::vector<std::optional<Runner>> runners_; ///< by program; empty for those of another device
};

} // namespace transom
