// See Compile.h. The driver: knows the order of the stages and nothing of what they do.
#include "compiler/Compile.h"

#include "codegen/cpu/CpuCodegen.h"
#include "compiler/ArtifactBuilder.h"
#include "compiler/Diagnostics.h"
#include "compiler/Pipeline.h"
#include "compiler/import/Import.h"
#include "compiler/interpreter/Interpreter.h"
#include "ir/Plan.h"

#include "llvm/ADT/StringSet.h"

#include <chrono>
#include <cstring>

namespace transom {

namespace {

using Clock = std::chrono::steady_clock;

/// Reports each stage as it starts and keeps how long it took.
class StageTimer {
public:
  StageTimer(std::vector<CompileReport::Stage> &stages, const CompileProgress &progress) : stages(stages), progress(progress) {}
  void start(const std::string &name) {
    stop();
    stages.push_back({name, 0});
    begin = Clock::now();
    share(0);
  }
  void share(double share) const {
    if (progress)
      progress(stages.back().name, share);
  }
  void stop() {
    if (!stages.empty())
      stages.back().seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  }

private:
  std::vector<CompileReport::Stage> &stages;
  const CompileProgress &progress;
  Clock::time_point begin;
};

std::string textAttribute(mlir::ModuleOp module, const char *name) {
  auto text = module->getAttrOfType<mlir::StringAttr>(name);
  return text ? text.getValue().str() : std::string();
}

CompileReport::Program describe(plan::ProgramOp program) {
  CompileReport::Program entry;
  entry.name = program.getSymName().str();
  entry.arenaBytes = program.getArenaBytes();
  entry.stagingBytes = program.getStagingBytes();
  llvm::StringSet<> kernels;
  for (plan::LaunchOp launch : program.getOps<plan::LaunchOp>()) {
    ++entry.launches;
    kernels.insert(launch.getKernel());
  }
  entry.kernels = kernels.size();
  entry.products = std::distance(program.getOps<plan::GemmOp>().begin(), program.getOps<plan::GemmOp>().end());
  return entry;
}

} // namespace

Result<CompileReport> compileModel(const std::string &input, const std::string &output, const CompilerOptions &options,
                                   const CompileProgress &progress) {
  CompileReport report;
  StageTimer timer(report.stages, progress);
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  timer.start("import");
  TRANSOM_ASSIGN(ImportedModel model, importModel(input, {.tokenizer = options.tokenizer}, context));
  mlir::ModuleOp module = *model.module;
  report.model = textAttribute(module, "transom.model");
  report.architecture = textAttribute(module, "transom.architecture");
  report.task = textAttribute(module, "transom.task");

  timer.start("optimise");
  double done = 0, all = double(pipelinePasses().size() + 1);
  TRANSOM_RETURN_IF_ERROR(runPipeline(module, options, [&](llvm::StringRef, mlir::ModuleOp) {
    timer.share(++done / all);
    return Status();
  }));

  timer.start("generate code");
  DiagnosticCollector diagnostics(&context);
  mlir::FailureOr<CpuCode> code = generateCpu(module, options.cpu);
  if (failed(code))
    return diagnostics.status(StatusCode::unsupported, "no code for this plan");
  report.target = "cpu:" + code->target;
  for (plan::ProgramOp program : module.getOps<plan::ProgramOp>()) {
    report.programs.push_back(describe(program));
    // States belong to the session, whichever program uses them.
    report.stateBytes = std::max<uint64_t>(report.stateBytes, program.getStateBytes());
  }

  timer.start("write");
  auto progressed = [&](uint64_t written, uint64_t total) { timer.share(double(written) / double(total)); };
  ArtifactParts parts{module, *code, *model.weights, model.tokenizer};
  TRANSOM_ASSIGN(BuiltArtifact built, buildArtifact(output, parts, progressed));
  report.weightBytes = built.weightBytes;
  report.fileBytes = built.fileBytes;
  timer.stop();
  return report;
}

std::vector<PassName> passNames() {
  std::vector<PassName> names;
  for (const PipelinePass &pass : pipelinePasses())
    names.push_back({pass.name.str(), pass.switchable});
  return names;
}

Result<std::string> stageText(const std::string &input, const std::string &stage, const CompilerOptions &options) {
  std::vector<std::string> names = {"import"};
  for (const PipelinePass &pass : pipelinePasses())
    names.push_back(pass.name.str());
  if (!llvm::is_contained(names, stage))
    return error(StatusCode::invalidArgument, "--stage: expected one of {}, found '{}'", fmt::join(names, ", "), stage);
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  TRANSOM_ASSIGN(ImportedModel model, importModel(input, {.tokenizer = false}, context));
  std::string text;
  TRANSOM_RETURN_IF_ERROR(runPipeline(*model.module, options, [&](llvm::StringRef name, mlir::ModuleOp module) {
    if (name == stage)
      text = printModule(module);
    return Status();
  }));
  return text;
}

namespace {

template <typename Stored, typename Kept>
std::vector<Kept> widen(const HostTensor &tensor) {
  std::vector<Kept> numbers(tensor.bytes.size() / sizeof(Stored));
  for (size_t i = 0; i < numbers.size(); ++i) {
    Stored value;
    std::memcpy(&value, tensor.bytes.data() + i * sizeof value, sizeof value);
    numbers[i] = static_cast<Kept>(value);
  }
  return numbers;
}

Result<interpreter::Tensor> toInterpreter(const HostTensor &tensor) {
  CheckedSize expected = bytesFor(tensor.dtype, tensor.shape);
  if (!expected.valid() || expected.value() != tensor.bytes.size())
    return error(StatusCode::invalidArgument, "input {}: its shape and bytes differ", tensor.name);
  using interpreter::Tensor;
  switch (tensor.dtype) {
  case DType::f32: return Tensor::ofFloats(tensor.dtype, tensor.shape, widen<float, double>(tensor));
  case DType::f64: return Tensor::ofFloats(tensor.dtype, tensor.shape, widen<double, double>(tensor));
  case DType::i32: return Tensor::ofIntegers(tensor.dtype, tensor.shape, widen<int32_t, int64_t>(tensor));
  case DType::i64: return Tensor::ofIntegers(tensor.dtype, tensor.shape, widen<int64_t, int64_t>(tensor));
  default: return error(StatusCode::unsupported, "input {}: expected f32, f64, i32 or i64, found {}", tensor.name, name(tensor.dtype));
  }
}

template <typename Stored, typename Kept> std::vector<std::byte> narrow(std::span<const Kept> numbers) {
  std::vector<std::byte> bytes(numbers.size() * sizeof(Stored));
  for (size_t i = 0; i < numbers.size(); ++i) {
    Stored value = static_cast<Stored>(numbers[i]);
    std::memcpy(bytes.data() + i * sizeof value, &value, sizeof value);
  }
  return bytes;
}

HostTensor fromInterpreter(std::string name, const interpreter::Tensor &tensor, ReferencePrecision precision) {
  HostTensor out{std::move(name), DType::i64, tensor.shape(), {}};
  if (!tensor.isFloat()) {
    out.bytes = narrow<int64_t, int64_t>(tensor.integers());
  } else if (precision == ReferencePrecision::f64) {
    out.dtype = DType::f64;
    out.bytes = narrow<double, double>(tensor.floats());
  } else {
    out.dtype = DType::f32;
    out.bytes = narrow<float, double>(tensor.floats());
  }
  return out;
}

std::string nameOf(mlir::DictionaryAttr attributes, unsigned index) {
  auto name = attributes ? attributes.getAs<mlir::StringAttr>("transom.name") : mlir::StringAttr();
  return name ? name.getValue().str() : std::to_string(index);
}

} // namespace

Result<std::vector<HostTensor>> interpretModel(const std::string &input, const std::string &functionName,
                                               std::vector<HostTensor> inputs, ReferencePrecision precision) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  // The interpreter takes any sizes: what it is asked to run is within bounds.
  ImportOptions sizes{.tokenizer = false};
  for (const HostTensor &tensor : inputs)
    if (!tensor.shape.empty())
      sizes.maxBatch = std::max(sizes.maxBatch, tensor.shape[0]);
  TRANSOM_ASSIGN(ImportedModel model, importModel(input, sizes, context));
  auto function = (*model.module).lookupSymbol<mlir::func::FuncOp>(functionName);
  if (!function)
    return error(StatusCode::notFound, "{}: no entry function '{}'", input, functionName);
  if (inputs.size() != function.getNumArguments())
    return error(StatusCode::invalidArgument, "expected {} inputs, found {}", function.getNumArguments(), inputs.size());
  std::vector<interpreter::Tensor> arguments;
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    std::string name = nameOf(function.getArgAttrDict(i), i);
    auto it = std::find_if(inputs.begin(), inputs.end(), [&](const HostTensor &tensor) { return tensor.name == name; });
    if (it == inputs.end())
      return error(StatusCode::invalidArgument, "input {}: missing", name);
    TRANSOM_ASSIGN(interpreter::Tensor tensor, toInterpreter(*it));
    arguments.push_back(std::move(tensor));
  }
  interpreter::Interpreter machine(precision == ReferencePrecision::f64 ? interpreter::Precision::f64 : interpreter::Precision::f32,
                                   model.weights.get());
  TRANSOM_ASSIGN(std::vector<interpreter::Tensor> results, machine.run(function, std::move(arguments)));
  std::vector<HostTensor> outputs;
  for (unsigned i = 0; i < results.size(); ++i)
    outputs.push_back(fromInterpreter(nameOf(function.getResultAttrDict(i), i), results[i], precision));
  return outputs;
}

} // namespace transom
