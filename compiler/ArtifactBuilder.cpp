// See ArtifactBuilder.h.
#include "compiler/ArtifactBuilder.h"

#include "codegen/TensorBytes.h"
#include "compiler/CudaWeights.h"
#include "compiler/WeightRecipe.h"
#include "ir/DimAnalysis.h"
#include "ir/Plan.h"
#include "runtime/format/KernelAbi.h"

#include "llvm/ADT/StringMap.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

using namespace mlir;

namespace transom {

static_assert(plan::maxEpilogueBuffers == int64_t(maxEpilogueBuffers) && plan::alignment == int64_t(bufferAlignment));

namespace {

using artifact::Contents, artifact::Expr, artifact::Shape;

static_assert(plan::alignment == bufferAlignment);
static_assert(int(plan::BufferKind::arena) == int(artifact::BufferKind::arena) &&
              int(plan::BufferKind::state) == int(artifact::BufferKind::state));

/// Fills in Contents from the plans and their code.
class ContentsBuilder {
public:
  ContentsBuilder(const ArtifactParts &parts, artifact::WriteInput &input)
      : parts(parts), module(parts.cpu ? parts.cpu->plan : parts.cuda->plan), input(input), contents(input.contents) {}

  Status run() {
    contents.producer = "transom " TRANSOM_VERSION;
    contents.model = text("transom.model");
    contents.architecture = text("transom.architecture");
    contents.task = text("transom.task");
    if (contents.task.empty())
      contents.task = "run";
    addSymbols();
    if (parts.cpu)
      addCpu();
    if (parts.cuda)
      addCuda();
    return addMetadata();
  }

private:
  std::string text(StringRef attribute) {
    auto value = module->getAttrOfType<StringAttr>(attribute);
    return value ? value.getValue().str() : std::string();
  }

  void addSymbols() {
    auto bounds = module->getAttrOfType<DictionaryAttr>("transom.bounds");
    for (NamedAttribute bound : bounds ? bounds : DictionaryAttr::get(module.getContext())) {
      Bounds range = *boundsOf(module, bound.getName());
      symbols.emplace(bound.getName().str(), uint16_t(contents.symbols.size()));
      contents.symbols.push_back({bound.getName().str(), range.min, range.max});
      if (bound.getName() == "tokens")
        contents.symbols.back().buckets = parts.tokenBuckets;
    }
  }

  Expr expr(const DimExpr &size) {
    Expr result;
    for (auto &[names, coefficient] : size.polynomial()) {
      artifact::Term term{coefficient, {}};
      for (const std::string &name : names)
        term.symbols.push_back(symbols.at(name));
      result.terms.push_back(std::move(term));
    }
    return result;
  }
  Expr expr(StringRef size) { return expr(*DimExpr::parse(size)); }
  Shape shape(const Dims &dims) {
    Shape result;
    for (const DimExpr &dim : dims)
      result.push_back(expr(dim));
    return result;
  }

  //===-- Both devices --------------------------------------------------------------------------------------------===//

  void addPlanText(ModuleOp plan) {
    llvm::raw_string_ostream stream(contents.plan);
    plan.print(stream, OpPrintingFlags().elideLargeElementsAttrs(16).elideLargeResourceString(16));
  }

  /// The index of a weight; a new one gets its bytes from `source`.
  uint32_t addWeight(StringRef name, DType dtype, std::vector<int64_t> shape, artifact::WeightSource source) {
    auto [entry, isNew] = weights.try_emplace(name, uint32_t(contents.weights.size()));
    if (isNew) {
      contents.weights.push_back({name.str(), dtype, std::move(shape), {}});
      input.weights.push_back(std::move(source));
    }
    return entry->second;
  }
  uint32_t addWeight(plan::WeightOp weight) {
    auto type = cast<RankedTensorType>(weight.getType());
    return addWeight(weight.getName(), storedType(type.getElementType()), type.getShape().vec(),
                     [weight, this](const artifact::ByteSink &sink) { return writeWeight(weight, parts.weights, sink); });
  }

  /// States of a name that devices store differently are two.
  uint32_t addState(const std::string &name, const artifact::Buffer &buffer) {
    auto [entry, isNew] = states.try_emplace(name + "|" + std::string(transom::name(buffer.dtype)), uint32_t(contents.states.size()));
    if (isNew) {
      bool taken = llvm::any_of(contents.states, [&](const artifact::State &state) { return state.name == name; });
      contents.states.push_back({taken ? name + "." + std::string(transom::name(buffer.dtype)) : name, buffer.dtype, buffer.shape, buffer.bytes});
    }
    return entry->second;
  }

  //===-- CPU -----------------------------------------------------------------------------------------------------===//

  void addCpu() {
    ModuleOp plan = parts.cpu->plan;
    for (auto weight : plan.getOps<plan::WeightOp>())
      addWeight(weight);
    for (auto kernel : plan.getOps<plan::KernelOp>())
      kernels.try_emplace(kernel.getSymName(), uint32_t(kernels.size()));
    for (auto program : plan.getOps<plan::ProgramOp>())
      addProgram(program);
    addPlanText(plan);
    const CpuCode &code = parts.cpu->code;
    contents.code.push_back({"cpu:" + code.target, code.features, code.kernels, {}});
    contents.kernelText = code.kernelText;
    auto object = std::as_bytes(std::span(code.sharedObject));
    input.codeBytes.emplace_back(object.begin(), object.end());
  }

  /// Rows with a scale behind them are as much longer.
  static Dims storedSizesOf(Value value) {
    Dims sizes = plan::sizesOf(value);
    if (plan::keepsScales(plan::tensorOf(value), plan::storedElementOf(value)))
      sizes.back() = sizes.back() + DimExpr(plan::scaleElements);
    return sizes;
  }

  /// One of the artifact's buffers for each buffer and view of the plan.
  void addBuffer(artifact::Program &program, Value value) {
    plan::BufferOp storage = plan::storageOf(value);
    artifact::Buffer buffer;
    buffer.kind = static_cast<artifact::BufferKind>(storage.getKind());
    buffer.dtype = storedType(plan::storedElementOf(value));
    buffer.shape = shape(storedSizesOf(value));
    buffer.bytes = *plan::bytesAtBounds(module, plan::tensorOf(value), plan::sizesOf(value), plan::storedElementOf(value));
    if (storage.getOffset())
      buffer.offset = *storage.getOffset();
    else if (value == storage.getResult())
      buffer.index = addStorage(program, storage, buffer);
    else
      buffer.index = program.buffers[indices.lookup(storage)].index;
    indices[value] = uint32_t(program.buffers.size());
    program.buffers.push_back(std::move(buffer));
  }

  /// The index of a buffer outside the arena in the table of its kind.
  uint32_t addStorage(artifact::Program &program, plan::BufferOp op, const artifact::Buffer &buffer) {
    std::string name = op.getName()->str();
    if (op.getKind() == plan::BufferKind::weight)
      return weights.lookup(name);
    if (op.getKind() == plan::BufferKind::state)
      return addState(name, buffer);
    auto &table = op.getKind() == plan::BufferKind::input ? program.inputs : program.outputs;
    table.push_back({name, buffer.dtype, buffer.shape, buffer.bytes, uint32_t(program.buffers.size())});
    return uint32_t(table.size() - 1);
  }

  void addProgram(plan::ProgramOp op) {
    artifact::Program &program = contents.programs.emplace_back();
    program.name = op.getSymName().str();
    program.arenaBytes = op.getArenaBytes();
    indices.clear();
    for (Operation &step : op.getBody().front()) {
      if (auto launch = dyn_cast<plan::LaunchOp>(step))
        program.steps.push_back({lower(launch), launch.getSource().value_or("").str()});
      else if (auto gemm = dyn_cast<plan::GemmOp>(step))
        program.steps.push_back({lower(gemm), gemm.getSource().value_or("").str()});
      else if (auto size = dyn_cast<plan::SizeOp>(step))
        program.steps.push_back({artifact::Size{symbols.at(size.getName().str()), indices.lookup(size.getSource())},
                                 size.getName().str()});
      else
        addBuffer(program, step.getResult(0));
    }
  }

  artifact::Launch lower(plan::LaunchOp op) {
    artifact::Launch launch;
    launch.kernel = kernels.lookup(op.getKernel());
    launch.work = expr(op.getWork());
    launch.grain = uint32_t(op.getGrain());
    launch.scratch = op.getScratch();
    for (Value buffer : op.getOperands())
      launch.buffers.push_back(indices.lookup(buffer));
    addSizes(op, op.getKernelAttr(), op.getOperands(), launch.sizes);
    return launch;
  }

  artifact::Gemm lower(plan::GemmOp op) {
    artifact::Gemm gemm;
    gemm.lhs = indices.lookup(op.getLhs());
    gemm.rhs = indices.lookup(op.getRhs());
    gemm.out = indices.lookup(op.getOut());
    gemm.m = expr(op.getM());
    gemm.n = expr(op.getN());
    gemm.k = expr(op.getK());
    if (op.getUnpack())
      gemm.unpack = int32_t(kernels.lookup(*op.getUnpack()));
    if (!op.getEpilogue())
      return gemm;
    gemm.epilogue = int32_t(kernels.lookup(*op.getEpilogue()));
    gemm.scratch = op.getScratch();
    for (Value extra : op.getExtras())
      gemm.extras.push_back(indices.lookup(extra));
    for (Value result : op.getResults())
      gemm.results.push_back(indices.lookup(result));
    addSizes(op, op.getEpilogueAttr(), op.epilogueBuffers(), gemm.sizes);
    return gemm;
  }

  /// The sizes that the kernel's types leave open, in the order of its buffers.
  void addSizes(Operation *step, FlatSymbolRefAttr name, ValueRange buffers, std::vector<Expr> &sizes) {
    auto kernel = SymbolTable::lookupNearestSymbolFrom<plan::KernelOp>(step, name);
    for (auto [buffer, type] : llvm::zip(buffers, kernel.bufferTypes()))
      for (auto [size, known] : llvm::zip(plan::sizesOf(buffer), dimsOf(type)))
        if (!known.constant())
          sizes.push_back(expr(size));
  }

  //===-- CUDA ----------------------------------------------------------------------------------------------------===//

  void addCuda() {
    const CudaCode &code = parts.cuda->code;
    ModuleOp plan = parts.cuda->plan;
    for (auto weight : plan.getOps<plan::WeightOp>())
      planWeights[weight.getName()] = weight;
    contents.cudaKernels = code.kernels;
    contents.cudaHeaders = code.headers;
    for (const CudaProgram &program : code.programs)
      addProgram(program);
    addPlanText(plan);
    for (const Cubin &cubin : parts.cuda->cubins) {
      contents.code.push_back({"cuda:" + cubin.architecture, {}, {cubin.kernel}, {}});
      input.codeBytes.push_back(cubin.bytes);
    }
  }

  void addProgram(const CudaProgram &cuda) {
    artifact::Program &program = contents.programs.emplace_back();
    auto plan = cast<plan::ProgramOp>(cuda.plan);
    program.name = cuda.name;
    program.device = artifact::Device::cuda;
    uint64_t behind = uint64_t(plan::aligned(plan.getArenaBytes()));
    program.arenaBytes = behind + uint64_t(cuda.scratchBytes);
    program.workspaceBytes = uint64_t(cuda.workspaceBytes);
    indices.clear();
    cudaBuffers.clear();
    for (auto buffer : plan.getBody().getOps<plan::BufferOp>())
      if (buffer.getKind() == plan::BufferKind::input || (buffer.getKind() == plan::BufferKind::output && cuda.keepsOutputs))
        addBuffer(program, buffer);
    size_t inputs = program.inputs.size(), outputs = program.outputs.size();
    for (const CudaValue &value : cuda.inputs)
      addValue(program, artifact::BufferKind::input, program.inputs, value);
    for (const CudaValue &value : cuda.outputs)
      addValue(program, artifact::BufferKind::output, program.outputs, value);
    auto index = [&](const CudaBuffer &buffer) { return indexOf(program, buffer, behind, inputs, outputs); };
    for (const CudaStepPlan &step : cuda.steps)
      program.steps.push_back({std::visit([&](const auto &kind) { return lower(program, kind, index); }, step.kind), step.source});
  }

  using StepKind = decltype(artifact::Step::kind);
  using IndexOf = llvm::function_ref<uint32_t(const CudaBuffer &)>;

  StepKind lower(const artifact::Program &, const CudaLaunchPlan &plan, IndexOf index) {
    artifact::CudaLaunch launch;
    launch.rows = expr(plan.rows);
    for (const CudaChoicePlan &choice : plan.choices) {
      artifact::CudaChoice &own = launch.choices.emplace_back();
      own.most = choice.most, own.kernel = uint32_t(choice.kernel), own.per = choice.per, own.sm = choice.sm;
      for (const DimExpr &size : choice.grid)
        own.grid.push_back(expr(size));
    }
    for (const CudaBuffer &buffer : plan.buffers)
      launch.buffers.push_back(index(buffer));
    for (const CudaMapPlan &map : plan.maps)
      launch.maps.push_back({index(map.buffer), shape(map.sizes), shape(map.strides), map.box});
    if (plan.workspace)
      launch.workspace = int32_t(index(*plan.workspace));
    launch.dependent = true;
    launch.when = plan.when;
    return launch;
  }

  StepKind lower(const artifact::Program &, const CudaGemmPlan &plan, IndexOf index) {
    artifact::CudaGemm gemm;
    gemm.lhs = index(plan.lhs), gemm.rhs = index(plan.rhs), gemm.out = index(plan.out);
    gemm.m = expr(plan.m), gemm.n = expr(plan.n), gemm.k = expr(plan.k);
    gemm.when = plan.when;
    gemm.compute = plan.tf32 ? artifact::GemmCompute::tf32 : artifact::GemmCompute::f32;
    gemm.oneAlgorithm = plan.oneAlgorithm;
    gemm.workspace = plan.oneAlgorithm ? 0 : uint64_t(32) << 20; // what NVIDIA recommends for Hopper: cuBLAS documentation, cublasSetWorkspace
    return gemm;
  }

  StepKind lower(const artifact::Program &program, const CudaSizePlan &plan, IndexOf index) {
    CudaBuffer buffer;
    buffer.value = plan.buffer;
    artifact::Size size{symbols.at(plan.name), index(buffer), plan.from, 0, expr(plan.limit)};
    auto input = llvm::find_if(program.inputs, [&](const artifact::Value &value) { return value.name == plan.input; });
    size.input = uint32_t(input - program.inputs.begin());
    return size;
  }

  artifact::Buffer describe(const CudaBuffer &cuda, artifact::BufferKind kind) {
    artifact::Buffer buffer;
    buffer.kind = kind, buffer.dtype = cuda.dtype, buffer.shape = shape(cuda.shape);
    buffer.bytes = artifact::bytesAtBounds(buffer.dtype, buffer.shape, contents.symbols).value();
    return buffer;
  }

  void addValue(artifact::Program &program, artifact::BufferKind kind, std::vector<artifact::Value> &table, const CudaValue &value) {
    CudaBuffer cuda;
    cuda.dtype = value.dtype, cuda.shape = value.shape;
    artifact::Buffer buffer = describe(cuda, kind);
    buffer.index = uint32_t(table.size());
    table.push_back({value.name, buffer.dtype, buffer.shape, buffer.bytes, uint32_t(program.buffers.size())});
    program.buffers.push_back(std::move(buffer));
  }

  /// The program's buffer that stands for `cuda`; a new one where there is none.
  uint32_t indexOf(artifact::Program &program, const CudaBuffer &cuda, uint64_t behind, size_t inputs, size_t outputs) {
    using Kind = CudaBuffer::Kind;
    if (cuda.kind == Kind::plan) {
      if (auto known = indices.find(cuda.value); known != indices.end())
        return known->second;
      plan::BufferOp storage = plan::storageOf(cuda.value);
      if (storage.getKind() == plan::BufferKind::weight)
        addWeight(planWeights.lookup(*storage.getName()));
      if (!indices.contains(storage))
        addBuffer(program, storage);
      if (!indices.contains(cuda.value))
        addBuffer(program, cuda.value);
      return indices.lookup(cuda.value);
    }
    if (cuda.kind == Kind::input)
      return program.inputs[inputs + cuda.index].buffer;
    if (cuda.kind == Kind::output)
      return program.outputs[outputs + cuda.index].buffer;
    for (auto &[known, index] : cudaBuffers)
      if (known == cuda && llvm::equal(known.shape, cuda.shape))
        return index;
    artifact::Buffer buffer = describe(cuda, cuda.kind == Kind::weight    ? artifact::BufferKind::weight
                                             : cuda.kind == Kind::scratch ? artifact::BufferKind::arena
                                                                          : artifact::BufferKind::workspace);
    if (cuda.kind == Kind::weight) {
      const CudaWeight &form = parts.cuda->code.weights[cuda.index];
      plan::WeightOp source = planWeights.lookup(form.source);
      buffer.index = addWeight(form.name, form.dtype, form.shape,
                               [form, source, this](const artifact::ByteSink &sink) { return writeCudaWeight(form, source, parts.weights, sink); });
    } else {
      buffer.offset = uint64_t(cuda.offset) + (cuda.kind == Kind::scratch ? behind : 0);
    }
    uint32_t index = uint32_t(program.buffers.size());
    program.buffers.push_back(std::move(buffer));
    cudaBuffers.push_back({cuda, index});
    return index;
  }

  //===-- The rest ------------------------------------------------------------------------------------------------===//

  Status addMetadata() {
    std::map<std::string, std::string> entries;
    if (auto metadata = module->getAttrOfType<DictionaryAttr>("transom.metadata"))
      for (NamedAttribute entry : metadata) {
        auto value = dyn_cast<StringAttr>(entry.getValue());
        if (!value)
          return error(StatusCode::invalidFile, "transom.metadata: {}: expected a string", entry.getName().str());
        entries[entry.getName().str()] = value.getValue().str();
      }
    if (parts.batchInvariant)
      entries["batch_invariant"] = "true";
    entries["predicted_bytes"] = std::to_string(predictedBytes());
    for (auto &[key, value] : entries)
      contents.metadata.push_back({key, value});
    return {};
  }

  /// What a session and the model take together on the CPU, or where there are no programs for it on a GPU, the threads' scratch
  /// aside: programs share the arena and the states.
  uint64_t predictedBytes() {
    uint64_t arena = 0, bytes = 0;
    artifact::Device device = parts.cpu ? artifact::Device::cpu : artifact::Device::cuda;
    std::set<uint32_t> usedStates, usedWeights;
    for (const artifact::Program &program : contents.programs) {
      if (program.device != device)
        continue;
      for (const artifact::Buffer &buffer : program.buffers) {
        if (buffer.kind == artifact::BufferKind::state)
          usedStates.insert(buffer.index);
        if (buffer.kind == artifact::BufferKind::weight)
          usedWeights.insert(buffer.index);
      }
      bytes += program.workspaceBytes;
      arena = std::max(arena, program.arenaBytes);
      for (const auto *values : {&program.inputs, &program.outputs})
        for (const artifact::Value &value : *values)
          bytes += plan::aligned(value.bytes);
    }
    for (uint32_t state : usedStates)
      bytes += plan::aligned(contents.states[state].bytes);
    for (uint32_t weight : usedWeights)
      bytes += plan::aligned(bytesFor(contents.weights[weight].dtype, contents.weights[weight].shape).value());
    return bytes + arena;
  }

  const ArtifactParts &parts;
  ModuleOp module; ///< the attributes' source
  artifact::WriteInput &input;
  Contents &contents;
  std::map<std::string, uint16_t> symbols;
  llvm::StringMap<uint32_t> weights, kernels, states;
  llvm::StringMap<plan::WeightOp> planWeights;                   ///< of the plan for GPUs
  llvm::DenseMap<Value, uint32_t> indices;                       ///< buffers of the program at work
  std::vector<std::pair<CudaBuffer, uint32_t>> cudaBuffers;      ///< those that its plan does not have
};

} // namespace

Result<BuiltArtifact> buildArtifact(const std::string &path, const ArtifactParts &parts,
                                    std::function<void(uint64_t, uint64_t)> progress) {
  artifact::WriteInput input;
  ContentsBuilder builder(parts, input);
  TRANSOM_RETURN_IF_ERROR(builder.run());
  if (parts.tokenizer) {
    std::vector<std::byte> bytes = tokenizer::serialize(*parts.tokenizer);
    auto *data = reinterpret_cast<const uint8_t *>(bytes.data());
    input.contents.tokenizer.assign(data, data + bytes.size());
  }
  input.progress = std::move(progress);

  BuiltArtifact built;
  for (const artifact::Weight &weight : input.contents.weights)
    built.weightBytes += bytesFor(weight.dtype, weight.shape).value();
  // More threads than this wait for memory, and each holds a piece of a tensor.
  input.threads = std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
  TRANSOM_RETURN_IF_ERROR(artifact::write(path, std::move(input)));
  std::error_code failed;
  built.fileBytes = std::filesystem::file_size(path, failed);
  return built;
}

} // namespace transom
