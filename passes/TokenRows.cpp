// See TokenRows.h.
#include "passes/TokenRows.h"

#include "passes/FusedRegion.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

using Readings = std::optional<SmallVector<Reading>>;

/// Whether what tokens share, behind `leading` dimensions, can be looked up for each of them: numbers of floats like
/// rows of a table, others only one by one.
static bool canLookUp(Value value, const Dims &dims, size_t leading) {
  bool one = true, fixed = true;
  for (const DimExpr &dim : llvm::ArrayRef(dims).drop_front(leading)) {
    one &= dim == DimExpr(1);
    fixed &= dim.constant().has_value();
  }
  return isa<FloatType>(elementOf(value.getType())) ? fixed : one;
}

/// How an operand that broadcasts to [batch, seq, ...] of `rank` is read.
static std::optional<Reading> broadcastReading(Value value, const Dims &operand, size_t rank, const TokenSpace &space) {
  const DimExpr one(1);
  if (operand.size() + 2 <= rank)
    return Reading::whole;
  if (operand.size() + 1 == rank) {
    if (operand[0] == one)
      return Reading::whole;
    return operand[0] == space.seq && canLookUp(value, operand, 1) ? std::optional(Reading::place) : std::nullopt;
  }
  if (operand.size() != rank)
    return std::nullopt;
  if (space.holds(operand))
    return Reading::token;
  if (operand[0] == one && operand[1] == one) {
    // Its packed form is a reshape, which infers one size.
    bool oneOpen = llvm::count_if(operand, [](const DimExpr &dim) { return !dim.constant(); }) <= 1;
    return oneOpen ? std::optional(Reading::whole) : std::nullopt;
  }
  if (!canLookUp(value, operand, 2))
    return std::nullopt;
  if (operand[0] == one && operand[1] == space.seq)
    return Reading::place;
  return operand[0] == space.batch && operand[1] == one ? std::optional(Reading::row) : std::nullopt;
}

static Readings pointwiseReadings(Operation *op, const TokenSpace &space, const DimAnalysis &dims) {
  SmallVector<Reading> readings;
  for (Value operand : op->getOperands()) {
    std::optional<Reading> reading = broadcastReading(operand, dims.of(operand), dims.of(op->getResult(0)).size(), space);
    if (!reading)
      return std::nullopt;
    readings.push_back(*reading);
  }
  return readings;
}

Readings readingsOf(Operation *op, const TokenSpace &space, const DimAnalysis &dims) {
  if (op->getNumResults() == 0)
    return std::nullopt;
  for (Value result : op->getResults())
    if (!isa<RankedTensorType>(result.getType()) || !space.holds(dims.of(result)))
      return std::nullopt;
  size_t rank = dims.of(op->getResult(0)).size();
  auto holds = [&](Value value, size_t least = 2) { return dims.of(value).size() >= least && space.holds(dims.of(value)); };
  /// Operand 0 token by token, the others whole.
  auto first = [&](bool fits) -> Readings {
    if (!fits)
      return std::nullopt;
    SmallVector<Reading> readings(op->getNumOperands(), Reading::whole);
    readings[0] = Reading::token;
    return readings;
  };
  return llvm::TypeSwitch<Operation *, Readings>(op)
      .Case([&](FusedOp fused) { return !fused.getReduce() || rank >= 3 ? pointwiseReadings(op, space, dims) : Readings(); })
      .Case([&](MatmulOp matmul) { return first(holds(matmul.getLhs(), 3) && matmul.getRhs().getType().getRank() == 2); })
      .Case<RmsNormOp, LayerNormOp, QuantizeOp, RoundE4m3Op, DequantizeOp, TopKOp>([&](auto) { return first(holds(op->getOperand(0), 3)); })
      .Case([&](ArgmaxOp) { return first(holds(op->getOperand(0), 3)); })
      .Case([&](EmbeddingOp) { return Readings(SmallVector<Reading>{Reading::whole, Reading::token}); })
      .Case([&](SoftmaxOp softmax) { return first(softmax.getAxis() >= 2); })
      .Case([&](ReduceOp reduce) {
        return first(holds(op->getOperand(0)) && llvm::all_of(reduce.getAxes(), [](int64_t axis) { return axis >= 2; }));
      })
      .Case<SliceOp, PadOp>([&](auto cut) { return first(cut.getAxis() >= 2); })
      .Case([&](ConcatOp concat) {
        return concat.getAxis() >= 2 ? Readings(SmallVector<Reading>(op->getNumOperands(), Reading::token)) : Readings();
      })
      .Case([&](TransposeOp transpose) { return first(transpose.getPermutation()[0] == 0 && transpose.getPermutation()[1] == 1); })
      .Case([&](ReshapeOp) { return first(holds(op->getOperand(0))); })
      .Case([&](RotaryOp rotary) {
        if (rotary.getLayout() != HeadLayout::bshd)
          return Readings();
        SmallVector<Reading> readings(op->getNumOperands(), Reading::whole);
        readings[0] = readings[1] = Reading::token;
        return Readings(readings);
      })
      .Case([&](BroadcastOp broadcast) {
        std::optional<Reading> reading = broadcastReading(broadcast.getInput(), dims.of(broadcast.getInput()), rank, space);
        return reading && holds(broadcast.getLike()) ? Readings(SmallVector<Reading>{*reading, Reading::token}) : Readings();
      })
      .Default([&](Operation *) { return isa<ScalarOp>(op) ? pointwiseReadings(op, space, dims) : Readings(); });
}

//===-- Numbers at padding ------------------------------------------------------------------------------------------===//

static bool isZero(TypedAttr number) {
  if (auto floating = dyn_cast_or_null<FloatAttr>(number))
    return floating.getValue().isZero();
  auto integer = dyn_cast_or_null<IntegerAttr>(number);
  return integer && integer.getValue().isZero();
}

/// Whether `a predicate b` is false, of numbers whose order is known.
static bool isFalse(ComparePredicate predicate, TypedAttr a, TypedAttr b) {
  int order;
  if (auto left = dyn_cast<FloatAttr>(a), right = dyn_cast<FloatAttr>(b); left && right) {
    if (left.getValue().isNaN() || right.getValue().isNaN())
      return false;
    auto compared = left.getValue().compare(right.getValue());
    order = compared == APFloat::cmpLessThan ? -1 : compared == APFloat::cmpGreaterThan ? 1 : 0;
  } else if (auto left = dyn_cast<IntegerAttr>(a), right = dyn_cast<IntegerAttr>(b); left && right && !left.getType().isInteger(1)) {
    order = left.getInt() < right.getInt() ? -1 : left.getInt() > right.getInt() ? 1 : 0;
  } else {
    return false;
  }
  switch (predicate) {
  case ComparePredicate::eq: return order != 0;
  case ComparePredicate::ne: return order == 0;
  case ComparePredicate::lt: return order >= 0;
  case ComparePredicate::le: return order > 0;
  case ComparePredicate::gt: return order <= 0;
  case ComparePredicate::ge: return order < 0;
  }
  llvm_unreachable("a predicate without a meaning");
}

/// `steps`: how far up to look, so that graphs whose ops read each other many times over cost nothing.
static TypedAttr numberAtPadding(Value value, const TokenSpace &space, const DimAnalysis &dims, int steps) {
  Type element = elementOf(value.getType());
  if (TypedAttr constant = splatOf(value))
    return constant;
  auto zero = [&]() -> TypedAttr { return Builder(value.getContext()).getZeroAttr(element); };
  if (!space.lengths && value == space.rows)
    return zero();
  Operation *op = value.getDefiningOp();
  if (steps == 0 || !op || !readingsOf(op, space, dims))
    return {};
  auto of = [&](Value operand) { return numberAtPadding(operand, space, dims, steps - 1); };
  if (isa<ReshapeOp, BroadcastOp>(op))
    return of(op->getOperand(0));
  if (isa<CastOp>(op))
    return isZero(of(op->getOperand(0))) ? zero() : TypedAttr();
  if (isa<MulOp>(op))
    return isZero(of(op->getOperand(0))) || isZero(of(op->getOperand(1))) ? zero() : TypedAttr();
  if (auto compare = dyn_cast<CompareOp>(op)) {
    TypedAttr a = of(compare.getLhs()), b = of(compare.getRhs());
    return a && b && isFalse(compare.getPredicate(), a, b) ? zero() : TypedAttr();
  }
  if (auto select = dyn_cast<SelectOp>(op))
    return isZero(of(select.getCondition())) ? of(select.getRhs()) : TypedAttr();
  return {};
}

TypedAttr numberAtPadding(Value value, const TokenSpace &space, const DimAnalysis &dims) {
  return numberAtPadding(value, space, dims, /*steps=*/8);
}

} // namespace transom
