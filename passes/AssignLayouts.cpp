// assign-layouts, for each function:
// 1. Find which pairs of leading dimensions are rows: those of tokens that are looked up, and of what a weight multiplies.
// 2. From the first op to the last, compute every op that treats each row alone with the two as one dimension. Rotary becomes
//    thd. A lookup by position alone, [seq, width], looks up each row's position.
// 3. Ops that tell batch and seq apart (attention, caches, reductions over tokens, results) read a view that has both.
// 4. Drop what is dead, and views that undo each other.
#include "passes/FusedRegion.h"
#include "passes/Passes.h"
#include "passes/Permutations.h"
#include "passes/Report.h"
#include "passes/Views.h"

#include "ir/DimAnalysis.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom {

#define GEN_PASS_DEF_ASSIGNLAYOUTSPASS
#include "passes/Passes.h.inc"

namespace {

class RowJoiner {
public:
  RowJoiner(func::FuncOp function, const Reporter &reporter) : function(function), reporter(reporter), dims(function) {}
  void run();

private:
  /// Two leading dimensions that count rows, and a value that has them.
  struct Rows {
    DimExpr batch, seq;
    Value like;
  };
  using Adjust = llvm::function_ref<void(Operation *)>;

  void findRows();
  void addRows(Value value);
  const Rows *rowsOf(Value value) const;
  bool hasRows(Value value, size_t rank) const { return dims.of(value).size() >= rank && rowsOf(value); }

  bool hasStaticWidth(Value value) const {
    return llvm::all_of(ArrayRef(dims.of(value)).drop_front(2), [](const DimExpr &size) { return size.constant().has_value(); });
  }

  Dims joinedDims(Value value) const;
  Value joined(Value value);
  Value apart(Value value, Operation *reader);
  Value positionOfEachRow(Value table, const Rows &rows);

  void visit(Operation *op);
  bool visitPointwise(Operation *op);
  Value pointwiseOperand(Operation *op, Value operand, const Rows &rows);
  bool visitRotary(RotaryOp op);
  bool visitReshape(ReshapeOp op);
  bool visitReduce(ReduceOp op);
  bool visitMatmul(MatmulOp op);
  template <typename Op> bool visitAlongAxis(Op op);
  bool visitFirst(Operation *op, size_t rank, Adjust adjust = nullptr);
  bool rebuild(Operation *op, ValueRange operands, Adjust adjust = nullptr);
  bool reject(Operation *op, const llvm::Twine &condition) {
    reporter.reject(op, condition);
    return false;
  }

  func::FuncOp function;
  const Reporter &reporter;
  DimAnalysis dims;
  SmallVector<Rows> pairs;
  llvm::DenseMap<Value, Value> rows;         ///< from values of the old form to the same with rows joined
  llvm::DenseMap<std::pair<Value, Value>, Value> positions; ///< from lookups [seq, width] and what gives rows their sizes
  llvm::DenseMap<Value, Value> views;        ///< and back, for those that are computed so
  llvm::SmallPtrSet<Operation *, 32> replaced;
};

//===-- Rows --------------------------------------------------------------------------------------------------------===//

void RowJoiner::addRows(Value value) {
  const Dims &shape = dims.of(value);
  if (shape.size() < 2 || shape[0].isUnknown() || shape[1].isUnknown() || rowsOf(value))
    return;
  Rows rows{shape[0], shape[1], value};
  auto matches = [&](Value other) {
    if (!isa<RankedTensorType>(other.getType()))
      return false;
    const Dims &found = dims.of(other);
    return found.size() >= 2 && found[0] == shape[0] && found[1] == shape[1];
  };
  // What gives the sizes should be there from the start: an argument, or else the first value that has them.
  for (Operation &op : llvm::reverse(function.getBody().front()))
    for (Value result : op.getResults())
      if (matches(result))
        rows.like = result;
  for (BlockArgument argument : llvm::reverse(function.getArguments()))
    if (matches(argument))
      rows.like = argument;
  pairs.push_back(rows);
}

void RowJoiner::findRows() {
  for (Operation &op : function.getBody().front()) {
    if (auto embedding = dyn_cast<EmbeddingOp>(op))
      addRows(embedding.getIndices());
    else if (auto matmul = dyn_cast<MatmulOp>(op); matmul && matmul.getRhs().getType().getRank() == 2 && matmul.getLhs().getType().getRank() > 2)
      addRows(matmul.getLhs());
  }
}

const RowJoiner::Rows *RowJoiner::rowsOf(Value value) const {
  if (!isa<RankedTensorType>(value.getType()))
    return nullptr;
  const Dims &shape = dims.of(value);
  for (const Rows &rows : pairs)
    if (shape.size() >= 2 && shape[0] == rows.batch && shape[1] == rows.seq)
      return &rows;
  return nullptr;
}

Dims RowJoiner::joinedDims(Value value) const {
  const Dims &shape = dims.of(value);
  Dims result = {shape[0] * shape[1]};
  result.append(shape.begin() + 2, shape.end());
  return result;
}

/// Null where the other sizes are not static.
Value RowJoiner::joined(Value value) {
  if (Value known = rows.lookup(value))
    return known;
  Dims to = joinedDims(value);
  auto shape = reshapeShape(dims.of(value), to);
  if (!shape)
    return {};
  OpBuilder builder(value.getContext());
  builder.setInsertionPointAfterValue(value);
  return rows[value] = builder.create<ReshapeOp>(value.getLoc(), RankedTensorType::get(shapeOf(to), elementOf(value.getType())), value, *shape);
}

Value RowJoiner::apart(Value value, Operation *reader) {
  if (!value.getDefiningOp() || !replaced.contains(value.getDefiningOp()))
    return value;
  Value &known = views[value];
  if (known)
    return known;
  OpBuilder builder(reader);
  Value source = rows.lookup(value);
  if (auto shape = reshapeShape(joinedDims(value), dims.of(value)))
    return known = builder.create<ReshapeOp>(value.getLoc(), value.getType(), source, *shape);
  return known = builder.create<SplitRowsOp>(value.getLoc(), value.getType(), source, rowsOf(value)->like);
}

bool RowJoiner::rebuild(Operation *op, ValueRange operands, Adjust adjust) {
  for (Value result : op->getResults())
    if (!rowsOf(result) || !hasStaticWidth(result))
      return reject(op, "L2: expected static sizes behind the rows, found " + str(dims.of(result)));
  if (llvm::is_contained(operands, Value()))
    return reject(op, "L2: expected operands of static sizes behind the rows");
  Operation *copy = OpBuilder(op).clone(*op);
  copy->setOperands(operands);
  if (adjust)
    adjust(copy);
  for (auto [old, result] : llvm::zip(op->getResults(), copy->getResults())) {
    result.setType(RankedTensorType::get(shapeOf(joinedDims(old)), elementOf(old.getType())));
    rows[old] = result;
  }
  replaced.insert(op);
  reporter.applied(op, "computes rows of " + joinedDims(op->getResult(0))[0].str() + " as one dimension");
  return true;
}

//===-- Ops ---------------------------------------------------------------------------------------------------------===//

/// Rows of a table that are looked up by position: [seq, width] becomes [rows, width], each row with its own index. Null if
/// `value` is nothing of the kind.
Value RowJoiner::positionOfEachRow(Value value, const Rows &pair) {
  auto lookup = value.getDefiningOp<EmbeddingOp>();
  if (!lookup || dims.of(value).size() != 2 || !(dims.of(value)[0] == pair.seq) || dims.of(pair.like).size() != 2)
    return {};
  Value &known = positions[{value, pair.like}];
  if (known)
    return known;
  Operation *sizes = pair.like.getDefiningOp();
  OpBuilder builder(value.getContext());
  builder.setInsertionPointAfter(sizes && lookup->isBeforeInBlock(sizes) ? sizes : lookup);
  Dims each = {pair.batch, pair.seq};
  Type index = elementOf(lookup.getIndices().getType());
  Value spread = builder.create<BroadcastOp>(lookup.getLoc(), RankedTensorType::get(shapeOf(each), index), lookup.getIndices(), pair.like);
  Dims all = {pair.batch * pair.seq};
  Value flat = builder.create<ReshapeOp>(lookup.getLoc(), RankedTensorType::get(shapeOf(all), index), spread, *reshapeShape(each, all));
  all.push_back(dims.of(value)[1]);
  auto type = RankedTensorType::get(shapeOf(all), elementOf(value.getType()));
  reporter.applied(lookup, "looks up the position of each row");
  return known = builder.create<EmbeddingOp>(lookup.getLoc(), type, lookup.getTable(), flat, lookup.getToAttr());
}

/// `operand` for a result with rows joined; null if it has some of the rows only.
Value RowJoiner::pointwiseOperand(Operation *op, Value operand, const Rows &pair) {
  size_t rank = dims.of(op->getResult(0)).size();
  const Dims &shape = dims.of(operand);
  if (shape.size() + 2 <= rank)
    return operand;
  if (shape.size() + 1 == rank)
    return shape[0] == DimExpr(1) ? operand : positionOfEachRow(operand, pair);
  if (shape[0] == pair.batch && shape[1] == pair.seq)
    return joined(operand);
  if (shape[0] == DimExpr(1) && shape[1] == DimExpr(1))
    return joined(operand);
  return {};
}

bool RowJoiner::visitPointwise(Operation *op) {
  Value result = op->getResult(0);
  if (!hasRows(result, 3))
    return false;
  if (!hasStaticWidth(result))
    return reject(op, "L2: expected static sizes behind the rows, found " + str(dims.of(result)));
  SmallVector<Value> operands;
  for (Value operand : op->getOperands()) {
    operands.push_back(pointwiseOperand(op, operand, *rowsOf(result)));
    if (!operands.back())
      return reject(op, "L1: expected operands that have all rows or are the same for all, found " + str(dims.of(operand)));
  }
  return rebuild(op, operands);
}

bool RowJoiner::visitFirst(Operation *op, size_t rank, Adjust adjust) {
  Value input = op->getOperand(0);
  if (!hasRows(input, rank))
    return false;
  SmallVector<Value> operands(op->getOperands());
  operands[0] = joined(input);
  return rebuild(op, operands, adjust);
}

bool RowJoiner::visitMatmul(MatmulOp op) {
  if (!hasRows(op.getLhs(), 3))
    return false;
  if (op.getRhs().getType().getRank() != 2)
    return reject(op, "L5: expected a right operand that is the same for all rows, found " + str(dims.of(op.getRhs())));
  return visitFirst(op, 3);
}

template <typename Op> bool RowJoiner::visitAlongAxis(Op op) {
  if (!hasRows(op.getOperation()->getOperand(0), 3))
    return false;
  if (op.getAxis() < 2)
    return reject(op, "L4: expected an axis behind the rows, found " + llvm::Twine(op.getAxis()));
  SmallVector<Value> operands;
  for (Value operand : op->getOperands())
    operands.push_back(rowsOf(operand) ? joined(operand) : Value());
  return rebuild(op, operands, [&](Operation *copy) { cast<Op>(copy).setAxis(op.getAxis() - 1); });
}

bool RowJoiner::visitReduce(ReduceOp op) {
  if (!hasRows(op.getInput(), 3))
    return false;
  SmallVector<int64_t> axes;
  for (int64_t axis : op.getAxes()) {
    if (axis < 2)
      return reject(op, "L4: expected an axis behind the rows, found " + llvm::Twine(axis));
    axes.push_back(axis - 1);
  }
  return visitFirst(op, 3, [&](Operation *copy) { cast<ReduceOp>(copy).setAxes(axes); });
}

bool RowJoiner::visitRotary(RotaryOp op) {
  if (op.getLayout() == HeadLayout::thd)
    return false;
  if (op.getLayout() != HeadLayout::bshd || !hasRows(op.getInput(), 4) || !hasRows(op.getPositions(), 2))
    return reject(op, "L3: expected tokens and positions that begin with batch and seq, found " + str(dims.of(op.getInput())));
  SmallVector<Value> operands(op->getOperands());
  operands[0] = joined(op.getInput());
  operands[1] = joined(op.getPositions());
  return rebuild(op, operands, [](Operation *copy) { cast<RotaryOp>(copy).setLayout(HeadLayout::thd); });
}

bool RowJoiner::visitReshape(ReshapeOp op) {
  const Rows *from = rowsOf(op.getInput());
  if (!from || from != rowsOf(op))
    return false;
  Value input = joined(op.getInput());
  auto shape = reshapeShape(joinedDims(op.getInput()), joinedDims(op));
  if (!input || !shape)
    return false;
  return rebuild(op, input, [&](Operation *copy) { cast<ReshapeOp>(copy).setShape(*shape); });
}

void RowJoiner::visit(Operation *op) {
  if (isPointwise(op) ? visitPointwise(op)
                      : llvm::TypeSwitch<Operation *, bool>(op)
                            .Case([&](MatmulOp matmul) { return visitMatmul(matmul); })
                            .Case<RmsNormOp, LayerNormOp, ArgmaxOp, TopKOp, QuantizeOp, RoundE4m3Op, DequantizeOp>([&](auto) { return visitFirst(op, 3); })
                            .Case<SoftmaxOp, SliceOp, PadOp, ConcatOp>([&](auto along) { return visitAlongAxis(along); })
                            .Case([&](ReduceOp reduce) { return visitReduce(reduce); })
                            .Case([&](EmbeddingOp embedding) {
                              if (!rowsOf(embedding.getIndices()))
                                return false;
                              return rebuild(op, {embedding.getTable(), joined(embedding.getIndices())});
                            })
                            .Case([&](RotaryOp rotary) { return visitRotary(rotary); })
                            .Case([&](ReshapeOp reshape) { return visitReshape(reshape); })
                            .Default([](Operation *) { return false; }))
    return;
  for (OpOperand &operand : op->getOpOperands())
    operand.set(apart(operand.get(), op));
}

void RowJoiner::run() {
  findRows();
  for (Operation &op : llvm::make_early_inc_range(function.getBody().front()))
    visit(&op);
}

struct AssignLayoutsPass : impl::AssignLayoutsPassBase<AssignLayoutsPass> {
  using AssignLayoutsPassBase::AssignLayoutsPassBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isExternal() || !function.getBody().hasOneBlock())
      return;
    Reporter reporter(getArgument(), report);
    RowJoiner(function, reporter).run();
    eraseDead(function);
    joinReshapes(function);
    eraseDead(function);
  }
};

} // namespace
} // namespace transom
