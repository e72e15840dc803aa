// Which steps of a program kernels for few rows stand for on Hopper: products with norms between them, attention before some; or else a product,
// attention over its results, and the product behind that with its norm; or two products with an activation between. Other rows and devices have the
// steps as they are.
#include "codegen/cuda/ProgramLowering.h"

#include "codegen/cuda/GemmSkinny.h"
#include "codegen/cuda/NormChain.h"

using namespace mlir;
using llvm::ArrayRef;

namespace transom::cuda {

static bool sharesMemory(Value a, Value b) { return plan::storageOf(a) == plan::storageOf(b); }
/// All of it, not a beginning.
static bool sameMemory(Value a, Value b) { return sharesMemory(a, b) && product(plan::sizesOf(a)) == product(plan::sizesOf(b)); }

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

std::optional<ChainAttention> ProgramLowering::attentionOf(plan::GemmOp product, Operation *step) {
  auto launch = dyn_cast<plan::LaunchOp>(step);
  ChainAttention attention;
  attention.op = launch ? dyn_cast<AttentionOp>(kernelOf(launch, launch.getKernelAttr()).getOp()) : AttentionOp();
  if (!attention)
    return std::nullopt;
  const bool packed = bool(attention.op.getCumulativeLengths()), masked = bool(attention.op.getMask());
  // Beside query, key and value there is nothing but lengths or a mask.
  if (attention.op->getNumOperands() != unsigned(3 + packed + masked))
    return std::nullopt;
  for (size_t i = 0; i < 3; ++i) {
    auto found = llvm::find_if(product.getResults(), [&](Value value) { return sameMemory(value, launch.getInputs()[i]); });
    if (found == product.getResults().end())
      return std::nullopt;
    attention.operands[i] = size_t(found - product.getResults().begin());
  }
  if (packed || masked)
    (packed ? attention.cumulative : attention.mask) = bufferOf(launch.getInputs()[3]);
  attention.places = plan::sizesOf(launch.getInputs()[0])[1];
  return attention;
}

std::optional<ChainAttention> ProgramLowering::linkOf(plan::GemmOp before, ArrayRef<Operation *> steps) {
  auto behind = dyn_cast<plan::GemmOp>(steps.back());
  const bool attends = steps.size() == 2;
  if (!behind || !behind.getEpilogue() || behind.getM() != before.getM() || before.getResults().size() != (attends ? 3 : 1)) // query, key and value, or x
    return std::nullopt;
  for (Value result : before.getResults())
    if (!isBetween(result, before, steps.front()))
      return std::nullopt;
  std::optional<ChainAttention> attention = attends ? attentionOf(before, steps.front()) : ChainAttention();
  if (!attention)
    return std::nullopt;
  Value x = attends ? cast<plan::LaunchOp>(steps.front()).getOutputs().front() : before.getResults().front();
  if ((attends && !isBetween(x, steps.front(), behind)) || !sameMemory(x, behind.getLhs()) ||
      llvm::any_of(behind.getExtras(), [&](Value extra) { return sharesMemory(extra, x); }))
    return std::nullopt;
  return attention;
}

std::optional<SkinnyChain> ProgramLowering::chainOf(ArrayRef<Operation *> steps) {
  auto first = dyn_cast<plan::GemmOp>(steps.front());
  std::optional<ChainAttention> attention = first && first.getEpilogue() ? linkOf(first, steps.drop_front()) : std::nullopt;
  if (!attention)
    return std::nullopt;
  auto second = cast<plan::GemmOp>(steps.back());
  SkinnyChain chain;
  chain.attention = *attention;
  const CudaBuffer x = bufferOf(first.getLhs()), between = bufferOf(second.getLhs());
  const DType type = storedType(x);
  if ((type != DType::f16 && type != DType::bf16) || storedType(between) != type)
    return std::nullopt;
  chain.first = productOf(first, x, matrixOf(first.getRhs(), type));
  chain.second = productOf(second, between, matrixOf(second.getRhs(), type));
  return chain;
}

//===-- Products with norms between them ----------------------------------------------------------------------------===//

std::optional<NormChainProduct> ProgramLowering::columnsOf(Operation *step) {
  auto gemm = dyn_cast<plan::GemmOp>(step);
  if (!gemm || !gemm.getEpilogue())
    return std::nullopt;
  const CudaBuffer lhs = bufferOf(gemm.getLhs());
  const DType type = storedType(lhs);
  if (type != DType::f16 && type != DType::bf16)
    return std::nullopt;
  NormChainProduct product;
  product.program = productOf(gemm, lhs, matrixOf(gemm.getRhs(), type));
  product.results = gemm.getResults().size();
  return wholeRowsOp(product.program.epilogue) ? std::nullopt : std::optional(product);
}

std::optional<NormChainProduct> ProgramLowering::toNormOf(plan::GemmOp before, ArrayRef<Operation *> steps) {
  std::optional<ChainAttention> attention = linkOf(before, steps);
  if (!attention)
    return std::nullopt;
  auto gemm = cast<plan::GemmOp>(steps.back());
  const CudaBuffer lhs = bufferOf(gemm.getLhs());
  if (gemm.getResults().size() != 1 || storedType(lhs) != storedType(bufferOf(before.getLhs())))
    return std::nullopt;
  NormChainProduct product;
  product.attention = *attention;
  product.program = productOf(gemm, lhs, matrixOf(gemm.getRhs(), storedType(lhs)));
  // The norm's operand column by column; then the norm alone.
  const auto cut = cutAtWholeRows(product.program.epilogue, product.program.product, product.program.n, lhs);
  product.norm = wholeRowsOp(product.program.epilogue);
  if (!cut || !isa<LayerNormOp, RmsNormOp>(product.norm) || reshapedFrom(cut->second.results.front()).getDefiningOp() != product.norm)
    return std::nullopt;
  auto weightAt = [&](unsigned operand) {
    auto found = operand < product.norm->getNumOperands() ? cut->second.memory.find(product.norm->getOperand(operand)) : cut->second.memory.end();
    return found != cut->second.memory.end() && isConstant(found->second) ? std::optional(found->second) : std::nullopt;
  };
  const std::optional<CudaBuffer> scale = weightAt(1);
  product.shift = weightAt(2);
  if (!scale || bool(product.shift) != (product.norm->getNumOperands() > 2) || (product.shift && storedType(*product.shift) != storedType(*scale)))
    return std::nullopt;
  product.scale = *scale, product.y = cut->second.outputs.front();
  product.program.epilogue = cut->first;
  return storedType(product.y) == storedType(lhs) ? std::optional(product) : std::nullopt;
}

size_t ProgramLowering::normChainOf(ArrayRef<Operation *> steps, std::vector<NormChainProduct> &chain) {
  std::optional<NormChainProduct> begin = columnsOf(steps.front());
  if (!begin || !begin->fits())
    return 0;
  chain = {*begin};
  size_t end = 1;
  auto addPair = [&](size_t count) {
    if (steps.size() <= end + count)
      return false;
    auto before = cast<plan::GemmOp>(steps[end - 1]), gemm = dyn_cast<plan::GemmOp>(steps[end + count]);
    std::optional<NormChainProduct> to = toNormOf(before, steps.slice(end, count)), from = gemm ? columnsOf(gemm) : std::nullopt;
    if (!to || !from || gemm.getM() != before.getM())
      return false;
    const Value y = cast<plan::GemmOp>(steps[end + count - 1]).getResults().front();
    if (!sameMemory(y, gemm.getLhs()) || from->program.k != to->program.n || llvm::any_of(gemm.getExtras(), [&](Value extra) { return sharesMemory(extra, y); }))
      return false;
    if (!to->fits() || !from->fits() || (to->attention && !chain.back().feeds(to->attention)) || to->program.k != chain.back().program.n / int64_t(chain.back().results))
      return false;
    chain.push_back(*to), chain.push_back(*from);
    end += count + 1;
    return true;
  };
  while (addPair(2) || addPair(1))
    ;
  return chain.size() > 1 ? end : 0;
}

LogicalResult ProgramLowering::addNormChain(ArrayRef<Operation *> steps, ArrayRef<NormChainProduct> chain) {
  enter(steps.front());
  const DType type = storedType(chain.front().program.lhs);
  int64_t width = 0, parts = 0, ofResult = 0;
  for (const NormChainProduct &product : chain)
    if (product.norm)
      width = std::max(width, product.program.n), parts = std::max(parts, product.parts());
    else
      ofResult = std::max(ofResult, product.program.n / int64_t(product.results));
  NormChainMemory memory;
  memory.sums = scratch(DType::f32, {mostChainRows, width}), memory.moments = scratch(DType::f32, {mostChainRows, parts, 2});
  memory.z = scratch(type, {mostChainRows, width});
  for (CudaBuffer &columns : memory.columns)
    columns = scratch(type, {mostChainRows, ofResult});
  auto step = steps.begin();
  for (size_t i = 0; i < chain.size(); ++i, ++step) {
    while (!isa<plan::GemmOp>(*step)) // attention
      ++step;
    if (auto name = (*step)->getAttrOfType<StringAttr>("source"))
      source = name.str();
    FailureOr<CudaLaunchPlan> launch = emitNormChain(pool, chain, i, memory, cast<plan::GemmOp>(*step).getEpilogue()->str() + "_chain");
    if (failed(launch))
      return failure();
    launch->when = {.least = 1, .most = mostChainRows, .architectures = artifact::Architectures::hopper}; // the grid is there without rows, too
    add(*launch);
  }
  return success();
}

FailureOr<size_t> ProgramLowering::addChain(ArrayRef<Operation *> steps) {
  std::vector<NormChainProduct> products;
  if (const size_t count = options.batchInvariant ? 0 : normChainOf(steps, products)) {
    if (failed(addNormChain(steps, products)))
      return failure();
    return count;
  }
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
