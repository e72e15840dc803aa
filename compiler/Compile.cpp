// See Compile.h. The driver: knows the order of the stages and nothing of what they do.
#include "compiler/Compile.h"

#include "codegen/cpu/CpuCodegen.h"
#include "codegen/cuda/CudaCodegen.h"
#include "compiler/ArtifactBuilder.h"
#include "compiler/Buckets.h"
#include "compiler/Diagnostics.h"
#include "compiler/Pipeline.h"
#include "compiler/import/Import.h"
#include "compiler/interpreter/Interpreter.h"
#include "ir/DimAnalysis.h"
#include "ir/Plan.h"
#include "runtime/format/Buckets.h"

#include "llvm/ADT/StringSet.h"

#include <chrono>
#include <cstring>
#include <map>
#include <set>

namespace transom {

namespace {

/// Only 9.0 has kernels of its own for products of many rows; the others' artifacts need not carry them. Where results must not depend on the
/// number of rows, neither may the choice: then these, whose sums do not by construction.
ProductKernels productsOf(const CompilerOptions &options, const std::vector<std::string> &architectures) {
  if (options.products == "library" || llvm::none_of(architectures, [](const std::string &name) { return name == "sm_90a"; }))
    return ProductKernels::library;
  return options.products == "own" || options.batchInvariant ? ProductKernels::own : ProductKernels::wide;
}

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

void addToReport(CompileReport &report, plan::ProgramOp program) {
  CompileReport::Program &entry = report.programs.emplace_back();
  entry.name = program.getSymName().str(), entry.device = "cpu";
  entry.arenaBytes = program.getArenaBytes();
  entry.stagingBytes = program.getStagingBytes();
  llvm::StringSet<> kernels;
  for (plan::LaunchOp launch : program.getOps<plan::LaunchOp>()) {
    ++entry.launches;
    kernels.insert(launch.getKernel());
  }
  entry.kernels = kernels.size();
  entry.products = std::distance(program.getOps<plan::GemmOp>().begin(), program.getOps<plan::GemmOp>().end());
  // States belong to the session, whichever program uses them.
  report.stateBytes = std::max<uint64_t>(report.stateBytes, program.getStateBytes());
}

/// What CudaForfeits counts, in words.
std::vector<std::string> forfeitsOf(const CudaForfeits &forfeits) {
  std::vector<std::string> lines;
  auto add = [&](size_t count, const char *what) {
    if (count)
      lines.push_back(fmt::format("{} {}", count, what));
  };
  add(forfeits.fewRows, "products of few rows compute the most rows each time: the same reads of weights, more arithmetic");
  add(forfeits.toLibrary, "products go to cuBLASLt at every number of rows, in place of kernels that read weights faster for up to 4");
  add(forfeits.library, "products keep one algorithm of cuBLASLt, that for the most rows, and split no sum: slower with few rows");
  add(forfeits.tiles, "products by Hopper's kernel compute a whole tile of 128 rows where there are fewer");
  add(forfeits.attention, "attentions do without Hopper's kernel, as it does not take the masks of padded tokens");
  add(forfeits.choices, "choices of one token of each row stand behind the last layer, which computes all tokens");
  return lines;
}

void addToReport(CompileReport &report, const CudaProgram &program) {
  CompileReport::Program &entry = report.programs.emplace_back();
  entry.name = program.name, entry.device = "cuda";
  auto plan = mlir::cast<plan::ProgramOp>(program.plan);
  entry.arenaBytes = plan.getArenaBytes() + uint64_t(program.scratchBytes);
  entry.stagingBytes = plan.getStagingBytes();
  std::set<size_t> kernels;
  for (const CudaStepPlan &step : program.steps) {
    if (auto *launch = std::get_if<CudaLaunchPlan>(&step.kind)) {
      ++entry.launches;
      for (const CudaChoicePlan &choice : launch->choices)
        kernels.insert(choice.kernel);
    }
    entry.products += std::holds_alternative<CudaGemmPlan>(step.kind);
  }
  entry.kernels = kernels.size();
  report.stateBytes = std::max<uint64_t>(report.stateBytes, plan.getStateBytes());
}

/// What an artifact is for.
struct Targets {
  bool cpu = false;
  std::vector<std::string> architectures; ///< "sm_90a"
};

/// "cuda" alone stands for the architectures of data centres and desktops since 2020.
constexpr const char *usualArchitectures[] = {"sm_80", "sm_86", "sm_89", "sm_90a"};

Result<Targets> parseTargets(const std::vector<std::string> &texts) {
  Targets targets;
  auto add = [&](const std::string &architecture) {
    if (!llvm::is_contained(targets.architectures, architecture))
      targets.architectures.push_back(architecture);
  };
  for (const std::string &text : texts) {
    llvm::StringRef name = text;
    if (name == "cpu") {
      targets.cpu = true;
    } else if (name == "cuda") {
      for (const char *architecture : usualArchitectures)
        add(architecture);
    } else if (name == "cuda:sm_90") { // its cubins run where sm_90a's do, without the instructions of some kernels
      return error(StatusCode::invalidArgument, "--target: expected cuda:sm_90a for compute capability 9.0, found '{}'", text);
    } else if (name.consume_front("cuda:sm_") && name.size() >= 2 && llvm::all_of(name.drop_back(), llvm::isDigit) &&
               (llvm::isDigit(name.back()) || name.back() == 'a')) {
      add("sm_" + name.str());
    } else {
      return error(StatusCode::invalidArgument, "--target: expected cpu, cuda or an architecture such as cuda:sm_90a, found '{}'", text);
    }
  }
  if (!targets.cpu && targets.architectures.empty())
    return error(StatusCode::invalidArgument, "--target: expected cpu, cuda or an architecture such as cuda:sm_90a, found none");
  return targets;
}

/// How GPUs store numbers: as asked for, or as most of the model's matrices are stored; f16 where those are quantised.
Result<std::string> activationsOf(mlir::ModuleOp graph, const CompilerOptions &options) {
  if (options.dtype != "auto") {
    if (options.dtype != "f32" && options.dtype != "f16" && options.dtype != "bf16")
      return error(StatusCode::invalidArgument, "--dtype: expected auto, f32, f16 or bf16, found '{}'", options.dtype);
    return options.dtype;
  }
  std::map<std::string, uint64_t> elements;
  graph.walk([&](WeightOp weight) {
    auto type = mlir::cast<mlir::RankedTensorType>(weight.getType());
    if (type.getRank() < 2)
      return;
    mlir::Type element = type.getElementType();
    elements[mlir::isa<BlockType>(element) || element.isF16() ? "f16" : element.isBF16() ? "bf16" : "f32"] += uint64_t(type.getNumElements());
  });
  std::string most = "f32";
  for (auto &[name, count] : elements)
    if (count > elements[most])
      most = name;
  return most;
}

/// Adds to what the artifact says of itself. `products`: how many have operands of 8 bits.
void addMetadata(mlir::ModuleOp module, const CompilerOptions &options, uint64_t products) {
  mlir::Builder builder(module.getContext());
  mlir::NamedAttrList metadata;
  if (auto old = module->getAttrOfType<mlir::DictionaryAttr>("transom.metadata"))
    metadata = mlir::NamedAttrList(old);
  for (auto &[key, value] : options.metadata)
    metadata.set(key, builder.getStringAttr(value));
  if (products > 0)
    metadata.set("quantised", builder.getStringAttr(fmt::format("fp8 (e4m3): {} products, a scale for each row of weights and {}", products,
                                                                options.scales.empty() ? "for each token" : "calibrated ones for tokens")));
  if (!metadata.empty())
    module->setAttr("transom.metadata", metadata.getDictionary(module.getContext()));
}

Result<BucketChoice> bucketsOf(mlir::ModuleOp graph, const std::string &file) {
  std::optional<Bounds> tokens = boundsOf(graph, "tokens"), batch = boundsOf(graph, "batch"), seq = boundsOf(graph, "seq");
  if (!tokens || !batch || !seq)
    return error(StatusCode::unsupported, "--lengths: expected a model whose tokens are packed by remove-padding");
  TRANSOM_ASSIGN(std::vector<int64_t> lengths, readLengths(file, seq->max));
  const artifact::Symbol symbol{"tokens", tokens->min, tokens->max};
  // No more than without lengths, and room for graphs of several padded sizes.
  return chooseBuckets(lengths, batch->max, symbol, std::min(size_t(artifact::countBuckets(symbol)), artifact::mostGraphs / 2));
}

} // namespace

Status checkOptions(const CompilerOptions &options) {
  TRANSOM_ASSIGN(Targets targets, parseTargets(options.targets));
  if (options.quantise != "none" && options.quantise != "fp8")
    return error(StatusCode::invalidArgument, "--quantise: expected none or fp8, found '{}'", options.quantise);
  for (const std::string &architecture : targets.architectures)
    if (options.quantise == "fp8" && architecture != "sm_89" && architecture != "sm_90a")
      return error(StatusCode::unsupported, "--quantise=fp8: expected --target=cuda:sm_89 or cuda:sm_90a, found cuda:{}", architecture);
  if (!options.lengths.empty() && targets.architectures.empty())
    return error(StatusCode::invalidArgument, "--lengths: expected a target for GPUs, found none");
  if (options.batchInvariant && targets.cpu)
    return error(StatusCode::invalidArgument, "--batch-invariant: expected --target with GPUs only, found cpu, where products by oneDNN sum in an order that "
                                              "depends on the number of rows");
  return {};
}

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

  TRANSOM_ASSIGN(Targets targets, parseTargets(options.targets));
  TRANSOM_RETURN_IF_ERROR(checkOptions(options));
  if (options.quantise != "none" && report.task == "generate")
    return error(StatusCode::unsupported, "--quantise=fp8: expected an encoder, found a model that generates text ({})", report.architecture);
  mlir::OwningOpRef<mlir::ModuleOp> copy; // of the graph, for the second device
  if (targets.cpu && !targets.architectures.empty())
    copy = module.clone();
  mlir::ModuleOp graphForGpus = copy ? *copy : module;
  DiagnosticCollector diagnostics(&context);
  std::optional<CpuPart> cpu;
  std::optional<CudaPart> cuda;
  auto optimise = [&](mlir::ModuleOp graph, const CompilerOptions &own) {
    timer.start("optimise");
    double done = 0, all = double(pipelinePasses().size() + 1);
    std::vector<Finding> findings;
    auto step = [&](llvm::StringRef, mlir::ModuleOp) {
      timer.share(++done / all);
      return Status();
    };
    TRANSOM_RETURN_IF_ERROR(runPipeline(graph, own, step, &findings));
    report.quantised = uint64_t(llvm::count_if(findings, [](const Finding &finding) {
      return finding.pass == "quantise-products" && finding.kind == Finding::Kind::applied;
    }));
    if (options.quantise != "none" && !options.observe && report.quantised == 0)
      return error(StatusCode::unsupported, "--quantise=fp8: no product can be quantised; transom explain --quantise=fp8 says why of each");
    addMetadata(graph, options, report.quantised);
    return Status();
  };
  if (targets.cpu) {
    TRANSOM_RETURN_IF_ERROR(optimise(module, options));
    timer.start("generate code");
    mlir::FailureOr<CpuCode> code = generateCpu(module, options.cpu);
    if (failed(code))
      return diagnostics.status(StatusCode::unsupported, "no code for this plan");
    cpu.emplace(CpuPart{module, std::move(*code)});
    report.target = "cpu:" + cpu->code.target;
    for (plan::ProgramOp program : module.getOps<plan::ProgramOp>())
      addToReport(report, program);
  }
  if (!targets.architectures.empty()) {
    CompilerOptions own = options;
    TRANSOM_ASSIGN(own.activations, activationsOf(graphForGpus, options));
    if (options.quantise != "none" && own.activations == "f32")
      return error(StatusCode::invalidArgument, "--quantise=fp8: expected --dtype=f16 or bf16 for GPUs, found f32");
    TRANSOM_RETURN_IF_ERROR(optimise(graphForGpus, own));
    if (!options.lengths.empty()) {
      TRANSOM_ASSIGN(BucketChoice buckets, bucketsOf(graphForGpus, options.lengths));
      report.buckets = buckets.sizes, report.waste = buckets.waste, report.plainWaste = buckets.plainWaste;
    }
    timer.start("generate kernels");
    const CudaOptions how{.tf32 = options.tf32, .products = productsOf(options, targets.architectures), .batchInvariant = options.batchInvariant};
    mlir::FailureOr<CudaCode> code = generateCuda(graphForGpus, how);
    if (failed(code))
      return diagnostics.status(StatusCode::unsupported, "no CUDA code for this plan");
    cuda.emplace(CudaPart{graphForGpus, std::move(*code), {}});
    timer.start("compile kernels");
    TRANSOM_ASSIGN(cuda->cubins, compileCubins(cuda->code.kernels, cuda->code.headers, targets.architectures, [&](double share) { timer.share(share); }));
    report.dtype = own.activations;
    report.forfeits = forfeitsOf(cuda->code.forfeits);
    for (const std::string &architecture : targets.architectures)
      report.target += (report.target.empty() ? "cuda:" : ", cuda:") + architecture;
    for (const CudaProgram &program : cuda->code.programs)
      addToReport(report, program);
  }

  timer.start("write");
  context.enableMultithreading(); // threads that write weights look at the graph's types
  auto progressed = [&](uint64_t written, uint64_t total) { timer.share(double(written) / double(total)); };
  ArtifactParts parts{cpu ? &*cpu : nullptr, cuda ? &*cuda : nullptr, *model.weights, model.tokenizer, report.buckets, options.batchInvariant};
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
