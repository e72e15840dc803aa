// See ProgramLowering.h.
#include "codegen/cuda/ProgramLowering.h"

#include "codegen/cuda/Rows.h"
#include "ir/DimAnalysis.h"

using namespace mlir;
using llvm::ArrayRef;

namespace transom::cuda {

ProgramLowering::ProgramLowering(plan::ProgramOp program, KernelPool &pool, WeightForms &weights, const CudaOptions &options, Variant variant,
                                 CudaForfeits &forfeits)
    : program(program), module(program->getParentOfType<ModuleOp>()), pool(pool), weights(weights), options(options), forfeits(forfeits), variant(variant) {
  result.plan = program;
  result.name = variant == Variant::step ? "step" : program.getSymName().str();
}

FailureOr<CudaProgram> ProgramLowering::run() {
  if (variant == Variant::step)
    prepareStep();
  llvm::SmallVector<Operation *> steps;
  for (Operation &op : program.getBody().front())
    if (plan::isStep(&op))
      steps.push_back(&op);
  for (size_t i = 0, end; i < steps.size(); i = end) {
    FailureOr<size_t> chain = addChain(ArrayRef(steps).drop_front(i));
    if (failed(chain))
      return failure();
    chained = *chain ? mostChainRows : 0;
    end = i + std::max<size_t>(*chain, 1);
    for (Operation *op : ArrayRef(steps).slice(i, end - i))
      if (failed(lower(op)))
        return failure();
    chained = 0;
  }
  if (variant == Variant::step)
    addSample(), addAdvance();
  placeBest();
  result.scratchBytes = mostScratch;
  result.workspaceBytes = workspaceBytes + bestBytes;
  return std::move(result);
}

//===-- Buffers -----------------------------------------------------------------------------------------------------===//

CudaBuffer ProgramLowering::bufferOf(Value value) {
  auto moved = overrides.find(plan::storageOf(value).getResult());
  if (moved == overrides.end())
    return weights.read(value);
  CudaBuffer buffer = moved->second;
  buffer.shape = plan::sizesOf(value);
  return buffer;
}

Step ProgramLowering::begin(Operation *op, std::string name) {
  Step step{pool, weights, op, llvm::DenseMap<Value, CudaBuffer>(), std::move(name), [this](Value cumulative) { return longestOf(cumulative); }};
  step.module = module, step.forfeits = options.batchInvariant ? &forfeits : nullptr;
  step.scratchAt = scratchAt, step.mostScratch = mostScratch, step.workspaceBytes = workspaceBytes;
  return step;
}
void ProgramLowering::end(const Step &step) {
  scratchAt = step.scratchAt;
  mostScratch = std::max(mostScratch, step.mostScratch);
  workspaceBytes = std::max(workspaceBytes, step.workspaceBytes);
}

CudaBuffer ProgramLowering::scratch(DType dtype, Dims shape) {
  Step step = begin(program, "");
  CudaBuffer buffer = step.scratch(dtype, std::move(shape));
  end(step);
  return buffer;
}

DType ProgramLowering::activations() {
  for (auto buffer : program.getBody().getOps<plan::BufferOp>())
    if (buffer.getStored())
      return storedType(*buffer.getStored());
  return DType::f32;
}

int64_t ProgramLowering::most(const DimExpr &size) { return maximumOf(module, size).value_or(INT64_MAX); }

//===-- Steps -------------------------------------------------------------------------------------------------------===//

template <class Plan> void ProgramLowering::addOutside(const Plan &plan, const DimExpr &rows) {
  using artifact::Architectures;
  Plan part = plan;
  if (plan.when.least > chained || chained == 0 || plan.when.architectures == Architectures::others) {
    result.steps.push_back({part, source});
    return;
  }
  if (plan.when.architectures == Architectures::all) {
    part.when.architectures = Architectures::others;
    result.steps.push_back({part, source});
  }
  part.when.architectures = Architectures::hopper;
  part.when.least = chained + 1;
  if constexpr (std::is_same_v<Plan, CudaLaunchPlan>)
    llvm::erase_if(part.choices, [&](const CudaChoicePlan &choice) { return choice.most < part.when.least; });
  if (part.when.least <= std::min(plan.when.most, most(rows)))
    result.steps.push_back({part, source});
}
template void ProgramLowering::addOutside(const CudaLaunchPlan &, const DimExpr &);
template void ProgramLowering::addOutside(const CudaGemmPlan &, const DimExpr &);

void ProgramLowering::enter(Operation *step) {
  auto name = step->getAttrOfType<StringAttr>("source");
  source = name ? name.str() : "";
  scratchAt = kept;
}

LogicalResult ProgramLowering::lower(Operation *op) {
  enter(op);
  if (auto launch = dyn_cast<plan::LaunchOp>(op))
    return lower(launch);
  if (auto gemm = dyn_cast<plan::GemmOp>(op))
    return lower(gemm);
  return lower(cast<plan::SizeOp>(op));
}

plan::KernelOp ProgramLowering::kernelOf(Operation *op, FlatSymbolRefAttr name) { return SymbolTable::lookupNearestSymbolFrom<plan::KernelOp>(op, name); }

template <typename Op> std::pair<plan::LaunchOp, Op> ProgramLowering::makerOf(Value buffer) {
  for (auto launch : program.getBody().getOps<plan::LaunchOp>())
    for (Value output : launch.getOutputs())
      if (plan::storageOf(output) == plan::storageOf(buffer))
        if (auto op = dyn_cast<Op>(kernelOf(launch, launch.getKernelAttr()).getOp()))
          return {launch, op};
  return {};
}

DimExpr ProgramLowering::longestOf(Value cumulative) {
  auto found = operands.find(cumulative);
  if (found == operands.end())
    return DimExpr();
  if (makerOf<IotaOp>(found->second).second) // [0, 1, 2, ...]
    return DimExpr(1);
  auto [launch, tokens] = makerOf<ValidTokensOp>(found->second);
  return tokens ? plan::sizesOf(launch.getInputs()[0])[1] : DimExpr();
}

LogicalResult ProgramLowering::lower(plan::SizeOp size) {
  auto [launch, tokens] = makerOf<ValidTokensOp>(size.getSource());
  CudaSizePlan plan;
  plan.name = size.getName().str(), plan.buffer = size.getSource();
  Value counted;
  if (tokens) {
    counted = launch.getInputs()[tokens.getLengths() ? 1 : 0];
    plan.from = tokens.getLengths() ? artifact::SizeSource::sum : artifact::SizeSource::nonzero;
    plan.limit = tokens.getLengths() ? plan::sizesOf(launch.getInputs()[0])[1] : DimExpr(0);
  }
  if (!counted || plan::storageOf(counted).getKind() != plan::BufferKind::input)
    return size.emitError("the size ") << size.getName() << " is no sum or count of numbers of an input, so it cannot be known before a GPU runs";
  plan.input = plan::storageOf(counted).getName()->str();
  result.steps.push_back({plan, source});
  return success();
}

LogicalResult ProgramLowering::lower(plan::LaunchOp launch) {
  plan::KernelOp kernel = kernelOf(launch, launch.getKernelAttr());
  operands.clear();
  for (auto [argument, buffer] : llvm::zip(kernel.getBody().getArguments(), launch.getInputs()))
    operands[argument] = buffer;
  Operation *op = kernel.getOp();
  if (followers.contains(launch))
    return success();
  if (auto group = dyn_cast<GroupOp>(op))
    return lowerGroup(group, kernel.getSymName(), launch.getInputs(), launch.getOutputs());
  if (auto matmul = dyn_cast<MatmulOp>(op); matmul && isFewRows(matmul, launch.getInputs()))
    return lowerGemv(matmul, kernel.getSymName(), launch.getInputs(), launch.getOutputs());
  if (auto first = dyn_cast<FirstTokenOp>(op))
    forfeits.choices += options.batchInvariant && first.getCumulative();
  Step step = begin(op, kernel.getSymName().str());
  for (auto [operand, buffer] : llvm::zip(op->getOperands(), launch.getInputs()))
    step.memory[operand] = bufferOf(buffer);
  for (auto [value, buffer] : llvm::zip(op->getResults(), launch.getOutputs()))
    step.memory[value] = bufferOf(buffer);
  takeFollower(launch, step);
  FailureOr<CudaLaunchPlan> plan = emitOp(step);
  end(step);
  if (failed(plan))
    return failure();
  add(*plan);
  return success();
}

void ProgramLowering::takeFollower(plan::LaunchOp launch, Step &step) {
  plan::LaunchOp follower = plan::followerOf(launch);
  auto attention = dyn_cast<AttentionOp>(step.op);
  if (!follower || (attention && !attentionRounds(attention, step.stored(attention.getQuery()))))
    return;
  followers.insert(follower);
  if (attention) {
    step.rounding = {bufferOf(follower.getOutputs()[0]), bufferOf(follower.getInputs()[1])};
    return;
  }
  plan::KernelOp kernel = kernelOf(follower, follower.getKernelAttr());
  step.name += "_" + kernel.getSymName().str();
  step.follower = kernel.getOp();
  for (auto [operand, buffer] : llvm::zip(step.follower->getOperands(), follower.getInputs()))
    if (plan::storageOf(buffer) != plan::storageOf(launch.getOutputs()[0]))
      step.memory[operand] = bufferOf(buffer);
  step.memory[step.follower->getResult(0)] = bufferOf(follower.getOutputs()[0]);
}

//===-- Groups ------------------------------------------------------------------------------------------------------===//

RowProgram ProgramLowering::rowProgram(const plan::GroupKernel &kernel, ArrayRef<Operation *> ops, ValueRange results,
                                       const std::vector<CudaBuffer> &outputs, GroupOp group, ValueRange inputs) {
  RowProgram rows;
  rows.ops.assign(ops.begin(), ops.end());
  rows.leading = kernel.form.leading;
  rows.results.assign(results.begin(), results.end());
  rows.outputs = outputs;
  for (auto [argument, buffer] : llvm::zip(group.getBody().getArguments(), inputs))
    rows.memory[argument] = bufferOf(buffer);
  rows.rows = kernel.rowsOf([&](unsigned index) { return plan::sizesOf(inputs[index]); });
  return rows;
}

plan::GroupKernel ProgramLowering::groupKernelOf(GroupOp group) {
  std::string reason;
  FailureOr<plan::GroupKernel> kernel = plan::GroupKernel::of(group, reason);
  assert(succeeded(kernel) && "the plan was verified");
  return std::move(*kernel);
}

RowProgram ProgramLowering::epilogueOf(const plan::GroupKernel &kernel, GroupOp group, ValueRange inputs, ValueRange outputs) {
  std::vector<CudaBuffer> results;
  for (Value output : outputs)
    results.push_back(bufferOf(output));
  return rowProgram(kernel, kernel.form.epilogue, group.getBody().front().getTerminator()->getOperands(), results, group, inputs);
}

LogicalResult ProgramLowering::lowerGroup(GroupOp group, StringRef name, ValueRange inputs, ValueRange outputs) {
  plan::GroupKernel kernel = groupKernelOf(group);
  for (auto [argument, buffer] : llvm::zip(group.getBody().getArguments(), inputs))
    operands[argument] = buffer;
  if (!kernel.form.root)
    return addRows(epilogueOf(kernel, group, inputs, outputs), name);
  GemvProgram gemv;
  gemv.root = kernel.form.root;
  if (failed(prologue(kernel, gemv, group, name, inputs)))
    return failure();
  gemv.weight = matrixOf(inputs[cast<BlockArgument>(gemv.root.getRhs()).getArgNumber()], storedType(gemv.lhs));
  gemv.epilogue = epilogueOf(kernel, group, inputs, outputs);
  gemv.mostRows = std::min(most(gemv.epilogue.rows), maxGemvRows);
  addBest(gemv, outputs);
  return addGemv(gemv, name);
}

LogicalResult ProgramLowering::prologue(const plan::GroupKernel &kernel, GemvProgram &gemv, GroupOp group, StringRef name, ValueRange inputs) {
  Value lhs = reshapedFrom(gemv.root.getLhs());
  auto buffer = [&](Value value) { return bufferOf(inputs[cast<BlockArgument>(value).getArgNumber()]); };
  if (isa<BlockArgument>(lhs)) {
    gemv.lhs = buffer(lhs);
    return success();
  }
  Operation *norm = lhs.getDefiningOp();
  Value input = reshapedFrom(norm->getOperand(0));
  bool isNorm = isa<RmsNormOp, LayerNormOp>(norm) && isa<BlockArgument>(input) &&
                llvm::all_of(norm->getOperands().drop_front(), [](Value value) { return isa<BlockArgument>(value); });
  if (isNorm && norm->getNumOperands() > 2)
    isNorm = storedType(buffer(norm->getOperand(1))) == storedType(buffer(norm->getOperand(2)));
  if (isNorm) {
    gemv.norm = norm;
    gemv.lhs = buffer(input), gemv.normScale = buffer(norm->getOperand(1));
    if (norm->getNumOperands() > 2)
      gemv.normBias = buffer(norm->getOperand(2));
    return success();
  }
  DimExpr rows = kernel.rowsOf([&](unsigned index) { return plan::sizesOf(inputs[index]); });
  gemv.lhs = scratch(activations(), {rows, DimExpr(kernel.rowElements(lhs))});
  return addRows(rowProgram(kernel, kernel.form.prologue, lhs, {gemv.lhs}, group, inputs), (name + "_prologue").str());
}

LogicalResult ProgramLowering::addRows(const RowProgram &rows, StringRef name, const artifact::CudaCondition &when) {
  FailureOr<CudaLaunchPlan> launch = emitRows(pool, rows, std::min(when.most, most(rows.rows)), name);
  if (failed(launch))
    return failure();
  launch->when = when;
  add(*launch);
  return success();
}

} // namespace transom::cuda
