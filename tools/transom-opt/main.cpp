// transom-opt: runs passes over graph text, for tests and for looking at what a pass does.
#include "ir/Transom.h"
#ifdef HAVE_TRANSOM_PLAN
#include "ir/Plan.h"
#endif
#ifdef HAVE_TRANSOM_PASSES
#include "passes/Passes.h"
#endif
#ifdef HAVE_TRANSOM_INTERPRETER
#include "compiler/interpreter/InterpretMain.h"
#endif

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
#ifdef HAVE_TRANSOM_INTERPRETER
  for (int i = 1; i < argc; ++i)
    if (llvm::StringRef(argv[i]).starts_with("--interpret"))
      return transom::interpretMain(argc, argv);
#endif
  mlir::DialectRegistry registry;
  registry.insert<mlir::arith::ArithDialect, mlir::func::FuncDialect, mlir::math::MathDialect, transom::TransomDialect>();
#ifdef HAVE_TRANSOM_PLAN
  registry.insert<transom::plan::PlanDialect>();
#endif
#ifdef HAVE_TRANSOM_PASSES
  transom::registerTransomPasses();
#endif
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "transom graph optimiser\n", registry));
}
