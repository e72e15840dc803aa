// Reductions over any set of dimensions. A work item is one element of the result.
#pragma once

#include "Vector.h"

namespace transom::kernels {

/// Dimensions with their strides in the input; the reduced ones have at least one.
struct Loops { const int64_t *shape, *strides; int64_t rank; };

INLINE int64_t offsetOf(const Loops &loops, int64_t index) {
  int64_t offset = 0;
  for (int64_t axis = loops.rank - 1; axis > 0; --axis) {
    offset += index % loops.shape[axis] * loops.strides[axis];
    index /= loops.shape[axis];
  }
  return loops.rank > 0 ? offset + index * loops.strides[0] : offset;
}
INLINE int64_t countOf(const Loops &loops, int64_t rank) {
  int64_t count = 1;
  for (int64_t axis = 0; axis < rank; ++axis)
    count *= loops.shape[axis];
  return count;
}

/// `Combine` of one reduced row, stride 1, in lanes.
template <typename Combine> INLINE float reduceRow(const float *x, int64_t n, float start, Combine combine) {
  F32 acc = (F32)(start);
  for (int64_t at = 0; at < n; at += lanes)
    acc = combine(acc, loadUpTo(x + at, n - at, start));
  return reduceLanes(acc, combine);
}

/// Neighbouring results whose inputs lie side by side, `count` (up to lanes) at a time.
template <typename Combine>
INLINE F32 reduceColumns(const float *x, const Loops &reduced, int64_t count, float start, Combine combine) {
  F32 acc = (F32)(start);
  for (int64_t i = 0, n = countOf(reduced, reduced.rank); i < n; ++i)
    acc = combine(acc, loadUpTo(x + offsetOf(reduced, i), count, start));
  return acc;
}

/// start is the neutral element; the result is scaled by `factor` (1 / count for a mean).
template <typename Combine>
INLINE void reduceFloats(const float *x, float *y, Loops kept, Loops reduced, float start, float factor, int64_t begin,
                         int64_t end, Combine combine) {
  bool columns = kept.rank > 0 && kept.strides[kept.rank - 1] == 1;
  int64_t last = reduced.rank - 1, inner = reduced.shape[last], outer = countOf(reduced, last);
  for (int64_t item = begin; item < end;) {
    const float *from = x + offsetOf(kept, item);
    if (columns) {
      int64_t run = min64(min64(end - item, lanes), kept.shape[kept.rank - 1] - item % kept.shape[kept.rank - 1]);
      storeUpTo(y + item, reduceColumns(from, reduced, run, start, combine) * factor, run);
      item += run;
      continue;
    }
    float acc = start;
    Loops outside{reduced.shape, reduced.strides, last};
    for (int64_t i = 0; i < outer; ++i) {
      const float *row = from + offsetOf(outside, i);
      if (reduced.strides[last] == 1)
        acc = combine(acc, reduceRow(row, inner, start, combine));
      else
        for (int64_t j = 0; j < inner; ++j)
          acc = combine(acc, row[j * reduced.strides[last]]);
    }
    y[item++] = acc * factor;
  }
}

template <typename T, typename Combine>
INLINE void reduceIntegers(const T *x, T *y, Loops kept, Loops reduced, T start, int64_t begin, int64_t end,
                           Combine combine) {
  for (int64_t item = begin; item < end; ++item) {
    const T *from = x + offsetOf(kept, item);
    T acc = start;
    for (int64_t i = 0, n = countOf(reduced, reduced.rank); i < n; ++i)
      acc = combine(acc, from[offsetOf(reduced, i)]);
    y[item] = acc;
  }
}

/// Tokens of a packed row, cut to those there are.
struct TokenRange { int64_t first, last; };
INLINE TokenRange tokensOfRow(const int32_t *cumulative, int64_t row, int64_t tokens) {
  int64_t first = clamp64(cumulative[row], 0, tokens);
  return {first, clamp64(cumulative[row + 1], first, tokens)};
}

/// x [tokens, width] to y [batch, width]; an item is one number of y. Neighbouring ones are computed together.
template <typename Combine>
INLINE void reducePackedFloats(const float *x, const int32_t *cumulative, float *y, int64_t tokens, int64_t width, float start,
                               int64_t mean, int64_t begin, int64_t end, Combine combine) {
  for (int64_t item = begin; item < end;) {
    int64_t row = item / width, column = item % width, run = min64(min64(end - item, lanes), width - column);
    TokenRange range = tokensOfRow(cumulative, row, tokens);
    F32 acc = (F32)(start);
    for (int64_t token = range.first; token < range.last; ++token)
      acc = combine(acc, loadUpTo(x + token * width + column, run, start));
    storeUpTo(y + item, mean ? acc / (float)max64(range.last - range.first, 1) : acc, run);
    item += run;
  }
}
template <typename T, typename Combine>
INLINE void reducePackedIntegers(const T *x, const int32_t *cumulative, T *y, int64_t tokens, int64_t width, T start, int64_t begin,
                                 int64_t end, Combine combine) {
  for (int64_t item = begin; item < end; ++item) {
    TokenRange range = tokensOfRow(cumulative, item / width, tokens);
    T acc = start;
    for (int64_t token = range.first; token < range.last; ++token)
      acc = combine(acc, x[token * width + item % width]);
    y[item] = acc;
  }
}

/// Running sums along a dimension of size n with `inner` elements behind it; an item is all of one run.
template <typename T>
INLINE void cumulativeSum(const T *x, T *y, int64_t n, int64_t inner, int64_t begin, int64_t end) {
  for (int64_t item = begin; item < end; ++item) {
    int64_t at = item / inner * n * inner + item % inner;
    uint64_t sum = 0; // wraps around
    for (int64_t i = 0; i < n; ++i, at += inner)
      y[at] = (T)(sum += (uint64_t)x[at]);
  }
}

} // namespace transom::kernels
