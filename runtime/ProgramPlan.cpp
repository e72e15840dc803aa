// See ProgramPlan.h.
#include "runtime/ProgramPlan.h"

#include "runtime/StepWatch.h"

#include <algorithm>
#include <chrono>

namespace transom {

namespace {

/// Below this many bytes in its largest buffer a launch runs on one thread: a dispatch would cost more than it saves.
constexpr uint64_t bytesWorthDispatching = 32 << 10;
/// More chunks than threads even out unequal threads, but each should have this much to do.
constexpr uint64_t bytesPerChunk = 16 << 10, chunksPerThread = 4;

} // namespace

ProgramPlan::ProgramPlan(const Model &model, const CpuBackend &code, const artifact::Program &program, Storage storage, uint32_t threads)
    : model_(model), code_(code), program_(program), storage_(std::move(storage)), threads_(threads) {
  for (const artifact::Buffer &buffer : program.buffers) {
    std::vector<uint32_t> &dims = bufferDims_.emplace_back();
    for (const artifact::Expr &dim : buffer.shape)
      dims.push_back(intern(dim));
  }
  for (const artifact::Step &step : program.steps) {
    if (auto *gemm = std::get_if<artifact::Gemm>(&step.kind))
      addGemm(*gemm);
    else if (auto *size = std::get_if<artifact::Size>(&step.kind))
      addSize(*size);
    else
      addLaunch(std::get<artifact::Launch>(step.kind));
  }
  for (SetSize &set : setSizes_)
    findDependents(set);
  symbols_.reserve(model.contents().symbols.size());
  values_.resize(exprs_.size());
  sizes_.resize(sizeExprs_.size());
}

uint32_t ProgramPlan::intern(const artifact::Expr &expr) {
  auto found = std::find(exprs_.begin(), exprs_.end(), expr);
  if (found == exprs_.end())
    found = exprs_.insert(exprs_.end(), expr);
  return static_cast<uint32_t>(found - exprs_.begin());
}

void *ProgramPlan::addressOf(const artifact::Buffer &buffer) const {
  switch (buffer.kind) {
  case artifact::BufferKind::arena:
    return storage_.arena + buffer.offset;
  case artifact::BufferKind::weight: {
    // Mapped read-only: kernels take all buffers as plain pointers but write only their results.
    const artifact::Weight &weight = model_.contents().weights[buffer.index];
    return const_cast<std::byte *>(model_.artifact().bytes(weight.section).data());
  }
  case artifact::BufferKind::input:
    return storage_.inputs[buffer.index];
  case artifact::BufferKind::output:
    return storage_.outputs[buffer.index];
  default:
    return storage_.states[buffer.index];
  }
}

void ProgramPlan::addSizes(Step &step, const std::vector<artifact::Expr> &sizes) {
  step.sizes = static_cast<uint32_t>(sizeExprs_.size());
  step.sizeCount = static_cast<uint32_t>(sizes.size());
  for (const artifact::Expr &size : sizes)
    sizeExprs_.push_back(intern(size));
}

void ProgramPlan::addLaunch(const artifact::Launch &launch) {
  Step step;
  step.kernel = code_.code.kernels()[launch.kernel];
  step.pointers = static_cast<uint32_t>(pointers_.size());
  step.pointerCount = static_cast<uint32_t>(launch.buffers.size());
  for (uint32_t buffer : launch.buffers)
    pointers_.push_back(addressOf(program_.buffers[buffer]));
  addSizes(step, launch.sizes);
  step.work = intern(launch.work);
  step.grain = launch.grain;
  steps_.push_back(step);
}

void ProgramPlan::addGemm(const artifact::Gemm &gemm) {
  Step step;
  step.isGemm = true;
  step.pointers = static_cast<uint32_t>(pointers_.size());
  for (uint32_t buffer : {gemm.lhs, gemm.rhs, gemm.out})
    pointers_.push_back(addressOf(program_.buffers[buffer]));
  for (const auto *buffers : {&gemm.extras, &gemm.results})
    for (uint32_t buffer : *buffers)
      pointers_.push_back(addressOf(program_.buffers[buffer]));
  step.pointerCount = static_cast<uint32_t>(pointers_.size()) - step.pointers;
  std::vector<artifact::Expr> sizes;
  if (gemm.unpack >= 0) {
    step.kernel = code_.code.kernels()[static_cast<size_t>(gemm.unpack)];
    for (const artifact::Expr &dim : program_.buffers[gemm.rhs].shape)
      if (!dim.isConstant())
        sizes.push_back(dim);
  }
  if (gemm.epilogue >= 0) {
    step.epilogue = code_.code.kernels()[static_cast<size_t>(gemm.epilogue)];
    step.epilogueScratch = gemm.scratch;
    step.unpackSizes = static_cast<uint32_t>(sizes.size());
    sizes.insert(sizes.end(), gemm.sizes.begin(), gemm.sizes.end());
  }
  addSizes(step, sizes);
  step.work = intern(gemm.m);
  step.n = intern(gemm.n);
  step.k = intern(gemm.k);
  steps_.push_back(step);
}

void ProgramPlan::addSize(const artifact::Size &size) {
  Step step;
  step.pointers = static_cast<uint32_t>(pointers_.size());
  step.pointerCount = 1;
  pointers_.push_back(addressOf(program_.buffers[size.buffer]));
  step.work = bufferDims_[size.buffer][0];
  step.sets = static_cast<int32_t>(setSizes_.size());
  setSizes_.push_back({size.symbol, static_cast<uint32_t>(steps_.size()), {}, {}, {}});
  steps_.push_back(step);
}

void ProgramPlan::findDependents(SetSize &set) const {
  std::vector<bool> depends(exprs_.size());
  for (uint32_t i = 0; i < exprs_.size(); ++i)
    for (const artifact::Term &term : exprs_[i].terms)
      if (!depends[i] && std::find(term.symbols.begin(), term.symbols.end(), set.symbol) != term.symbols.end()) {
        depends[i] = true;
        set.exprs.push_back(i);
      }
  for (uint32_t i = 0; i < sizeExprs_.size(); ++i)
    if (depends[sizeExprs_[i]])
      set.sizes.push_back(i);
  for (uint32_t i = set.step + 1; i < steps_.size(); ++i) {
    auto *launch = std::get_if<artifact::Launch>(&program_.steps[i].kind);
    bool affected = launch && depends[steps_[i].work];
    for (size_t b = 0; launch && !affected && b < launch->buffers.size(); ++b)
      for (uint32_t dim : bufferDims_[launch->buffers[b]])
        affected |= depends[dim];
    if (affected)
      set.launches.push_back(i);
  }
}

uint64_t ProgramPlan::boundBytes(uint32_t buffer) const {
  BlockLayout layout = layoutOf(program_.buffers[buffer].dtype);
  uint64_t elements = 1;
  for (uint32_t dim : bufferDims_[buffer])
    elements *= static_cast<uint64_t>(values_[dim]);
  return elements / layout.elements * layout.bytes;
}

void ProgramPlan::split(Step &step, const artifact::Launch &launch) const {
  uint64_t bytes = 0;
  for (uint32_t buffer : launch.buffers)
    bytes = std::max(bytes, boundBytes(buffer));
  auto work = static_cast<uint64_t>(values_[step.work]);
  uint64_t chunks = 1;
  if (bytes >= bytesWorthDispatching)
    chunks = std::clamp<uint64_t>(bytes / bytesPerChunk, threads_, threads_ * chunksPerThread);
  chunks = std::max<uint64_t>(1, std::min(chunks, work / step.grain));
  uint64_t perChunk = std::max<uint64_t>(1, (work + chunks - 1) / chunks);
  step.perChunk = static_cast<int64_t>(perChunk);
  step.chunks = static_cast<uint32_t>((work + perChunk - 1) / perChunk);
}

Status ProgramPlan::bind(std::span<const int64_t> symbols) {
  auto isSet = [&](size_t symbol) {
    return std::any_of(setSizes_.begin(), setSizes_.end(), [&](const SetSize &set) { return set.symbol == symbol; });
  };
  bool same = bound_ && symbols.size() == symbols_.size();
  for (size_t i = 0; same && i < symbols.size(); ++i)
    same = symbols[i] == symbols_[i] || isSet(i);
  // Until they are set, sizes have room for the most.
  auto bounds = [&](const SetSize &set) { return model_.contents().symbols[set.symbol].max; };
  if (same) {
    for (const SetSize &set : setSizes_)
      assign(set, bounds(set));
    return {};
  }
  bound_ = false;
  symbols_.assign(symbols.begin(), symbols.end());
  for (const SetSize &set : setSizes_)
    symbols_[set.symbol] = bounds(set);
  for (size_t i = 0; i < exprs_.size(); ++i) {
    values_[i] = evaluate(exprs_[i], symbols_);
    if (values_[i] < 0)
      return error(StatusCode::invalidArgument, "the size {} is {} for these inputs",
                   toString(exprs_[i], model_.contents().symbols), values_[i]);
  }
  for (size_t i = 0; i < sizes_.size(); ++i)
    sizes_[i] = values_[sizeExprs_[i]];
  for (size_t i = 0; i < steps_.size(); ++i)
    if (auto *launch = std::get_if<artifact::Launch>(&program_.steps[i].kind))
      split(steps_[i], *launch);
  bound_ = true;
  return {};
}

void ProgramPlan::assign(const SetSize &set, int64_t value) {
  symbols_[set.symbol] = value;
  for (uint32_t expr : set.exprs)
    values_[expr] = evaluate(exprs_[expr], symbols_);
  for (uint32_t size : set.sizes)
    sizes_[size] = values_[sizeExprs_[size]];
}

Status ProgramPlan::readSize(const Step &step, size_t index) {
  const SetSize &set = setSizes_[static_cast<size_t>(step.sets)];
  const artifact::Symbol &symbol = model_.contents().symbols[set.symbol];
  int64_t count = values_[step.work], value = -1;
  if (count > 0)
    value = static_cast<const int32_t *>(pointers_[step.pointers])[count - 1];
  if (value < symbol.min || value > symbol.max)
    return error(StatusCode::internal, "step {} ({}): {} must be {} to {}, found {}", index, program_.steps[index].source,
                 symbol.name, symbol.min, symbol.max, value);
  assign(set, value);
  for (uint32_t expr : set.exprs)
    if (values_[expr] < 0)
      return error(StatusCode::internal, "the size {} is {} for these inputs",
                   toString(exprs_[expr], model_.contents().symbols), values_[expr]);
  for (uint32_t launch : set.launches)
    split(steps_[launch], std::get<artifact::Launch>(program_.steps[launch].kind));
  return {};
}

bool ProgramPlan::launch(const Step &step, ThreadPool &pool) {
  struct Context {
    const Step &step;
    void *const *buffers;
    const int64_t *sizes;
    int64_t work;
    const Storage &storage;
  } context{step, pointers_.data() + step.pointers, sizes_.data() + step.sizes, values_[step.work], storage_};
  auto chunk = [](void *opaque, uint32_t index, uint32_t thread) {
    const Context &c = *static_cast<Context *>(opaque);
    int64_t begin = index * c.step.perChunk, end = std::min(begin + c.step.perChunk, c.work);
    c.step.kernel(c.buffers, c.sizes, begin, end, c.storage.scratch + thread * c.storage.scratchPerThread);
  };
  pool.run(step.chunks, chunk, &context);
  return true;
}

bool ProgramPlan::multiply(const Step &step, ThreadPool &pool) {
  void **buffers = pointers_.data() + step.pointers;
  GemmTask task{.library = code_.gemm, .m = values_[step.work], .n = values_[step.n], .k = values_[step.k],
                .lhs = buffers[0], .rhs = buffers[1], .out = buffers[2],
                .unpack = step.kernel, .unpackSizes = sizes_.data() + step.sizes,
                .epilogue = step.epilogue, .buffers = std::span(buffers + 2, step.pointerCount - 2),
                .epilogueSizes = sizes_.data() + step.sizes + step.unpackSizes, .epilogueScratch = step.epilogueScratch};
  return runGemm(task, pool, storage_.scratch, storage_.scratchPerThread);
}

Status ProgramPlan::runStep(size_t index, ThreadPool &pool) {
  using Clock = std::chrono::steady_clock;
  const Step &step = steps_[index];
  if (step.sets >= 0)
    return readSize(step, index);
  Clock::time_point start = nanoseconds_.empty() ? Clock::time_point() : Clock::now();
  bool done = step.isGemm ? multiply(step, pool) : launch(step, pool);
  if (!nanoseconds_.empty())
    nanoseconds_[index] += static_cast<uint64_t>((Clock::now() - start) / std::chrono::nanoseconds(1));
  return done ? Status()
              : error(StatusCode::internal, "step {} ({}): the matrix product failed in {}", index, program_.steps[index].source,
                      code_.gemm->path());
}

Status ProgramPlan::execute(ThreadPool &pool, const StepObserver *observer) {
  std::optional<StepWatch> watch;
  if (observer)
    watch.emplace(program_, *observer);
  for (size_t i = 0; i < steps_.size(); ++i) {
    auto bytesOf = [&](uint32_t buffer) -> Result<std::span<const std::byte>> {
      return std::span(static_cast<const std::byte *>(addressOf(program_.buffers[buffer])), program_.buffers[buffer].bytes);
    };
    if (watch)
      TRANSOM_RETURN_IF_ERROR(watch->before(i, bytesOf));
    TRANSOM_RETURN_IF_ERROR(runStep(i, pool));
    if (watch)
      TRANSOM_RETURN_IF_ERROR(watch->after(i, symbols_, bytesOf));
  }
  return {};
}

} // namespace transom
