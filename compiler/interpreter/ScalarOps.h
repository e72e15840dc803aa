// arith and math ops on one element, for fused regions. Private to this folder.
#pragma once

#include "compiler/interpreter/Tensor.h"

#include "llvm/ADT/StringRef.h"

#include <cmath>

namespace transom::interpreter {

/// A float, or an integer sign-extended (i1: 0 or 1), whichever its type says.
union Number {
  double f;
  int64_t i;
};

/// What an op knows beside its operands.
struct ScalarOp {
  DType operand; ///< of operand 0
  DType result;
  int64_t predicate; ///< of cmpf and cmpi: the value of the dialect's enumerator
};

/// Computes the result, not yet rounded or wrapped to its type.
using ScalarFunction = Number (*)(const ScalarOp &op, const Number *x);

/// The function of an op by name, such as "arith.addf"; null if there is none.
ScalarFunction scalarFunction(llvm::StringRef name);

/// Towards zero, saturating at the limits of the signed type `to`, NaN to 0.
inline int64_t toInteger(double number, DType to) {
  if (std::isnan(number))
    return 0;
  int bits = static_cast<int>(layoutOf(to).bytes) * 8;
  double limit = std::ldexp(1.0, bits - 1);
  if (number >= limit)
    return static_cast<int64_t>((uint64_t(1) << (bits - 1)) - 1);
  return number < -limit ? static_cast<int64_t>(~uint64_t(0) << (bits - 1)) : static_cast<int64_t>(number);
}

/// The larger and the smaller; NaN if either is.
inline double maximum(double a, double b) { return std::isnan(a) || std::isnan(b) ? NAN : std::max(a, b); }
inline double minimum(double a, double b) { return std::isnan(a) || std::isnan(b) ? NAN : std::min(a, b); }

} // namespace transom::interpreter
