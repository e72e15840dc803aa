// Matrix products in their general form, fp32 on the left: any number of rows, broadcast leading dimensions. A work item
// is one row of the result.
#pragma once

#include "Gemv.h"

namespace transom::kernels {

/// Leading dimensions: matrix `index` of the result starts at these matrices of the operands.
struct Leading { const int64_t *shape, *lhsStrides, *rhsStrides; int64_t rank; };
struct Matrices { int64_t lhs, rhs; };
INLINE Matrices matricesOf(const Leading &leading, int64_t index) {
  Matrices m{0, 0};
  for (int64_t axis = leading.rank - 1; axis >= 0; --axis) {
    int64_t place = index % leading.shape[axis];
    m.lhs += place * leading.lhsStrides[axis];
    m.rhs += place * leading.rhsStrides[axis];
    index /= leading.shape[axis];
  }
  return m;
}

/// R rows of x [., k] times b [k, n]: columns in tiles of a few registers.
template <typename T, int R>
INLINE void rowsTimesMatrix(const float *x, const T *b, float *y, int64_t n, int64_t k) {
  constexpr int tile = lanes == 16 ? 4 : 2;
  auto columns = [&]<int C>(int64_t at, int64_t left) __attribute__((always_inline)) {
    F32 acc[R][C] = {};
    for (int64_t i = 0; i < k; ++i) {
      F32 row[C];
      UNROLL
      for (int c = 0; c < C; ++c) {
        const T *from = b + i * n + at + c * lanes;
        row[c] = left >= C * lanes ? loadWeights(from) : loadWeightsPart(from, left);
      }
      UNROLL
      for (int r = 0; r < R; ++r)
        UNROLL
        for (int c = 0; c < C; ++c)
          acc[r][c] = fma((F32)(x[r * k + i]), row[c], acc[r][c]);
    }
    UNROLL
    for (int r = 0; r < R; ++r)
      UNROLL
      for (int c = 0; c < C; ++c)
        storeUpTo(y + r * n + at + c * lanes, acc[r][c], left - c * lanes);
  };
  int64_t at = 0;
  for (; at + tile * lanes <= n; at += tile * lanes)
    columns.template operator()<tile>(at, n - at);
  for (; at < n; at += lanes)
    columns.template operator()<1>(at, n - at);
}

/// R rows of x times b [n, k] transposed: dot products, four columns at a time.
template <typename T, int R>
INLINE void rowsTimesTransposed(const float *x, const T *b, float *y, int64_t n, int64_t k) {
  constexpr int tile = lanes == 16 ? 4 : 2;
  for (int64_t column = 0; column < n; column += tile) {
    const T *rows[tile];
    float sums[tile][R];
    for (int c = 0; c < tile; ++c)
      rows[c] = b + min64(column + c, n - 1) * k;
    plainRows<T, tile, R>(rows, x, k, sums);
    for (int c = 0; c < tile && column + c < n; ++c)
      UNROLL
      for (int r = 0; r < R; ++r)
        y[r * n + column + c] = sums[c][r];
  }
}

template <typename T>
INLINE void matmul(const float *lhs, const T *rhs, float *y, Leading leading, int64_t m, int64_t n, int64_t k,
                   int64_t transposed, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end;) {
    int64_t matrix = row / m, first = row % m, count = min64(m - first, end - row);
    Matrices at = matricesOf(leading, matrix);
    forRowTiles(count, [&]<int R>(int64_t tile) __attribute__((always_inline)) {
      const float *x = lhs + (at.lhs * m + first + tile) * k;
      const T *b = rhs + at.rhs * n * k;
      float *to = y + (row + tile) * n;
      if (transposed)
        rowsTimesTransposed<T, R>(x, b, to, n, k);
      else
        rowsTimesMatrix<T, R>(x, b, to, n, k);
    });
    row += count;
  }
}

} // namespace transom::kernels
