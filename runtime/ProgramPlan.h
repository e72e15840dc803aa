// One program for the CPU made ready to run: every address known, every size in a table. No memory of its own.
#pragma once

#include "runtime/Executor.h"
#include "runtime/Model.h"

namespace transom {

/// Where a session keeps what a program's buffers stand for.
struct Storage {
  std::byte *arena = nullptr;
  std::vector<std::byte *> inputs, outputs, states;
  std::byte *scratch = nullptr;
  uint64_t scratchPerThread = 0;
};

class ProgramPlan {
public:
  /// Model, code and program outlive it.
  ProgramPlan(const Model &model, const CpuBackend &code, const artifact::Program &program, Storage storage, uint32_t threads);

  /// Computes every size for these values of the symbols, which are in their bounds; nothing to do where they are those
  /// of the last call. Symbols that a step sets are not read. Error: invalidArgument where a size is negative.
  Status bind(std::span<const int64_t> symbols);
  /// Runs the steps in order with the sizes bound last, and those that steps set. Allocates nothing. Error: internal where a
  /// product fails or a step sets a size out of its bounds.
  /// `observer` may be null; with one, memory is allocated.
  Status execute(ThreadPool &pool, const StepObserver *observer = nullptr);
  /// As bound, and as the steps of the last execute() set them.
  std::span<const int64_t> symbols() const { return symbols_; }
  /// From here on, execute() adds each step's time to stepNanoseconds().
  void profile() { nanoseconds_.assign(steps_.size(), 0); }
  std::span<const uint64_t> stepNanoseconds() const { return nanoseconds_; }

private:
  struct Step {
    TransomCpuKernel kernel = nullptr;     ///< a launch's; or a product's unpack kernel, or null
    TransomCpuKernel epilogue = nullptr;   ///< a product's, or null
    uint64_t epilogueScratch = 0;
    bool isGemm = false;
    uint32_t pointers = 0, pointerCount = 0; ///< in pointers_
    uint32_t sizes = 0, sizeCount = 0;       ///< in sizes_; a product's unpack kernel has the first unpackSizes of them
    uint32_t unpackSizes = 0;
    uint32_t work = 0, n = 0, k = 0;         ///< expressions; work is a product's m
    uint32_t grain = 1;
    uint32_t chunks = 1; ///< bound
    int64_t perChunk = 0;
    int32_t sets = -1; ///< for a step that sets a symbol: in setSizes_; `work` is then how many numbers its buffer has
  };
  /// What depends on a symbol that a step sets.
  struct SetSize {
    uint16_t symbol;
    uint32_t step;                         ///< the one that sets it
    std::vector<uint32_t> exprs, sizes;    ///< in exprs_ and sizes_
    std::vector<uint32_t> launches;        ///< later steps with work or buffers of such a size
  };

  uint32_t intern(const artifact::Expr &expr);
  void addLaunch(const artifact::Launch &launch);
  void addGemm(const artifact::Gemm &gemm);
  void addSize(const artifact::Size &size);
  void findDependents(SetSize &set) const;
  void assign(const SetSize &set, int64_t value);
  Status readSize(const Step &step, size_t index);
  void addSizes(Step &step, const std::vector<artifact::Expr> &sizes);
  void *addressOf(const artifact::Buffer &buffer) const;
  uint64_t boundBytes(uint32_t buffer) const;
  void split(Step &step, const artifact::Launch &launch) const;
  Status runStep(size_t index, ThreadPool &pool);
  bool launch(const Step &step, ThreadPool &pool);
  bool multiply(const Step &step, ThreadPool &pool);

  const Model &model_;
  const CpuBackend &code_;
  const artifact::Program &program_;
  Storage storage_;
  uint32_t threads_;
  std::vector<Step> steps_;
  std::vector<artifact::Expr> exprs_; ///< each distinct one once
  std::vector<int64_t> values_;       ///< of exprs_, as bound
  std::vector<SetSize> setSizes_;
  std::vector<int64_t> symbols_;      ///< as bound and set
  bool bound_ = false;                ///< the sizes are those of symbols_
  std::vector<void *> pointers_;
  std::vector<uint32_t> sizeExprs_;
  std::vector<int64_t> sizes_;
  std::vector<std::vector<uint32_t>> bufferDims_; ///< expressions of each buffer's shape
  std::vector<uint64_t> nanoseconds_;
};

} // namespace transom
