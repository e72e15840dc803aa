// See PackTokens.h. Backwards through the block to find what packed values are needed, then forwards to make them.
#include "passes/PackTokens.h"

#include "passes/RefineTypes.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

TokenPacker::TokenPacker(func::FuncOp function, const PaddedGraph &graph, const DimAnalysis &dims, llvm::ArrayRef<std::string> sizes)
    : function(function), graph(graph), dims(dims) {
  moveSourcesToFront();
  OpBuilder builder(behindFront);
  for (auto [space, size] : llvm::zip(graph.spaces, sizes)) {
    auto valid = builder.create<ValidTokensOp>(space.rows.getLoc(), space.rows, space.lengths, builder.getStringAttr(size));
    indices.push_back(valid.getIndex());
    ends.push_back(valid.getCumulative());
  }
}

/// Ids may be read before the mask is made of what the caller gave; their packed form is not.
void TokenPacker::moveSourcesToFront() {
  SmallVector<Value> open;
  for (const TokenSpace &space : graph.spaces)
    open.append({space.rows, space.lengths});
  while (!open.empty()) {
    Value value = open.pop_back_val();
    Operation *op = value ? value.getDefiningOp() : nullptr;
    if (op && sources.insert(op).second)
      llvm::append_range(open, op->getOperands());
  }
  Block &block = function.getBody().front();
  SmallVector<Operation *> ordered;
  for (Operation &op : block)
    if (sources.contains(&op))
      ordered.push_back(&op);
  for (Operation *op : llvm::reverse(ordered))
    op->moveBefore(&block, block.begin());
  behindFront = ordered.empty() ? &block.front() : ordered.back()->getNextNode();
}

void TokenPacker::pack(llvm::ArrayRef<PackedExit> exits) {
  llvm::DenseMap<Value, size_t> needed;
  for (const PackedExit &exit : exits)
    if (exit.kind != PackedExit::Kind::sizes)
      needed[exit.op->getOperand(exit.operand)] = exit.space;
  SmallVector<Operation *> ops;
  for (Operation &op : function.getBody().front())
    ops.push_back(&op);
  auto spaceOf = [&](Operation *op) -> std::optional<size_t> {
    for (Value result : op->getResults())
      if (auto found = needed.find(result); found != needed.end())
        return found->second;
    return std::nullopt;
  };
  for (Operation *op : llvm::reverse(ops)) {
    std::optional<size_t> space = spaceOf(op);
    if (!space)
      continue;
    if (auto attention = graph.attention.find(op); attention != graph.attention.end()) {
      for (unsigned i = 0; i < 3; ++i)
        if (isa<RankedTensorType>(op->getOperand(i).getType()))
          needed[op->getOperand(i)] = i == 0 ? attention->second.query : attention->second.key;
    } else if (auto readings = readingsOf(op, graph.spaces[*space], dims)) {
      for (auto [operand, reading] : llvm::zip(op->getOperands(), *readings))
        if (reading == Reading::token)
          needed[operand] = *space;
    }
  }
  for (BlockArgument argument : function.getArguments())
    if (auto found = needed.find(argument); found != needed.end())
      values[argument] = gather(argument, found->second);
  for (Operation *op : ops)
    if (std::optional<size_t> space = spaceOf(op))
      packOp(op, *space);
}

/// Where a new op can read all values.
static void setInsertionPointAfter(OpBuilder &builder, llvm::ArrayRef<Value> values) {
  Value last = values.front();
  for (Value value : values.drop_front()) {
    Operation *latest = last.getDefiningOp(), *op = value.getDefiningOp();
    if (op && (!latest || latest->isBeforeInBlock(op)))
      last = value;
  }
  builder.setInsertionPointAfterValue(last);
}

Value TokenPacker::gather(Value padded, size_t space) {
  OpBuilder builder(function.getContext());
  setInsertionPointAfter(builder, {padded, indices[space]});
  return builder.create<PackOp>(padded.getLoc(), padded, indices[space]);
}

void TokenPacker::packOp(Operation *op, size_t space) {
  OpBuilder builder(isAtFront(op) ? behindFront : op);
  SmallVector<Value> operands;
  if (graph.attention.contains(op)) {
    for (Value operand : op->getOperands())
      operands.push_back(values.contains(operand) ? values.lookup(operand) : operand);
    values[op->getResult(0)] = packAttention(builder, cast<AttentionOp>(op), operands);
    return;
  }
  std::optional<SmallVector<Reading>> readings = readingsOf(op, graph.spaces[space], dims);
  if (!readings) {
    for (Value result : op->getResults())
      values[result] = gather(result, space);
    return;
  }
  // Ops that make operands stand before the op; what all tokens share is at hand already.
  for (auto [value, reading] : llvm::zip(op->getOperands(), *readings))
    operands.push_back(operand(builder, value, reading, space, dims.of(op->getResult(0)).size()));
  Operation *narrow = clone(builder, op, operands);
  for (auto [padded, packed] : llvm::zip(op->getResults(), narrow->getResults()))
    values[padded] = packed;
}

Value TokenPacker::packAttention(OpBuilder &builder, AttentionOp op, llvm::ArrayRef<Value> operands) {
  PaddedGraph::Spaces spaces = graph.attention.lookup(op);
  bool cached = isa<CacheType>(op.getKey().getType());
  return builder.create<AttentionOp>(op.getLoc(), operands[0], operands[1], operands[2], /*mask=*/Value(), /*bias=*/Value(),
                                     cached ? op.getPastLengths() : Value(), /*lengths=*/Value(), ends[spaces.query],
                                     spaces.key == spaces.query ? Value() : ends[spaces.key], HeadLayout::thd, op.getScale(),
                                     op.getCausal(), op.getWindowAttr(), op.getSoftcapAttr());
}

/// The op on operands without the leading dimension, which its attributes count.
Operation *TokenPacker::clone(OpBuilder &builder, Operation *op, llvm::ArrayRef<Value> x) {
  Location loc = op->getLoc();
  return llvm::TypeSwitch<Operation *, Operation *>(op)
      .Case([&](ReshapeOp reshape) {
        SmallVector<int64_t> shape(reshape.getShape().drop_front());
        shape[0] = 0;
        return builder.create<ReshapeOp>(loc, x[0], builder.getDenseI64ArrayAttr(shape));
      })
      .Case([&](TransposeOp transpose) {
        SmallVector<int64_t> permutation;
        for (int64_t axis : transpose.getPermutation().drop_front())
          permutation.push_back(axis - 1);
        return builder.create<TransposeOp>(loc, x[0], builder.getDenseI64ArrayAttr(permutation));
      })
      .Case([&](ReduceOp reduce) {
        SmallVector<int64_t> axes;
        for (int64_t axis : reduce.getAxes())
          axes.push_back(axis - 1);
        return builder.create<ReduceOp>(loc, reduce.getKind(), x[0], builder.getDenseI64ArrayAttr(axes), reduce.getKeepDims());
      })
      .Case([&](SoftmaxOp softmax) { return builder.create<SoftmaxOp>(loc, x[0], softmax.getAxis() - 1); })
      .Case([&](SliceOp slice) { return builder.create<SliceOp>(loc, x[0], slice.getAxis() - 1, slice.getStart(), slice.getSize()); })
      .Case([&](PadOp pad) {
        return builder.create<PadOp>(loc, x[0], pad.getAxis() - 1, pad.getBefore(), pad.getAfter(), pad.getValue());
      })
      .Case([&](ConcatOp concat) { return builder.create<ConcatOp>(loc, x, concat.getAxis() - 1); })
      .Case([&](RotaryOp rotary) {
        return builder.create<RotaryOp>(loc, x[0], x[1], x.size() > 2 ? x[2] : Value(), HeadLayout::thd, rotary.getDims(), rotary.getBase(),
                                        rotary.getScale(), rotary.getInterleaved());
      })
      .Default([&](Operation *) {
        IRMapping mapping;
        mapping.map(op->getOperands(), x);
        Operation *narrow = cloneRefined(builder, op, mapping);
        assert(narrow && "an op that computes each token on its own takes packed ones");
        return narrow;
      });
}

//===-- Operands that tokens share ----------------------------------------------------------------------------------===//

Value TokenPacker::operand(OpBuilder &builder, Value value, Reading reading, size_t space, size_t rank) {
  const Dims &sizes = dims.of(value);
  switch (reading) {
  case Reading::token: return values.lookup(value);
  case Reading::place: return lookUp(value, /*axis=*/1, space);
  case Reading::row: return lookUp(value, /*axis=*/0, space);
  case Reading::whole: break;
  }
  if (sizes.size() < rank || !isa<RankedTensorType>(value.getType()) || sizes.size() < 2 || !(sizes[0] == DimExpr(1)))
    return value;
  // [1, 1, ...] loses a dimension as the rows do.
  SmallVector<int64_t> shape = {1};
  for (const DimExpr &size : llvm::ArrayRef(sizes).drop_front(2))
    shape.push_back(size.constant().value_or(-1));
  return builder.create<ReshapeOp>(value.getLoc(), value, builder.getDenseI64ArrayAttr(shape));
}

Value TokenPacker::places(unsigned axis, size_t space) {
  Value &place = placeOf[{space, axis}];
  if (place)
    return place;
  OpBuilder builder(function.getContext());
  builder.setInsertionPointAfterValue(indices[space]);
  Value rows = graph.spaces[space].rows;
  Location loc = rows.getLoc();
  Value numbers = builder.create<IotaOp>(loc, rows, uint64_t(axis));
  if (axis == 0)
    numbers = builder.create<ReshapeOp>(loc, numbers, builder.getDenseI64ArrayAttr({-1, 1}));
  builder.setInsertionPointAfterValue(numbers);
  Value all = builder.create<BroadcastOp>(loc, numbers, rows);
  return place = builder.create<PackOp>(loc, all, indices[space]);
}

/// The op on operands for tokens in place of those for the places of a row: [seq, ...] becomes [tokens, ...].
static Value cloneForTokens(OpBuilder &builder, Operation *op, IRMapping &mapping) {
  Operation *clone = builder.clone(*op, mapping);
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  SmallVector<int64_t> shape(type.getShape());
  shape[0] = ShapedType::kDynamic;
  clone->getResult(0).setType(type.clone(shape));
  return clone->getResult(0);
}

Value TokenPacker::lookUp(Value table, unsigned axis, size_t space) {
  if (Value known = spread.lookup({table, axis, space}))
    return known;
  Value made = makeLookUp(table, axis, space);
  return spread[{table, axis, space}] = made;
}

Value TokenPacker::makeLookUp(Value table, unsigned axis, size_t space) {
  const Dims &sizes = dims.of(table);
  OpBuilder builder(function.getContext());
  Operation *op = table.getDefiningOp();
  IRMapping mapping;
  // What one computation made for every place is computed for every token instead, from what it read: a table of positions
  // is read once, and its rows need not be made.
  if (axis == 1 && isa_and_nonnull<IotaOp>(op) && sizes.size() == 1)
    return places(axis, space);
  if (auto embedding = dyn_cast_or_null<EmbeddingOp>(op); embedding && axis == 1 && sizes.size() == 2 && sizes[0] == graph.spaces[space].seq) {
    mapping.map(embedding.getIndices(), lookUp(embedding.getIndices(), axis, space));
    setInsertionPointAfter(builder, {table, mapping.lookup(embedding.getIndices())});
    return cloneForTokens(builder, op, mapping);
  }
  if (auto scalar = dyn_cast_or_null<ScalarOp>(op); scalar && axis == 1 && sizes.size() == 1 && llvm::all_of(op->getOperands(), [&](Value operand) {
        return dims.of(operand).empty() || llvm::equal(dims.of(operand), sizes);
      })) {
    SmallVector<Value> read = {table};
    for (Value operand : op->getOperands())
      if (!dims.of(operand).empty()) {
        read.push_back(lookUp(operand, axis, space));
        mapping.map(operand, read.back());
      }
    setInsertionPointAfter(builder, read);
    return cloneForTokens(builder, op, mapping);
  }
  if (!isa<FloatType>(elementOf(table.getType())))
    return gatherSpread(table, axis, space);
  Value place = places(axis, space);
  setInsertionPointAfter(builder, {table, place});
  SmallVector<int64_t> rest;
  int64_t width = 1;
  for (const DimExpr &size : llvm::ArrayRef(sizes).drop_front(sizes[0] == DimExpr(1) || axis == 0 ? 2 : 1)) {
    rest.push_back(*size.constant());
    width *= rest.back();
  }
  Value rows = builder.create<ReshapeOp>(table.getLoc(), table, builder.getDenseI64ArrayAttr({-1, width}));
  Value found = builder.create<EmbeddingOp>(table.getLoc(), rows, place, /*to=*/TypeAttr());
  rest.insert(rest.begin(), 0);
  return builder.create<ReshapeOp>(table.getLoc(), found, builder.getDenseI64ArrayAttr(rest));
}

/// Numbers of each row or place, at every token: [tokens], or [tokens, 1, ...] where they had more dimensions.
Value TokenPacker::gatherSpread(Value numbers, unsigned axis, size_t space) {
  Value rows = graph.spaces[space].rows;
  Location loc = numbers.getLoc();
  OpBuilder builder(function.getContext());
  setInsertionPointAfter(builder, {numbers, indices[space]});
  bool two = axis == 0 || dims.of(numbers)[0] == DimExpr(1);
  SmallVector<int64_t> flat = {-1}, back(dims.of(numbers).size() - (two ? 1 : 0), 1);
  if (axis == 0)
    flat.push_back(1);
  back[0] = 0;
  if (dims.of(numbers).size() != flat.size())
    numbers = builder.create<ReshapeOp>(loc, numbers, builder.getDenseI64ArrayAttr(flat));
  Value all = builder.create<BroadcastOp>(loc, numbers, rows);
  Value packed = builder.create<PackOp>(loc, all, indices[space]);
  return back.size() == 1 ? packed : builder.create<ReshapeOp>(loc, packed, builder.getDenseI64ArrayAttr(back)).getResult();
}

} // namespace transom
