// See StepCost.h. Sizes inside a kernel follow from its buffers' through the ops' own shape rules.
#include "compiler/StepCost.h"

#include "ir/Quiet.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

namespace {

double valueOfDim(const DimExpr &dim, SizeValue valueOf) { return static_cast<double>(dim.evaluate(valueOf).value_or(1)); }

double elements(llvm::ArrayRef<DimExpr> dims, SizeValue valueOf) {
  double count = 1;
  for (const DimExpr &dim : dims)
    count *= valueOfDim(dim, valueOf);
  return count;
}

/// Where the sequence stands in a tensor with heads.
unsigned sequenceAxis(HeadLayout layout) { return layout == HeadLayout::bhsd ? 2 : layout == HeadLayout::bshd ? 1 : 0; }

class Body {
public:
  explicit Body(SizeValue valueOf) : valueOf(valueOf) {}

  /// Operations of the ops of `block`, whose arguments have the sizes `arguments`.
  double operations(Block &block, llvm::ArrayRef<Dims> arguments) {
    for (auto [argument, dims] : llvm::zip(block.getArguments(), arguments))
      sizes[argument] = dims;
    double sum = 0;
    for (Operation &op : block.without_terminator())
      sum += visit(&op);
    return sum;
  }

  /// Bytes that `argument`, a value of a kernel or group, contributes to reading.
  double bytesRead(Value argument) {
    double all = bytesOf(argument.getType(), sizes.lookup(argument), valueOf), read = 0;
    for (OpOperand &use : argument.getUses())
      read = std::max(read, bytesRead(use, all));
    return read;
  }

private:
  double visit(Operation *op) {
    SmallVector<Dims> operands;
    for (Value operand : op->getOperands())
      operands.push_back(sizes.lookup(operand));
    auto shaped = dyn_cast<ShapedOp>(op);
    QuietDiagnostics quiet(op->getContext());
    FailureOr<SmallVector<Dims>> results = failure();
    if (shaped)
      results = shaped.resultDims(operands, [&] { return op->emitOpError(); });
    for (auto [index, result] : llvm::enumerate(op->getResults())) {
      Dims dims = dimsOf(result.getType());
      if (succeeded(results) && index < results->size())
        for (auto [dim, symbolic] : llvm::zip(dims, (*results)[index]))
          if (!dim.constant())
            dim = symbolic;
      sizes[result] = dims;
    }
    if (auto group = dyn_cast<GroupOp>(op))
      return operations(group.getBody().front(), operands);
    return operationsOf(op, operands);
  }

  double count(Value value) { return elements(sizes.lookup(value), valueOf); }

  double operationsOf(Operation *op, llvm::ArrayRef<Dims> operands) {
    if (op->getNumResults() == 0)
      return 0;
    double result = count(op->getResult(0)), largest = result;
    for (Value operand : op->getOperands())
      if (isa<RankedTensorType>(operand.getType()))
        largest = std::max(largest, count(operand));
    return llvm::TypeSwitch<Operation *, double>(op)
        .Case([&](MatmulOp) { return 2 * result * valueOfDim(operands[0].back(), valueOf); })
        .Case([&](AttentionOp attention) { return 4 * count(attention.getQuery()) * keysOf(attention); })
        .Case([&](FusedOp fused) {
          int64_t scalars = llvm::count_if(fused.getBody().front().without_terminator(), [](Operation &scalar) { return !scalar.hasTrait<OpTrait::ConstantLike>(); });
          double steps = fused.getReduce() ? largest : result;
          return steps * static_cast<double>(scalars + (fused.getReduce() ? 1 : 0));
        })
        // Per number: a square, a sum, two products and a difference, or as many in another order.
        .Case<RmsNormOp, LayerNormOp, SoftmaxOp>([&](auto) { return 5 * result; })
        .Case([&](RotaryOp) { return 3 * result; })
        .Case<ReduceOp, ArgmaxOp, TopKOp, SampleOp>([&](auto) { return largest; })
        .Case<DequantizeOp, QuantizeOp, RoundE4m3Op>([&](auto) { return 2 * result; })
        .Default([&](Operation *other) { return isa<ScalarOp>(other) ? result : 0; });
  }

  /// Keys that a query sees, masked ones among them.
  double keysOf(AttentionOp op) {
    const Dims &query = sizes[op.getQuery()], &key = sizes[op.getKey()];
    auto packed = [&] { return static_cast<double>(valueOf("seq").value_or(1)); };
    if (isa<CacheType>(op.getKey().getType())) {
      double fresh = op.getLayout() == HeadLayout::thd ? packed() : valueOfDim(query[sequenceAxis(op.getLayout())], valueOf);
      return std::min(valueOfDim(key[2], valueOf), static_cast<double>(valueOf("past").value_or(0)) + fresh);
    }
    return op.getLayout() == HeadLayout::thd ? packed() : valueOfDim(key[sequenceAxis(op.getLayout())], valueOf);
  }

  double bytesRead(OpOperand &use, double all) {
    Operation *op = use.getOwner();
    if (auto group = dyn_cast<GroupOp>(op))
      return bytesRead(group.getBody().getArgument(use.getOperandNumber()));
    if (auto embedding = dyn_cast<EmbeddingOp>(op); embedding && use.get() == embedding.getTable()) {
      double rows = elements(sizes[embedding.getTable()][0], valueOf);
      return rows > 0 ? all / rows * count(embedding.getIndices()) : 0;
    }
    if (!isa<CacheType>(use.get().getType()))
      return all;
    // An update writes its tokens; attention reads the slots in use.
    if (auto append = dyn_cast<CacheAppendOp>(op))
      return bytesOf(append.getTokens().getType(), sizes.lookup(append.getTokens()), valueOf);
    if (auto attention = dyn_cast<AttentionOp>(op))
      return all / std::max(1.0, valueOfDim(sizes[attention.getKey()][2], valueOf)) * keysOf(attention);
    return all;
  }

  SizeValue valueOf;
  llvm::DenseMap<Value, Dims> sizes;
};

StepCost costOfKernel(plan::KernelOp kernel, ValueRange inputs, ValueRange outputs, SizeValue valueOf) {
  SmallVector<Dims> arguments;
  for (Value input : inputs)
    arguments.push_back(plan::sizesOf(input));
  Body body(valueOf);
  StepCost cost;
  cost.operations = body.operations(kernel.getBody().front(), arguments);
  for (Value argument : kernel.getBody().getArguments())
    cost.bytes += body.bytesRead(argument);
  for (Value output : outputs)
    if (!isa<CacheType>(plan::tensorOf(output)))
      cost.bytes += bytesOf(plan::tensorOf(output), plan::sizesOf(output), valueOf);
  return cost;
}

} // namespace

double bytesOf(Type tensor, const Dims &dims, SizeValue valueOf) {
  if (dims.empty())
    return static_cast<double>(plan::bytesOfRow(elementOf(tensor), 1).value_or(0));
  // Blocks are whole in a row, whatever its size.
  double row = valueOfDim(dims.back(), valueOf);
  double bytes = static_cast<double>(plan::bytesOfRow(elementOf(tensor), static_cast<int64_t>(row)).value_or(0));
  return bytes * elements(llvm::ArrayRef(dims).drop_back(), valueOf);
}

StepCost costOf(Operation *step, SymbolTableCollection &symbols, SizeValue valueOf) {
  if (auto launch = dyn_cast<plan::LaunchOp>(step)) {
    auto kernel = symbols.lookupNearestSymbolFrom<plan::KernelOp>(launch, launch.getKernelAttr());
    return kernel ? costOfKernel(kernel, launch.getInputs(), launch.getOutputs(), valueOf) : StepCost();
  }
  StepCost cost;
  for (Value buffer : step->getOperands())
    cost.bytes += bytesOf(plan::tensorOf(buffer), plan::sizesOf(buffer), valueOf);
  if (auto gemm = dyn_cast<plan::GemmOp>(step)) {
    auto size = [&](llvm::StringRef text) { return valueOfDim(DimExpr::parse(text).value_or(DimExpr()), valueOf); };
    cost.operations = 2 * size(gemm.getM()) * size(gemm.getN()) * size(gemm.getK());
  }
  return cost;
}

} // namespace transom
