// The table of arith and math ops.
#include "compiler/interpreter/ScalarOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/StringMap.h"

#include <bit>

namespace transom::interpreter {

namespace {

using I = int64_t;
using U = uint64_t;

int bitsOf(DType dtype) { return dtype == DType::boolean ? 1 : static_cast<int>(layoutOf(dtype).bytes) * 8; }
/// The bits of an integer as an unsigned and as a signed number: a true i1 is 1 and -1.
U unsignedOf(const ScalarOp &op, Number x) { return static_cast<U>(x.i) & (~U(0) >> (64 - bitsOf(op.operand))); }
I signedOf(const ScalarOp &op, Number x) { return op.operand == DType::boolean ? -x.i : x.i; }
Number floating(double value) { return {.f = value}; }
Number integer(I value) { return {.i = value}; }

// Shorthands: functions of one, two and three floats; of two unsigned and of two signed integers.
template <auto f> Number float1(const ScalarOp &, const Number *x) { return floating(f(x[0].f)); }
template <auto f> Number float2(const ScalarOp &, const Number *x) { return floating(f(x[0].f, x[1].f)); }
template <auto f> Number unsigned2(const ScalarOp &op, const Number *x) {
  return integer(static_cast<I>(f(unsignedOf(op, x[0]), unsignedOf(op, x[1]))));
}
template <auto f> Number signed2(const ScalarOp &op, const Number *x) {
  return integer(f(signedOf(op, x[0]), signedOf(op, x[1])));
}

Number compareFloats(const ScalarOp &op, const Number *x) {
  using P = mlir::arith::CmpFPredicate;
  double a = x[0].f, b = x[1].f;
  bool unordered = std::isnan(a) || std::isnan(b);
  switch (static_cast<P>(op.predicate)) {
  case P::AlwaysFalse: return integer(0);
  case P::OEQ: return integer(a == b);
  case P::OGT: return integer(a > b);
  case P::OGE: return integer(a >= b);
  case P::OLT: return integer(a < b);
  case P::OLE: return integer(a <= b);
  case P::ONE: return integer(!unordered && a != b);
  case P::ORD: return integer(!unordered);
  case P::UEQ: return integer(unordered || a == b);
  case P::UGT: return integer(unordered || a > b);
  case P::UGE: return integer(unordered || a >= b);
  case P::ULT: return integer(unordered || a < b);
  case P::ULE: return integer(unordered || a <= b);
  case P::UNE: return integer(unordered || a != b);
  case P::UNO: return integer(unordered);
  case P::AlwaysTrue: return integer(1);
  }
  llvm_unreachable("a float predicate that is none of the sixteen");
}

Number compareIntegers(const ScalarOp &op, const Number *x) {
  using P = mlir::arith::CmpIPredicate;
  I a = signedOf(op, x[0]), b = signedOf(op, x[1]);
  U ua = unsignedOf(op, x[0]), ub = unsignedOf(op, x[1]);
  switch (static_cast<P>(op.predicate)) {
  case P::eq: return integer(a == b);
  case P::ne: return integer(a != b);
  case P::slt: return integer(a < b);
  case P::sle: return integer(a <= b);
  case P::sgt: return integer(a > b);
  case P::sge: return integer(a >= b);
  case P::ult: return integer(ua < ub);
  case P::ule: return integer(ua <= ub);
  case P::ugt: return integer(ua > ub);
  case P::uge: return integer(ua >= ub);
  }
  llvm_unreachable("an integer predicate that is none of the ten");
}

Number floatToUnsigned(const ScalarOp &op, const Number *x) {
  double limit = std::ldexp(1.0, bitsOf(op.result));
  if (std::isnan(x[0].f) || x[0].f <= 0)
    return integer(0);
  return integer(static_cast<I>(x[0].f >= limit ? ~U(0) : static_cast<U>(x[0].f)));
}

Number shiftRightSigned(const ScalarOp &op, const Number *x) {
  U by = unsignedOf(op, x[1]);
  return integer(signedOf(op, x[0]) >> std::min<U>(by, 63));
}

Number bitcast(const ScalarOp &op, const Number *x) {
  if (op.operand == DType::f32)
    return integer(std::bit_cast<int32_t>(static_cast<float>(x[0].f)));
  if (op.result == DType::f32)
    return floating(std::bit_cast<float>(static_cast<int32_t>(x[0].i)));
  return x[0]; // f64 and i64
}

Number same(const ScalarOp &, const Number *x) { return x[0]; }

U shiftLeft(U a, U b) { return b > 63 ? 0 : a << b; }
U shiftRight(U a, U b) { return b > 63 ? 0 : a >> b; }
/// Division by zero is undefined in arith; here it gives 0.
U divideUnsigned(U a, U b) { return b == 0 ? 0 : a / b; }
U remainderUnsigned(U a, U b) { return b == 0 ? 0 : a % b; }
I divideSigned(I a, I b) { return b == 0 ? 0 : b == -1 ? static_cast<I>(U(0) - static_cast<U>(a)) : a / b; }
I remainderSigned(I a, I b) { return b == 0 || b == -1 ? 0 : a % b; }

using D = double;

const llvm::StringMap<ScalarFunction> &table() {
  static const llvm::StringMap<ScalarFunction> functions = {
      {"arith.addf", float2<[](D a, D b) { return a + b; }>},
      {"arith.subf", float2<[](D a, D b) { return a - b; }>},
      {"arith.mulf", float2<[](D a, D b) { return a * b; }>},
      {"arith.divf", float2<[](D a, D b) { return a / b; }>},
      {"arith.remf", float2<[](D a, D b) { return std::fmod(a, b); }>},
      {"arith.negf", float1<[](D x) { return -x; }>},
      {"arith.maximumf", float2<maximum>},
      {"arith.minimumf", float2<minimum>},
      {"arith.maxnumf", float2<[](D a, D b) { return std::fmax(a, b); }>},
      {"arith.minnumf", float2<[](D a, D b) { return std::fmin(a, b); }>},
      {"arith.cmpf", compareFloats},
      {"arith.addi", unsigned2<[](U a, U b) { return a + b; }>},
      {"arith.subi", unsigned2<[](U a, U b) { return a - b; }>},
      {"arith.muli", unsigned2<[](U a, U b) { return a * b; }>},
      {"arith.divsi", signed2<divideSigned>},
      {"arith.remsi", signed2<remainderSigned>},
      {"arith.divui", unsigned2<divideUnsigned>},
      {"arith.remui", unsigned2<remainderUnsigned>},
      {"arith.maxsi", signed2<[](I a, I b) { return std::max(a, b); }>},
      {"arith.minsi", signed2<[](I a, I b) { return std::min(a, b); }>},
      {"arith.maxui", unsigned2<[](U a, U b) { return std::max(a, b); }>},
      {"arith.minui", unsigned2<[](U a, U b) { return std::min(a, b); }>},
      {"arith.andi", unsigned2<[](U a, U b) { return a & b; }>},
      {"arith.ori", unsigned2<[](U a, U b) { return a | b; }>},
      {"arith.xori", unsigned2<[](U a, U b) { return a ^ b; }>},
      {"arith.shli", unsigned2<shiftLeft>},
      {"arith.shrui", unsigned2<shiftRight>},
      {"arith.shrsi", shiftRightSigned},
      {"arith.cmpi", compareIntegers},
      {"arith.select", [](const ScalarOp &, const Number *x) { return x[0].i ? x[1] : x[2]; }},
      {"arith.extf", same},
      {"arith.truncf", same},
      {"arith.trunci", same},
      {"arith.extsi", [](const ScalarOp &op, const Number *x) { return integer(signedOf(op, x[0])); }},
      {"arith.extui", [](const ScalarOp &op, const Number *x) { return integer(static_cast<I>(unsignedOf(op, x[0]))); }},
      {"arith.sitofp", [](const ScalarOp &op, const Number *x) { return floating(static_cast<D>(signedOf(op, x[0]))); }},
      {"arith.uitofp", [](const ScalarOp &op, const Number *x) { return floating(static_cast<D>(unsignedOf(op, x[0]))); }},
      {"arith.fptosi", [](const ScalarOp &op, const Number *x) { return integer(toInteger(x[0].f, op.result)); }},
      {"arith.fptoui", floatToUnsigned},
      {"arith.bitcast", bitcast},
      {"math.absf", float1<[](D x) { return std::abs(x); }>},
      {"math.absi", [](const ScalarOp &op, const Number *x) { return integer(signedOf(op, x[0]) < 0 ? -x[0].i : x[0].i); }},
      {"math.acos", float1<[](D x) { return std::acos(x); }>},
      {"math.asin", float1<[](D x) { return std::asin(x); }>},
      {"math.atan", float1<[](D x) { return std::atan(x); }>},
      {"math.atan2", float2<[](D a, D b) { return std::atan2(a, b); }>},
      {"math.cbrt", float1<[](D x) { return std::cbrt(x); }>},
      {"math.ceil", float1<[](D x) { return std::ceil(x); }>},
      {"math.copysign", float2<[](D a, D b) { return std::copysign(a, b); }>},
      {"math.cos", float1<[](D x) { return std::cos(x); }>},
      {"math.cosh", float1<[](D x) { return std::cosh(x); }>},
      {"math.erf", float1<[](D x) { return std::erf(x); }>},
      {"math.exp", float1<[](D x) { return std::exp(x); }>},
      {"math.exp2", float1<[](D x) { return std::exp2(x); }>},
      {"math.expm1", float1<[](D x) { return std::expm1(x); }>},
      {"math.floor", float1<[](D x) { return std::floor(x); }>},
      {"math.fma", [](const ScalarOp &, const Number *x) { return floating(std::fma(x[0].f, x[1].f, x[2].f)); }},
      {"math.log", float1<[](D x) { return std::log(x); }>},
      {"math.log10", float1<[](D x) { return std::log10(x); }>},
      {"math.log1p", float1<[](D x) { return std::log1p(x); }>},
      {"math.log2", float1<[](D x) { return std::log2(x); }>},
      {"math.powf", float2<[](D a, D b) { return std::pow(a, b); }>},
      {"math.round", float1<[](D x) { return std::round(x); }>},
      {"math.roundeven", float1<[](D x) { return std::nearbyint(x); }>},
      {"math.rsqrt", float1<[](D x) { return 1 / std::sqrt(x); }>},
      {"math.sin", float1<[](D x) { return std::sin(x); }>},
      {"math.sinh", float1<[](D x) { return std::sinh(x); }>},
      {"math.sqrt", float1<[](D x) { return std::sqrt(x); }>},
      {"math.tan", float1<[](D x) { return std::tan(x); }>},
      {"math.tanh", float1<[](D x) { return std::tanh(x); }>},
      {"math.trunc", float1<[](D x) { return std::trunc(x); }>},
  };
  return functions;
}

} // namespace

ScalarFunction scalarFunction(llvm::StringRef name) { return table().lookup(name); }

} // namespace transom::interpreter
