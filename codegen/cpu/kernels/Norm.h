// Row kernels over the last dimension: RMS norm, layer norm, softmax. One work item is a row.
#pragma once

#include "Math.h"

namespace transom::kernels {

/// Sums body(at, count) over a row, in lanes; body gets the place and how many floats are left there.
template <typename Body> INLINE float sumRow(int64_t n, Body body) {
  F32 sums[4] = {zeros(), zeros(), zeros(), zeros()};
  int64_t at = 0;
  for (; at + 4 * lanes <= n; at += 4 * lanes) {
    UNROLL
    for (int i = 0; i < 4; ++i)
      sums[i] += body(at + i * lanes, (int64_t)lanes);
  }
  for (; at < n; at += lanes)
    sums[0] += body(at, n - at);
  return sumLanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
}
template <typename Body> INLINE void forRow(int64_t n, Body body) {
  for (int64_t at = 0; at < n; at += lanes)
    body(at, n - at);
}

INLINE void rmsNorm(const float *x, const float *scale, float *y, int64_t n, float epsilon, int64_t begin,
                    int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float *from = x + row * n;
    float *to = y + row * n;
    float squares = sumRow(n, [&](int64_t at, int64_t left) __attribute__((always_inline)) {
      F32 v = loadUpTo(from + at, left);
      return v * v;
    });
    float factor = 1.0f / __builtin_sqrtf(squares / (float)n + epsilon);
    forRow(n, [&](int64_t at, int64_t left) __attribute__((always_inline)) {
      storeUpTo(to + at, loadUpTo(from + at, left) * factor * loadUpTo(scale + at, left), left);
    });
  }
}

/// bias may be null.
INLINE void layerNorm(const float *x, const float *scale, const float *bias, float *y, int64_t n, float epsilon,
                      int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float *from = x + row * n;
    float *to = y + row * n;
    float mean = sumRow(n, [&](int64_t at, int64_t left) __attribute__((always_inline)) {
                   return loadUpTo(from + at, left);
                 }) / (float)n;
    float squares = sumRow(n, [&](int64_t at, int64_t left) __attribute__((always_inline)) {
      F32 v = loadUpTo(from + at, left, mean) - mean;
      return v * v;
    });
    float factor = 1.0f / __builtin_sqrtf(squares / (float)n + epsilon);
    forRow(n, [&](int64_t at, int64_t left) __attribute__((always_inline)) {
      F32 v = (loadUpTo(from + at, left) - mean) * factor * loadUpTo(scale + at, left);
      storeUpTo(to + at, bias ? v + loadUpTo(bias + at, left) : v, left);
    });
  }
}

/// The shift of a softmax: the maximum, or 0 where every number is -inf (whose exponentials then are all 0).
INLINE float softmaxShift(float largest) { return largest == -infinity ? 0.0f : largest; }

INLINE void softmaxRows(const float *x, float *y, int64_t n, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float *from = x + row * n;
    float *to = y + row * n;
    F32 largest = (F32)(-infinity);
    forRow(n, [&](int64_t at, int64_t left) __attribute__((always_inline)) {
      largest = maxNan(largest, loadUpTo(from + at, left, -infinity));
    });
    float shift = softmaxShift(maxLanes(largest));
    float sum = sumRow(n, [&](int64_t at, int64_t left) __attribute__((always_inline)) {
      F32 e = expV(loadUpTo(from + at, left, -infinity) - shift);
      storeUpTo(to + at, e, left);
      return e;
    });
    float factor = sum == 0.0f ? 0.0f : 1.0f / sum;
    forRow(n, [&](int64_t at, int64_t left) __attribute__((always_inline)) {
      storeUpTo(to + at, loadUpTo(to + at, left) * factor, left);
    });
  }
}

/// Along an axis of `n` numbers `inner` apart; item = outer * inner + place behind the axis.
INLINE void softmaxStrided(const float *x, float *y, int64_t n, int64_t inner, int64_t begin, int64_t end) {
  for (int64_t item = begin; item < end; ++item) {
    int64_t base = item / inner * n * inner + item % inner;
    float largest = -infinity, sum = 0.0f;
    for (int64_t i = 0; i < n; ++i)
      largest = maxNan(largest, x[base + i * inner]);
    float shift = softmaxShift(largest);
    for (int64_t i = 0; i < n; ++i) {
      float e = expV((F32)(x[base + i * inner] - shift))[0];
      y[base + i * inner] = e;
      sum += e;
    }
    float factor = sum == 0.0f ? 0.0f : 1.0f / sum;
    for (int64_t i = 0; i < n; ++i)
      y[base + i * inner] *= factor;
  }
}

} // namespace transom::kernels
