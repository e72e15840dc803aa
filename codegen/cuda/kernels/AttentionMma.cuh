// Prefill attention by mma.sync: y = softmax(scale * q * k^T + bias) * v, with everything the op allows: causal,
// window, softcap, key mask, additive bias; packed, padded or cached; grouped heads; head_dim a multiple of 16 up to 256.
// The fast path for head_dim 64 and 128 on sm_90a is AttentionHopper.cuh.
//
// After FlashAttention-2 (Dao, 2023). A block takes 16 queries per warp of one head; keys and values pass through shared
// memory by cp.async, the next block of keys under the products of this one. Rows in shared memory are padded by 16
// bytes, so that ldmatrix meets every bank once.
#pragma once

#include "Mma.cuh"

namespace transom::cuda {

template <class T_, int headDim_, int warps_, int keysAtOnce_, bool causal_> struct MmaAttentionShape {
  using T = T_;
  using Result = T;
  static constexpr int headDim = headDim_, warps = warps_, threads = 32 * warps, queriesAtOnce = 16 * warps;
  static constexpr int keysAtOnce = keysAtOnce_, rowBytes = headDim * 2 + 16, tileBytes = keysAtOnce * rowBytes;
  static constexpr bool causal = causal_;
  static constexpr int sharedBytes = 4 * tileBytes; // two of keys, two of values
  static_assert(headDim % 16 == 0 && keysAtOnce % 16 == 0, "");
};

/// Element strides; rows of keys and values share theirs. Packed tensors have batch stride 0.
struct MmaAttentionArguments {
  const void *queryData, *keyData, *valueData;
  void *result;
  int64 queryBatch, queryRow, queryHead, keyBatch, keyRow, keyHead, resultBatch, resultRow, resultHead;
  const int *cumulativeQueries, *cumulativeKeys, *lengths, *past; // as in HopperAttentionArguments
  const int *mask;                                                // [batch, keys] or null
  const float *bias;                                              // or null
  int64 biasBatch, biasHead, biasQuery, biasKey;                  // strides, 0 where its size is 1
  int heads, kvHeads, queries, keys, window;
  float scale, softcap;
  const float *resultScale; float *resultScales; // as in HopperAttentionArguments
};

template <class Shape> DEVICE void copyKeys(uint32 to, const typename Shape::T *from, int64 stride, int first, int end) {
  constexpr int pieces = Shape::headDim / 8;
  for (int at = threadIdx.x; at < Shape::keysAtOnce * pieces; at += Shape::threads) {
    int row = at / pieces, piece = at % pieces;
    bool inside = first + row < end; // zeros past the last: what lies there may be NaN
    copyAsync16(to + row * Shape::rowBytes + piece * 16, from + (inside ? (int64)(first + row) * stride : 0) + piece * 8, inside);
  }
}

/// Grid: (blocks of queries of the longest sequence, heads, batch).
template <class Shape> DEVICE void attendMma(const MmaAttentionArguments &a) {
  using T = typename Shape::T;
  constexpr int D = Shape::headDim, N = Shape::keysAtOnce, parts = D / 16;
  extern __shared__ __align__(128) char shared[];
  const uint32 keyTile = sharedAddress(shared), valueTile = keyTile + 2 * Shape::tileBytes;
  const int head = blockIdx.y, batch = blockIdx.z, kvHead = head / (a.heads / a.kvHeads);
  const int warp = warpId(), lane = laneId(), g = lane / 4, t = lane % 4;
  launchDependents();
  waitProducers();
  const int queryStart = a.cumulativeQueries ? a.cumulativeQueries[batch] : 0, keyStart = a.cumulativeKeys ? a.cumulativeKeys[batch] : 0;
  const int queries = a.cumulativeQueries ? a.cumulativeQueries[batch + 1] - queryStart : a.lengths ? a.lengths[batch] : a.queries;
  const int keys = a.cumulativeKeys ? a.cumulativeKeys[batch + 1] - keyStart : a.past ? minInt(a.past[batch] + queries, a.keys) : a.keys;
  const int blocks = ceilDiv(queries, Shape::queriesAtOnce), block = Shape::causal ? blocks - 1 - (int)blockIdx.x : (int)blockIdx.x;
  if (block < 0 || block >= blocks)
    return;
  const int first = block * Shape::queriesAtOnce, row = first + warp * 16 + g, offset = keys - queries;
  const int end = Shape::causal ? minInt(keys, first + Shape::queriesAtOnce + offset) : keys;
  int begin = a.window > 0 ? first + offset - a.window + 1 : 0;
  begin = begin > 0 ? begin / N * N : 0;
  const T *q = (const T *)a.queryData + batch * a.queryBatch + queryStart * a.queryRow + head * a.queryHead;
  const T *k = (const T *)a.keyData + batch * a.keyBatch + keyStart * a.keyRow + kvHead * a.keyHead;
  const T *v = (const T *)a.valueData + batch * a.keyBatch + keyStart * a.keyRow + kvHead * a.keyHead;

  uint4 query[parts];
  UNROLL
  for (int p = 0; p < parts; ++p) {
    auto pair = [&](int r, int d) { return r < queries ? *(const uint32 *)(q + r * a.queryRow + d) : 0u; };
    query[p] = make_uint4(pair(row, 16 * p + 2 * t), pair(row + 8, 16 * p + 2 * t), pair(row, 16 * p + 8 + 2 * t), pair(row + 8, 16 * p + 8 + 2 * t));
  }
  float sums[D / 8][4] = {}, top[2] = {-infinity(), -infinity()}, total[2] = {};
  if (begin < end) {
    copyKeys<Shape>(keyTile, k, a.keyRow, begin, keys);
    commitCopies();
    copyKeys<Shape>(valueTile, v, a.keyRow, begin, keys);
    commitCopies();
  }
  for (int at = begin, stage = 0; at < end; at += N, stage ^= 1) {
    waitCopies<1>(); // keys
    __syncthreads();
    if (at + N < end)
      copyKeys<Shape>(keyTile + (stage ^ 1) * Shape::tileBytes, k, a.keyRow, at + N, keys);
    commitCopies();
    float scores[N / 8][4] = {};
    UNROLL
    for (int p = 0; p < parts; ++p)
      UNROLL
      for (int j = 0; j < N / 16; ++j) { // 16 keys, 16 numbers each
        uint4 b = loadMatrices(keyTile + stage * Shape::tileBytes + (16 * j + lane % 8 + lane / 16 * 8) * Shape::rowBytes +
                               (16 * p + lane / 8 % 2 * 8) * 2);
        mma<T>(scores[2 * j], query[p], b.x, b.y);
        mma<T>(scores[2 * j + 1], query[p], b.z, b.w);
      }
    float kept[2];
    UNROLL
    for (int half = 0; half < 2; ++half) {
      const int own = row + 8 * half, place = own + offset, last = Shape::causal ? minInt(keys, place + 1) : keys;
      float most = top[half];
      UNROLL
      for (int j = 0; j < N / 8; ++j)
        UNROLL
        for (int i = 0; i < 2; ++i) {
          int key = at + 8 * j + 2 * t + i;
          float s = scores[j][2 * half + i] * a.scale;
          if (a.softcap != 0.0f)
            s = a.softcap * tanhf(s / a.softcap);
          bool seen = key < last && (a.window <= 0 || key > place - a.window) && own < queries;
          if (seen && a.bias)
            s += a.bias[batch * a.biasBatch + head * a.biasHead + own * a.biasQuery + key * a.biasKey];
          if (seen && a.mask)
            seen = a.mask[(int64)batch * a.keys + key] != 0;
          scores[j][2 * half + i] = s = seen ? s * log2E : -infinity();
          most = maxNan(most, s);
        }
      most = maxNan(most, __shfl_xor_sync(~0u, most, 1));
      most = maxNan(most, __shfl_xor_sync(~0u, most, 2));
      float shift = most == -infinity() ? 0.0f : most;
      kept[half] = exp2Fast(top[half] - shift);
      top[half] = most;
      total[half] *= kept[half];
      UNROLL
      for (int j = 0; j < N / 8; ++j)
        UNROLL
        for (int i = 0; i < 2; ++i) {
          float &s = scores[j][2 * half + i];
          s = exp2Fast(s - shift);
          total[half] += s;
        }
    }
    UNROLL
    for (int i = 0; i < D / 8; ++i)
      UNROLL
      for (int j = 0; j < 4; ++j)
        sums[i][j] *= kept[j / 2];
    waitCopies<1>(); // values
    __syncthreads();
    if (at + N < end)
      copyKeys<Shape>(valueTile + (stage ^ 1) * Shape::tileBytes, v, a.keyRow, at + N, keys);
    commitCopies();
    UNROLL
    for (int j = 0; j < N / 16; ++j) {
      uint4 weights = make_uint4(Type<T>::pack(scores[2 * j][0], scores[2 * j][1]), Type<T>::pack(scores[2 * j][2], scores[2 * j][3]),
                                 Type<T>::pack(scores[2 * j + 1][0], scores[2 * j + 1][1]), Type<T>::pack(scores[2 * j + 1][2], scores[2 * j + 1][3]));
      UNROLL
      for (int p = 0; p < parts; ++p) {
        uint4 b = loadMatricesTransposed(valueTile + stage * Shape::tileBytes + (16 * j + lane % 16) * Shape::rowBytes + (16 * p + lane / 16 * 8) * 2);
        mma<T>(sums[2 * p], weights, b.x, b.y);
        mma<T>(sums[2 * p + 1], weights, b.z, b.w);
      }
    }
  }
  using Result = typename Shape::Result;
  using Pair = decltype(Type<Result>::pack(0.0f, 0.0f));
  constexpr bool rounds = sizeof(Result) == 1;
  const float resultScale = rounds ? *a.resultScale : 1.0f;
  Result *y = (Result *)a.result + batch * a.resultBatch + queryStart * a.resultRow + head * a.resultHead;
  UNROLL
  for (int half = 0; half < 2; ++half) {
    float sum = total[half];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    float factor = sum == 0.0f ? 0.0f : 1.0f / (sum * resultScale);
    const int own = row + 8 * half;
    if (own >= queries)
      continue;
    UNROLL
    for (int i = 0; i < D / 8; ++i)
      *(Pair *)(y + own * a.resultRow + 8 * i + 2 * t) = Type<Result>::pack(sums[i][2 * half] * factor, sums[i][2 * half + 1] * factor);
    if (rounds && head == 0 && t == 0)
      a.resultScales[queryStart + (a.cumulativeQueries ? 0 : batch * a.queries) + own] = resultScale;
  }
}

} // namespace transom::cuda
