// See FusedRegion.h.
#include "passes/FusedRegion.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using llvm::SmallPtrSetImpl;
using llvm::SmallVector;

namespace transom {

bool isPointwise(Operation *op) {
  if (auto fused = dyn_cast<FusedOp>(op))
    return !fused.getReduce();
  return isa<ScalarOp>(op);
}

TypedAttr splatOf(Value value) {
  SplatElementsAttr elements;
  return matchPattern(value, m_Constant(&elements)) ? cast<TypedAttr>(elements.getSplatValue<Attribute>()) : TypedAttr();
}

namespace {

/// Emits the scalars of a group of pointwise ops, each op once.
class Emitter {
public:
  Emitter(OpBuilder &builder, const SmallPtrSetImpl<Operation *> &inlined) : builder(builder), inlined(inlined) {}

  void bind(Value tensor, Value scalar) { scalars[tensor] = scalar; }

  /// The scalar of the result of `op`.
  Value emit(Operation *op) {
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(scalarOf(operand));
    if (auto scalar = dyn_cast<ScalarOp>(op))
      return scalar.emitScalar(builder, op->getLoc(), operands);
    Block &body = cast<FusedOp>(op).getBody().front();
    IRMapping mapping;
    mapping.map(body.getArguments(), operands);
    for (Operation &inner : body.without_terminator())
      builder.clone(inner, mapping);
    return mapping.lookupOrDefault(cast<YieldOp>(body.getTerminator()).getValue());
  }

private:
  Value scalarOf(Value tensor) {
    if (Value known = scalars.lookup(tensor))
      return known;
    Operation *op = tensor.getDefiningOp();
    Value scalar = op && inlined.contains(op) ? emit(op)
                                              : builder.create<arith::ConstantOp>(tensor.getLoc(), splatOf(tensor)).getResult();
    scalars[tensor] = scalar;
    return scalar;
  }

  OpBuilder &builder;
  const SmallPtrSetImpl<Operation *> &inlined;
  llvm::DenseMap<Value, Value> scalars;
};

using Inputs = llvm::SetVector<Value>;

/// What `op` and the ops inlined into it read, in the order of their operands; each op is asked once.
void collectInputs(Operation *op, const SmallPtrSetImpl<Operation *> &inlined, SmallPtrSetImpl<Operation *> &asked, Inputs &inputs) {
  if (!asked.insert(op).second)
    return;
  for (Value operand : op->getOperands()) {
    Operation *producer = operand.getDefiningOp();
    if (producer && inlined.contains(producer))
      collectInputs(producer, inlined, asked, inputs);
    else
      inputs.insert(operand);
  }
}
Inputs inputsOf(Operation *op, const SmallPtrSetImpl<Operation *> &inlined) {
  Inputs inputs;
  llvm::SmallPtrSet<Operation *, 32> asked;
  collectInputs(op, inlined, asked, inputs);
  return inputs;
}

/// Whether `kept` broadcast to the shape that `all` broadcast to.
bool sameShape(ArrayRef<Value> kept, ArrayRef<Value> all) {
  auto shape = [](ArrayRef<Value> values) {
    SmallVector<Dims> dims;
    for (Value value : values)
      dims.push_back(dimsOf(value.getType()));
    auto result = detail::broadcastDims(dims, [&] { return emitError(values[0].getLoc()); });
    return succeeded(result) ? shapeOf(result->front()) : SmallVector<int64_t>{-1};
  };
  return !kept.empty() && shape(kept) == shape(all);
}

/// The inputs that become region arguments: without splat constants, as far as the shape allows.
SmallVector<Value> withoutSplats(const Inputs &inputs) {
  SmallVector<Value> all = llvm::to_vector(inputs), kept, widening;
  for (Value input : all) {
    bool single = llvm::all_of(cast<RankedTensorType>(input.getType()).getShape(), [](int64_t size) { return size == 1; });
    if (!splatOf(input))
      kept.push_back(input);
    if (!splatOf(input) || !single)
      widening.push_back(input);
  }
  return sameShape(kept, all) ? kept : sameShape(widening, all) ? widening : all;
}

} // namespace

FusedOp buildFused(OpBuilder &builder, Operation *root, const SmallPtrSetImpl<Operation *> &inlined) {
  Inputs all = inputsOf(root, inlined);
  SmallVector<Value> inputs = withoutSplats(all);
  auto old = dyn_cast<FusedOp>(root);
  auto fused = builder.create<FusedOp>(root->getLoc(), root->getResult(0).getType(), inputs,
                                       old ? old.getReduceAttr() : ReduceKindAttr());
  Block &body = fused.getBody().emplaceBlock();
  OpBuilder inside = OpBuilder::atBlockBegin(&body);
  Emitter emitter(inside, inlined);
  for (Value input : inputs)
    emitter.bind(input, body.addArgument(elementOf(input.getType()), input.getLoc()));
  Value result = emitter.emit(root);
  inside.create<YieldOp>(root->getLoc(), result);
  return fused;
}

FusedOp wrapScalarOp(OpBuilder &builder, ScalarOp op) {
  return buildFused(builder, op, llvm::SmallPtrSet<Operation *, 1>());
}

} // namespace transom
