// Driver of CPU code generation: one LLVM module from skeletons and entries, optimised, assembled and linked.
#include "codegen/cpu/CpuCodegen.h"

#include "codegen/cpu/Bitcode.h"
#include "codegen/cpu/Link.h"
#include "codegen/cpu/Skeletons.h"

#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/DiagnosticHandler.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/IPO/GlobalDCE.h"

using namespace mlir;

namespace transom {

namespace {

/// What LLVM may call in the code that it makes; everything else is inlined or dropped.
bool isMemoryFunction(llvm::StringRef name) { return name == "memcpy" || name == "memset" || name == "memmove"; }

llvm::Expected<std::unique_ptr<llvm::Module>> loadSkeletons(llvm::LLVMContext &context, const CpuTarget &target,
                                                            const llvm::TargetMachine &machine) {
  llvm::MemoryBufferRef bitcode(kernelBitcode(target.level), "kernels");
  auto module = llvm::parseBitcodeFile(bitcode, context);
  if (!module)
    return module.takeError();
  (*module)->setModuleIdentifier("transom");
  (*module)->setSourceFileName("transom");
  (*module)->setDataLayout(machine.createDataLayout());
  (*module)->setTargetTriple(machine.getTargetTriple().str());
  if (llvm::NamedMDNode *producer = (*module)->getNamedMetadata("llvm.ident"))
    producer->eraseFromParent();
  for (llvm::Function &function : **module) {
    if (function.isDeclaration())
      continue;
    target.apply(function);
    if (isMemoryFunction(function.getName()))
      continue;
    function.setName(skeletonPrefix + function.getName());
    function.setVisibility(llvm::GlobalValue::DefaultVisibility);
    function.setComdat(nullptr);
    function.setLinkage(llvm::GlobalValue::InternalLinkage);
  }
  return module;
}

std::string textOf(const llvm::Function &function) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  function.print(stream);
  return stream.str();
}

/// LLVM's -O3, with no knowledge of a C library: the kernels live without one.
void optimise(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  // The kernels are vector code already; what is left for these passes is tails.
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  llvm::PassBuilder builder(&machine, tuning);
  llvm::TargetLibraryInfoImpl library(machine.getTargetTriple());
  library.disableAllFunctions();
  functions.registerPass([&] { return llvm::TargetLibraryAnalysis(library); });
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  llvm::ModulePassManager passes;
  passes.addPass(llvm::GlobalDCEPass()); // skeletons that this model does not use
  passes.addPass(builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3));
  passes.run(module, modules);
}

std::string assemble(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager passes;
  bool unsupported = machine.addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::ObjectFile);
  assert(!unsupported && "x86 emits object files");
  (void)unsupported;
  passes.run(module);
  return std::string(object.begin(), object.end());
}

/// Keeps the optimiser's remarks (a loop that it could not unroll) off the user's terminal.
struct QuietDiagnostics : llvm::DiagnosticHandler {
  bool handleDiagnostics(const llvm::DiagnosticInfo &info) override { return info.getSeverity() != llvm::DS_Error; }
};

/// A plan's kernels on their way to code.
struct Compilation {
  llvm::LLVMContext context;
  CpuTarget target;
  std::unique_ptr<llvm::TargetMachine> machine;
  std::unique_ptr<llvm::Module> module;
  CpuCode code;

  LogicalResult start(ModuleOp plan, llvm::StringRef level) {
    context.setDiagnosticHandler(std::make_unique<QuietDiagnostics>());
    auto parsed = CpuTarget::parse(level);
    if (!parsed)
      return plan.emitError() << llvm::toString(parsed.takeError());
    target = *parsed;
    machine = target.createMachine();
    auto skeletons = loadSkeletons(context, target, *machine);
    if (!skeletons)
      return plan.emitError() << "the built-in kernels do not load: " << llvm::toString(skeletons.takeError());
    module = std::move(*skeletons);
    code.target = target.name;
    code.features = target.features;
    return emitEntries(plan);
  }

  LogicalResult emitEntries(ModuleOp plan) {
    // Scalar forms of elementwise ops.
    plan.getContext()->loadDialect<arith::ArithDialect, math::MathDialect>();
    for (auto kernel : plan.getOps<plan::KernelOp>()) {
      KernelEntry entry(kernel, *module, target);
      if (failed(emitKernel(entry, kernel)))
        return failure();
      llvm::Function *function = entry.finish();
      assert(!llvm::verifyFunction(*function, &llvm::errs()) && "malformed entry");
      code.kernels.push_back(function->getName().str());
      code.kernelText.push_back(textOf(*function));
    }
    return success();
  }
};

} // namespace

FailureOr<CpuCode> generateCpu(ModuleOp plan, llvm::StringRef level) {
  Compilation compilation;
  if (failed(compilation.start(plan, level)))
    return failure();
  optimise(*compilation.module, *compilation.machine);
  auto linked = linkSharedObject(assemble(*compilation.module, *compilation.machine));
  if (!linked) {
    plan.emitError() << llvm::toString(linked.takeError());
    return failure();
  }
  compilation.code.sharedObject = std::move(*linked);
  return std::move(compilation.code);
}

FailureOr<std::string> printCpuLlvm(ModuleOp plan, llvm::StringRef level) {
  Compilation compilation;
  if (failed(compilation.start(plan, level)))
    return failure();
  std::string text;
  for (const std::string &kernel : compilation.code.kernelText)
    text += kernel;
  return text;
}

} // namespace transom
