// Products of rows and weights in 8 bits: always by generated kernels, whatever the number of rows: Hopper's own, and one for all others from
// compute capability 8.9 on. What needs whole rows behind it is a kernel for rows, or on Hopper, of many rows, a norm in the product's kernel.
#include "codegen/cuda/GemmTiles.h"
#include "codegen/cuda/ProgramLowering.h"

using namespace mlir;

namespace transom::cuda {

LogicalResult ProgramLowering::lowerE4m3(plan::GemmOp gemm, CudaGemmPlan plan) {
  plan.rhs = weights.read(gemm.getRhs());
  std::optional<int64_t> n = plan.n.constant(), k = plan.k.constant();
  if (storedType(plan.rhs) != DType::f8e4m3 || !n || !k)
    return gemm.emitOpError("reads rows of 8 bits: expected a weight of f8E4M3FN, found ") << plan::tensorOf(gemm.getRhs());
  int64_t normFrom = INT64_MAX; // on Hopper
  auto launch = [&](Value product, const RowProgram &epilogue, StringRef name) -> FailureOr<bool> {
    const ProductProgram program{product, plan.lhs, plan.rhs, *n, *k, epilogue};
    auto hopper = emitHopperGemm(pool, program, name.str()), others = emitE4m3Gemm(pool, program, (name + "_mma").str());
    if (failed(hopper) || failed(others))
      return failure();
    if (!hopper->has_value() || !others->has_value())
      return false;
    (*hopper)->when = {.most = lastBefore(normFrom), .architectures = artifact::Architectures::hopper};
    (*others)->when = {.architectures = artifact::Architectures::others};
    if (normFrom > 0)
      add(**hopper);
    add(**others);
    return true;
  };
  // The product by itself: `value` as it comes, in memory.
  auto alone = [&](Value value, const CudaBuffer &out, StringRef name) -> LogicalResult {
    FailureOr<bool> done = launch(value, productAlone(value, out, plan.m), name);
    if (succeeded(done) && !*done)
      return gemm.emitOpError("of 8 bits has no CUDA form: expected N and K that are multiples of 32 and 16, found ") << *n << " and " << *k;
    return failure(failed(done));
  };
  if (!gemm.getEpilogue()) {
    Block block; // of the product as a value
    return alone(block.addArgument(plan::tensorOf(gemm.getOut()), gemm.getLoc()), plan.out, "e4m3_product");
  }

  plan::KernelOp kernel = kernelOf(gemm, gemm.getEpilogueAttr());
  std::string name = kernel.getSymName().str();
  SmallVector<Value> inputs = {gemm.getOut()};
  llvm::append_range(inputs, gemm.getExtras());
  auto group = cast<GroupOp>(kernel.getOp());
  Value product = group.getBody().getArgument(0);
  RowProgram behind = epilogueOf(groupKernelOf(group), group, inputs, gemm.getResults());
  std::optional<std::pair<RowProgram, RowProgram>> cut = cutAtWholeRows(behind, product, *n, plan.out);
  FailureOr<int64_t> from = addGemmNorm({product, plan.lhs, plan.rhs, *n, *k, behind}, cut, 0, name);
  if (failed(from))
    return failure();
  normFrom = *from;
  FailureOr<bool> done = cut || !wholeRowsOp(behind) ? launch(product, cut ? cut->first : behind, name + "_product") : FailureOr<bool>(false);
  if (failed(done))
    return failure();
  assert((*done || normFrom == INT64_MAX) && "what a norm's kernel takes the others take up to the norm");
  if (*done) {
    if (normFrom == INT64_MAX)
      return cut ? addRows(cut->second, name + "_rows") : success();
    if (normFrom > 0 && failed(addRows(cut->second, name + "_rows", {.most = normFrom - 1, .architectures = artifact::Architectures::hopper})))
      return failure();
    return addRows(cut->second, name + "_rows", {.architectures = artifact::Architectures::others});
  }
  // Columns that no thread has: sums to memory as they are, in fp32, which they need before they are scaled.
  behind.memory[product] = scratch(DType::f32, {plan.m, plan.n});
  if (failed(alone(product, behind.memory[product], name + "_product")))
    return failure();
  return addRows(behind, name + "_rows");
}

} // namespace transom::cuda
