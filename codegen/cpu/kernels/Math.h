// Vector exp, log, tanh, erf, sin, cos, pow: fp32, within 2 to 4 units in the last place, IEEE on NaN, infinities and
// zeros. Coefficients are least-squares fits, reweighted towards the smallest largest error, over the stated ranges.
#pragma once

#include "Vector.h"

namespace transom::kernels {

/// c[0] + c[1] x + c[2] x^2 + ...
template <typename V, typename T, int n> INLINE V polynomial(V x, const T (&c)[n]) {
  V r = (V)(c[n - 1]);
  UNROLL
  for (int i = n - 2; i >= 0; --i)
    r = __builtin_elementwise_fma(r, x, (V)(c[i]));
  return r;
}

/// 2^n for integers n in [-126, 127].
INLINE F32 powerOfTwo(I32 n) { return (F32)((n + 127) << 23); }

INLINE F32 expV(F32 x) {
  // Beyond these the result is 0 or infinite whatever x is; a NaN passes through both comparisons.
  x = x > 89.0f ? (F32)(89.0f) : x;
  x = x < -105.0f ? (F32)(-105.0f) : x;
  F32 n = __builtin_elementwise_roundeven(x * 1.44269504f);
  F32 r = fma(n, (F32)(-0.693359375f), x); // ln 2 in two parts (Cody and Waite)
  r = fma(n, (F32)(2.12194440e-4f), r);
  const float c[] = {0.5f, 1.666651219e-01f, 4.166618735e-02f, 8.369597606e-03f, 1.395174069e-03f};
  F32 e = fma(polynomial(r, c), r * r, r) + 1.0f;
  // Two steps, so that neither power leaves the range where the result is denormal or infinite.
  I32 whole = __builtin_convertvector(n, I32), first = whole >> 1;
  return e * powerOfTwo(first) * powerOfTwo(whole - first);
}

INLINE F32 logV(F32 x) {
  F32 scaled = x < 0x1p-126f ? x * 0x1p32f : x; // denormals
  I32 bits = (I32)scaled - 0x3f3504f3;           // sqrt(1/2): the mantissa goes to [sqrt(1/2), sqrt(2))
  I32 exponent = (bits >> 23) - (x < 0x1p-126f ? (I32)(32) : (I32)(0));
  F32 f = (F32)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f, n = __builtin_convertvector(exponent, F32);
  const float c[] = {3.333331347e-01f,  -2.500000894e-01f, 2.000211924e-01f,  -1.666799635e-01f, 1.421955228e-01f,
                     -1.240559146e-01f, 1.188817322e-01f,  -1.167563275e-01f, 6.746583432e-02f};
  F32 square = f * f, tail = fma(polynomial(f, c) * f, square, n * -2.12194440e-4f);
  F32 r = fma(n, (F32)(0.693359375f), f + fma(square, (F32)(-0.5f), tail));
  r = x == 0.0f ? (F32)(-infinity) : r;
  r = x == infinity ? (F32)(infinity) : r;
  return ((x < 0.0f) | (x != x)) ? (F32)(__builtin_nanf("")) : r;
}

INLINE F32 copySign(F32 magnitude, F32 sign) {
  return (F32)(((U32)magnitude & 0x7fffffffu) | ((U32)sign & 0x80000000u));
}

INLINE F32 tanhV(F32 x) {
  F32 a = __builtin_elementwise_abs(x), z = x * x;
  const float c[] = {-3.333333135e-01f, 1.333321035e-01f,  -5.394720286e-02f,
                     2.170296945e-02f,  -8.182676509e-03f, 2.147539519e-03f}; // |x| <= 0.625
  F32 small = copySign(fma(polynomial(z, c) * z, x, x), x); // keeps -0.0
  F32 large = copySign(1.0f - 2.0f / (expV(a + a) + 1.0f), x);
  return a < 0.625f ? small : large;
}

INLINE F32 erfV(F32 x) {
  F32 a = __builtin_elementwise_abs(x), z = x * x;
  const float small[] = {1.283791661e-01f, -3.761263490e-01f, 1.128369421e-01f, -2.685927041e-02f,
                         5.200634245e-03f, -8.137436234e-04f, 8.345219248e-05f}; // |x| <= 0.93
  const float large[] = {1.604298159e-04f, -1.129434228e+00f, -6.335430741e-01f, -1.080125123e-01f, 2.489569038e-02f,
                         -4.053708166e-03f, 3.967756929e-04f, -1.432382942e-05f, -5.209208211e-07f}; // log erfc to 4
  F32 near = fma(polynomial(z, small), x, x);
  F32 far = copySign(1.0f - expV(polynomial(a > 4.0f ? (F32)(4.0f) : a, large)), x);
  return a < 0.925f ? near : (x != x ? x : far);
}

using F64Half = Vec<double, lanes / 2>;
struct SinCos { F32 sine, cosine; };
/// Of angles in fp64: the argument is reduced there, so angles up to 2^50 keep their accuracy.
INLINE SinCos sinCos(F64 angle) {
  F64 n = __builtin_elementwise_roundeven(angle * 0.63661977236758134308);
  F64 r = __builtin_elementwise_fma(n, (F64)(-1.5707963267948965580), angle); // pi/2 in two parts
  r = __builtin_elementwise_fma(n, (F64)(-6.123233995736766036e-17), r);
  F32 x = __builtin_convertvector(r, F32);
  x = x > 1.0f ? (F32)(1.0f) : (x < -1.0f ? (F32)(-1.0f) : x); // angles beyond 2^50 stay bounded
  F32 z = x * x;
  const float s[] = {-1.666666716e-01f, 8.333329111e-03f, -1.983925613e-04f, 2.717561529e-06f};
  const float c[] = {4.166666791e-02f, -1.388888340e-03f, 2.479943578e-05f, -2.720326222e-07f};
  F32 sine = fma(polynomial(z, s) * z, x, x);
  F32 cosine = fma(polynomial(z, c) * z, z, fma(z, (F32)(-0.5f), (F32)(1.0f)));
  F64 quarter = n - 4.0 * __builtin_elementwise_floor(n * 0.25);
  I32 q = __builtin_convertvector(__builtin_convertvector(quarter, F32), I32);
  F32 first = (q & 1) != 0 ? cosine : sine, second = (q & 1) != 0 ? sine : cosine;
  U32 sineSign = (U32)(q & 2) << 30, cosineSign = (U32)((q + 1) & 2) << 30;
  return {(F32)((U32)first ^ sineSign), (F32)((U32)second ^ cosineSign)};
}
INLINE F32 sinV(F32 x) {
  F32 sine = sinCos(__builtin_convertvector(x, F64)).sine;
  return x == 0.0f ? x : sine; // keeps -0.0
}
INLINE F32 cosV(F32 x) { return sinCos(__builtin_convertvector(x, F64)).cosine; }

/// log2 of positive finite fp32 values, to about 1e-15.
INLINE F64 log2Wide(F32 x) {
  F32 scaled = x < 0x1p-126f ? x * 0x1p32f : x;
  I32 bits = (I32)scaled - 0x3f3504f3, exponent = (bits >> 23) - (x < 0x1p-126f ? (I32)(32) : (I32)(0));
  F64 m = __builtin_convertvector((F32)((bits & 0x7fffff) + 0x3f3504f3), F64), s = (m - 1.0) / (m + 1.0);
  const double c[] = {2.88539008177792722e+00, 9.61796693924322099e-01, 5.77078017251526076e-01, 4.12198401258676461e-01,
                      3.20616442229583132e-01, 2.61442544587897396e-01, 2.42936194285456292e-01};
  return __builtin_elementwise_fma(polynomial(s * s, c), s, __builtin_convertvector(exponent, F64));
}
/// 2^x rounded to fp32.
INLINE F32 exp2Narrow(F64 x) {
  x = x > 200.0 ? (F64)(200.0) : x;
  x = x < -200.0 ? (F64)(-200.0) : x;
  F64 n = __builtin_elementwise_roundeven(x), r = x - n;
  const double c[] = {1.00000000000001488e+00, 6.93147180559954834e-01, 2.40226506956179475e-01, 5.55041086641894638e-02,
                      9.61812919925317082e-03, 1.33335582673158341e-03, 1.54034298205914548e-04, 1.52526374729863519e-05,
                      1.32605345662925001e-06, 1.02122038163684086e-07};
  using I64 = Vec<int64_t, lanes>;
  I64 exponent = __builtin_convertvector(__builtin_convertvector(n, I32), I64);
  return __builtin_convertvector(polynomial(r, c) * (F64)((exponent + 1023) << 52), F32);
}

/// C's pow: special cases as IEEE 754-2019 lists them.
INLINE F32 powV(F32 a, F32 b) {
  F32 size = __builtin_elementwise_abs(a);
  F32 r = exp2Narrow(log2Wide(size) * __builtin_convertvector(b, F64));
  F32 limit = b < 0.0f ? (F32)(infinity) : (F32)(0.0f), unlimited = b < 0.0f ? (F32)(0.0f) : (F32)(infinity);
  r = size == 0.0f ? limit : (size == infinity ? unlimited : r);
  F32 exponentSize = __builtin_elementwise_abs(b);
  r = exponentSize == infinity ? (size == 1.0f ? (F32)(1.0f) : ((size > 1.0f) == (b > 0.0f) ? (F32)(infinity) : (F32)(0.0f))) : r;
  I32 integral = __builtin_elementwise_floor(b) == b;
  I32 odd = integral & (__builtin_elementwise_floor(b * 0.5f) != b * 0.5f) & (exponentSize < 0x1p24f);
  I32 negative = (I32)a < 0;
  r = odd & negative ? -r : r;
  r = negative & (size != 0.0f) & (size != infinity) & ~integral ? (F32)(__builtin_nanf("")) : r;
  r = ((a != a) | (b != b)) ? a + b : r;
  return ((b == 0.0f) | (a == 1.0f)) ? (F32)(1.0f) : r;
}

} // namespace transom::kernels
