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

/// The same for packed tokens [tokens, heads, width].
template <typename T>
INLINE void cacheAppendPacked(T *cache, const T *tokens, const int32_t *past, const int32_t *cumulative, int64_t batch,
                              int64_t heads, int64_t capacity, int64_t width, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    int64_t token = row / heads, sequence = sequenceOf(cumulative, batch, token);
    if (sequence < 0)
      return;
    int64_t slot = past[sequence] + token - cumulative[sequence];
    if (slot >= 0 && slot < capacity)
      copyRun(tokens + row * width, 1, cache + ((sequence * heads + row % heads) * capacity + slot) * width, width);
  }
}

/// The first or last token of each row, zeros for none: of x [batch, tokens, width] by lengths, or of x [tokens, width] by
/// cumulative lengths; the other pointer is null.
template <typename T>
INLINE void tokenOfRow(const T *x, const int32_t *lengths, const int32_t *cumulative, T *y, int64_t tokens, int64_t width,
                       int64_t last, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    int64_t start = cumulative ? clamp64(cumulative[row], 0, tokens) : row * tokens;
    int64_t stop = cumulative ? min64(cumulative[row + 1], tokens) : start + min64(lengths[row], tokens);
    if (start < stop)
      copyRun(x + (last ? stop - 1 : start) * width, 1, y + row * width, width);
    else
      for (int64_t i = 0; i < width; ++i)
        y[row * width + i] = T();
  }
}

/// Of padded [batch, seq, rowsPerToken, width], `padded` = batch * seq, the tokens that `index` names; row counts the packed
/// rows. An index that names none gives zeros.
template <typename T>
INLINE void packRows(const T *x, const int32_t *index, T *y, int64_t padded, int64_t rowsPerToken, int64_t width, int64_t begin,
                     int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    int64_t from = index[row / rowsPerToken];
    if (from >= 0 && from < padded)
      copyRun(x + (from * rowsPerToken + row % rowsPerToken) * width, 1, y + row * width, width);
    else
      for (int64_t i = 0; i < width; ++i)
        y[row * width + i] = T();
  }
}

/// The first of `tokens` rising numbers that is `value` or more.
INLINE int64_t lowerBound(const int32_t *index, int64_t tokens, int64_t value) {
  int64_t low = 0, high = tokens;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    if (index[middle] < value)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/// Back to padded rows, zeros at the tokens that the rising `index` does not name.
template <typename T>
INLINE void unpackRows(const T *x, const int32_t *index, T *y, int64_t tokens, int64_t rowsPerToken, int64_t width, int64_t begin,
                       int64_t end) {
  int64_t from = lowerBound(index, tokens, begin / rowsPerToken);
  for (int64_t row = begin; row < end; ++row) {
    int64_t token = row / rowsPerToken;
    if (from < tokens && index[from] < token)
      ++from;
    if (from < tokens && index[from] == token)
      copyRun(x + (from * rowsPerToken + row % rowsPerToken) * width, 1, y + row * width, width);
    else
      for (int64_t i = 0; i < width; ++i)
        y[row * width + i] = T();
  }
}

/// Places of valid tokens and the running count of them by row; no more than `capacity`.
template <typename T>
INLINE void validTokens(const T *mask, int32_t *index, int32_t *cumulative, int64_t batch, int64_t seq, int64_t capacity) {
  int64_t count = 0;
  cumulative[0] = 0;
  for (int64_t row = 0; row < batch; ++row) {
    for (int64_t i = row * seq; i < (row + 1) * seq; ++i)
      if (mask[i] != 0 && count < capacity)
        index[count++] = (int32_t)i;
    cumulative[row + 1] = (int32_t)count;
  }
}
INLINE void validTokensByLength(const int32_t *lengths, int32_t *index, int32_t *cumulative, int64_t batch, int64_t seq,
                                int64_t capacity) {
  int64_t count = 0;
  cumulative[0] = 0;
  for (int64_t row = 0; row < batch; ++row) {
    for (int64_t i = 0; i < min64(lengths[row], seq) && count < capacity; ++i)
      index[count++] = (int32_t)(row * seq + i);
    cumulative[row + 1] = (int32_t)count;
  }
}

} // namespace transom::kernels
