// See OptMain.h.
#include "compiler/OptMain.h"

#include "codegen/cpu/CpuCodegen.h"
#include "codegen/cuda/CudaCodegen.h"
#include "compiler/interpreter/InterpretMain.h"
#include "ir/Plan.h"
#include "passes/Passes.h"

#include "mlir/IR/AsmState.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/Support/SourceMgr.h"

namespace transom {

/// Prints what `generate` makes of the plan in the file `path`.
static int printCodeMain(llvm::StringRef path, const mlir::DialectRegistry &registry,
                         llvm::function_ref<mlir::FailureOr<std::string>(mlir::ModuleOp)> generate) {
  mlir::MLIRContext context(registry);
  llvm::SourceMgr sources;
  mlir::SourceMgrDiagnosticHandler diagnostics(sources, &context);
  auto module = mlir::parseSourceFile<mlir::ModuleOp>(path, sources, &context);
  if (!module)
    return 1;
  mlir::FailureOr<std::string> text = generate(*module);
  if (failed(text))
    return 1;
  llvm::outs() << *text;
  return 0;
}

int optMain(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<mlir::arith::ArithDialect, mlir::func::FuncDialect, mlir::math::MathDialect, TransomDialect, plan::PlanDialect>();
  for (int i = 1; i < argc; ++i) {
    llvm::StringRef argument(argv[i]);
    if (argument.starts_with("--interpret"))
      return interpretMain(argc, argv);
    if (argument.consume_front("--print-cpu-llvm="))
      return printCodeMain(argv[argc - 1], registry, [&](mlir::ModuleOp plan) { return printCpuLlvm(plan, argument); });
    const std::pair<llvm::StringRef, CudaOptions> forms[] = {{"--print-cuda", {}},
                                                             {"--print-cuda=own-products", {.products = ProductKernels::own}},
                                                             {"--print-cuda=wide-products", {.products = ProductKernels::wide}},
                                                             {"--print-cuda=batch-invariant", {.batchInvariant = true}}};
    for (const auto &[name, options] : forms)
      if (argument == name)
        return printCodeMain(argv[argc - 1], registry, [&](mlir::ModuleOp plan) { return printCuda(plan, options); });
  }
  registerTransomPasses();
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "transom graph optimiser\n", registry));
}

} // namespace transom
