// Floats of 8 bits: E4M3 of the "OCP 8-bit Floating Point Specification (OFP8)", 4 bits of exponent and 3 of mantissa, no infinities,
// NaN where all bits but the sign are set. Plain functions on plain numbers, shared by the compiler and generated CPU kernels.
//
// A row that is kept in E4M3 has one scale, by which its numbers are divided before they are rounded: see scaleFor.
#pragma once

#include <stdint.h>

namespace transom::e4m3 {

inline constexpr float largest = 448.0f;

/// What the scale of a row must be so that its largest magnitude becomes `largest`; not so small that 1 / scale overflows. NaN for NaN.
inline float scaleFor(float largestMagnitude) {
  constexpr float least = 0x1p-120f;
  float scale = largestMagnitude * (1.0f / largest);
  return scale < least ? least : scale;
}

/// The nearest number that E4M3 has, the even one of two; beyond `largest` that, with x's sign; NaN for NaN. As PTX's
/// cvt.rn.satfinite.e4m3x2.f32.
inline float round(float x) {
  float size = __builtin_fabsf(x);
  size = size > largest ? largest : size;
  // Added to a number of this power of two, whose last bit is worth 2^(exponent - 3), what is below is rounded away. From 2^-6 down
  // all numbers are multiples of 2^-9.
  constexpr uint32_t exponents = 0x7f800000, leastExponent = (127 - 6) << 23, up = 20 << 23;
  uint32_t exponent = __builtin_bit_cast(uint32_t, size) & exponents;
  float shift = __builtin_bit_cast(float, (exponent < leastExponent ? leastExponent : exponent) + up);
  return __builtin_copysignf(size + shift - shift, x);
}

/// The bits of a number that round() gives.
inline uint8_t encode(float rounded) {
  uint32_t bits = __builtin_bit_cast(uint32_t, rounded), sign = bits >> 24 & 0x80;
  float size = __builtin_fabsf(rounded);
  if (size != size)
    return uint8_t(sign | 0x7f);
  if (size < 0x1p-6f) // a multiple of 2^-9
    return uint8_t(sign | uint32_t(size * 0x1p9f));
  return uint8_t(sign | ((bits & 0x7fffffff) - ((127 - 7) << 23)) >> 20);
}

inline float decode(uint8_t bits) {
  uint32_t sign = uint32_t(bits & 0x80) << 24, rest = bits & 0x7f;
  // Subnormal numbers are those of fp32 whose exponent is as far from the least; a product brings both to their place.
  float size = __builtin_bit_cast(float, rest << 20) * 0x1p120f;
  size = rest == 0x7f ? __builtin_nanf("") : size;
  return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, size) | sign);
}

} // namespace transom::e4m3
