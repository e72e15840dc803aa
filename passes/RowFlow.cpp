// Follows the dimension of rows and that of tokens from the arguments through every op. An op that has no rule here, or
// whose rule fails, mixes.
#include "passes/RowFlow.h"

#include "passes/FusedRegion.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

namespace {

/// Dimensions of a value that count rows and tokens; -1: it has none.
struct Axes {
  int64_t batch = -1, seq = -1;
  bool any() const { return batch >= 0 || seq >= 0; }
  bool has(int64_t axis) const { return axis >= 0 && (axis == batch || axis == seq); }
};
using MaybeAxes = std::optional<Axes>;

class RowFlow {
public:
  RowFlow(func::FuncOp function, const DimAnalysis &dims, const TokenSizes &sizes) : function(function), dims(dims), sizes(sizes) {}

  Operation *run() {
    for (BlockArgument argument : function.getArguments())
      if (isa<RankedTensorType>(argument.getType()) && !isCache(argument))
        axes[argument] = named(argument);
    for (Operation &op : function.getBody().front().without_terminator()) {
      if (llvm::any_of(op.getResults(), [&](Value value) { return isCache(value); }))
        continue;
      MaybeAxes found = resultAxes(&op);
      if (!found)
        return &op;
      for (Value result : op.getResults())
        axes[result] = *found;
    }
    return nullptr;
  }

private:
  bool isCache(Value value) const {
    return llvm::any_of(dims.of(value), [&](const DimExpr &dim) {
      return !dim.isUnknown() && llvm::any_of(dim.polynomial(), [&](auto &term) { return llvm::is_contained(term.first, sizes.past); });
    });
  }
  Axes of(Value value) const { return axes.lookup(value); }
  int64_t rank(Value value) const { return int64_t(dims.of(value).size()); }

  Axes named(Value value) const {
    Axes found;
    for (auto [axis, dim] : llvm::enumerate(dims.of(value))) {
      if (dim == sizes.seq && found.seq < 0)
        found.seq = int64_t(axis);
      else if (dim == sizes.batch && found.batch < 0)
        found.batch = int64_t(axis);
    }
    return found;
  }

  MaybeAxes resultAxes(Operation *op);
  MaybeAxes aligned(Operation *op) const;
  MaybeAxes product(MatmulOp op) const;
  MaybeAxes reshaped(ReshapeOp op) const;
  MaybeAxes reduced(ReduceOp op) const;
  MaybeAxes attended(AttentionOp op) const;
  MaybeAxes turned(RotaryOp op) const;
  /// The operand's, unless `axis` is one of them or another operand has any: that one is read whole by every token.
  MaybeAxes keeping(OpOperand &main, int64_t axis) const {
    bool others = llvm::any_of(main.getOwner()->getOpOperands(), [&](OpOperand &other) { return &other != &main && of(other.get()).any(); });
    return others || of(main.get()).has(axis) ? std::nullopt : MaybeAxes(of(main.get()));
  }
  MaybeAxes keepingRows(Operation *op) const { return keeping(op->getOpOperand(0), rank(op->getOperand(0)) - 1); }

  func::FuncOp function;
  const DimAnalysis &dims;
  const TokenSizes &sizes;
  llvm::DenseMap<Value, Axes> axes;
};

/// Operands of a broadcasting op, aligned at the last dimension, agree on what each dimension counts.
MaybeAxes RowFlow::aligned(Operation *op) const {
  Axes result;
  int64_t rankOfResult = rank(op->getResult(0));
  for (Value operand : op->getOperands()) {
    Axes own = of(operand);
    int64_t shift = rankOfResult - rank(operand);
    for (auto [mine, joint] : {std::pair(own.batch, &result.batch), {own.seq, &result.seq}}) {
      if (mine < 0)
        continue;
      if (*joint >= 0 && *joint != mine + shift)
        return std::nullopt;
      *joint = mine + shift;
    }
  }
  return result.any() && result.batch == result.seq ? std::nullopt : MaybeAxes(result);
}

MaybeAxes RowFlow::product(MatmulOp op) const {
  Axes lhs = of(op.getLhs()), rhs = of(op.getRhs());
  int64_t rankOfLhs = rank(op.getLhs()), shift = rank(op.getResult()) - rankOfLhs;
  int64_t rhsShift = rank(op.getResult()) - rank(op.getRhs());
  if (lhs.has(rankOfLhs - 1) || rhs.seq >= 0 || rhs.batch >= rank(op.getRhs()) - 2 ||
      (rhs.batch >= 0 && (lhs.batch < 0 || rhs.batch + rhsShift != lhs.batch + shift)))
    return std::nullopt;
  return Axes{lhs.batch < 0 ? -1 : lhs.batch + shift, lhs.seq < 0 ? -1 : lhs.seq + shift};
}

/// A dimension stays one if as many elements stand before it as before.
MaybeAxes RowFlow::reshaped(ReshapeOp op) const {
  Axes own = of(op.getInput()), result;
  llvm::ArrayRef<DimExpr> from = dims.of(op.getInput()), to = dims.of(op.getResult());
  for (auto [mine, found] : {std::pair(own.batch, &result.batch), {own.seq, &result.seq}}) {
    for (size_t axis = 0; mine >= 0 && axis < to.size() && *found < 0; ++axis)
      if (to[axis] == from[mine] && transom::product(to.take_front(axis)) == transom::product(from.take_front(mine)))
        *found = int64_t(axis);
    if (mine >= 0 && *found < 0)
      return std::nullopt;
  }
  return result;
}

MaybeAxes RowFlow::reduced(ReduceOp op) const {
  Axes own = of(op.getInput()), result = own;
  for (int64_t axis : op.getAxes()) {
    if (own.has(axis))
      return std::nullopt;
    if (!op.getKeepDims()) {
      result.batch -= own.batch > axis;
      result.seq -= own.seq > axis;
    }
  }
  return result;
}

/// Each query sees keys that hold no new tokens, but those of caches, and all of them: where a query stands among keys that
/// are no cache depends on how many new tokens there are.
MaybeAxes RowFlow::attended(AttentionOp op) const {
  int64_t seq = op.getLayout() == HeadLayout::bhsd ? 2 : 1;
  if (!isCache(op.getKey()) && (op.getCausal() || op.getWindow()))
    return std::nullopt;
  Axes result;
  int64_t bias = op.getBias() ? (op.getMask() ? 4 : 3) : -1;
  for (OpOperand &operand : op->getOpOperands()) {
    Axes own = of(operand.get());
    int64_t number = operand.getOperandNumber(), queries = number == 0 ? seq : number == bias ? 2 : -1;
    if (own.batch > 0 || (own.seq >= 0 && own.seq != queries))
      return std::nullopt;
    result.batch = std::max(result.batch, own.batch);
    result.seq = own.seq >= 0 ? seq : result.seq;
  }
  return result;
}

/// The positions [batch, seq], or [tokens], are those of the rows and tokens that the input has.
MaybeAxes RowFlow::turned(RotaryOp op) const {
  int64_t second = op.getLayout() == HeadLayout::bhsd ? 2 : 1;
  Axes result = of(op.getInput()), positions = of(op.getPositions());
  if (result.has(rank(op.getInput()) - 1) || (op.getFactors() && of(op.getFactors()).any()))
    return std::nullopt;
  for (auto [axis, joint] : {std::pair(positions.batch, &result.batch), {positions.seq, &result.seq}}) {
    int64_t mine = axis == 1 ? second : axis;
    if (mine >= 0 && *joint >= 0 && *joint != mine)
      return std::nullopt;
    *joint = std::max(*joint, mine);
  }
  return result.any() && result.batch == result.seq ? std::nullopt : MaybeAxes(result);
}

MaybeAxes RowFlow::resultAxes(Operation *op) {
  auto operandsHaveNone = [&] { return llvm::none_of(op->getOperands(), [&](Value value) { return of(value).any(); }); };
  return llvm::TypeSwitch<Operation *, MaybeAxes>(op)
      .Case([&](MatmulOp matmul) { return product(matmul); })
      .Case([&](ReshapeOp reshape) { return reshaped(reshape); })
      .Case([&](ReduceOp reduce) { return reduced(reduce); })
      .Case([&](AttentionOp attention) { return attended(attention); })
      .Case([&](EmbeddingOp embedding) { return keeping(embedding.getIndicesMutable(), -1); })
      .Case([&](RotaryOp rotary) { return turned(rotary); })
      .Case<RmsNormOp, LayerNormOp, ArgmaxOp>([&](auto) { return keepingRows(op); })
      .Case([&](SoftmaxOp softmax) { return keeping(softmax.getInputMutable(), int64_t(softmax.getAxis())); })
      .Case([&](SliceOp slice) { return keeping(slice.getInputMutable(), int64_t(slice.getAxis())); })
      .Case([&](PadOp pad) { return keeping(pad.getInputMutable(), int64_t(pad.getAxis())); })
      .Case([&](TransposeOp transpose) {
        Axes own = of(transpose.getInput()), result;
        for (auto [axis, from] : llvm::enumerate(transpose.getPermutation())) {
          result.batch = from == own.batch ? int64_t(axis) : result.batch;
          result.seq = from == own.seq ? int64_t(axis) : result.seq;
        }
        return MaybeAxes(result);
      })
      .Case([&](ConcatOp concat) {
        MaybeAxes joined = aligned(concat);
        return joined && joined->has(int64_t(concat.getAxis())) ? std::nullopt : joined;
      })
      // The numbers count within a call, as those of the naive graph do.
      .Case([&](IotaOp iota) {
        Axes like = of(iota.getLike());
        int64_t axis = int64_t(iota.getAxis());
        return MaybeAxes(Axes{like.batch == axis ? 0 : -1, like.seq == axis ? 0 : -1});
      })
      .Case([&](BroadcastOp broadcast) { return aligned(broadcast); })
      .Default([&](Operation *other) {
        if (isPointwise(other))
          return aligned(other);
        return operandsHaveNone() ? MaybeAxes(Axes()) : std::nullopt;
      });
}

} // namespace

Operation *findMixingOp(func::FuncOp function, const DimAnalysis &dims, const TokenSizes &sizes) {
  return RowFlow(function, dims, sizes).run();
}

} // namespace transom
