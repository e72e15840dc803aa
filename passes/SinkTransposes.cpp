// See SinkTransposes.h. Ops with heads are in SinkThroughHeads.cpp.
#include "passes/SinkTransposes.h"

#include "passes/FusedRegion.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom {

void TransposeSinker::rebuild(Operation *op, ValueRange operands, ArrayRef<Permutation> orders, Adjust adjust) {
  if (llvm::equal(operands, op->getOperands()) && llvm::all_of(orders, [](auto &order) { return isIdentity(order); }) && !adjust)
    return;
  Operation *copy = values.clone(op);
  copy->setOperands(operands);
  if (adjust)
    adjust(copy);
  for (auto [old, result, order] : llvm::zip(op->getResults(), copy->getResults(), orders)) {
    if (isa<RankedTensorType>(old.getType()))
      result.setType(RankedTensorType::get(shapeOf(permuted(transom::dimsOf(old.getType()), inverse(order))), elementOf(old.getType())));
    values.place(old, result, order);
  }
}

SmallVector<Value> TransposeSinker::withFirst(Operation *op, Value first) {
  SmallVector<Value> operands = {first};
  for (Value operand : op->getOperands().drop_front())
    operands.push_back(values.settle(operand, op, "T6: expected it to take this operand in any order"));
  return operands;
}

void TransposeSinker::visitDefault(Operation *op) {
  SmallVector<Value> operands;
  for (Value operand : op->getOperands())
    operands.push_back(values.settle(operand, op, "T6: expected it to take operands in any order"));
  SmallVector<Permutation> orders;
  for (Value result : op->getResults())
    orders.push_back(identityPermutation(isa<RankedTensorType>(result.getType()) ? values.dimsOf(result).size() : 0));
  rebuild(op, operands, orders);
}

//===-- Reshapes ----------------------------------------------------------------------------------------------------===//

void TransposeSinker::visitReshape(ReshapeOp op) {
  constexpr const char *condition = "T1: expected dimensions that it joins or splits to stand side by side";
  Value input = op.getInput();
  Placed placed = values.at(input);
  if (isIdentity(placed.order))
    return rebuild(op, placed.base, identityPermutation(op.getType().getRank()));
  std::optional<ReshapeGroups> groups = reshapeGroups(op, values.dimsOf(input));
  // A group's place in the base is that of its first dimension that is not 1; one of sizes of 1 alone stays behind the one before it.
  SmallVector<std::pair<int64_t, ReshapeGroup>> sorted;
  bool fits = groups.has_value();
  for (unsigned i = 0; fits && i < groups->groups.size(); ++i) {
    const ReshapeGroup &group = groups->groups[i];
    int64_t first = -1, last = -1;
    for (unsigned axis = group.inBegin; axis < group.inEnd; ++axis) {
      bool unit = groups->input[axis] == DimExpr(1);
      int64_t at = placed.order[axis];
      if (unit && group.inEnd - group.inBegin > 1)
        continue;
      // In order, and nothing but sizes of 1 between.
      fits &= last < at;
      if (last >= 0)
        for (int64_t between = last + 1; between < at; ++between)
          fits &= groups->input[inverse(placed.order)[between]] == DimExpr(1);
      first = first < 0 ? at : first;
      last = at;
    }
    if (first < 0)
      first = sorted.empty() ? -1 : sorted.back().first;
    sorted.push_back({first, group});
  }
  if (fits) {
    llvm::stable_sort(sorted, [](auto &a, auto &b) { return a.first < b.first; });
    Permutation order(groups->result.size());
    Dims to;
    for (auto &[place, group] : sorted)
      for (unsigned axis = group.outBegin; axis < group.outEnd; ++axis) {
        order[axis] = to.size();
        to.push_back(groups->result[axis]);
      }
    Dims from = permuted(groups->input, inverse(placed.order));
    if (auto shape = reshapeShape(from, to))
      return rebuild(op, placed.base, order, [&](Operation *copy) { cast<ReshapeOp>(copy).setShape(*shape); });
  }
  rebuild(op, values.settle(input, op, condition), identityPermutation(op.getType().getRank()));
}

//===-- Broadcasting ------------------------------------------------------------------------------------------------===//

Permutation TransposeSinker::ownOrder(Value operand, Order order) const {
  size_t rank = values.dimsOf(operand).size();
  return ranked(order.take_back(rank));
}

Value TransposeSinker::broadcastOperand(Value operand, Order order, Operation *op) {
  const Dims &dims = values.dimsOf(operand);
  Permutation own = ownOrder(operand, order);
  Value value = settle(operand, own, op, "T3: expected operands in one order");
  // Sizes of 1 where the result has dimensions between or behind those of the operand.
  size_t rank = order.size(), missing = rank - dims.size();
  Dims from = permuted(dims, inverse(own)), to;
  for (int64_t axis : inverse(order)) {
    if (axis >= int64_t(missing))
      to.push_back(dims[axis - missing]);
    else if (!to.empty())
      to.push_back(DimExpr(1));
  }
  if (to.size() == from.size())
    return value;
  if (Value view = values.reshape(value, from, to, op))
    return view;
  return {};
}

Permutation TransposeSinker::cheapestOrder(ValueRange operands, size_t rank) const {
  Permutation best;
  int64_t bestCost = INT64_MAX;
  auto consider = [&](Order order) {
    int64_t cost = 0;
    for (Value operand : operands)
      cost = std::min(INT64_MAX / 4, cost) + values.costOf(operand, ownOrder(operand, order));
    if (cost < bestCost)
      best = Permutation(order), bestCost = cost;
  };
  for (Value operand : operands)
    if (values.dimsOf(operand).size() == rank && !isStored(values.at(operand).base))
      consider(values.at(operand).order);
  consider(identityPermutation(rank));
  return best;
}

void TransposeSinker::visitBroadcasting(Operation *op) {
  size_t rank = values.dimsOf(op->getResult(0)).size();
  Permutation order = cheapestOrder(op->getOperands(), rank);
  SmallVector<Value> operands;
  for (Value operand : op->getOperands())
    operands.push_back(broadcastOperand(operand, order, op));
  if (llvm::is_contained(operands, Value()))
    return visitDefault(op);
  rebuild(op, operands, order);
}

void TransposeSinker::visitBroadcast(BroadcastOp op) {
  Placed like = values.at(op.getLike());
  Value input = broadcastOperand(op.getInput(), like.order, op);
  if (!input)
    return visitDefault(op);
  rebuild(op, {input, like.base}, like.order);
}

void TransposeSinker::visitConcat(ConcatOp op) {
  Permutation order = cheapestOrder(op.getInputs(), op.getType().getRank());
  SmallVector<Value> operands;
  for (Value operand : op.getInputs())
    operands.push_back(settle(operand, order, op, "T3: expected operands in one order"));
  if (isIdentity(order))
    return rebuild(op, operands, order);
  rebuild(op, operands, order, [&](Operation *copy) { cast<ConcatOp>(copy).setAxis(order[op.getAxis()]); });
}

//===-- Rows --------------------------------------------------------------------------------------------------------===//

Permutation TransposeSinker::lastKept(Value value) const {
  Permutation layout = inverse(values.at(value).order);
  int64_t last = layout.size() - 1;
  llvm::erase(layout, last);
  layout.push_back(last);
  return inverse(layout);
}

void TransposeSinker::visitRows(Operation *op) {
  Value input = op->getOperand(0);
  Permutation order = lastKept(input);
  Value rows = settle(input, order, op, "T2: expected the last dimension to stay last");
  SmallVector<Permutation> orders;
  for (Value result : op->getResults())
    orders.push_back(values.dimsOf(result).size() == order.size() ? order : Permutation(ArrayRef(order).drop_back()));
  rebuild(op, withFirst(op, rows), orders);
}

void TransposeSinker::visitReduce(ReduceOp op) {
  Placed placed = values.at(op.getInput());
  if (isIdentity(placed.order))
    return visitDefault(op);
  SmallVector<int64_t> axes, kept;
  for (int64_t axis : op.getAxes())
    axes.push_back(placed.order[axis]);
  llvm::sort(axes);
  for (int64_t axis : identityPermutation(placed.order.size()))
    if (op.getKeepDims() || !llvm::is_contained(op.getAxes(), axis))
      kept.push_back(placed.order[axis]);
  rebuild(op, placed.base, ranked(kept), [&](Operation *copy) { cast<ReduceOp>(copy).setAxes(axes); });
}

template <typename Op> void TransposeSinker::visitAlongAxis(Op op) {
  Placed placed = values.at(op.getInput());
  if (isIdentity(placed.order))
    return visitDefault(op);
  rebuild(op, placed.base, placed.order, [&](Operation *copy) { cast<Op>(copy).setAxis(placed.order[op.getAxis()]); });
}

void TransposeSinker::visitIota(IotaOp op) {
  Placed placed = values.at(op.getLike());
  if (isIdentity(placed.order))
    return visitDefault(op);
  rebuild(op, placed.base, identityPermutation(1), [&](Operation *copy) { cast<IotaOp>(copy).setAxis(placed.order[op.getAxis()]); });
}

void TransposeSinker::visitEmbedding(EmbeddingOp op) {
  Placed indices = values.at(op.getIndices());
  Permutation order = indices.order;
  order.push_back(order.size());
  Value table = values.settle(op.getTable(), op, "T6: expected a table [rows, width]");
  rebuild(op, {table, indices.base}, order);
}

void TransposeSinker::visitLastToken(LastTokenOp op) {
  if (op.getCumulative())
    return visitDefault(op); // packed tokens have no batch
  Permutation layout = inverse(values.at(op.getInput()).order);
  llvm::stable_sort(layout, [](int64_t a, int64_t b) { return std::min<int64_t>(a, 2) < std::min<int64_t>(b, 2); });
  Permutation order = inverse(layout);
  Value input = settle(op.getInput(), order, op, "T6: expected batch and seq to stand first");
  SmallVector<int64_t> kept = {order[0]};
  kept.append(order.begin() + 2, order.end());
  rebuild(op, withFirst(op, input), ranked(kept));
}

//===-- Products ----------------------------------------------------------------------------------------------------===//

bool TransposeSinker::readOnlyByMatmul(Value weight) const {
  return llvm::all_of(weight.getUses(), [&](OpOperand &use) {
    auto matmul = dyn_cast<MatmulOp>(use.getOwner());
    return matmul && use.getOperandNumber() == 1 && !matmul.getTransposeRhs();
  });
}

void TransposeSinker::visitMatmul(MatmulOp op) {
  if (op.getRhs().getType().getRank() != 2)
    return visitBatchedMatmul(op);
  Permutation order = lastKept(op.getLhs());
  Value lhs = settle(op.getLhs(), order, op, "T2: expected the left operand's last dimension to stay last");
  Placed rhs = values.at(op.getRhs());
  bool transposed = op.getTransposeRhs() != !isIdentity(rhs.order);
  if (!transposed && isStored(rhs.base) && !isa<BlockType>(elementOf(rhs.base.getType()))) {
    // Rows of [N, K] are what kernels read one after the other.
    if (!isIdentity(rhs.order) || readOnlyByMatmul(rhs.base)) {
      rhs.base = values.transposedWeight(rhs.base, {1, 0}, op);
      transposed = true;
      done.push_back({op, "stores the right operand as [N, K]"});
    } else {
      missed.push_back({op, "T7: expected only such products to read the weight, which would be stored twice"});
    }
  }
  if (transposed == op.getTransposeRhs())
    return rebuild(op, {lhs, rhs.base}, order);
  rebuild(op, {lhs, rhs.base}, order, [&](Operation *copy) { cast<MatmulOp>(copy).setTransposeRhs(transposed); });
}

void TransposeSinker::visitBatchedMatmul(MatmulOp op) {
  int64_t rank = op.getType().getRank();
  if (op.getLhs().getType().getRank() != rank || op.getRhs().getType().getRank() != rank)
    return visitDefault(op);
  // Orders of the leading dimensions, with the last two behind them, in their order or swapped.
  auto behind = [&](Order order, bool swapped) {
    Permutation result = ranked(order.drop_back(2));
    result.push_back(swapped ? rank - 1 : rank - 2);
    result.push_back(swapped ? rank - 2 : rank - 1);
    return result;
  };
  int64_t bestCost = INT64_MAX;
  Permutation lhsOrder, rhsOrder;
  for (Value operand : op->getOperands())
    for (bool swapped : {false, true}) {
      Permutation leading = values.at(operand).order;
      Permutation lhs = behind(leading, false), rhs = behind(leading, swapped);
      int64_t cost = values.costOf(op.getLhs(), lhs) + values.costOf(op.getRhs(), rhs);
      if (cost < bestCost && !(swapped && isa<BlockType>(elementOf(op.getRhs().getType()))))
        bestCost = cost, lhsOrder = lhs, rhsOrder = rhs;
    }
  constexpr const char *condition = "T3: expected both operands in one order, of which the product takes the last two dimensions";
  Value lhs = settle(op.getLhs(), lhsOrder, op, condition), rhs = settle(op.getRhs(), rhsOrder, op, condition);
  bool transposed = op.getTransposeRhs() != (rhsOrder.back() != rank - 1);
  if (transposed == op.getTransposeRhs())
    return rebuild(op, {lhs, rhs}, lhsOrder);
  rebuild(op, {lhs, rhs}, lhsOrder, [&](Operation *copy) { cast<MatmulOp>(copy).setTransposeRhs(transposed); });
}

//===-- The function ------------------------------------------------------------------------------------------------===//

void TransposeSinker::visit(Operation *op) {
  if (isPointwise(op))
    return visitBroadcasting(op);
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](TransposeOp transpose) {
        Placed placed = values.at(transpose.getInput());
        values.place(transpose, placed.base, compose(placed.order, transpose.getPermutation()));
        done.push_back({op, "moved down to its readers"});
      })
      .Case([&](ReshapeOp reshape) { visitReshape(reshape); })
      .Case([&](BroadcastOp broadcast) { visitBroadcast(broadcast); })
      .Case([&](ConcatOp concat) { visitConcat(concat); })
      .Case<SliceOp, PadOp, SoftmaxOp>([&](auto along) { visitAlongAxis(along); })
      .Case<RmsNormOp, LayerNormOp, ArgmaxOp, TopKOp, QuantizeOp, RoundE4m3Op, DequantizeOp>([&](auto rows) { visitRows(rows); })
      .Case([&](ReduceOp reduce) { visitReduce(reduce); })
      .Case([&](MatmulOp matmul) { visitMatmul(matmul); })
      .Case([&](IotaOp iota) { visitIota(iota); })
      .Case([&](EmbeddingOp embedding) { visitEmbedding(embedding); })
      .Case([&](LastTokenOp last) { visitLastToken(last); })
      .Case([&](RotaryOp rotary) { visitRotary(rotary); })
      .Case([&](CacheAppendOp append) { visitAppend(append); })
      .Case([&](AttentionOp attention) { visitAttention(attention); })
      .Default([&](Operation *) { visitDefault(op); });
}

int64_t TransposeSinker::transposedBytes() {
  int64_t bytes = 0;
  for (auto transpose : function.getBody().front().getOps<TransposeOp>())
    if (!isStored(transpose.getInput()))
      bytes = std::min(bytes, INT64_MAX / 4) + values.costOf(transpose, transpose.getPermutation());
  return bytes;
}

void TransposeSinker::run() {
  Block &block = function.getBody().front();
  int64_t before = transposedBytes(), after = 0;
  for (Operation &op : llvm::make_early_inc_range(block.without_terminator()))
    visit(&op);
  Operation *exit = block.getTerminator();
  SmallVector<Value> results;
  for (Value operand : exit->getOperands())
    results.push_back(values.settle(operand, exit, "T5: expected a result in the order that it is computed in"));
  for (const PlacedValues::Stop &stop : values.stops())
    after = std::min(after, INT64_MAX / 4) + stop.cost;
  report(before, after);
  if (after > before)
    return values.undo();
  exit->setOperands(results);
}

void TransposeSinker::report(int64_t before, int64_t after) {
  for (const PlacedValues::Stop &stop : values.stops())
    reporter.reject(stop.op, stop.condition + ", a transpose stays",
                    {.bytes = stop.cost > 1 ? std::optional(stop.cost) : std::nullopt, .launches = 1});
  for (auto &[op, what] : missed)
    reporter.reject(op, what);
  if (after > before)
    return reporter.reject(function, "T8: expected to move fewer bytes than the " + llvm::Twine(before) + " of the transposes there are, found " + llvm::Twine(after));
  for (auto &[op, what] : done)
    reporter.applied(op, what);
}

} // namespace transom
