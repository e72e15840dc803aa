// See CudaSession.h. Everything runs on one stream; CudaLoop.cpp has what keeps several runs under way.
#include "runtime/cuda/CudaSession.h"

#include "runtime/StepWatch.h"

#include <algorithm>
#include <cstring>

namespace transom {

using namespace cuda;

namespace {

/// Inputs that are smaller than this together, at the bounds, go in one copy.
constexpr uint64_t bytesOfOneCopy = 16 << 10;

/// Outputs that are no larger, at the bounds, are written where the host reads them.
constexpr uint64_t bytesOnHost = 16 << 10;

/// Whether one kernel writes the output, and no other step of the program touches it: over the bus that costs less than a copy behind the last
/// kernel. Loops have places of their own on the device.
std::vector<bool> outputsOnHost(const artifact::Program &program) {
  std::vector<size_t> users(program.outputs.size());
  auto use = [&](int64_t buffer, size_t times) { // twice: more than a kernel's store
    if (buffer >= 0 && program.buffers[size_t(buffer)].kind == artifact::BufferKind::output)
      users[program.buffers[size_t(buffer)].index] += times;
  };
  for (const artifact::Step &step : program.steps)
    if (auto *launch = std::get_if<artifact::CudaLaunch>(&step.kind)) {
      for (uint32_t buffer : launch->buffers)
        use(buffer, 1);
      for (const artifact::TensorMap &map : launch->maps)
        use(map.buffer, 2);
    } else if (auto *gemm = std::get_if<artifact::CudaGemm>(&step.kind)) {
      for (int64_t buffer : {int64_t(gemm->lhs), int64_t(gemm->rhs), int64_t(gemm->out), int64_t(gemm->bias), int64_t(gemm->residual)})
        use(buffer, 2);
    }
  std::vector<bool> onHost(program.outputs.size());
  for (size_t i = 0; i < onHost.size(); ++i)
    onHost[i] = users[i] == 1 && program.outputs[i].bytes <= bytesOnHost && program.name != "step";
  return onHost;
}

/// Sizes that a program's buffers have and that some inputs could make negative.
std::vector<artifact::Expr> differencesOf(const artifact::Program &program) {
  std::vector<artifact::Expr> differences;
  for (const artifact::Buffer &buffer : program.buffers)
    for (const artifact::Expr &dim : buffer.shape) {
      bool falls = std::any_of(dim.terms.begin(), dim.terms.end(), [](const artifact::Term &term) { return term.coefficient < 0; });
      if (falls && std::find(differences.begin(), differences.end(), dim) == differences.end())
        differences.push_back(dim);
    }
  return differences;
}

template <typename T> int64_t countNonzero(const std::byte *data, uint64_t count) {
  auto *numbers = reinterpret_cast<const T *>(data);
  return std::count_if(numbers, numbers + count, [](T number) { return number != 0; });
}

int64_t sumWithin(const std::byte *data, uint64_t count, int64_t limit) {
  auto *numbers = reinterpret_cast<const int32_t *>(data);
  int64_t sum = 0;
  for (uint64_t i = 0; i < count; ++i)
    sum += std::clamp<int64_t>(numbers[i], 0, std::max<int64_t>(limit, 0));
  return sum;
}

} // namespace

Result<std::unique_ptr<Executor>> CudaExecutor::create(const Model &model, int ordinal, bool profile) {
  TRANSOM_ASSIGN(std::shared_ptr<const CudaModel> cuda, model.cuda(ordinal));
  std::unique_ptr<CudaExecutor> executor(new CudaExecutor(model, std::move(cuda)));
  TRANSOM_RETURN_IF_ERROR(executor->allocate(profile));
  return std::unique_ptr<Executor>(std::move(executor));
}

CudaExecutor::CudaExecutor(const Model &model, std::shared_ptr<const CudaModel> cuda)
    : model_(model), cuda_(std::move(cuda)), storage_(model.contents()) {}

CudaExecutor::~CudaExecutor() {
  // Nothing may use the memory when it is freed; how the work went does not matter any more.
  if (!stream_.get() || !device().makeCurrent().ok())
    return;
  driver().cuStreamSynchronize(stream_.get());
  if (copies_.get())
    driver().cuStreamSynchronize(copies_.get());
}

Status CudaExecutor::allocate(bool profile) {
  const std::shared_ptr<const CudaDevice> &device = cuda_->sharedDevice();
  uint64_t all = storage_.arenaBytes + storage_.stateBytes + storage_.stagingBytes + storage_.scratchBytes;
  TRANSOM_RETURN_IF_ERROR(checkFree(*device, all, "a session"));
  TRANSOM_ASSIGN(stream_, CudaStream::create(device));
  // Zeros, as kernels compute whole tiles of a bucket, rows without tokens included: what they read there was never written.
  TRANSOM_ASSIGN(arena_, DeviceMemory::allocate(device, storage_.arenaBytes, "intermediate values", Fill::zeros));
  TRANSOM_ASSIGN(states_, DeviceMemory::allocate(device, storage_.stateBytes, "caches", Fill::zeros));
  TRANSOM_ASSIGN(staging_, DeviceMemory::allocate(device, storage_.stagingBytes, "inputs and outputs", Fill::zeros));
  TRANSOM_ASSIGN(scratch_, DeviceMemory::allocate(device, storage_.scratchBytes, "the kernels' workspace", Fill::zeros));
  TRANSOM_ASSIGN(pinned_, PinnedMemory::allocate(device, storage_.pinnedBytes, "inputs and outputs"));
  if (pinned_.data())
    std::memset(pinned_.data(), 0, pinned_.bytes());
  if (storage_.ringSlot) {
    TRANSOM_ASSIGN(copies_, CudaStream::create(device));
    for (auto *events : {&done_, &taken_})
      for (CudaEvent &event : *events) {
        TRANSOM_ASSIGN(event, CudaEvent::create(device, EventUse::order));
      }
  }
  size_t steps = 0;
  for (size_t p = 0; p < model_.contents().programs.size(); ++p) {
    addRunner(p, profile);
    steps = runners_[p] ? std::max(steps, model_.contents().programs[p].steps.size()) : steps;
  }
  for (size_t i = 0; profile && i <= steps; ++i) {
    TRANSOM_ASSIGN(marks_.emplace_back(), CudaEvent::create(device, EventUse::timing));
  }
  return {};
}

void CudaExecutor::addRunner(size_t index, bool profile) {
  const artifact::Contents &contents = model_.contents();
  const artifact::Program &program = contents.programs[index];
  if (program.device != artifact::Device::cuda) {
    runners_.emplace_back();
    return;
  }
  const CudaStorage::Program &places = storage_.programs[index];
  CudaAddresses addresses{.arena = arena_.pointer(), .workspace = scratch_.pointer() + places.workspace,
                          .libraryWorkspace = scratch_.pointer() + storage_.libraryWorkspace,
                          .symbols = staging_.pointer() + places.symbols, .inputs = {}, .outputs = {}, .states = {}};
  auto place = [](std::vector<CUdeviceptr> &out, CUdeviceptr base, const std::vector<uint64_t> &offsets) {
    for (uint64_t offset : offsets)
      out.push_back(base + offset);
  };
  place(addresses.inputs, staging_.pointer(), places.inputs);
  const std::vector<bool> onHost = outputsOnHost(program);
  for (size_t i = 0; i < onHost.size(); ++i)
    addresses.outputs.push_back((onHost[i] ? reinterpret_cast<CUdeviceptr>(pinned_.data()) : staging_.pointer()) + places.outputs[i]);
  place(addresses.states, states_.pointer(), storage_.states);
  runners_.push_back(std::unique_ptr<Runner>(new Runner{.program = program, .places = places, .onHost = onHost,
                            .graphs = CudaGraphs(*cuda_, contents, program, std::move(addresses)),
                            .symbols = std::vector<int64_t>(contents.symbols.size()), .uploaded = {},
                            .mayBeNegative = differencesOf(program),
                            .nanoseconds = std::vector<uint64_t>(profile ? program.steps.size() : 0)}));
}

std::byte *CudaExecutor::inputMemory(size_t program, size_t input) {
  return pinned_.data() + runners_[program]->places.inputs[input];
}

const std::byte *CudaExecutor::outputMemory(size_t program, size_t output) const {
  return pinned_.data() + runners_[program]->places.outputs[output];
}

std::span<const uint64_t> CudaExecutor::stepNanoseconds(size_t program) const {
  return runners_[program] ? std::span<const uint64_t>(runners_[program]->nanoseconds) : std::span<const uint64_t>();
}

Status CudaExecutor::check(CUresult result, std::string_view what, const artifact::Program *program) {
  if (result == CUDA_SUCCESS)
    return {};
  Status status = driver().check(result, program ? fmt::format("program {}: {}", program->name, what) : std::string(what));
  if (isSticky(result) && broken_.ok())
    broken_ = error(StatusCode::internal, "the GPU failed in this session, nothing runs on it any more: {}", status.message());
  return status;
}

Status CudaExecutor::enter() {
  TRANSOM_RETURN_IF_ERROR(broken_);
  TRANSOM_RETURN_IF_ERROR(check(driver().cuCtxSetCurrent(device().context()), "taking the GPU"));
  if (!loop_.runner)
    return {};
  Status drained = drain();
  loop_ = {};
  return drained;
}

Status CudaExecutor::fail(const Status &status) {
  for (CudaStream *stream : {&stream_, &copies_})
    if (stream->get())
      check(driver().cuStreamSynchronize(stream->get()), "waiting for the GPU").ok();
  for (std::unique_ptr<Runner> &runner : runners_)
    if (runner)
      runner->uploaded.clear();
  return status;
}

Status CudaExecutor::bind(size_t program, std::span<const int64_t> symbols) {
  Runner &runner = *runners_[program];
  std::copy(symbols.begin(), symbols.end(), runner.symbols.begin());
  // Until they are found, sizes have room for the most.
  for (const artifact::Step &step : runner.program.steps)
    if (auto *size = std::get_if<artifact::Size>(&step.kind))
      runner.symbols[size->symbol] = model_.contents().symbols[size->symbol].max;
  for (const artifact::Expr &expr : runner.mayBeNegative)
    if (int64_t value = evaluate(expr, runner.symbols); value < 0)
      return error(StatusCode::invalidArgument, "the size {} is {} for these inputs", toString(expr, model_.contents().symbols), value);
  return {};
}

/// What a step would read on the device: kernels need the number there, the host needs it to choose the graph.
Status CudaExecutor::findSizes(Runner &runner) {
  for (size_t i = 0; i < runner.program.steps.size(); ++i) {
    auto *size = std::get_if<artifact::Size>(&runner.program.steps[i].kind);
    if (!size)
      continue;
    const artifact::Value &input = runner.program.inputs[size->input];
    const std::byte *data = pinned_.data() + runner.places.inputs[size->input];
    uint64_t count = 1;
    for (const artifact::Expr &dim : input.shape)
      count *= static_cast<uint64_t>(evaluate(dim, runner.symbols));
    int64_t value = size->from == artifact::SizeSource::sum ? sumWithin(data, count, evaluate(size->limit, runner.symbols))
                    : input.dtype == DType::i64             ? countNonzero<int64_t>(data, count)
                                                            : countNonzero<int32_t>(data, count);
    const artifact::Symbol &symbol = model_.contents().symbols[size->symbol];
    if (value < symbol.min || value > symbol.max)
      return error(StatusCode::invalidArgument, "step {} ({}): {} must be {} to {}, found {} in input \"{}\"", i,
                   runner.program.steps[i].source, symbol.name, symbol.min, symbol.max, value, input.name);
    runner.symbols[size->symbol] = value;
  }
  for (const artifact::Expr &expr : runner.mayBeNegative)
    if (int64_t value = evaluate(expr, runner.symbols); value < 0)
      return error(StatusCode::invalidArgument, "the size {} is {} for these inputs", toString(expr, model_.contents().symbols), value);
  return {};
}

Status CudaExecutor::copyIn(const Runner &runner, uint64_t place, uint64_t bytes) {
  if (bytes == 0)
    return {};
  return check(driver().cuMemcpyHtoDAsync(staging_.pointer() + place, pinned_.data() + place, bytes, stream_.get()), "copying inputs", &runner.program);
}

Status CudaExecutor::upload(Runner &runner) {
  if (statesAreOld_ && states_.bytes()) {
    TRANSOM_RETURN_IF_ERROR(check(driver().cuMemsetD8Async(states_.pointer(), 0, states_.bytes(), stream_.get()), "clearing caches"));
  }
  statesAreOld_ = false;
  const CudaStorage::Program &places = runner.places;
  uint64_t tableBytes = runner.symbols.size() * sizeof(int64_t);
  bool same = runner.uploaded == runner.symbols;
  if (!same && tableBytes)
    std::memcpy(pinned_.data() + places.symbols, runner.symbols.data(), tableBytes);
  if (places.inputEnd - places.symbols <= bytesOfOneCopy) {
    TRANSOM_RETURN_IF_ERROR(copyIn(runner, places.symbols, places.inputEnd - places.symbols));
  } else {
    if (!same)
      TRANSOM_RETURN_IF_ERROR(copyIn(runner, places.symbols, tableBytes));
    for (size_t i = 0; i < places.inputs.size(); ++i) {
      const artifact::Value &input = runner.program.inputs[i];
      std::array<int64_t, 16> shape = {};
      for (size_t axis = 0; axis < input.shape.size(); ++axis)
        shape[axis] = evaluate(input.shape[axis], runner.symbols);
      TRANSOM_RETURN_IF_ERROR(
          copyIn(runner, places.inputs[i], bytesFor(input.dtype, std::span(shape).first(input.shape.size())).value()));
    }
  }
  runner.uploaded = runner.symbols;
  return {};
}

Status CudaExecutor::execute(Runner &runner) {
  TRANSOM_ASSIGN(CudaGraphs::Bucket *bucket, runner.graphs.bucketFor(runner.symbols, stream_.get()));
  TRANSOM_ASSIGN(CUgraphExec graph, runner.graphs.graphOf(*bucket, stream_.get()));
  TRANSOM_RETURN_IF_ERROR(upload(runner));
  return check(driver().cuGraphLaunch(graph, stream_.get()), "launching its graph", &runner.program);
}

Status CudaExecutor::stepThrough(Runner &runner, const StepObserver *observer) {
  TRANSOM_ASSIGN(CudaGraphs::Bucket *bucket, runner.graphs.bucketFor(runner.symbols, stream_.get()));
  TRANSOM_RETURN_IF_ERROR(upload(runner));
  return enqueueSteps(runner, *bucket, observer);
}

Status CudaExecutor::enqueueSteps(Runner &runner, CudaGraphs::Bucket &bucket, const StepObserver *observer) {
  std::optional<StepWatch> watch;
  if (observer)
    watch.emplace(runner.program, *observer);
  std::vector<std::byte> copy;
  auto bytesOf = [&](uint32_t index) -> Result<std::span<const std::byte>> {
    const artifact::Buffer &buffer = runner.program.buffers[index];
    if (buffer.kind == artifact::BufferKind::output && runner.onHost[buffer.index]) {
      TRANSOM_RETURN_IF_ERROR(check(driver().cuStreamSynchronize(stream_.get()), "reading a buffer"));
      return std::span<const std::byte>(pinned_.data() + runner.places.outputs[buffer.index], buffer.bytes);
    }
    copy.resize(buffer.bytes);
    TRANSOM_RETURN_IF_ERROR(check(
        driver().cuMemcpyDtoHAsync(copy.data(), runner.graphs.addressOf(index), copy.size(), stream_.get()), "reading a buffer"));
    TRANSOM_RETURN_IF_ERROR(check(driver().cuStreamSynchronize(stream_.get()), "reading a buffer"));
    return std::span<const std::byte>(copy);
  };
  size_t count = runner.program.steps.size();
  bool timed = !runner.nanoseconds.empty() && !observer;
  auto mark = [&](size_t i) { return timed ? check(driver().cuEventRecord(marks_[i].get(), stream_.get()), "timing a step") : Status(); };
  TRANSOM_RETURN_IF_ERROR(mark(0));
  for (size_t i = 0; i < count; ++i) {
    if (watch)
      TRANSOM_RETURN_IF_ERROR(watch->before(i, bytesOf));
    TRANSOM_RETURN_IF_ERROR(runner.graphs.enqueue(bucket, i, /*follows=*/false, stream_.get()));
    if (watch)
      TRANSOM_RETURN_IF_ERROR(watch->after(i, runner.symbols, bytesOf));
    TRANSOM_RETURN_IF_ERROR(mark(i + 1));
  }
  return timed ? readMarks(runner, bucket) : Status();
}

Status CudaExecutor::readMarks(Runner &runner, const CudaGraphs::Bucket &bucket) {
  TRANSOM_RETURN_IF_ERROR(check(driver().cuStreamSynchronize(stream_.get()), "timing steps"));
  for (size_t i = 0; i < runner.nanoseconds.size(); ++i) {
    float milliseconds = 0;
    TRANSOM_RETURN_IF_ERROR(check(driver().cuEventElapsedTime(&milliseconds, marks_[i].get(), marks_[i + 1].get()), "timing a step"));
    if (CudaGraphs::works(bucket, i))
      runner.nanoseconds[i] += static_cast<uint64_t>(static_cast<double>(milliseconds) * 1e6);
  }
  return {};
}

Status CudaExecutor::download(const Runner &runner) {
  for (size_t i = 0; i < runner.program.outputs.size(); ++i) {
    if (runner.onHost[i])
      continue;
    const artifact::Value &output = runner.program.outputs[i];
    std::array<int64_t, 16> shape = {};
    for (size_t axis = 0; axis < output.shape.size(); ++axis)
      shape[axis] = evaluate(output.shape[axis], runner.symbols);
    uint64_t bytes = bytesFor(output.dtype, std::span(shape).first(output.shape.size())).value(), place = runner.places.outputs[i];
    if (bytes)
      TRANSOM_RETURN_IF_ERROR(check(
          driver().cuMemcpyDtoHAsync(pinned_.data() + place, staging_.pointer() + place, bytes, stream_.get()), "copying outputs"));
  }
  return check(driver().cuStreamSynchronize(stream_.get()), "waiting for its end", &runner.program);
}

Status CudaExecutor::runBound(Runner &runner, const StepObserver *observer) {
  TRANSOM_RETURN_IF_ERROR(findSizes(runner));
  bool steps = observer || !runner.nanoseconds.empty();
  TRANSOM_RETURN_IF_ERROR(steps ? stepThrough(runner, observer) : execute(runner));
  return download(runner);
}

Status CudaExecutor::run(size_t program, const StepObserver *observer) {
  TRANSOM_RETURN_IF_ERROR(enter());
  Status status = runBound(*runners_[program], observer);
  return status.ok() ? status : fail(status);
}

Status CudaExecutor::prepare(size_t program, std::span<const int64_t> symbols) {
  TRANSOM_RETURN_IF_ERROR(enter());
  Runner &runner = *runners_[program];
  auto make = [&]() -> Status {
    TRANSOM_ASSIGN(CudaGraphs::Bucket *bucket, runner.graphs.bucketFor(symbols, stream_.get()));
    if (runner.program.name == "step") {
      for (size_t output = 0; output < runner.program.outputs.size(); ++output)
        if (runner.program.outputs[output].name == "tokens")
          TRANSOM_RETURN_IF_ERROR(loopGraphs(runner, *bucket, output).status());
    } else {
      TRANSOM_ASSIGN(CUgraphExec graph, runner.graphs.graphOf(*bucket, stream_.get()));
      TRANSOM_RETURN_IF_ERROR(check(driver().cuGraphUpload(graph, stream_.get()), "uploading a graph"));
    }
    return check(driver().cuStreamSynchronize(stream_.get()), "uploading a graph");
  };
  Status status = make();
  return status.ok() ? status : fail(status);
}

} // namespace transom
