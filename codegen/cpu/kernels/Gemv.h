// y[M, N] = x[M, K] * W[N, K]^T for few rows M: the kernel that decoding spends its time in. One work item is a block
// of 16 weight rows. Here: the driver and the plain types; Gemv of GGML's blocks is in GemvBlocks.h.
#pragma once

#include "Vector.h"
#include "runtime/format/E4m3.h"

namespace transom::kernels {

constexpr int64_t gemvRows = 16; // weight rows of one work item

/// lanes consecutive weights of a plain type as floats.
template <typename T> INLINE F32 loadWeights(const T *address) {
  return __builtin_convertvector(load<Vec<T, lanes>>(address), F32);
}
struct BFloat { uint16_t bits; };
template <> INLINE F32 loadWeights<BFloat>(const BFloat *address) {
  return (F32)(__builtin_convertvector(load<Vec<uint16_t, lanes>>(address), U32) << 16);
}
using E4m3 = uint8_t;
template <> INLINE F32 loadWeights<E4m3>(const E4m3 *address) {
  F32 numbers;
  for (int i = 0; i < lanes; ++i)
    numbers[i] = e4m3::decode(address[i]);
  return numbers;
}
template <typename T> INLINE F32 loadWeightsPart(const T *address, int64_t count) {
  T part[lanes] = {};
  for (int64_t i = 0; i < count; ++i)
    part[i] = address[i];
  return loadWeights(part);
}

/// R weight rows times M rows of x, both natural in memory: R * M sums in registers.
template <typename T, int R, int M>
INLINE void plainRows(const T *const (&rows)[R], const float *x, int64_t k, float (&sums)[R][M]) {
  F32 acc[R][M] = {};
  auto step = [&](int64_t at, auto loadX, auto loadW) __attribute__((always_inline)) {
    F32 xs[M];
    UNROLL
    for (int m = 0; m < M; ++m)
      xs[m] = loadX(x + m * k + at);
    UNROLL
    for (int r = 0; r < R; ++r) {
      F32 w = loadW(rows[r] + at);
      UNROLL
      for (int m = 0; m < M; ++m)
        acc[r][m] = fma(w, xs[m], acc[r][m]);
    }
  };
  int64_t at = 0;
  for (; at + lanes <= k; at += lanes)
    step(at, [](const float *p) __attribute__((always_inline)) { return loadF(p); },
         [](const T *p) __attribute__((always_inline)) { return loadWeights(p); });
  if (int64_t left = k - at)
    step(at, [=](const float *p) __attribute__((always_inline)) { return loadPart(p, left); },
         [=](const T *p) __attribute__((always_inline)) { return loadWeightsPart(p, left); });
  UNROLL
  for (int r = 0; r < R; ++r)
    UNROLL
    for (int m = 0; m < M; ++m)
      sums[r][m] = sumLanes(acc[r][m]);
}

/// Calls body with 1, 2, 3 or 4 rows of x at a time (as a template argument) until all `m` are done.
template <typename Body> INLINE void forRowTiles(int64_t m, Body body) {
  int64_t at = 0;
  for (; at + 4 <= m; at += 4)
    body.template operator()<4>(at);
  switch (m - at) {
  case 1: return body.template operator()<1>(at);
  case 2: return body.template operator()<2>(at);
  case 3: return body.template operator()<3>(at);
  }
}

template <typename T>
INLINE void gemvPlain(const float *x, const uint8_t *bytes, float *y, int64_t m, int64_t n, int64_t k, int64_t begin,
                      int64_t end) {
  constexpr int rowsAtOnce = lanes == 16 ? 4 : 2;
  const T *weights = (const T *)bytes;
  int64_t lastRow = min64(end * gemvRows, n);
  for (int64_t row = begin * gemvRows; row < lastRow; row += rowsAtOnce) {
    // Past the last row the tail computes that row again and drops the result.
    const T *rows[rowsAtOnce];
    for (int r = 0; r < rowsAtOnce; ++r)
      rows[r] = weights + min64(row + r, n - 1) * k;
    forRowTiles(m, [&]<int M>(int64_t at) __attribute__((always_inline)) {
      float sums[rowsAtOnce][M];
      plainRows<T, rowsAtOnce, M>(rows, x + at * k, k, sums);
      for (int r = 0; r < rowsAtOnce && row + r < lastRow; ++r)
        UNROLL
        for (int i = 0; i < M; ++i)
          y[(at + i) * n + row + r] = sums[r][i];
    });
  }
}

} // namespace transom::kernels
