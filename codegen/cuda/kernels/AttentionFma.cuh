// Attention without tensor cores: fp32 in full precision, and 16-bit types of any head_dim. Prefill with everything the op
// allows (as AttentionMma.cuh, whose arguments it takes), and decode split over the cache (as AttentionDecode.cuh). Sums in
// fp32 throughout. head_dim of no multiple of 8 takes loads of single numbers.
#pragma once

#include "AttentionDecode.cuh"
#include "AttentionMma.cuh"

namespace transom::cuda {

/// Eight neighbours from `p` on, of which `count` are there; the rest are zeros. `wide`: all eight, and aligned.
template <bool wide, class T> DEVICE Eight loadSome8(const T *p, int count) {
  if constexpr (wide) {
    return load8(p);
  } else {
    Eight v = {};
    UNROLL
    for (int i = 0; i < 8; ++i)
      if (i < count)
        v.v[i] = toFloat(p[i]);
    return v;
  }
}

//===-- Prefill -----------------------------------------------------------------------------------------------------===//

/// T: fp32, fp16 or bf16; headDim: at most 256; queriesAtOnce, keysAtOnce: multiples of 16, the block's tile (64 and 64 up to
/// head_dim 128, 32 and 32 above: sharedBytes stays under 99 KiB; half as many stay under the 64 of sm_75).
template <class T_, int headDim_, int queriesAtOnce_, int keysAtOnce_, bool causal_> struct FmaAttentionShape {
  using T = T_;
  using Result = T;
  static constexpr int headDim = headDim_, queriesAtOnce = queriesAtOnce_, keysAtOnce = keysAtOnce_, threads = 256;
  static constexpr bool causal = causal_, wide = headDim % 8 == 0;
  static constexpr int paddedDim = ceilDiv(headDim, 8) * 8;
  static constexpr int stride = paddedDim + 4; // an odd multiple of 4: rows of 16-byte loads meet every bank once
  static constexpr int weightStride = keysAtOnce + 4;
  static constexpr int sharedBytes = ((queriesAtOnce + keysAtOnce) * stride + queriesAtOnce * weightStride) * 4;
  static_assert(queriesAtOnce % 16 == 0 && keysAtOnce % 16 == 0 && headDim >= 1 && headDim <= 256, "");
};

/// Rows [first, first + rows) of a tensor to shared memory as fp32; zeros from row `end` on: what lies there may be NaN.
template <class Shape, int rows> DEVICE void copyRows(float *to, const typename Shape::T *from, int64 stride, int first, int end) {
  constexpr int pieces = Shape::paddedDim / 8;
  for (int at = threadIdx.x; at < rows * pieces; at += Shape::threads) {
    const int row = at / pieces, d = at % pieces * 8;
    Eight v = {};
    if (first + row < end)
      v = loadSome8<Shape::wide>(from + (first + row) * stride + d, Shape::headDim - d);
    store8(to + row * Shape::stride + d, v);
  }
}

DEVICE float dot4(float4 a, float4 b, float sum) { return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum)))); }

/// Grid: (blocks of queries of the longest sequence, heads, batch), Shape::threads threads, Shape::sharedBytes of dynamic
/// shared memory. Threads are 16 x 16: thread (x, y) has queries y + 16 i and keys x + 16 j of a tile's scores, and numbers
/// 4 (x + 16 j).. of its queries' results.
template <class Shape> DEVICE void attendFma(const MmaAttentionArguments &a) {
  using T = typename Shape::T;
  constexpr int Q = Shape::queriesAtOnce / 16, N = Shape::keysAtOnce, K = N / 16, quads = Shape::paddedDim / 4, columns = ceilDiv(quads, 16);
  extern __shared__ __align__(128) char shared[];
  float *queryTile = (float *)shared, *keyTile = queryTile + Shape::queriesAtOnce * Shape::stride; // values replace keys
  float *weightTile = keyTile + N * Shape::stride;
  const int head = blockIdx.y, batch = blockIdx.z, kvHead = head / (a.heads / a.kvHeads);
  const int x = threadIdx.x % 16, y = threadIdx.x / 16;
  launchDependents();
  waitProducers();
  const int queryStart = a.cumulativeQueries ? a.cumulativeQueries[batch] : 0, keyStart = a.cumulativeKeys ? a.cumulativeKeys[batch] : 0;
  const int queries = a.cumulativeQueries ? a.cumulativeQueries[batch + 1] - queryStart : a.lengths ? a.lengths[batch] : a.queries;
  const int keys = a.cumulativeKeys ? a.cumulativeKeys[batch + 1] - keyStart : a.past ? minInt(a.past[batch] + queries, a.keys) : a.keys;
  const int blocks = ceilDiv(queries, Shape::queriesAtOnce), block = Shape::causal ? blocks - 1 - (int)blockIdx.x : (int)blockIdx.x;
  if (block < 0 || block >= blocks)
    return;
  const int first = block * Shape::queriesAtOnce, offset = keys - queries;
  const int end = Shape::causal ? minInt(keys, first + Shape::queriesAtOnce + offset) : keys;
  int begin = a.window > 0 ? first + offset - a.window + 1 : 0;
  begin = begin > 0 ? begin / N * N : 0;
  const T *q = (const T *)a.queryData + batch * a.queryBatch + queryStart * a.queryRow + head * a.queryHead;
  const T *k = (const T *)a.keyData + batch * a.keyBatch + keyStart * a.keyRow + kvHead * a.keyHead;
  const T *v = (const T *)a.valueData + batch * a.keyBatch + keyStart * a.keyRow + kvHead * a.keyHead;

  copyRows<Shape, Shape::queriesAtOnce>(queryTile, q, a.queryRow, first, queries);
  float4 sums[Q][columns];
  float top[Q], total[Q];
  UNROLL
  for (int i = 0; i < Q; ++i) {
    top[i] = -infinity(), total[i] = 0.0f;
    UNROLL
    for (int c = 0; c < columns; ++c)
      sums[i][c] = make_float4(0, 0, 0, 0);
  }
  for (int at = begin; at < end; at += N) {
    __syncthreads();
    copyRows<Shape, N>(keyTile, k, a.keyRow, at, keys);
    __syncthreads();
    float scores[Q][K] = {};
_Pragma("unroll 4")
    for (int d = 0; d < Shape::paddedDim; d += 4) {
      float4 ofQuery[Q], ofKey[K];
      UNROLL
      for (int i = 0; i < Q; ++i)
        ofQuery[i] = *(const float4 *)(queryTile + (y + 16 * i) * Shape::stride + d);
      UNROLL
      for (int j = 0; j < K; ++j)
        ofKey[j] = *(const float4 *)(keyTile + (x + 16 * j) * Shape::stride + d);
      UNROLL
      for (int i = 0; i < Q; ++i)
        UNROLL
        for (int j = 0; j < K; ++j)
          scores[i][j] = dot4(ofQuery[i], ofKey[j], scores[i][j]);
    }
    UNROLL
    for (int i = 0; i < Q; ++i) {
      const int own = first + y + 16 * i, place = own + offset, last = Shape::causal ? minInt(keys, place + 1) : keys;
      float most = top[i];
      UNROLL
      for (int j = 0; j < K; ++j) {
        const int key = at + x + 16 * j;
        float s = scores[i][j] * a.scale;
        if (a.softcap != 0.0f)
          s = a.softcap * tanhf(s / a.softcap);
        bool seen = key < last && (a.window <= 0 || key > place - a.window) && own < queries;
        if (seen && a.bias)
          s += a.bias[batch * a.biasBatch + head * a.biasHead + own * a.biasQuery + key * a.biasKey];
        if (seen && a.mask)
          seen = a.mask[(int64)batch * a.keys + key] != 0;
        scores[i][j] = s = seen ? s * log2E : -infinity();
        most = maxNan(most, s);
      }
      UNROLL
      for (int apart = 8; apart > 0; apart >>= 1)
        most = maxNan(most, __shfl_xor_sync(~0u, most, apart));
      const float shift = most == -infinity() ? 0.0f : most, kept = exp2Fast(top[i] - shift);
      top[i] = most;
      total[i] *= kept;
      UNROLL
      for (int j = 0; j < K; ++j) {
        const float weight = exp2Fast(scores[i][j] - shift);
        total[i] += weight;
        weightTile[(y + 16 * i) * Shape::weightStride + x + 16 * j] = weight;
      }
      UNROLL
      for (int c = 0; c < columns; ++c)
        sums[i][c].x *= kept, sums[i][c].y *= kept, sums[i][c].z *= kept, sums[i][c].w *= kept;
    }
    __syncthreads();
    copyRows<Shape, N>(keyTile, v, a.keyRow, at, keys);
    __syncthreads();
_Pragma("unroll 2")
    for (int key = 0; key < N; key += 4) {
      float4 weights[Q];
      UNROLL
      for (int i = 0; i < Q; ++i)
        weights[i] = *(const float4 *)(weightTile + (y + 16 * i) * Shape::weightStride + key);
      UNROLL
      for (int c = 0; c < columns; ++c) {
        if (quads % 16 != 0 && x + 16 * c >= quads)
          continue;
        UNROLL
        for (int j = 0; j < 4; ++j) {
          const float4 value = *(const float4 *)(keyTile + (key + j) * Shape::stride + 4 * (x + 16 * c));
          UNROLL
          for (int i = 0; i < Q; ++i) {
            const float w = j == 0 ? weights[i].x : j == 1 ? weights[i].y : j == 2 ? weights[i].z : weights[i].w;
            float4 &sum = sums[i][c];
            sum.x = fmaf(w, value.x, sum.x), sum.y = fmaf(w, value.y, sum.y), sum.z = fmaf(w, value.z, sum.z), sum.w = fmaf(w, value.w, sum.w);
          }
        }
      }
    }
  }
  T *result = (T *)a.result + batch * a.resultBatch + queryStart * a.resultRow + head * a.resultHead;
  UNROLL
  for (int i = 0; i < Q; ++i) {
    float sum = total[i];
    UNROLL
    for (int apart = 8; apart > 0; apart >>= 1)
      sum += __shfl_xor_sync(~0u, sum, apart);
    const float factor = sum == 0.0f ? 0.0f : 1.0f / sum;
    const int own = first + y + 16 * i;
    if (own >= queries)
      continue;
    UNROLL
    for (int c = 0; c < columns; ++c) {
      const float four[4] = {sums[i][c].x, sums[i][c].y, sums[i][c].z, sums[i][c].w};
      UNROLL
      for (int j = 0; j < 4; ++j)
        if (int d = 4 * (x + 16 * c) + j; d < Shape::headDim)
          result[own * a.resultRow + d] = fromFloat<T>(four[j] * factor);
    }
  }
}

//===-- Decode ------------------------------------------------------------------------------------------------------===//

/// As DecodeAttentionShape, for any T and head_dim up to 256. A tile is four query heads of a group, whose numbers lie in
/// registers, eight to a lane; a key takes as many lanes as its head_dim needs, and a warp several keys at once.
template <class T_, int heads_, int kvHeads_, int headDim_, int warps_, int splits_, int smallestChunk_>
struct DecodeAttentionFmaShape {
  using T = T_;
  static constexpr int heads = heads_, kvHeads = kvHeads_, headDim = headDim_, warps = warps_, splits = splits_;
  static constexpr int threads = warps * 32, group = heads / kvHeads, tileRows = 4, groupTiles = ceilDiv(group, tileRows);
  static constexpr int rows = minInt(group, tileRows); // of a tile; the last tile of a group may have fewer live ones
  static constexpr bool wide = headDim % 8 == 0;
  static constexpr int shareDim = ceilDiv(headDim, 8) * 8, pieces = shareDim / 8;
  static constexpr int lanes = pieces > 16 ? 32 : pieces > 8 ? 16 : pieces > 4 ? 8 : pieces > 2 ? 4 : pieces; // of a key
  static constexpr int keysOfWarp = 32 / lanes, together = 4; // keys at once; steps of them in flight
  static constexpr int chunkUnit = keysOfWarp * together * warps, smallestChunk = ceilDiv(smallestChunk_, chunkUnit) * chunkUnit;
  static constexpr int shareFloats = rows * shareDim + ceilDiv(rows, 2) * 4, shares = warps * keysOfWarp;
  static constexpr int mostShares = shares > splits ? shares : splits;
  static constexpr int sharedBytes = (shares * shareFloats + 2 * (mostShares + 1) * rows) * 4;
  /// As DecodeAttentionShape: floats of `partial`; `arrived` has a zeroed int for each [batch, kv_heads * groupTiles].
  static constexpr int partialFloats(int batch) { return batch * kvHeads * groupTiles * splits * shareFloats; }
  static_assert(heads % kvHeads == 0 && headDim >= 1 && headDim <= 256, "");
};

/// Grid: (splits, kv_heads * groupTiles, batch), Shape::threads threads, Shape::sharedBytes of dynamic shared memory.
template <class Shape> DEVICE void attendDecodeFma(const DecodeAttentionArguments &a) {
  using T = typename Shape::T;
  constexpr int D = Shape::headDim, rows = Shape::rows, shareDim = Shape::shareDim, together = Shape::together;
  extern __shared__ __align__(128) char shared[];
  float *shares = (float *)shared, *statistics = shares + Shape::shares * Shape::shareFloats;
  const float2 *rowOf = (const float2 *)statistics + Shape::mostShares * rows;
  __shared__ int arrival;
  const int split = blockIdx.x, kvHead = blockIdx.y / Shape::groupTiles, batch = blockIdx.z;
  const int firstRow = blockIdx.y % Shape::groupTiles * Shape::tileRows, firstHead = kvHead * Shape::group + firstRow;
  const int liveRows = minInt(rows, Shape::group - firstRow);
  const int ofWarp = laneId() / Shape::lanes, d = laneId() % Shape::lanes * 8; // which key of the warp's, which numbers of it
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
  constexpr int step = Shape::keysOfWarp * Shape::warps;
  Eight keyOf[together], valueOf[together];
  auto load = [&](int from, int begin, int until) { // keys of this lane from `from` on, those in [begin, until)
    UNROLL
    for (int i = 0; i < together; ++i)
      if (int key = from + i * step; key >= begin && key < until && d < shareDim) {
        keyOf[i] = loadSome8<Shape::wide>(k + (int64)key * D + d, D - d);
        valueOf[i] = loadSome8<Shape::wide>(v + (int64)key * D + d, D - d);
      }
  };
  auto clear = [&] {
    UNROLL
    for (int i = 0; i < together; ++i)
      keyOf[i] = valueOf[i] = {};
  };
  int at = first + warpId() * Shape::keysOfWarp + ofWarp;
  clear();
  load(at, 0, known);

  waitProducers();
  const T *q = (const T *)a.query + ((int64)batch * Shape::heads + firstHead) * D;
  Eight query[rows];
  UNROLL
  for (int row = 0; row < rows; ++row) {
    query[row] = {};
    if (row < liveRows && d < shareDim)
      query[row] = loadSome8<Shape::wide>(q + row * D + d, D - d);
  }
  load(at, known, end);
  Eight sums[rows] = {};
  float top[rows], total[rows];
  UNROLL
  for (int row = 0; row < rows; ++row)
    top[row] = -infinity(), total[row] = 0.0f;
  // The lanes of a warp take as many turns, for the shuffles.
  for (int turn = first; turn < end; turn += together * step, at += together * step) {
    UNROLL
    for (int row = 0; row < rows; ++row) {
      float scores[together], most = top[row];
      UNROLL
      for (int i = 0; i < together; ++i) {
        float s = 0.0f;
        UNROLL
        for (int e = 0; e < 8; ++e)
          s = fmaf(query[row].v[e], keyOf[i].v[e], s);
        UNROLL
        for (int apart = Shape::lanes / 2; apart > 0; apart >>= 1)
          s += __shfl_xor_sync(~0u, s, apart);
        const int key = at + i * step;
        scores[i] = key < end ? decodeScore(s, a) : -infinity();
        most = maxNan(most, scores[i]);
      }
      const float shift = most == -infinity() ? 0.0f : most, kept = exp2Fast(top[row] - shift);
      top[row] = most;
      total[row] *= kept;
      UNROLL
      for (int e = 0; e < 8; ++e)
        sums[row].v[e] *= kept;
      UNROLL
      for (int i = 0; i < together; ++i) {
        const float weight = exp2Fast(scores[i] - shift);
        total[row] += weight;
        UNROLL
        for (int e = 0; e < 8; ++e)
          sums[row].v[e] = fmaf(weight, valueOf[i].v[e], sums[row].v[e]);
      }
    }
    clear();
    load(at + together * step, 0, end);
  }

  float *share = shares + (warpId() * Shape::keysOfWarp + ofWarp) * Shape::shareFloats;
  UNROLL
  for (int row = 0; row < rows; ++row) {
    if (d < shareDim)
      store8(share + row * shareDim + d, sums[row]);
    if (d == 0)
      share[rows * shareDim + 2 * row] = top[row], share[rows * shareDim + 2 * row + 1] = total[row];
  }
  __syncthreads();
  T *y = (T *)a.result + ((int64)batch * Shape::heads + firstHead) * D;
  auto finish = [&](int row, int column, float4 four) {
    if (row >= liveRows)
      return;
    const float sum = rowOf[row].y, factor = sum == 0.0f ? 0.0f : 1.0f / sum;
    const float numbers[4] = {four.x, four.y, four.z, four.w};
    UNROLL
    for (int i = 0; i < 4; ++i)
      if (column + i < D)
        y[row * D + column + i] = fromFloat<T>(numbers[i] * factor);
  };
  if (active == 1) {
    combineShares<Shape>(shares, Shape::shares, statistics, finish);
    return;
  }
  const int place = batch * gridDim.y + blockIdx.y;
  float *partial = a.partial + (int64)place * Shape::splits * Shape::shareFloats, *own = partial + split * Shape::shareFloats;
  combineShares<Shape>(shares, Shape::shares, statistics, [&](int row, int column, float4 four) {
    *(float4 *)(own + row * shareDim + column) = four;
    if (column == 0)
      *(float2 *)(own + rows * shareDim + 2 * row) = rowOf[row];
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
