// Driver of CUDA code generation: each program of a plan, and of a decoder's `decode` also the program `step`, which chooses the tokens.
#include "codegen/cuda/CudaCodegen.h"

#include "codegen/cuda/Headers.h"
#include "codegen/cuda/ProgramLowering.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace transom {

using namespace cuda;

FailureOr<CudaCode> generateCuda(ModuleOp plan, const CudaOptions &options) {
  plan.getContext()->loadDialect<arith::ArithDialect, math::MathDialect>();
  CudaCode code;
  KernelPool pool(plan);
  WeightForms weights(code.weights);
  for (auto program : plan.getOps<plan::ProgramOp>())
    for (Variant variant : {Variant::plain, Variant::step}) {
      if (variant == Variant::step && !isDecode(program))
        continue;
      FailureOr<CudaProgram> lowered = ProgramLowering(program, pool, weights, options, variant, code.forfeits).run();
      if (failed(lowered))
        return failure();
      code.programs.push_back(std::move(*lowered));
    }
  code.headers = headersFor(pool.headers());
  code.kernels = pool.take();
  return code;
}

static std::string conditionText(const artifact::CudaCondition &when) {
  std::string text = when.least > 0 ? " from " + std::to_string(when.least) : "";
  if (when.most != INT64_MAX)
    text += " to " + std::to_string(when.most);
  constexpr const char *devices[] = {"", " on hopper", " on others"}; // by Architectures
  return text + devices[size_t(when.architectures)];
}

FailureOr<std::string> printCuda(ModuleOp plan, const CudaOptions &options) {
  FailureOr<CudaCode> code = generateCuda(plan, options);
  if (failed(code))
    return failure();
  std::string text;
  for (const artifact::CudaKernel &kernel : code->kernels)
    text += llvm::formatv("// {0} block {1} shared {2}{3}\n{4}\n", kernel.name, kernel.block[0], kernel.sharedBytes, kernel.stays ? " stays " + std::to_string(kernel.stays) : "", kernel.source).str();
  for (const CudaProgram &program : code->programs) {
    text += llvm::formatv("// program {0} scratch {1} workspace {2}\n", program.name, program.scratchBytes, program.workspaceBytes).str();
    for (const CudaStepPlan &step : program.steps) {
      if (auto *launch = std::get_if<CudaLaunchPlan>(&step.kind)) {
        text += "// launch";
        for (const CudaChoicePlan &choice : launch->choices) {
          text += " " + code->kernels[choice.kernel].name + "<";
          for (size_t axis = 0; axis < choice.grid.size(); ++axis)
            text += (axis ? ", " : "") + choice.grid[axis].str() + (choice.per.empty() || choice.per[axis] == 1 ? "" : " / " + std::to_string(choice.per[axis]));
          text += ">";
        }
        text += " rows " + launch->rows.str() + conditionText(launch->when);
      } else if (auto *gemm = std::get_if<CudaGemmPlan>(&step.kind)) {
        text += "// product m " + gemm->m.str() + " n " + gemm->n.str() + " k " + gemm->k.str() + " of " + std::string(name(storedType(gemm->lhs))) +
                (gemm->oneAlgorithm ? " by one algorithm" : "") + conditionText(gemm->when);
      } else {
        text += "// size " + std::get<CudaSizePlan>(step.kind).name + " of input " + std::get<CudaSizePlan>(step.kind).input;
      }
      text += " (" + step.source + ")\n";
    }
  }
  return text;
}

} // namespace transom
