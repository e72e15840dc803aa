// Vectors of the level this file is compiled for (16 floats on x86-64-v4, 8 on v3), partial loads and stores,
// reductions. The kernels see no libc: memory functions the compiler may call are in kernels.cpp.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#define TRANSOM_KERNEL extern "C"
#define INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

namespace transom::kernels {

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
constexpr int lanes = 16;
#else
constexpr int lanes = 8;
#endif

/// N elements of T in one register (or several, where N * sizeof(T) is larger than one).
template <typename T, int N> using Vec = T __attribute__((ext_vector_type(N)));
using F32 = Vec<float, lanes>;
using I32 = Vec<int32_t, lanes>;
using U32 = Vec<uint32_t, lanes>;
using F64 = Vec<double, lanes>;
using Half = _Float16;

/// A vector of any alignment in memory; the attribute also permits aliasing with any type.
template <typename V> struct __attribute__((packed, may_alias)) Unaligned { V value; };

template <typename V> INLINE V load(const void *address) { return ((const Unaligned<V> *)address)->value; }
template <typename V> INLINE void store(void *address, V value) { ((Unaligned<V> *)address)->value = value; }
INLINE F32 loadF(const float *address) { return load<F32>(address); }

INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
/// `x`, or the bound that it lies beyond; low <= high.
INLINE int64_t clamp64(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }
INLINE int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
/// -0.0 is the neutral element of addition, but a sum that starts at +0.0 is what frameworks give.
INLINE F32 zeros() { return (F32)(0.0f); }
constexpr float infinity = __builtin_inff();

INLINE I32 laneIndex() {
  I32 index;
  for (int i = 0; i < lanes; ++i)
    index[i] = i;
  return index;
}

/// The first `count` (0 to lanes) floats of address; the other lanes hold `fill`. Reads nothing beyond them.
INLINE F32 loadPart(const float *address, int64_t count, float fill = 0.0f) {
#if defined(__AVX512F__)
  return (F32)_mm512_mask_loadu_ps((__m512)(F32)(fill), (__mmask16)((1u << count) - 1), address);
#else
  I32 live = laneIndex() < (I32)((int32_t)count);
  F32 part = (F32)_mm256_maskload_ps(address, (__m256i)live);
  return live ? part : (F32)(fill);
#endif
}

INLINE void storePart(float *address, F32 value, int64_t count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(address, (__mmask16)((1u << count) - 1), (__m512)value);
#else
  _mm256_maskstore_ps(address, (__m256i)(laneIndex() < (I32)((int32_t)count)), (__m256)value);
#endif
}

/// load or loadPart, by what is left.
INLINE F32 loadUpTo(const float *address, int64_t left, float fill = 0.0f) {
  return left >= lanes ? loadF(address) : loadPart(address, left, fill);
}
INLINE void storeUpTo(float *address, F32 value, int64_t left) {
  if (left >= lanes)
    store(address, value);
  else
    storePart(address, value, left);
}

INLINE F32 fma(F32 a, F32 b, F32 c) { return __builtin_elementwise_fma(a, b, c); }
INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

/// The larger element; a NaN in either operand gives NaN (the CPU's own max drops one of them).
template <typename V> INLINE V maxNan(V a, V b) { return ((a > b) | (a != a)) ? a : b; }
template <typename V> INLINE V minNan(V a, V b) { return ((a < b) | (a != a)) ? a : b; }

/// Combines all lanes pairwise (a tree: short and accurate).
template <typename Combine> INLINE float reduceLanes(F32 value, Combine combine) {
  Vec<float, 8> half;
#if defined(__AVX512F__)
  half = combine((Vec<float, 8>)value.lo, (Vec<float, 8>)value.hi);
#else
  half = value;
#endif
  Vec<float, 4> quarter = combine((Vec<float, 4>)half.lo, (Vec<float, 4>)half.hi);
  Vec<float, 2> pair = combine((Vec<float, 2>)quarter.lo, (Vec<float, 2>)quarter.hi);
  return combine(pair.x, pair.y);
}
struct Add {
  template <typename V> __attribute__((always_inline)) V operator()(V a, V b) const { return a + b; }
};
struct Multiply {
  template <typename V> __attribute__((always_inline)) V operator()(V a, V b) const { return a * b; }
};
struct Max {
  template <typename V> __attribute__((always_inline)) V operator()(V a, V b) const { return maxNan(a, b); }
};
struct Min {
  template <typename V> __attribute__((always_inline)) V operator()(V a, V b) const { return minNan(a, b); }
};
INLINE float sumLanes(F32 value) { return reduceLanes(value, Add()); }
INLINE float maxLanes(F32 value) { return reduceLanes(value, Max()); }

INLINE float halfBits(const uint8_t *address) { return (float)load<Half>(address); }

} // namespace transom::kernels
