// Attention of one new token per sequence over its cache: y = softmax(scale * q * k^T) * v, the cache split over blocks.
//
// The query heads that share a key/value head are the rows of one tensor core tile, so the cache is read once for all
// of them, from memory straight to fragments: scores take keys as they lie; for the values, lane (g, t) loads eight
// neighbours of two keys and interleaves them. Sequence lengths are read on the device: splits without keys leave at
// once, and cost follows the live length. Blocks of one head meet in `partial`; the last to arrive combines them, in the
// order of the splits.
#pragma once

#include "Mma.cuh"

namespace transom::cuda {

template <class T_, int heads_, int kvHeads_, int headDim_, int warps_, int splits_, int smallestChunk_>
struct DecodeAttentionShape {
  using T = T_;
  static constexpr int heads = heads_, kvHeads = kvHeads_, headDim = headDim_, warps = warps_, splits = splits_;
  static constexpr int threads = warps * 32, group = heads / kvHeads, groupTiles = ceilDiv(group, 16);
  static constexpr int rows = minInt(group, 16); // live rows of a tile
  static constexpr bool upperRows = rows > 8;
  static constexpr int chunkUnit = 16 * warps, smallestChunk = ceilDiv(smallestChunk_, chunkUnit) * chunkUnit;
  static constexpr int sharedBytes = warps * rows * (headDim + 2) * 4;
  /// Floats of `partial` for a batch; `arrived` has a zeroed int for each [batch, kv_heads * groupTiles].
  static constexpr int partialFloats(int batch) { return batch * kvHeads * groupTiles * splits * rows * (headDim + 2); }
  static_assert(heads % kvHeads == 0 && headDim % 32 == 0 && (groupTiles == 1 || group % 16 == 0), "");
};

struct DecodeAttentionArguments {
  const void *query;         // [batch, heads, head_dim]
  const void *keys, *values; // [batch, kv_heads, capacity, head_dim]
  void *result;              // [batch, heads, head_dim]
  const int *past;           // [batch]; the new token is in the cache already: past + 1 keys
  float *partial;
  int *arrived;
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
  static constexpr int parts = Shape::headDim / 32, chunks = ceilDiv(Shape::headDim, 64);
  uint4 keys[2][parts], values[4][chunks];
  DEVICE void load(const typename Shape::T *k, const typename Shape::T *v, int first, int end, int g, int t) {
    const uint4 none = make_uint4(0, 0, 0, 0);
    UNROLL
    for (int half = 0; half < 2; ++half) {
      int key = first + half * 8 + g;
      UNROLL
      for (int p = 0; p < parts; ++p)
        keys[half][p] = key < end ? *(const uint4 *)(k + (int64)key * Shape::headDim + p * 32 + 8 * t) : none;
    }
    UNROLL
    for (int i = 0; i < 4; ++i) {
      int key = first + 2 * t + (i & 1) + (i & 2 ? 8 : 0);
      UNROLL
      for (int c = 0; c < chunks; ++c) {
        int d = c * 64 + 8 * g;
        values[i][c] = key < end && d < Shape::headDim ? *(const uint4 *)(v + (int64)key * Shape::headDim + d) : none;
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
DEVICE void attendTile(DecodeState<Shape> &state, const DecodeTile<Shape> &tile, const uint4 (&query)[2][Shape::headDim / 32],
                       const DecodeAttentionArguments &a, int first, int low, int end, int t) {
  using T = typename Shape::T;
  float scores[2][4] = {};
  UNROLL
  for (int half = 0; half < 2; ++half)
    UNROLL
    for (int p = 0; p < Shape::headDim / 32; ++p)
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

/// Sums `count` shares [row][head_dim + 2] (values, maximum, sum), `stride` floats apart, into the result's rows.
template <class Shape, class Put> DEVICE void combineShares(const float *shares, int count, int stride, Put put) {
  constexpr int width = Shape::headDim + 2;
  for (int at = threadIdx.x; at < Shape::rows * Shape::headDim; at += Shape::threads) {
    int row = at / Shape::headDim, d = at % Shape::headDim;
    float top = -infinity(), sum = 0.0f, value = 0.0f;
    for (int i = 0; i < count; ++i)
      top = maxNan(top, shares[i * stride + row * width + Shape::headDim]);
    float shift = top == -infinity() ? 0.0f : top;
    for (int i = 0; i < count; ++i) {
      const float *share = shares + i * stride + row * width;
      float weight = exp2Fast(share[Shape::headDim] - shift);
      value += weight * share[d];
      sum += weight * share[Shape::headDim + 1];
    }
    put(row, d, value, top, sum);
  }
}

/// Grid: (splits, kv_heads * groupTiles, batch).
template <class Shape> DEVICE void attendDecode(const DecodeAttentionArguments &a) {
  using T = typename Shape::T;
  constexpr int width = Shape::headDim + 2;
  extern __shared__ __align__(128) char shared[];
  float *shares = (float *)shared;
  __shared__ int arrival;
  const int split = blockIdx.x, kvHead = blockIdx.y / Shape::groupTiles, batch = blockIdx.z;
  const int firstHead = kvHead * Shape::group + blockIdx.y % Shape::groupTiles * 16;
  const int warp = warpId(), g = laneId() / 4, t = laneId() % 4;
  const int64 base = ((int64)batch * Shape::kvHeads + kvHead) * a.capacity * Shape::headDim;
  const T *k = (const T *)a.keys + base, *v = (const T *)a.values + base;

  launchDependents();
  auto chunkOf = [&](int keys, int low) {
    int even = ceilDiv(keys - low, Shape::splits * Shape::chunkUnit) * Shape::chunkUnit;
    return even > Shape::smallestChunk ? even : Shape::smallestChunk;
  };
  auto keysOf = [&] {
    int past = a.past[batch];
    return past < 0 ? 0 : minInt(past + 1, a.capacity);
  };
  auto lowest = [&](int keys) { return a.window > 0 && keys > a.window ? keys - a.window : 0; };
  if (threadIdx.x < 2) { // a hint, so lengths that are about to change do no harm
    int keys = keysOf(), low = lowest(keys), chunk = chunkOf(keys, low), first = low + split * chunk;
    if (first < keys)
      prefetchL2((threadIdx.x ? v : k) + (int64)first * Shape::headDim, minInt(chunk, keys - first) * Shape::headDim * 2);
  }
  waitProducers();
  const int keys = keysOf(), low = lowest(keys), chunk = chunkOf(keys, low);
  const int active = keys > low ? ceilDiv(keys - low, chunk) : 1;
  if (split >= active)
    return;
  const int first = low + split * chunk, end = minInt(first + chunk, keys);

  uint4 query[2][Shape::headDim / 32];
  const T *q = (const T *)a.query + ((int64)batch * Shape::heads + firstHead) * Shape::headDim;
  UNROLL
  for (int half = 0; half < 2; ++half)
    UNROLL
    for (int p = 0; p < Shape::headDim / 32; ++p) {
      int row = g + 8 * half;
      query[half][p] = row < Shape::rows ? *(const uint4 *)(q + row * Shape::headDim + p * 32 + 8 * t) : make_uint4(0, 0, 0, 0);
    }
  DecodeState<Shape> state;
  state.clear();
  constexpr int step = 16 * Shape::warps;
  constexpr bool ahead = Shape::headDim <= 128; // a second tile in flight, where registers hold it
  DecodeTile<Shape> tile, next;
  int at = first + 16 * warp;
  tile.load(k, v, at, end, g, t);
  for (; at < end; at += step) {
    if constexpr (ahead)
      next.load(k, v, at + step, end, g, t);
    attendTile<Shape>(state, tile, query, a, at, low, end, t);
    if constexpr (ahead)
      tile = next;
    else
      tile.load(k, v, at + step, end, g, t);
  }

  UNROLL
  for (int row = 0; row < 2; ++row) {
    float sum = state.sum[row];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    if (g + 8 * row >= Shape::rows)
      continue;
    float *share = shares + (warp * Shape::rows + g + 8 * row) * width;
    if (t == 0)
      share[Shape::headDim] = state.top[row], share[Shape::headDim + 1] = sum;
    UNROLL
    for (int c = 0; c < DecodeTile<Shape>::chunks; ++c)
      UNROLL
      for (int i = 0; i < 8; ++i)
        UNROLL
        for (int j = 0; j < 2; ++j) {
          int d = c * 64 + 8 * (2 * t + j) + i; // column 2t + j of tile i: the lane g of the loads
          if (d < Shape::headDim)
            share[d] = state.values[c][i][2 * row + j];
        }
  }
  __syncthreads();
  T *y = (T *)a.result + ((int64)batch * Shape::heads + firstHead) * Shape::headDim;
  auto finish = [&](int row, int d, float value, float, float sum) {
    y[row * Shape::headDim + d] = fromFloat<T>(sum == 0.0f ? 0.0f : value / sum);
  };
  if (active == 1) {
    combineShares<Shape>(shares, Shape::warps, Shape::rows * width, finish);
    return;
  }
  const int place = batch * gridDim.y + blockIdx.y;
  float *partial = a.partial + (int64)place * Shape::splits * Shape::rows * width;
  float *own = partial + split * Shape::rows * width;
  combineShares<Shape>(shares, Shape::warps, Shape::rows * width, [&](int row, int d, float value, float top, float sum) {
    own[row * width + d] = value;
    if (d == 0)
      own[row * width + Shape::headDim] = top, own[row * width + Shape::headDim + 1] = sum;
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
  combineShares<Shape>(partial, active, Shape::rows * width, finish);
}

} // namespace transom::cuda
