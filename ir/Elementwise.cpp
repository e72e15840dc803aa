// Elementwise ops: scalar forms of more than one op, folders, element types.
#include "ir/Transom.h"

#include "mlir/Dialect/CommonFolders.h"

using namespace mlir;
using llvm::APFloat;
using llvm::APInt;

namespace transom {

Type CompareOp::inferElement(Adaptor adaptor, unsigned) { return IntegerType::get(adaptor.getLhs().getContext(), 1); }
Type SelectOp::inferElement(Adaptor adaptor, unsigned) { return elementOf(adaptor.getLhs().getType()); }
Type CastOp::inferElement(Adaptor adaptor, unsigned) { return adaptor.getTo(); }

LogicalResult SelectOp::verify() {
  if (elementOf(getLhs().getType()) != elementOf(getRhs().getType()))
    return emitOpError("C2: choices have different element types ")
           << elementOf(getLhs().getType()) << " and " << elementOf(getRhs().getType());
  return success();
}

LogicalResult CastOp::verify() {
  return isScalar(getTo()) ? success() : LogicalResult(emitOpError("casts to floats and integers, not to ") << getTo());
}

//===-- Folders: only what is exact and small ----------------------------------------------------------------------===//

/// Folds a binary op on constants of one shape; larger ones stay as recipes of the artifact.
static constexpr int64_t foldLimit = 4096;

static OpFoldResult foldBinary(ArrayRef<Attribute> operands, Type result, llvm::function_ref<APFloat(APFloat, APFloat)> floats,
                               llvm::function_ref<APInt(APInt, APInt)> integers) {
  auto lhs = dyn_cast_or_null<DenseElementsAttr>(operands[0]), rhs = dyn_cast_or_null<DenseElementsAttr>(operands[1]);
  if (!lhs || !rhs || lhs.getNumElements() > foldLimit || lhs.getType() != result || rhs.getType() != result)
    return {};
  if (isa<FloatType>(lhs.getElementType()))
    return constFoldBinaryOp<FloatAttr>(operands, result, [&](const APFloat &a, const APFloat &b) { return floats(a, b); });
  if (integers)
    return constFoldBinaryOp<IntegerAttr>(operands, result, [&](const APInt &a, const APInt &b) { return integers(a, b); });
  return {};
}

/// Whether a constant holds `value` everywhere.
static bool isSplat(Attribute attribute, double value) {
  auto elements = dyn_cast_or_null<SplatElementsAttr>(attribute);
  if (!elements)
    return false;
  if (isa<FloatType>(elements.getElementType())) {
    APFloat number = elements.getSplatValue<APFloat>();
    return number.convertToDouble() == value && !number.isNegZero();
  }
  return elements.getSplatValue<APInt>().getSExtValue() == static_cast<int64_t>(value);
}

/// `x op identity` is x, where broadcasting does not widen it: equal types with sizes `?` do not tell.
static Value identity(Value x, Attribute other, double value, Type result) {
  if (!isSplat(other, value) || x.getType() != result)
    return {};
  bool keepsSizes = cast<ShapedType>(result).hasStaticShape() || cast<ElementsAttr>(other).getNumElements() == 1;
  return keepsSizes ? x : Value();
}

OpFoldResult AddOp::fold(FoldAdaptor adaptor) {
  // x + 0.0 is not folded for floats: it turns -0.0 into 0.0.
  if (isa<IntegerType>(elementOf(getType())))
    if (Value x = identity(getLhs(), adaptor.getRhs(), 0, getType()))
      return x;
  return foldBinary(adaptor.getOperands(), getType(), std::plus<APFloat>(), std::plus<APInt>());
}
OpFoldResult SubOp::fold(FoldAdaptor adaptor) {
  if (Value x = identity(getLhs(), adaptor.getRhs(), 0, getType()))
    return x;
  return foldBinary(adaptor.getOperands(), getType(), std::minus<APFloat>(), std::minus<APInt>());
}
OpFoldResult MulOp::fold(FoldAdaptor adaptor) {
  if (Value x = identity(getLhs(), adaptor.getRhs(), 1, getType()))
    return x;
  if (Value x = identity(getRhs(), adaptor.getLhs(), 1, getType()))
    return x;
  return foldBinary(adaptor.getOperands(), getType(), std::multiplies<APFloat>(), std::multiplies<APInt>());
}
OpFoldResult DivOp::fold(FoldAdaptor adaptor) {
  if (Value x = identity(getLhs(), adaptor.getRhs(), 1, getType()))
    return x;
  return foldBinary(adaptor.getOperands(), getType(), std::divides<APFloat>(), nullptr);
}
OpFoldResult MaxOp::fold(FoldAdaptor adaptor) {
  return foldBinary(adaptor.getOperands(), getType(), [](APFloat a, APFloat b) { return llvm::maximum(a, b); },
                    [](APInt a, APInt b) { return a.getBitWidth() == 1 ? a | b : llvm::APIntOps::smax(a, b); });
}
OpFoldResult MinOp::fold(FoldAdaptor adaptor) {
  return foldBinary(adaptor.getOperands(), getType(), [](APFloat a, APFloat b) { return llvm::minimum(a, b); },
                    [](APInt a, APInt b) { return a.getBitWidth() == 1 ? a & b : llvm::APIntOps::smin(a, b); });
}
OpFoldResult CastOp::fold(FoldAdaptor) { return getInput().getType() == getType() ? getInput() : OpFoldResult(); }

//===-- Scalar forms -----------------------------------------------------------------------------------------------===//

namespace detail {

static Value number(OpBuilder &b, Location loc, Type type, double value) {
  return b.create<arith::ConstantOp>(loc, type, isa<FloatType>(type) ? cast<TypedAttr>(b.getFloatAttr(type, value))
                                                                    : b.getIntegerAttr(type, static_cast<int64_t>(value)));
}

Value emitRsqrt(OpBuilder &b, Location loc, Value x) {
  return b.create<arith::DivFOp>(loc, number(b, loc, x.getType(), 1.0), b.create<math::SqrtOp>(loc, x));
}
Value emitRelu(OpBuilder &b, Location loc, Value x) {
  return b.create<arith::MaximumFOp>(loc, x, number(b, loc, x.getType(), 0.0));
}
Value emitSigmoid(OpBuilder &b, Location loc, Value x) {
  Value one = number(b, loc, x.getType(), 1.0);
  Value power = b.create<math::ExpOp>(loc, b.create<arith::NegFOp>(loc, x));
  return b.create<arith::DivFOp>(loc, one, b.create<arith::AddFOp>(loc, one, power));
}
Value emitSilu(OpBuilder &b, Location loc, Value x) {
  Value one = number(b, loc, x.getType(), 1.0);
  Value power = b.create<math::ExpOp>(loc, b.create<arith::NegFOp>(loc, x));
  return b.create<arith::DivFOp>(loc, x, b.create<arith::AddFOp>(loc, one, power));
}
Value emitGelu(OpBuilder &b, Location loc, Value x, GeluForm form) {
  Type type = x.getType();
  auto constant = [&](double value) { return number(b, loc, type, value); };
  Value inner;
  if (form == GeluForm::erf) {
    inner = b.create<math::ErfOp>(loc, b.create<arith::MulFOp>(loc, x, constant(0.70710678118654752440)));
  } else {
    // tanh(sqrt(2/pi) * (x + 0.044715 x^3))
    Value square = b.create<arith::MulFOp>(loc, x, x);
    Value factor = b.create<arith::AddFOp>(loc, b.create<arith::MulFOp>(loc, square, constant(0.044715)), constant(1.0));
    Value scaled = b.create<arith::MulFOp>(loc, x, constant(0.79788456080286535588));
    inner = b.create<math::TanhOp>(loc, b.create<arith::MulFOp>(loc, scaled, factor));
  }
  Value half = b.create<arith::MulFOp>(loc, x, constant(0.5));
  return b.create<arith::MulFOp>(loc, half, b.create<arith::AddFOp>(loc, inner, constant(1.0)));
}

template <typename FloatForm, typename IntegerForm>
static Value emitBinary(OpBuilder &b, Location loc, ValueRange x) {
  if (isa<FloatType>(x[0].getType()))
    return b.create<FloatForm>(loc, x[0], x[1]);
  return b.create<IntegerForm>(loc, x[0], x[1]);
}
Value emitAdd(OpBuilder &b, Location loc, ValueRange x) { return emitBinary<arith::AddFOp, arith::AddIOp>(b, loc, x); }
Value emitSub(OpBuilder &b, Location loc, ValueRange x) { return emitBinary<arith::SubFOp, arith::SubIOp>(b, loc, x); }
Value emitMul(OpBuilder &b, Location loc, ValueRange x) { return emitBinary<arith::MulFOp, arith::MulIOp>(b, loc, x); }
// As a signed number a true i1 is -1; false counts as less than true here.
Value emitMax(OpBuilder &b, Location loc, ValueRange x) {
  if (x[0].getType().isInteger(1))
    return b.create<arith::OrIOp>(loc, x[0], x[1]);
  return emitBinary<arith::MaximumFOp, arith::MaxSIOp>(b, loc, x);
}
Value emitMin(OpBuilder &b, Location loc, ValueRange x) {
  if (x[0].getType().isInteger(1))
    return b.create<arith::AndIOp>(loc, x[0], x[1]);
  return emitBinary<arith::MinimumFOp, arith::MinSIOp>(b, loc, x);
}

Value emitDiv(OpBuilder &b, Location loc, ValueRange x) {
  if (isa<FloatType>(x[0].getType()))
    return b.create<arith::DivFOp>(loc, x[0], x[1]);
  // A zero divisor becomes 1 and the quotient 0; a divisor of -1 negates, so that the smallest number cannot trap.
  Type type = x[0].getType();
  Value zero = number(b, loc, type, 0), one = number(b, loc, type, 1), minusOne = number(b, loc, type, -1);
  Value isZero = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, x[1], zero);
  Value isMinusOne = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, x[1], minusOne);
  Value special = b.create<arith::OrIOp>(loc, isZero, isMinusOne);
  Value safe = b.create<arith::SelectOp>(loc, special, one, x[1]);
  Value quotient = b.create<arith::DivSIOp>(loc, x[0], safe);
  quotient = b.create<arith::SelectOp>(loc, isMinusOne, b.create<arith::SubIOp>(loc, zero, x[0]), quotient);
  return b.create<arith::SelectOp>(loc, isZero, zero, quotient);
}

Value emitCompare(OpBuilder &b, Location loc, ComparePredicate predicate, ValueRange x) {
  using arith::CmpFPredicate, arith::CmpIPredicate;
  static constexpr CmpFPredicate floats[] = {CmpFPredicate::OEQ, CmpFPredicate::UNE, CmpFPredicate::OLT,
                                             CmpFPredicate::OLE, CmpFPredicate::OGT, CmpFPredicate::OGE};
  static constexpr CmpIPredicate integers[] = {CmpIPredicate::eq,  CmpIPredicate::ne,  CmpIPredicate::slt,
                                               CmpIPredicate::sle, CmpIPredicate::sgt, CmpIPredicate::sge};
  if (isa<FloatType>(x[0].getType()))
    return b.create<arith::CmpFOp>(loc, floats[static_cast<int>(predicate)], x[0], x[1]);
  static constexpr CmpIPredicate booleans[] = {CmpIPredicate::eq,  CmpIPredicate::ne,  CmpIPredicate::ult,
                                               CmpIPredicate::ule, CmpIPredicate::ugt, CmpIPredicate::uge};
  auto &table = x[0].getType().isInteger(1) ? booleans : integers;
  return b.create<arith::CmpIOp>(loc, table[static_cast<int>(predicate)], x[0], x[1]);
}

/// Float to integer: towards zero, saturating, NaN to 0.
static Value emitFloatToInteger(OpBuilder &b, Location loc, Value x, IntegerType to) {
  Type from = x.getType();
  if (from.getIntOrFloatBitWidth() < 32)
    x = b.create<arith::ExtFOp>(loc, from = b.getF32Type(), x);
  // Largest float below 2^(width-1): representable in both types, so the conversion is defined.
  auto &semantics = cast<FloatType>(from).getFloatSemantics();
  APFloat low(semantics), high(semantics);
  low.convertFromAPInt(APInt::getSignedMinValue(to.getWidth()), true, APFloat::rmTowardZero);
  high.convertFromAPInt(APInt::getSignedMaxValue(to.getWidth()), true, APFloat::rmTowardZero);
  auto constant = [&](const APFloat &value) { return b.create<arith::ConstantOp>(loc, b.getFloatAttr(from, value)); };
  Value isNumber = b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::ORD, x, x);
  Value safe = b.create<arith::SelectOp>(loc, isNumber, x, constant(APFloat::getZero(semantics)));
  Value clamped = b.create<arith::MinimumFOp>(loc, b.create<arith::MaximumFOp>(loc, safe, constant(low)), constant(high));
  Value integer = b.create<arith::FPToSIOp>(loc, to, clamped);
  Value above = b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::OGT, safe, constant(high));
  Value top = b.create<arith::ConstantOp>(loc, b.getIntegerAttr(to, APInt::getSignedMaxValue(to.getWidth())));
  return b.create<arith::SelectOp>(loc, above, top, integer);
}

Value emitCast(OpBuilder &b, Location loc, Value x, Type to) {
  Type from = x.getType();
  if (from == to)
    return x;
  bool fromFloat = isa<FloatType>(from), toFloat = isa<FloatType>(to);
  unsigned fromWidth = from.getIntOrFloatBitWidth(), toWidth = to.getIntOrFloatBitWidth();
  if (to.isInteger(1)) {
    Value zero = number(b, loc, from, 0);
    return fromFloat ? b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::UNE, x, zero).getResult()
                     : b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ne, x, zero).getResult();
  }
  if (fromFloat && toFloat) {
    // f16 and bf16 have no conversion of their own.
    if (fromWidth == toWidth)
      return b.create<arith::TruncFOp>(loc, to, b.create<arith::ExtFOp>(loc, b.getF32Type(), x));
    return fromWidth < toWidth ? b.create<arith::ExtFOp>(loc, to, x).getResult() : b.create<arith::TruncFOp>(loc, to, x).getResult();
  }
  if (fromFloat)
    return emitFloatToInteger(b, loc, x, cast<IntegerType>(to));
  bool boolean = from.isInteger(1);
  if (toFloat)
    return boolean ? b.create<arith::UIToFPOp>(loc, to, x).getResult() : b.create<arith::SIToFPOp>(loc, to, x).getResult();
  if (fromWidth > toWidth)
    return b.create<arith::TruncIOp>(loc, to, x);
  return boolean ? b.create<arith::ExtUIOp>(loc, to, x).getResult() : b.create<arith::ExtSIOp>(loc, to, x).getResult();
}

} // namespace detail
} // namespace transom
