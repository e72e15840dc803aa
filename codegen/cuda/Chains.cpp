// Which steps of a program one kernel for few rows stands for on Hopper: a product, attention over its results, and the product behind that with
// its norm; or two products with an activation between. Other rows and devices have the steps as they are.
#include "codegen/cuda/ProgramLowering.h"

#include "codegen/cuda/GemmSkinny.h"

using namespace mlir;
using llvm::ArrayRef;

namespace transom::cuda {

static bool sameMemory(Value a, Value b) { return plan::storageOf(a) == plan::storageOf(b); }

/// Whether only `writer` and `reader` use the buffer's memory, and it is no input or output.
static bool isBetween(Value buffer, Operation *writer, Operation *reader) {
  plan::BufferOp storage = plan::storageOf(buffer);
  if (storage.getKind() != plan::BufferKind::arena)
    return false;
  llvm::SmallVector<Operation *> users(storage->getUsers());
  while (!users.empty()) {
    Operation *user = users.pop_back_val();
    if (isa<plan::ViewOp>(user))
      llvm::append_range(users, user->getUsers());
    else if (user != writer && user != reader)
      return false;
  }
  return true;
}

std::optional<SkinnyChain> ProgramLowering::chainOf(ArrayRef<Operation *> steps) {
  auto first = dyn_cast<plan::GemmOp>(steps.front()), second = dyn_cast<plan::GemmOp>(steps.back());
  if (!first || !second || !first.getEpilogue() || !second.getEpilogue() || first.getM() != second.getM())
    return std::nullopt;
  if (first.getResults().size() != (steps.size() == 3 ? 3 : 1)) // query, key and value, or what the second product reads
    return std::nullopt;
  for (Value result : first.getResults())
    if (!isBetween(result, first, steps[1]))
      return std::nullopt;
  SkinnyChain chain;
  Value middle = first.getResults().front();
  if (steps.size() == 3) {
    auto launch = dyn_cast<plan::LaunchOp>(steps[1]);
    chain.attention = launch ? dyn_cast<AttentionOp>(kernelOf(launch, launch.getKernelAttr()).getOp()) : AttentionOp();
    if (!chain.attention)
      return std::nullopt;
    const bool packed = bool(chain.attention.getCumulativeLengths()), masked = bool(chain.attention.getMask());
    // Beside query, key and value there is nothing but lengths or a mask.
    if (chain.attention->getNumOperands() != unsigned(3 + packed + masked))
      return std::nullopt;
    for (size_t i = 0; i < 3; ++i)
      chain.operands[i] = size_t(llvm::find_if(first.getResults(), [&](Value value) { return sameMemory(value, launch.getInputs()[i]); }) - first.getResults().begin());
    if (packed || masked)
      (packed ? chain.cumulative : chain.mask) = bufferOf(launch.getInputs()[3]);
    chain.places = plan::sizesOf(launch.getInputs()[0])[1];
    middle = launch.getOutputs().front();
    if (!isBetween(middle, launch, second))
      return std::nullopt;
  }
  if (!sameMemory(middle, second.getLhs()) || llvm::any_of(second.getExtras(), [&](Value extra) { return sameMemory(extra, middle); }))
    return std::nullopt;
  const CudaBuffer x = bufferOf(first.getLhs()), between = bufferOf(second.getLhs());
  const DType type = storedType(x);
  if ((type != DType::f16 && type != DType::bf16) || storedType(between) != type)
    return std::nullopt;
  chain.first = productOf(first, x, matrixOf(first.getRhs(), type));
  chain.second = productOf(second, between, matrixOf(second.getRhs(), type));
  return chain;
}

FailureOr<size_t> ProgramLowering::addChain(ArrayRef<Operation *> steps) {
  for (size_t count : {3, 2}) {
    std::optional<SkinnyChain> chain;
    if (steps.size() >= count && !options.batchInvariant)
      chain = chainOf(steps.take_front(count));
    const int64_t parts = chain && wholeRowsOp(chain->second.epilogue) ? chain->parts() : 0;
    if (parts == 0)
      continue;
    enter(steps.front());
    const std::string name = cast<plan::GemmOp>(steps.front()).getEpilogue()->str() + "_chain";
    const std::string norm = cast<plan::GemmOp>(steps[count - 1]).getEpilogue()->str() + "_chain";
    const artifact::CudaCondition when{.most = mostChainRows, .architectures = artifact::Architectures::hopper};
    const CudaBuffer sums = scratch(DType::f32, {parts, mostChainRows, chain->second.n});
    FailureOr<CudaLaunchPlan> launch = emitSkinnyChain(pool, *chain, sums, name);
    if (failed(launch))
      return failure();
    launch->when = when;
    add(*launch);
    if (failed(addSum(chain->second, sums, norm, when)))
      return failure();
    return count;
  }
  return size_t(0);
}

} // namespace transom::cuda
