// Kernels that move elements without computing, by element size. A work item is a row of the result: all dimensions
// but the last. Also packing of padded rows, caches, and index vectors.
#pragma once

#include "Attention.h"

namespace transom::kernels {

constexpr int maxRank = 8;

template <typename T> INLINE void copyRun(const T *from, int64_t fromStride, T *to, int64_t count) {
  if (fromStride == 1) {
    int64_t i = 0;
    constexpr int64_t chunk = 32 / sizeof(T);
    for (; i + chunk <= count; i += chunk)
      store(to + i, load<Vec<uint8_t, 32>>(from + i));
    for (; i < count; ++i)
      to[i] = from[i];
  } else {
    for (int64_t i = 0; i < count; ++i)
      to[i] = from[i * fromStride];
  }
}

/// y[i0, ..., in] = x[offset + sum of i * stride]: transpose, broadcast (strides 0) and slice alike.
template <typename T>
INLINE void copyStrided(const T *x, T *y, const int64_t *shape, const int64_t *strides, int64_t rank, int64_t offset,
                        int64_t begin, int64_t end) {
  int64_t width = shape[rank - 1], place[maxRank], from = offset, left = begin;
  for (int64_t axis = rank - 2; axis >= 0; --axis) {
    place[axis] = left % shape[axis];
    left /= shape[axis];
    from += place[axis] * strides[axis];
  }
  for (int64_t row = begin; row < end; ++row) {
    copyRun(x + from, strides[rank - 1], y + row * width, width);
    // On to the next row like a mileage counter: divisions would take longer than short rows.
    for (int64_t axis = rank - 2; axis >= 0; --axis) {
      from += strides[axis];
      if (++place[axis] < shape[axis])
        break;
      from -= place[axis] * strides[axis];
      place[axis] = 0;
    }
  }
}

/// Along an axis with `inner` elements behind it: the result's size there is `size`, the input's `inputSize` from
/// `before` on. Rows are `width` wide: `inner` is a multiple of it, or 1 where the axis is the last.
template <typename T>
INLINE void padRows(const T *x, T *y, uint64_t fillBits, int64_t size, int64_t inputSize, int64_t before, int64_t inner,
                    int64_t width, int64_t begin, int64_t end) {
  T fill = (T)fillBits;
  for (int64_t at = begin * width; at < end * width;) {
    int64_t place = at / inner % size - before, outer = at / inner / size;
    bool inside = place >= 0 && place < inputSize;
    int64_t run = inner == 1 ? 1 : min64(inner - at % inner, end * width - at);
    if (inside)
      copyRun(x + (outer * inputSize + place) * inner + at % inner, 1, y + at, run);
    else
      for (int64_t i = 0; i < run; ++i)
        y[at + i] = fill;
    at += run;
  }
}

/// Inputs of sizes[i] along an axis with `inner` elements behind it; total is their sum.
template <typename T>
INLINE void concatRows(const void *const *inputs, const int64_t *sizes, int64_t count, T *y, int64_t total,
                       int64_t inner, int64_t width, int64_t begin, int64_t end) {
  for (int64_t at = begin * width; at < end * width;) {
    int64_t place = at / inner % total, outer = at / inner / total, input = 0;
    for (; input < count - 1 && place >= sizes[input]; ++input)
      place -= sizes[input];
    int64_t within = at % inner, run = min64((sizes[input] - place) * inner - within, end * width - at);
    copyRun((const T *)inputs[input] + (outer * sizes[input] + place) * inner + within, 1, y + at, run);
    at += run;
  }
}

/// Rows of `tokens`, in its own order, to their slots of the cache [batch, heads, capacity, width].
template <typename T>
INLINE void cacheAppend(T *cache, const T *tokens, const int32_t *past, const int32_t *lengths, int64_t heads,
                        int64_t seq, int64_t capacity, int64_t width, int64_t headsFirst, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    int64_t batch = row / (heads * seq), head = headsFirst ? row / seq % heads : row % heads;
    int64_t token = headsFirst ? row % seq : row / heads % seq, slot = past[batch] + token;
    if (token < lengths[batch] && slot >= 0 && slot < capacity)
      copyRun(tokens + row * width, 1, cache + ((batch * heads + head) * capacity + slot) * width, width);
  }
}

/// x [batch, seq, width] -> y [batch, width]: token lengths[b] - 1, zeros for none.
template <typename T>
INLINE void lastToken(const T *x, const int32_t *lengths, T *y, int64_t seq, int64_t width, int64_t begin,
                      int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    int64_t last = min64(lengths[row], seq) - 1;
    if (last >= 0)
      copyRun(x + (row * seq + last) * width, 1, y + row * width, width);
    else
      for (int64_t i = 0; i < width; ++i)
        y[row * width + i] = T();
  }
}

/// Padded [batch, seq, rowsPerToken, width] to packed tokens; row counts the packed rows. Rows behind the last token stay.
template <typename T>
INLINE void packRows(const T *x, const int32_t *cumulative, T *y, int64_t batch, int64_t seq, int64_t rowsPerToken,
                     int64_t width, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    int64_t token = row / rowsPerToken, sequence = sequenceOf(cumulative, batch, token);
    if (sequence < 0)
      continue;
    int64_t place = clamp64(token - cumulative[sequence], 0, seq - 1);
    copyRun(x + ((sequence * seq + place) * rowsPerToken + row % rowsPerToken) * width, 1, y + row * width, width);
  }
}
/// Back to padded rows; `tokens` is how many the packed tensor has, which no length in `cumulative` can exceed.
template <typename T>
INLINE void unpackRows(const T *x, const int32_t *cumulative, T *y, int64_t tokens, int64_t seq, int64_t rowsPerToken,
                       int64_t width, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    int64_t token = row / rowsPerToken, sequence = token / seq, place = token % seq;
    int64_t from = cumulative[sequence] + place;
    if (from < cumulative[sequence + 1] && from >= 0 && from < tokens)
      copyRun(x + (from * rowsPerToken + row % rowsPerToken) * width, 1, y + row * width, width);
    else
      for (int64_t i = 0; i < width; ++i)
        y[row * width + i] = T();
  }
}

} // namespace transom::kernels
