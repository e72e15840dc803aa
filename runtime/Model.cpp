// See Model.h.
#include "runtime/Model.h"

#include "runtime/cuda/CudaStorage.h"

#include <algorithm>
#include <charconv>

namespace transom {

namespace {

Result<tokenizer::Tokenizer> loadTokenizer(const std::vector<uint8_t> &bytes) {
  TRANSOM_ASSIGN(tokenizer::TokenizerSpec spec, tokenizer::deserialize(std::as_bytes(std::span(bytes))));
  return tokenizer::Tokenizer::create(std::move(spec));
}

} // namespace

Result<std::shared_ptr<const Model>> Model::load(const std::string &path) {
  TRANSOM_ASSIGN(Artifact artifact, Artifact::open(path));
  std::shared_ptr<Model> model(new Model(std::move(artifact)));
  if (!model->contents().runsOn(artifact::Device::cuda))
    TRANSOM_RETURN_IF_ERROR(model->cpu().status());
  if (const std::vector<uint8_t> &bytes = model->contents().tokenizer; !bytes.empty()) {
    Result<tokenizer::Tokenizer> loaded = loadTokenizer(bytes);
    if (!loaded.ok())
      return loaded.status().within(path + ": tokenizer");
    model->tokenizer_ = std::move(*loaded);
  }
  return std::shared_ptr<const Model>(std::move(model));
}

Result<CpuBackend> Model::loadCpu() const {
  TRANSOM_ASSIGN(LoadedCode code, LoadedCode::load(artifact_));
  CpuBackend cpu{std::move(code)};
  for (const artifact::Program &program : contents().programs)
    for (const artifact::Step &step : program.steps)
      if (std::holds_alternative<artifact::Gemm>(step.kind) && !cpu.gemm) {
        TRANSOM_ASSIGN(cpu.gemm, GemmLibrary::get());
      }
  return cpu;
}

Result<const CpuBackend *> Model::cpu() const {
  std::lock_guard lock(mutex_);
  if (!cpu_) {
    Result<CpuBackend> loaded = loadCpu();
    if (!loaded.ok())
      return loaded.status().within(artifact_.path());
    cpu_.emplace(std::move(*loaded));
  }
  return &*cpu_;
}

Result<std::shared_ptr<const CudaModel>> Model::cuda(int ordinal) const {
  std::lock_guard lock(mutex_);
  std::shared_ptr<const CudaModel> &model = cuda_[ordinal];
  if (!model) {
    TRANSOM_ASSIGN(std::shared_ptr<const CudaDevice> device, CudaDevice::open(ordinal));
    Result<std::shared_ptr<const CudaModel>> loaded = CudaModel::load(artifact_, std::move(device));
    if (!loaded.ok())
      return loaded.status().within(artifact_.path());
    model = std::move(*loaded);
  }
  return model;
}

const GemmLibrary *Model::gemmLibrary() const {
  std::lock_guard lock(mutex_);
  return cpu_ ? cpu_->gemm : nullptr;
}

static GemmBounds boundsOf(const artifact::Contents &contents, const artifact::Gemm &gemm) {
  auto bound = [&](const artifact::Expr &size) { return upperBound(size, contents.symbols).value(); };
  return {bound(gemm.n), bound(gemm.k), gemm.unpack >= 0, gemm.epilogue >= 0, gemm.scratch};
}

static uint64_t scratchPerThreadOf(const artifact::Contents &contents) {
  uint64_t bytes = 0;
  for (const artifact::Program &program : contents.programs)
    for (const artifact::Step &step : program.steps) {
      if (auto *launch = std::get_if<artifact::Launch>(&step.kind))
        bytes = std::max(bytes, launch->scratch);
      else if (auto *gemm = std::get_if<artifact::Gemm>(&step.kind))
        bytes = std::max(bytes, gemmScratch(boundsOf(contents, *gemm)));
    }
  return CheckedSize(bytes).alignedTo(sectionAlignment).value();
}

uint64_t Model::scratchPerThread() const { return scratchPerThreadOf(contents()); }

uint64_t bufferPadded(uint64_t bytes) { return CheckedSize(bytes).alignedTo(bufferAlignment).value(); }

/// Which entries of a table the buffers of the device's programs stand for.
static std::vector<bool> usedBy(const artifact::Contents &contents, artifact::Device device, artifact::BufferKind kind, size_t count) {
  std::vector<bool> used(count);
  for (const artifact::Program &program : contents.programs)
    for (const artifact::Buffer &buffer : program.buffers)
      if (program.device == device && buffer.kind == kind)
        used[buffer.index] = true;
  return used;
}

std::vector<bool> statesOf(const artifact::Contents &contents, artifact::Device device) {
  return usedBy(contents, device, artifact::BufferKind::state, contents.states.size());
}

std::vector<bool> weightsOf(const artifact::Contents &contents, artifact::Device device) {
  return usedBy(contents, device, artifact::BufferKind::weight, contents.weights.size());
}

static artifact::Device firstDevice(const artifact::Contents &contents) {
  return contents.runsOn(artifact::Device::cpu) ? artifact::Device::cpu : artifact::Device::cuda;
}

MemoryPlan memoryPlanOf(const artifact::Contents &contents, uint32_t threads) {
  return memoryPlanOf(contents, firstDevice(contents), threads);
}

MemoryPlan memoryPlanOf(const artifact::Contents &contents, artifact::Device device, uint32_t threads) {
  if (device == artifact::Device::cuda)
    return cudaMemoryPlanOf(contents);
  MemoryPlan plan;
  std::vector<bool> weights = weightsOf(contents, device), states = statesOf(contents, device);
  for (size_t i = 0; i < weights.size(); ++i)
    plan.weights += weights[i] ? contents.weights[i].section.bytes : 0;
  for (size_t i = 0; i < states.size(); ++i)
    plan.states += states[i] ? bufferPadded(contents.states[i].bytes) : 0;
  for (const artifact::Program &program : contents.programs) {
    if (program.device != device)
      continue;
    plan.arena = std::max(plan.arena, program.arenaBytes);
    for (const auto *values : {&program.inputs, &program.outputs})
      for (const artifact::Value &value : *values)
        plan.staging += bufferPadded(value.bytes);
  }
  plan.scratch = scratchPerThreadOf(contents) * threads;
  return plan;
}

Result<size_t> Model::programIndex(std::string_view name) const { return programIndex(name, firstDevice(contents())); }

Result<size_t> Model::programIndex(std::string_view name, artifact::Device device) const {
  const auto &programs = contents().programs;
  std::vector<std::string_view> names;
  for (size_t i = 0; i < programs.size(); ++i) {
    if (programs[i].device != device)
      continue;
    if (programs[i].name == name)
      return i;
    names.push_back(programs[i].name);
  }
  return error(StatusCode::notFound, "no program \"{}\"; the artifact has {}", name, fmt::join(names, ", "));
}

std::optional<int64_t> Model::metadataNumber(std::string_view key) const {
  const std::string *text = contents().findMetadata(key);
  return text ? parseNumber(*text) : std::nullopt;
}

std::optional<int64_t> parseNumber(std::string_view text) {
  int64_t value = 0;
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failed == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

} // namespace transom
