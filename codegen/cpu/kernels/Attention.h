// Attention, one work item per query: softmax with a running maximum over blocks of keys (Milakov and Gimelshein, Online
// normalizer calculation for softmax, 2018), fp32. Neighbouring queries of a head go together, one per lane (prefill,
// encoders); a query by itself has its keys in the lanes (decode). Rotary embedding.
#pragma once

#include "Norm.h"

namespace transom::kernels {

constexpr int64_t maxHeadDim = 512;

/// sums[i] = sum of the lanes of v[i]: a transposing tree of adds.
INLINE F32 sumEach(F32 (&v)[lanes]) {
#if defined(__AVX512F__)
  UNROLL
  for (int i = 0; i < 16; i += 2) {
    F32 a = v[i], b = v[i + 1];
    v[i] = __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
           __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  }
  UNROLL
  for (int i = 0; i < 16; i += 4) {
    F32 a = v[i], b = v[i + 2];
    v[i] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
           __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
  UNROLL
  for (int i = 0; i < 16; i += 8) {
    F32 a = v[i], b = v[i + 4];
    v[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
           __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  }
  return __builtin_shufflevector(v[0], v[8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
         __builtin_shufflevector(v[0], v[8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
#else
  UNROLL
  for (int i = 0; i < 8; i += 2) {
    F32 a = v[i], b = v[i + 1];
    v[i] = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14) +
           __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
  }
  UNROLL
  for (int i = 0; i < 8; i += 4) {
    F32 a = v[i], b = v[i + 2];
    v[i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13) +
           __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
  }
  return __builtin_shufflevector(v[0], v[4], 0, 1, 2, 3, 8, 9, 10, 11) +
         __builtin_shufflevector(v[0], v[4], 4, 5, 6, 7, 12, 13, 14, 15);
#endif
}

/// What varies between attention kernels; constants of a kernel unless it says otherwise.
struct AttentionShape {
  int64_t headDim;
  float scale, softcap;   // softcap 0: none
  int64_t keyStride;      // floats between consecutive keys (and values) of one head
};

/// One query against keys [first, last): y = softmax(...) * v. mask, bias: at index 0 of the keys, or null; a bias
/// element every biasStride floats.
INLINE void attendQuery(const AttentionShape &s, const float *q, const float *k, const float *v, const int32_t *mask,
                        const float *bias, int64_t biasStride, int64_t first, int64_t last, float *y) {
  F32 acc[maxHeadDim / lanes], sum = zeros();
  float largest = -infinity;
  int64_t parts = (s.headDim + lanes - 1) / lanes;
  for (int64_t d = 0; d < parts; ++d)
    acc[d] = zeros();
  for (int64_t at = first; at < last; at += lanes) {
    int64_t count = min64(lanes, last - at);
    F32 dots[lanes];
    UNROLL
    for (int j = 0; j < lanes; ++j) {
      const float *key = k + min64(at + j, last - 1) * s.keyStride; // past the end: the last one again, dropped below
      F32 dot = zeros();
      for (int64_t d = 0; d < s.headDim; d += lanes)
        dot = fma(loadUpTo(q + d, s.headDim - d), loadUpTo(key + d, s.headDim - d), dot);
      dots[j] = dot;
    }
    F32 score = sumEach(dots) * s.scale;
    if (s.softcap != 0.0f)
      score = tanhV(score / s.softcap) * s.softcap;
    if (bias)
      for (int64_t j = 0; j < count; ++j)
        score[j] += bias[(at + j) * biasStride];
    I32 allowed = laneIndex() < (I32)((int32_t)count);
    if (mask)
      allowed &= (I32)loadUpTo((const float *)(mask + at), count) != 0;
    score = allowed ? score : (F32)(-infinity);
    float top = maxNan(largest, maxLanes(score)), shift = softmaxShift(top);
    F32 weight = expV(score - shift);
    float kept = expV((F32)(largest - shift))[0];
    largest = top;
    sum = fma(sum, (F32)(kept), weight);
    for (int64_t d = 0; d < parts; ++d)
      acc[d] *= kept;
    float weights[lanes];
    store(weights, weight);
    for (int64_t j = 0; j < count; ++j) {
      if (weights[j] == 0.0f) // also keeps what a masked value row may hold (NaN) out of the sum
        continue;
      const float *value = v + (at + j) * s.keyStride;
      for (int64_t d = 0; d < parts; ++d)
        acc[d] = fma((F32)(weights[j]), loadUpTo(value + d * lanes, s.headDim - d * lanes), acc[d]);
    }
  }
  float total = sumLanes(sum), factor = total == 0.0f ? 0.0f : 1.0f / total;
  for (int64_t d = 0; d < parts; ++d)
    storeUpTo(y + d * lanes, acc[d] * factor, s.headDim - d * lanes);
}

/// Keys [first, last) that a query sees.
struct KeyRange { int64_t first, last; };

/// Up to `lanes` queries of one head; query i is at q + i * rowStride, its result at y + i * rowStride.
struct QueryTile {
  const float *q;
  float *y;
  int64_t rowStride, count;
  KeyRange ranges[lanes]; // of the first `count`
  const float *bias;      // of query 0 and key 0, or null
  int64_t biasQuery, biasKey;
};

/// Eight keys at a time, those that the mask hides left out: nothing of theirs is read.
struct KeyBlock {
  static constexpr int size = 8;
  int64_t keys[size];
  int64_t count;
  INLINE void collect(int64_t &at, int64_t end, const int32_t *mask) {
    for (count = 0; at < end && count < size; ++at)
      if (!mask || mask[at] != 0)
        keys[count++] = at;
    for (int64_t i = count; i < size; ++i)
      keys[i] = count > 0 ? keys[count - 1] : 0;
  }
};

/// acc[d] = acc[d] * kept + sum of weights[j] * v[key j][d]; lanes that do not see a key take nothing of it, be it NaN.
template <bool careful>
INLINE void addValues(const AttentionShape &s, const KeyBlock &block, const float *v, const F32 (&weights)[KeyBlock::size],
                      const I32 (&seen)[KeyBlock::size], F32 kept, float *acc) {
  constexpr int together = 8; // independent sums in flight
  for (int64_t d = 0; d < s.headDim; d += together) {
    F32 sums[together];
    UNROLL
    for (int i = 0; i < together; ++i)
      sums[i] = loadF(acc + (d + i) * lanes) * kept;
    UNROLL
    for (int j = 0; j < KeyBlock::size; ++j) {
      const float *value = v + block.keys[j] * s.keyStride;
      UNROLL
      for (int i = 0; i < together; ++i) {
        F32 added = fma(weights[j], (F32)(value[min64(d + i, s.headDim - 1)]), sums[i]);
        sums[i] = careful ? (seen[j] ? added : sums[i]) : added;
      }
    }
    UNROLL
    for (int i = 0; i < together; ++i)
      store(acc + (d + i) * lanes, sums[i]);
  }
}

INLINE void attendTile(const AttentionShape &s, const QueryTile &t, const float *k, const float *v, const int32_t *mask) {
  alignas(64) float query[maxHeadDim * lanes], acc[(maxHeadDim + 8) * lanes];
  I32 first, last;
  int64_t low = INT64_MAX, high = 0, allFrom = 0, allTo = INT64_MAX; // of any query, of all queries
  for (int i = 0; i < lanes; ++i) {
    KeyRange range = i < t.count ? t.ranges[i] : KeyRange{0, 0};
    first[i] = (int32_t)range.first;
    last[i] = (int32_t)range.last;
    low = range.first < range.last ? min64(low, range.first) : low;
    high = range.first < range.last ? max64(high, range.last) : high;
    allFrom = i < t.count ? max64(allFrom, range.first) : allFrom;
    allTo = i < t.count ? min64(allTo, range.last) : allTo;
    for (int64_t d = 0; d < s.headDim; ++d)
      query[d * lanes + i] = t.q[min64(i, t.count - 1) * t.rowStride + d];
  }
  for (int64_t d = 0; d < s.headDim + 8; ++d)
    store(acc + d * lanes, zeros());
  F32 largest = (F32)(-infinity), sum = zeros();
  KeyBlock block;
  for (int64_t at = low; at < high;) {
    block.collect(at, high, mask);
    F32 score[KeyBlock::size] = {};
    for (int64_t d = 0; d < s.headDim; ++d) {
      F32 q = loadF(query + d * lanes);
      UNROLL
      for (int j = 0; j < KeyBlock::size; ++j)
        score[j] = fma(q, (F32)(k[block.keys[j] * s.keyStride + d]), score[j]);
    }
    I32 seen[KeyBlock::size];
    F32 top = largest;
    UNROLL
    for (int j = 0; j < KeyBlock::size; ++j) {
      score[j] *= s.scale;
      if (s.softcap != 0.0f)
        score[j] = tanhV(score[j] / s.softcap) * s.softcap;
      if (t.bias)
        for (int i = 0; i < t.count; ++i)
          score[j][i] += t.bias[i * t.biasQuery + block.keys[j] * t.biasKey];
      int32_t key = j < block.count ? (int32_t)block.keys[j] : INT32_MAX;
      seen[j] = (first <= key) & (last > key);
      score[j] = seen[j] ? score[j] : (F32)(-infinity);
      top = maxNan(top, score[j]);
    }
    F32 shift = top == -infinity ? zeros() : top, kept = expV(largest - shift);
    largest = top;
    sum *= kept;
    UNROLL
    for (int j = 0; j < KeyBlock::size; ++j) {
      score[j] = expV(score[j] - shift);
      sum += score[j];
    }
    bool plain = block.count == KeyBlock::size && block.keys[0] >= allFrom && block.keys[KeyBlock::size - 1] < allTo;
    if (plain)
      addValues<false>(s, block, v, score, seen, kept, acc);
    else
      addValues<true>(s, block, v, score, seen, kept, acc);
  }
  F32 factor = sum == 0.0f ? zeros() : 1.0f / sum;
  for (int64_t d = 0; d < s.headDim; ++d) {
    F32 result = loadF(acc + d * lanes) * factor;
    for (int i = 0; i < t.count; ++i)
      t.y[i * t.rowStride + d] = result[i];
  }
}

/// From how many neighbouring queries on a tile is worth its unused lanes.
constexpr int64_t worthTile = lanes / 4;

/// What of [0, keys) a query at place `own` among the keys sees.
INLINE KeyRange visibleKeys(int64_t own, int64_t keys, int64_t causal, int64_t window) {
  return {window > 0 ? max64(0, own - window + 1) : 0, causal ? max64(0, min64(keys, own + 1)) : keys};
}

/// Padded sequences and caches; item = (batch * heads + head) * queries + query. headsFirst: query and result are
/// [batch, heads, seq, head_dim], else [batch, seq, heads, head_dim]; keysHeadsFirst likewise for key and value, whose
/// seq is `keys` (a cache's capacity). past and lengths: with caches, else null. bias strides are 0 where its size is 1.
INLINE void attentionPadded(const float *q, const float *k, const float *v, const int32_t *mask, const float *bias,
                            const int32_t *past, const int32_t *lengths, float *y, int64_t heads, int64_t kvHeads,
                            int64_t queries, int64_t keys, int64_t headDim, int64_t headsFirst, int64_t keysHeadsFirst,
                            int64_t biasBatch, int64_t biasHead, int64_t biasQuery, int64_t biasKey, float scale,
                            float softcap, int64_t causal, int64_t window, int64_t begin, int64_t end) {
  AttentionShape shape{headDim, scale, softcap, keysHeadsFirst ? headDim : kvHeads * headDim};
  for (int64_t item = begin; item < end;) {
    int64_t query = item % queries, head = item / queries % heads, batch = item / queries / heads;
    int64_t row = headsFirst ? item : (batch * queries + query) * heads + head, kvHead = head / (heads / kvHeads);
    int64_t keyAt = keysHeadsFirst ? (batch * kvHeads + kvHead) * keys : batch * keys * kvHeads + kvHead;
    int64_t live = past ? max64(0, min64(keys, (int64_t)past[batch] + lengths[batch])) : keys;
    auto range = [&](int64_t i) __attribute__((always_inline)) {
      int64_t own = past ? (int64_t)past[batch] + i : i + keys - queries;
      bool padding = lengths && i >= lengths[batch]; // zeros
      return padding ? KeyRange{0, 0} : visibleKeys(own, causal ? keys : live, causal, window);
    };
    const float *from = q + row * headDim, *key = k + keyAt * headDim, *value = v + keyAt * headDim;
    const int32_t *keyMask = mask ? mask + batch * keys : nullptr;
    const float *keyBias = bias ? bias + batch * biasBatch + head * biasHead + query * biasQuery : nullptr;
    int64_t run = min64(min64(end - item, queries - query), lanes);
    if (run >= worthTile) {
      QueryTile tile{from, y + row * headDim, headsFirst ? headDim : heads * headDim, run, {}, keyBias, biasQuery, biasKey};
      for (int64_t i = 0; i < run; ++i)
        tile.ranges[i] = range(query + i);
      attendTile(shape, tile, key, value, keyMask);
      item += run;
    } else {
      KeyRange own = range(query);
      attendQuery(shape, from, key, value, keyMask, keyBias, biasKey, own.first, own.last, y + row * headDim);
      ++item;
    }
  }
}

/// The sequence b with cumulative[b] <= token < cumulative[b + 1], or -1 behind the last token.
INLINE int64_t sequenceOf(const int32_t *cumulative, int64_t batch, int64_t token) {
  if (token < 0 || token >= cumulative[batch])
    return -1;
  int64_t low = 0, high = batch - 1;
  while (low < high) {
    int64_t middle = (low + high + 1) / 2;
    if (cumulative[middle] <= token)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

/// Where the keys of packed queries are: packed like the queries, packed on their own (keyCumulative), or in caches
/// [batch, kv_heads, capacity, head_dim] behind `past` tokens. `keys`: tokens of a packed tensor, or the capacity.
struct PackedKeys {
  const float *k, *v;
  const int32_t *cumulative, *past;
  int64_t keys, kvHeads;
};

/// Packed sequences [tokens, heads, head_dim]; item = token * heads + head. Ends in `cumulative` are cut to the tokens.
/// Nothing is written behind the last valid token.
INLINE void attentionPacked(const float *q, PackedKeys from, const int32_t *cumulative, float *y, int64_t tokens,
                            int64_t batch, int64_t heads, int64_t headDim, float scale, float softcap, int64_t causal,
                            int64_t window, int64_t begin, int64_t end) {
  AttentionShape shape{headDim, scale, softcap, from.past ? headDim : from.kvHeads * headDim};
  for (int64_t head = 0; head < heads; ++head)
    for (int64_t token = (begin - head + heads - 1) / heads; token * heads + head < end;) {
      int64_t sequence = sequenceOf(cumulative, batch, token);
      if (sequence < 0)
        break;
      int64_t start = cumulative[sequence], stop = min64(cumulative[sequence + 1], tokens);
      int64_t kvHead = head / (heads / from.kvHeads), row = (token * heads + head) * headDim, keyAt, count, before;
      if (from.past) { // `before`: keys of the sequence in front of its first query
        before = max64(0, from.past[sequence]);
        count = min64(before + stop - start, from.keys);
        keyAt = (sequence * from.kvHeads + kvHead) * from.keys * headDim;
      } else {
        const int32_t *ends = from.cumulative ? from.cumulative : cumulative;
        int64_t first = clamp64(ends[sequence], 0, from.keys);
        count = clamp64(ends[sequence + 1], first, from.keys) - first;
        before = count - (stop - start);
        keyAt = (first * from.kvHeads + kvHead) * headDim;
      }
      auto range = [&](int64_t at) __attribute__((always_inline)) {
        return visibleKeys(before + at - start, count, causal, window);
      };
      int64_t left = (end - head + heads - 1) / heads - token, run = min64(min64(left, stop - token), lanes);
      if (run >= worthTile) {
        QueryTile tile{q + row, y + row, heads * headDim, run, {}, nullptr, 0, 0};
        for (int64_t i = 0; i < run; ++i)
          tile.ranges[i] = range(token + i);
        attendTile(shape, tile, from.k + keyAt, from.v + keyAt, nullptr);
        token += run;
      } else {
        KeyRange own = range(token);
        attendQuery(shape, q + row, from.k + keyAt, from.v + keyAt, nullptr, nullptr, 0, own.first, own.last, y + row);
        ++token;
      }
    }
}

/// Rows of head_dim numbers; row = (batch, head, query), (batch, query, head) or (token, head). frequencies [dims / 2]:
/// scale * base^(-2i / dims); factors [dims / 2] or null.
INLINE void rotary(const float *x, const int32_t *positions, const double *frequencies, const float *factors, float *y,
                   int64_t heads, int64_t queries, int64_t headsFirst, int64_t headDim, int64_t dims,
                   int64_t interleaved, int64_t begin, int64_t end) {
  float sine[maxHeadDim / 2 + lanes], cosine[maxHeadDim / 2 + lanes];
  int64_t known = -1, pairs = dims / 2;
  for (int64_t row = begin; row < end; ++row) {
    int64_t place = headsFirst ? row / (heads * queries) * queries + row % queries : row / heads;
    if (place != known) { // neighbouring heads share their angles
      known = place;
      for (int64_t i = 0; i < pairs; i += lanes) {
        F64 angle;
        for (int j = 0; j < lanes; ++j) {
          int64_t pair = min64(i + j, pairs - 1);
          angle[j] = (double)positions[place] * frequencies[pair] / (factors ? (double)factors[pair] : 1.0);
        }
        SinCos both = sinCos(angle);
        store(sine + i, both.sine);
        store(cosine + i, both.cosine);
      }
    }
    const float *from = x + row * headDim;
    float *to = y + row * headDim;
    int64_t step = interleaved ? 2 : 1, apart = interleaved ? 1 : pairs;
    for (int64_t i = 0; i < pairs; ++i) {
      float a = from[i * step], b = from[i * step + apart];
      to[i * step] = a * cosine[i] - b * sine[i];
      to[i * step + apart] = b * cosine[i] + a * sine[i];
    }
    for (int64_t i = dims; i < headDim; ++i)
      to[i] = from[i];
  }
}

} // namespace transom::kernels
