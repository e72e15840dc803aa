// Scalar functions of generated regions whose meaning C++ operators do not give: extrema with NaN and signed zeros, integers
// that wrap, division that never traps (ir/Elementwise.td).
#pragma once

#include "Base.cuh"

namespace transom::cuda {

/// The larger, NaN if either is, +0 above -0.
DEVICE float largerOf(float a, float b) {
  if (a == b)
    return __uint_as_float(__float_as_uint(a) & __float_as_uint(b));
  return a > b || a != a ? a : b;
}
DEVICE float smallerOf(float a, float b) {
  if (a == b)
    return __uint_as_float(__float_as_uint(a) | __float_as_uint(b));
  return a < b || a != a ? a : b;
}
DEVICE double largerOf(double a, double b) { return a > b || a != a ? a : a == b ? a + 0.0 : b; }
DEVICE double smallerOf(double a, double b) { return a < b || a != a ? a : b; }

DEVICE int wrapAdd(int a, int b) { return (int)((uint32)a + (uint32)b); }
DEVICE int wrapSub(int a, int b) { return (int)((uint32)a - (uint32)b); }
DEVICE int wrapMul(int a, int b) { return (int)((uint32)a * (uint32)b); }
DEVICE int64 wrapAdd(int64 a, int64 b) { return (int64)((uint64)a + (uint64)b); }
DEVICE int64 wrapSub(int64 a, int64 b) { return (int64)((uint64)a - (uint64)b); }
DEVICE int64 wrapMul(int64 a, int64 b) { return (int64)((uint64)a * (uint64)b); }
DEVICE bool wrapAdd(bool a, bool b) { return a != b; }

/// Towards zero; x / 0 and x mod 0 are 0; the smallest number over -1 wraps.
template <class T> DEVICE T divideOf(T a, T b) { return b == 0 ? 0 : b == -1 ? wrapSub((T)0, a) : a / b; }
template <class T> DEVICE T remainderOf(T a, T b) { return b == 0 || b == -1 ? 0 : a % b; }

} // namespace transom::cuda
