// Attention of one new token per sequence over its cache: y = softmax(scale * q * k^T) * v, the cache split over blocks.
//
// The query heads that share a key/value head are the rows of one tensor core tile, so the cache is read once for all
// of them, from memory straight to fragments: scores take keys as they lie; for the values, lane (g, t) loads eight
// neighbours of two keys and interleaves them. Sequence lengths are read on the device: splits without keys leave at
// once, and cost follows the live length. Blocks of one head meet in `partial`; the last to arrive combines them, in the
// order of the splits.
//
// What a step's graph does not change is read before the wait for the producer: `past`, and the keys and values of past
// tokens, which earlier launches wrote. Only the query and the new token's key and value are read after it.
#pragma once

#include "Mma.cuh"

namespace transom::cuda {

/// T: fp16 or bf16; headDim: a multiple of 8, at most 256; splits: blocks that share a sequence's cache; smallestChunk: fewest
/// keys of a split.
template <class T_, int heads_, int kvHeads_, int headDim_, int warps_, int splits_, int smallestChunk_>
struct DecodeAttentionShape {
  using T = T_;
  static constexpr int heads = heads_, kvHeads = kvHeads_, headDim = headDim_, warps = warps_, splits = splits_;
  static constexpr int threads = warps * 32, group = heads / kvHeads, groupTiles = ceilDiv(group, 16);
  static constexpr int rows = minInt(group, 16); // of a tile; the last tile of a group may have fewer live ones
  static constexpr int parts = ceilDiv(headDim, 32), shareDim = headDim;
  static constexpr bool upperRows = rows > 8;
  static constexpr int chunkUnit = 16 * warps, smallestChunk = ceilDiv(smallestChunk_, chunkUnit) * chunkUnit;
  static constexpr int shareFloats = rows * headDim + ceilDiv(rows, 2) * 4; // values [row][head_dim]; maximum, sum of each row
  static constexpr int mostShares = warps > splits ? warps : splits;
  static constexpr int sharedBytes = (warps * shareFloats + 2 * (mostShares + 1) * rows) * 4;
  /// Floats of `partial` for a batch; `arrived` has a zeroed int for each [batch, kv_heads * groupTiles].
  static constexpr int partialFloats(int batch) { return batch * kvHeads * groupTiles * splits * shareFloats; }
  static_assert(heads % kvHeads == 0 && headDim % 8 == 0 && headDim <= 256, "");
};

struct DecodeAttentionArguments {
  const void *query;         // [batch, heads, head_dim]
  const void *keys, *values; // [batch, kv_heads, capacity, head_dim]
  void *result;              // [batch, heads, head_dim]
  const int *past;           // [batch]; the new token is in the cache already: past + 1 keys
  const int *lengths;        // [batch]: 0 or 1 new tokens; nothing is read or written for rows of 0; null: all 1
  float *partial;            // [Shape::partialFloats(batch)]
  int *arrived;              // [batch, kv_heads * groupTiles], zero before and after
  int capacity, window;      // window 0: none
  float scale, softcap;      // softcap 0: none
};

/// One warp's share: running maximum, sum and weighted values of rows g and g + 8.
template <class Shape> struct DecodeState {
  static constexpr int chunks = ceilDiv(Shape::headDim, 64);
  float top[2], sum[2], values[chunks][8][4];
  DEVICE void clear() {
    UNROLL
    for (int i = 0; i < 2; ++i)
      top[i] = -infinity(), sum[i] = 0.0f;
    UNROLL
    for (int c = 0; c < chunks; ++c)
      UNROLL
      for (int i = 0; i < 8; ++i)
        UNROLL
        for (int j = 0; j < 4; ++j)
          values[c][i][j] = 0.0f;
  }
};

/// 16 keys and values as they come from memory.
template <class Shape> struct DecodeTile {
  static constexpr int parts = Shape::parts, chunks = ceilDiv(Shape::headDim, 64);
  uint4 keys[2][parts], values[4][chunks];
  DEVICE void clear() {
    UNROLL
    for (int half = 0; half < 2; ++half)
      UNROLL
      for (int p = 0; p < parts; ++p)
        keys[half][p] = make_uint4(0, 0, 0, 0);
    UNROLL
    for (int i = 0; i < 4; ++i)
      UNROLL
      for (int c = 0; c < chunks; ++c)
        values[i][c] = make_uint4(0, 0, 0, 0);
  }
  /// Of the 16 from `first` on, those in [begin, end); the others stay.
  DEVICE void load(const typename Shape::T *k, const typename Shape::T *v, int first, int begin, int end, int g, int t) {
    UNROLL
    for (int half = 0; half < 2; ++half) {
      int key = first + half * 8 + g;
      UNROLL
      for (int p = 0; p < parts; ++p)
        if (key >= begin && key < end && p * 32 + 8 * t < Shape::headDim)
          keys[half][p] = *(const uint4 *)(k + (int64)key * Shape::headDim + p * 32 + 8 * t);
    }
    UNROLL
    for (int i = 0; i < 4; ++i) {
      int key = first + 2 * t + (i & 1) + (i & 2 ? 8 : 0);
      UNROLL
      for (int c = 0; c < chunks; ++c) {
        int d = c * 64 + 8 * g;
        if (key >= begin && key < end && d < Shape::headDim)
          values[i][c] = *(const uint4 *)(v + (int64)key * Shape::headDim + d);
      }
    }
  }
};

DEVICE float decodeScore(float s, const DecodeAttentionArguments &a) {
  if (a.softcap != 0.0f)
    return a.softcap * tanhf(s * a.scale / a.softcap) * log2E;
  return s * (a.scale * log2E);
}

template <class Shape>
DEVICE void attendTile(DecodeState<Shape> &state, const DecodeTile<Shape> &tile, const uint4 (&query)[2][Shape::parts],
                       const DecodeAttentionArguments &a, int first, int low, int end, int t) {
  using T = typename Shape::T;
  float scores[2][4] = {};
  UNROLL
  for (int half = 0; half < 2; ++half)
    UNROLL
    for (int p = 0; p < Shape::parts; ++p)
      mma32<T>(scores[half], query[0][p], query[1][p], tile.keys[half][p]);
  float kept[2];
  UNROLL
  for (int row = 0; row < (Shape::upperRows ? 2 : 1); ++row) {
    float top = state.top[row];
    UNROLL
    for (int half = 0; half < 2; ++half)
      UNROLL
      for (int j = 0; j < 2; ++j) {
        int key = first + half * 8 + 2 * t + j;
        float &s = scores[half][2 * row + j];
        s = key >= low && key < end ? decodeScore(s, a) : -infinity();
        top = maxNan(top, s);
      }
    top = maxNan(top, __shfl_xor_sync(~0u, top, 1));
    top = maxNan(top, __shfl_xor_sync(~0u, top, 2));
    float shift = top == -infinity() ? 0.0f : top;
    kept[row] = exp2Fast(state.top[row] - shift);
    state.top[row] = top;
    state.sum[row] *= kept[row];
    UNROLL
    for (int half = 0; half < 2; ++half)
      UNROLL
      for (int j = 0; j < 2; ++j) {
        float &s = scores[half][2 * row + j];
        s = exp2Fast(s - shift);
        state.sum[row] += s;
      }
  }
  if (!Shape::upperRows)
    kept[1] = 1.0f;
  uint4 weights = make_uint4(Type<T>::pack(scores[0][0], scores[0][1]), Type<T>::pack(scores[0][2], scores[0][3]),
                             Type<T>::pack(scores[1][0], scores[1][1]), Type<T>::pack(scores[1][2], scores[1][3]));
  if (!Shape::upperRows)
    weights.y = weights.w = 0;
  UNROLL
  for (int c = 0; c < DecodeTile<Shape>::chunks; ++c)
    UNROLL
    for (int i = 0; i < 8; ++i) {
      UNROLL
      for (int j = 0; j < 4; ++j)
        state.values[c][i][j] *= kept[j / 2];
      const uint32 pick = i & 1 ? 0x7632 : 0x5410;
      uint32 v[4] = {};
      UNROLL
      for (int n = 0; n < 4; ++n)
        v[n] = i / 2 == 0 ? tile.values[n][c].x : i / 2 == 1 ? tile.values[n][c].y
                                              : i / 2 == 2   ? tile.values[n][c].z
                                                             : tile.values[n][c].w;
      mma<T>(state.values[c][i], weights, __byte_perm(v[0], v[1], pick), __byte_perm(v[2], v[3], pick));
    }
}

/// Sums `count` shares, one after the other: put(row, d, four sums). `statistics` in shared memory: maxima and sums of
/// shares, [count][rows] each, which become weights; behind mostShares of them, each row's maximum and sum.
template <class Shape, class Put> DEVICE void combineShares(const float *shares, int count, float *statistics, Put put) {
  constexpr int rows = Shape::rows, D = Shape::shareDim, quads = rows * D / 4, perThread = ceilDiv(quads, Shape::threads);
  constexpr int together = minInt(perThread, 4);
  float2 *shareOf = (float2 *)statistics, *rowOf = shareOf + Shape::mostShares * rows;
  for (int i = threadIdx.x; i < count * rows; i += Shape::threads)
    shareOf[i] = *(const float2 *)(shares + i / rows * Shape::shareFloats + rows * D + 2 * (i % rows));
  __syncthreads();
  for (int row = threadIdx.x; row < rows; row += Shape::threads) {
    float top = -infinity(), sum = 0.0f;
    for (int i = 0; i < count; ++i)
      top = maxNan(top, shareOf[i * rows + row].x);
    float shift = top == -infinity() ? 0.0f : top;
    for (int i = 0; i < count; ++i) {
      float weight = exp2Fast(shareOf[i * rows + row].x - shift);
      sum += weight * shareOf[i * rows + row].y;
      shareOf[i * rows + row].x = weight;
    }
    rowOf[row] = make_float2(top, sum);
  }
  __syncthreads();
  for (int first = 0; first < perThread; first += together) {
    float4 sums[together];
    UNROLL
    for (int j = 0; j < together; ++j)
      sums[j] = make_float4(0, 0, 0, 0);
_Pragma("unroll 4")
    for (int i = 0; i < count; ++i)
      UNROLL
      for (int j = 0; j < together; ++j) {
        int quad = threadIdx.x + (first + j) * Shape::threads;
        if (quad >= quads)
          continue;
        float weight = shareOf[i * rows + quad / (D / 4)].x;
        float4 v = *(const float4 *)(shares + i * Shape::shareFloats + 4 * quad);
        sums[j].x = fmaf(weight, v.x, sums[j].x), sums[j].y = fmaf(weight, v.y, sums[j].y);
        sums[j].z = fmaf(weight, v.z, sums[j].z), sums[j].w = fmaf(weight, v.w, sums[j].w);
      }
    UNROLL
    for (int j = 0; j < together; ++j) {
      int quad = threadIdx.x + (first + j) * Shape::threads;
      if (quad < quads)
        put(quad / (D / 4), quad % (D / 4) * 4, sums[j]);
    }
  }
}

/// Grid: (splits, kv_heads * groupTiles, batch), Shape::threads threads, Shape::sharedBytes of dynamic shared memory.
template <class Shape> DEVICE void attendDecode(const DecodeAttentionArguments &a) {
  using T = typename Shape::T;
  constexpr int D = Shape::headDim, rows = Shape::rows;
  extern __shared__ __align__(128) char shared[];
  float *shares = (float *)shared, *statistics = shares + Shape::warps * Shape::shareFloats;
  const float2 *rowOf = (const float2 *)statistics + Shape::mostShares * rows;
  __shared__ int arrival;
  const int split = blockIdx.x, kvHead = blockIdx.y / Shape::groupTiles, batch = blockIdx.z;
  const int firstRow = blockIdx.y % Shape::groupTiles * 16, firstHead = kvHead * Shape::group + firstRow;
  const int liveRows = minInt(rows, Shape::group - firstRow);
  const int warp = warpId(), g = laneId() / 4, t = laneId() % 4;
  const int64 base = ((int64)batch * Shape::kvHeads + kvHead) * a.capacity * D;
  const T *k = (const T *)a.keys + base, *v = (const T *)a.values + base;

  launchDependents();
  if (a.lengths && a.lengths[batch] == 0) {
    waitProducers(); // a kernel that ends before its producer would let its own successor pass both
    return;
  }
  const int past = minInt(a.past[batch], a.capacity), keys = past < 0 ? 0 : minInt(past + 1, a.capacity);
  const int low = a.window > 0 && keys > a.window ? keys - a.window : 0;
  const int even = ceilDiv(keys - low, Shape::splits * Shape::chunkUnit) * Shape::chunkUnit;
  const int chunk = even > Shape::smallestChunk ? even : Shape::smallestChunk;
  const int active = keys > low ? ceilDiv(keys - low, chunk) : 1;
  if (split >= active)
    return;
  const int first = low + split * chunk, end = minInt(first + chunk, keys), known = minInt(end, past);
  constexpr int step = 16 * Shape::warps;
  constexpr bool ahead = D <= 128; // a second tile in flight, where registers hold it
  DecodeTile<Shape> tile, next;
  int at = first + 16 * warp;
  tile.clear();
  tile.load(k, v, at, 0, known, g, t);
  if (threadIdx.x < 2 && first + step < known)
    prefetchL2((threadIdx.x ? v : k) + (int64)(first + step) * D, (known - first - step) * D * 2);

  waitProducers();
  uint4 query[2][Shape::parts];
  const T *q = (const T *)a.query + ((int64)batch * Shape::heads + firstHead) * D;
  UNROLL
  for (int half = 0; half < 2; ++half)
    UNROLL
    for (int p = 0; p < Shape::parts; ++p) {
      int row = g + 8 * half;
      query[half][p] = row < liveRows && p * 32 + 8 * t < D ? *(const uint4 *)(q + row * D + p * 32 + 8 * t) : make_uint4(0, 0, 0, 0);
    }
  tile.load(k, v, at, known, end, g, t);
  DecodeState<Shape> state;
  state.clear();
  for (; at < end; at += step) {
    if constexpr (ahead) {
      next.clear();
      next.load(k, v, at + step, 0, end, g, t);
    }
    attendTile<Shape>(state, tile, query, a, at, low, end, t);
    if constexpr (ahead) {
      tile = next;
    } else {
      tile.clear();
      tile.load(k, v, at + step, 0, end, g, t);
    }
  }

  float *share = shares + warp * Shape::shareFloats;
  UNROLL
  for (int half = 0; half < 2; ++half) {
    float sum = state.sum[half];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    int row = g + 8 * half;
    if (row >= rows)
      continue;
    if (t == 0)
      share[rows * D + 2 * row] = state.top[half], share[rows * D + 2 * row + 1] = sum;
    UNROLL
    for (int c = 0; c < DecodeTile<Shape>::chunks; ++c)
      UNROLL
      for (int j = 0; j < 2; ++j)
        UNROLL
        for (int i = 0; i < 8; i += 4) {
          int d = c * 64 + 8 * (2 * t + j) + i; // column 2t + j of tile i: the lane g of the loads
          if (d < D)
            *(float4 *)(share + row * D + d) = make_float4(state.values[c][i][2 * half + j], state.values[c][i + 1][2 * half + j],
                                                           state.values[c][i + 2][2 * half + j], state.values[c][i + 3][2 * half + j]);
        }
  }
  __syncthreads();
  T *y = (T *)a.result + ((int64)batch * Shape::heads + firstHead) * D;
  auto finish = [&](int row, int d, float4 v) {
    if (row >= liveRows)
      return;
    float sum = rowOf[row].y, factor = sum == 0.0f ? 0.0f : 1.0f / sum;
    *(uint2 *)(y + row * D + d) = make_uint2(Type<T>::pack(v.x * factor, v.y * factor), Type<T>::pack(v.z * factor, v.w * factor));
  };
  if (active == 1) {
    combineShares<Shape>(shares, Shape::warps, statistics, finish);
    return;
  }
  const int place = batch * gridDim.y + blockIdx.y;
  float *partial = a.partial + (int64)place * Shape::splits * Shape::shareFloats, *own = partial + split * Shape::shareFloats;
  combineShares<Shape>(shares, Shape::warps, statistics, [&](int row, int d, float4 v) {
    *(float4 *)(own + row * D + d) = v;
    if (d == 0)
      *(float2 *)(own + rows * D + 2 * row) = rowOf[row];
  });
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0)
    arrival = atomicAdd(a.arrived + place, 1);
  __syncthreads();
  if (arrival != active - 1)
    return;
  __threadfence();
  if (threadIdx.x == 0)
    a.arrived[place] = 0;
  combineShares<Shape>(partial, active, statistics, finish);
}

} // namespace transom::cuda
