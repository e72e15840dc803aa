// See ArtifactBuilder.h.
#include "compiler/ArtifactBuilder.h"

#include "compiler/WeightRecipe.h"
#include "ir/DimAnalysis.h"
#include "ir/Plan.h"
#include "compiler/TensorBytes.h"
#include "runtime/format/KernelAbi.h"

#include "llvm/ADT/StringMap.h"

#include <filesystem>
#include <map>

using namespace mlir;

namespace transom {

static_assert(plan::maxEpilogueBuffers == int64_t(maxEpilogueBuffers) && plan::alignment == int64_t(bufferAlignment));

namespace {

using artifact::Contents, artifact::Expr, artifact::Shape;

static_assert(plan::alignment == bufferAlignment);
static_assert(int(plan::BufferKind::arena) == int(artifact::BufferKind::arena) &&
              int(plan::BufferKind::state) == int(artifact::BufferKind::state));

/// Fills in Contents from the plan's module.
class ContentsBuilder {
public:
  ContentsBuilder(ModuleOp module, Contents &contents) : module(module), contents(contents) {}

  Status run() {
    contents.producer = "transom " TRANSOM_VERSION;
    contents.model = text("transom.model");
    contents.architecture = text("transom.architecture");
    contents.task = text("transom.task");
    if (contents.task.empty())
      contents.task = "run";
    addSymbols();
    for (auto weight : module.getOps<plan::WeightOp>()) {
      auto type = cast<RankedTensorType>(weight.getType());
      weights.try_emplace(weight.getName(), uint32_t(contents.weights.size()));
      contents.weights.push_back({weight.getName().str(), storedType(type.getElementType()), type.getShape().vec(), {}});
    }
    for (auto kernel : module.getOps<plan::KernelOp>())
      kernels.try_emplace(kernel.getSymName(), uint32_t(kernels.size()));
    for (auto program : module.getOps<plan::ProgramOp>())
      addProgram(program);
    llvm::raw_string_ostream stream(contents.plan);
    module.print(stream, OpPrintingFlags().elideLargeElementsAttrs(16).elideLargeResourceString(16));
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

  /// One of the artifact's buffers for each buffer and view of the plan.
  void addBuffer(artifact::Program &program, Value value) {
    plan::BufferOp storage = plan::storageOf(value);
    artifact::Buffer buffer;
    buffer.kind = static_cast<artifact::BufferKind>(storage.getKind());
    buffer.dtype = storedType(elementOf(plan::tensorOf(value)));
    buffer.shape = shape(plan::sizesOf(value));
    buffer.bytes = *plan::bytesAtBounds(module, plan::tensorOf(value), plan::sizesOf(value));
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
    if (op.getKind() == plan::BufferKind::state) {
      auto [entry, isNew] = states.try_emplace(name, uint32_t(states.size()));
      if (isNew)
        contents.states.push_back({name, buffer.dtype, buffer.shape, buffer.bytes});
      return entry->second;
    }
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

  Status addMetadata() {
    std::map<std::string, std::string> entries;
    if (auto metadata = module->getAttrOfType<DictionaryAttr>("transom.metadata"))
      for (NamedAttribute entry : metadata) {
        auto value = dyn_cast<StringAttr>(entry.getValue());
        if (!value)
          return error(StatusCode::invalidFile, "transom.metadata: {}: expected a string", entry.getName().str());
        entries[entry.getName().str()] = value.getValue().str();
      }
    entries["predicted_bytes"] = std::to_string(predictedBytes());
    for (auto &[key, value] : entries)
      contents.metadata.push_back({key, value});
    return {};
  }

  /// What a session and the model take together, the threads' scratch aside: programs share the arena and the states.
  uint64_t predictedBytes() {
    uint64_t arena = 0, bytes = 0;
    for (const artifact::Program &program : contents.programs) {
      arena = std::max(arena, program.arenaBytes);
      for (const auto *values : {&program.inputs, &program.outputs})
        for (const artifact::Value &value : *values)
          bytes += plan::aligned(value.bytes);
    }
    for (const artifact::State &state : contents.states)
      bytes += plan::aligned(state.bytes);
    for (const artifact::Weight &weight : contents.weights)
      bytes += plan::aligned(bytesFor(weight.dtype, weight.shape).value());
    return bytes + arena;
  }

  ModuleOp module;
  Contents &contents;
  std::map<std::string, uint16_t> symbols;
  llvm::StringMap<uint32_t> weights, kernels, states;
  llvm::DenseMap<Value, uint32_t> indices; ///< buffers of the program at work
};

} // namespace

Result<BuiltArtifact> buildArtifact(const std::string &path, const ArtifactParts &parts,
                                    std::function<void(uint64_t, uint64_t)> progress) {
  artifact::WriteInput input;
  TRANSOM_RETURN_IF_ERROR(ContentsBuilder(parts.plan, input.contents).run());
  const CpuCode &code = parts.code;
  input.contents.code.push_back({"cpu:" + code.target, code.features, code.kernels, {}});
  input.contents.kernelText = code.kernelText;
  auto object = std::as_bytes(std::span(code.sharedObject));
  input.codeBytes.emplace_back(object.begin(), object.end());
  if (parts.tokenizer) {
    std::vector<std::byte> bytes = tokenizer::serialize(*parts.tokenizer);
    auto *data = reinterpret_cast<const uint8_t *>(bytes.data());
    input.contents.tokenizer.assign(data, data + bytes.size());
  }
  for (auto weight : ModuleOp(parts.plan).getOps<plan::WeightOp>())
    input.weights.push_back(
        [weight, &parts](const artifact::ByteSink &sink) { return writeWeight(weight, parts.weights, sink); });
  input.progress = std::move(progress);

  BuiltArtifact built;
  for (const artifact::Weight &weight : input.contents.weights)
    built.weightBytes += bytesFor(weight.dtype, weight.shape).value();
  TRANSOM_RETURN_IF_ERROR(artifact::write(path, std::move(input)));
  std::error_code failed;
  built.fileBytes = std::filesystem::file_size(path, failed);
  return built;
}

} // namespace transom
