// Row-wise kernels: embedding, norms with residual, softmax, elementwise regions, packing, reductions, and the end of a
// step. A block takes a row; the live number of rows is read on the device, blocks past it leave at once.
#pragma once

#include "Epilogues.cuh"

namespace transom::cuda {

/// Where a kernel's live number of rows stands: times `factor` rows per token; null: all.
struct LiveRows {
  const int *count;
  int factor;
  DEVICE bool has(int64 row) const { return !count || row < (int64)*count * factor; }
};

//===-- Embedding ---------------------------------------------------------------------------------------------------===//

/// y[row] = table[index] (+ positions' table at the row's position); zeros where an index is outside. width % 8 == 0.
template <class T, class Y, int width, int threads>
DEVICE void embedding(const T *table, const int *indices, int tableRows, const T *places, const int *positions, Y *y,
                      LiveRows live) {
  launchDependents();
  waitProducers();
  const int64 row = blockIdx.x;
  if (!live.has(row))
    return;
  const int index = indices[row];
  const bool inside = index >= 0 && index < tableRows;
  for (int at = 8 * threadIdx.x; at < width; at += 8 * threads) {
    Eight v = {};
    if (inside)
      v = load8(table + (int64)index * width + at);
    if (places) {
      Eight p = load8(places + (int64)positions[row] * width + at);
      UNROLL
      for (int i = 0; i < 8; ++i)
        v.v[i] += p.v[i];
    }
    store8(y + row * width + at, v);
  }
}

//===-- Norms -------------------------------------------------------------------------------------------------------===//

/// sum = x + residual (stored to `sums` where given), y = norm(sum). The rows stay in registers. width % 8 == 0. rows: of a block, where a thread has one piece
/// of each; behind the last live row they are the first again.
template <class X, class S, class Y, int width, int warps, bool centred, int rows = 1>
DEVICE void normRows(const X *x, const X *residual, const S *scale, const S *bias, float epsilon, X *sums, Y *y,
                     LiveRows live) {
  constexpr int threads = 32 * warps, pieces = ceilDiv(width, 8 * threads);
  static_assert(rows == 1 || pieces == 1, "");
  __shared__ float scratch[rows][warps];
  launchDependents();
  waitProducers();
  const int64 first = (int64)blockIdx.x * rows;
  if (!live.has(first))
    return;
  auto eachPiece = [&](auto body) {
    UNROLL
    for (int r = 0; r < rows; ++r)
      UNROLL
      for (int p = 0; p < pieces; ++p)
        if (const int at = 8 * (threadIdx.x + p * threads); at < width)
          body(r, p, at, (live.has(first + r) ? first + r : first) * width + at);
  };
  Eight v[rows][pieces], s[pieces] = {}, b[pieces] = {};
  float mean[rows] = {}, factor[rows] = {};
  if (rows > 1 && 8 * threadIdx.x < width) {
    s[0] = load8(scale + 8 * threadIdx.x);
    if (bias)
      b[0] = load8(bias + 8 * threadIdx.x);
  }
  eachPiece([&](int r, int p, int, int64 place) {
    v[r][p] = load8(x + place);
    if (residual) {
      Eight other = load8(residual + place);
      UNROLL
      for (int i = 0; i < 8; ++i)
        v[r][p].v[i] += other.v[i];
    }
  });
  eachPiece([&](int r, int p, int, int64 place) {
    if (residual && sums)
      store8(sums + place, v[r][p]);
    UNROLL
    for (int i = 0; i < 8; ++i)
      mean[r] += centred ? v[r][p].v[i] : 0.0f;
  });
  if constexpr (centred)
    blockSums<warps>(mean, scratch);
  UNROLL
  for (int r = 0; r < rows; ++r)
    mean[r] /= width;
  eachPiece([&](int r, int p, int, int64) {
    UNROLL
    for (int i = 0; i < 8; ++i)
      factor[r] = fmaf(v[r][p].v[i] - mean[r], v[r][p].v[i] - mean[r], factor[r]);
  });
  blockSums<warps>(factor, scratch);
  UNROLL
  for (int r = 0; r < rows; ++r)
    factor[r] = rsqrtf(factor[r] / width + epsilon);
  eachPiece([&](int r, int p, int at, int64 place) {
    if (rows == 1) {
      s[p] = load8(scale + at);
      if (bias)
        b[p] = load8(bias + at);
    }
    UNROLL
    for (int i = 0; i < 8; ++i)
      v[r][p].v[i] = (v[r][p].v[i] - mean[r]) * factor[r] * s[p].v[i] + b[p].v[i];
    store8(y + place, v[r][p]);
  });
}

//===-- Softmax and reductions over the last dimension --------------------------------------------------------------===//

template <class X, class Y, int warps> DEVICE void softmaxRows(const X *x, Y *y, int width, LiveRows live) {
  __shared__ float scratch[warps];
  launchDependents();
  waitProducers();
  const int64 row = blockIdx.x;
  if (!live.has(row))
    return;
  float top = -infinity();
  for (int i = threadIdx.x; i < width; i += 32 * warps)
    top = maxNan(top, toFloat(x[row * width + i]));
  top = blockMax<warps>(top, scratch);
  float shift = top == -infinity() ? 0.0f : top, sum = 0.0f;
  for (int i = threadIdx.x; i < width; i += 32 * warps)
    sum += exp2Fast((toFloat(x[row * width + i]) - shift) * log2E);
  sum = blockSum<warps>(sum, scratch);
  float factor = sum == 0.0f ? 0.0f : 1.0f / sum;
  for (int i = threadIdx.x; i < width; i += 32 * warps)
    y[row * width + i] = fromFloat<Y>(exp2Fast((toFloat(x[row * width + i]) - shift) * log2E) * factor);
}

struct SumReduction {
  template <int warps> static DEVICE float block(float v, float *scratch) { return blockSum<warps>(v, scratch); }
  static DEVICE float start() { return 0.0f; }
  static DEVICE float combine(float a, float b) { return a + b; }
};
struct MaxReduction {
  template <int warps> static DEVICE float block(float v, float *scratch) { return blockMax<warps>(v, scratch); }
  static DEVICE float start() { return -infinity(); }
  static DEVICE float combine(float a, float b) { return maxNan(a, b); }
};
/// y[row] = factor * reduction of f(row, i) over i < width: f is the fused region.
template <class Y, class Reduction, int warps, class F>
DEVICE void reduceRows(F f, Y *y, int width, float factor, LiveRows live) {
  __shared__ float scratch[warps];
  launchDependents();
  waitProducers();
  const int64 row = blockIdx.x;
  if (!live.has(row))
    return;
  float v = Reduction::start();
  for (int i = threadIdx.x; i < width; i += 32 * warps)
    v = Reduction::combine(v, f(row, i));
  v = Reduction::template block<warps>(v, scratch);
  if (threadIdx.x == 0)
    y[row] = fromFloat<Y>(v * factor);
}

/// y[i] = f(i) for i < count: f is the fused region.
template <class Y, int threads, class F> DEVICE void mapElements(F f, Y *y, int64 count, int width, LiveRows live) {
  launchDependents();
  waitProducers();
  for (int64 i = (int64)blockIdx.x * threads + threadIdx.x; i < count; i += (int64)gridDim.x * threads)
    if (live.has(i / width))
      y[i] = fromFloat<Y>(f(i));
}

//===-- Sums along rows ---------------------------------------------------------------------------------------------===//

/// store(i, load(0) + ... + load(i)) for i < length, by a warp. Loads are under way together: it may store where it loads.
template <class T, class Load, class Store> DEVICE void cumulativeSum(int64 length, Load load, Store store) {
  constexpr int ahead = 8;
  T before = 0;
  for (int64 first = laneId(); first - laneId() < length; first += 32 * ahead) {
    T v[ahead];
    UNROLL
    for (int a = 0; a < ahead; ++a)
      v[a] = first + 32 * a < length ? load(first + 32 * a) : T(0);
    UNROLL
    for (int a = 0; a < ahead; ++a) {
      const T sum = before + sumUpTo(v[a]);
      if (first + 32 * a < length)
        store(first + 32 * a, sum);
      before = __shfl_sync(~0u, sum, 31);
    }
  }
}

//===-- Packing -----------------------------------------------------------------------------------------------------===//

/// cumulative[b + 1], which are lengths, become sums. By one block.
DEVICE void sumLengths(int *cumulative, int64 batch) {
  __syncthreads();
  if (warpId() == 0) {
    cumulativeSum<int>(batch, [&](int64 b) { return cumulative[b + 1]; }, [&](int64 b, int sum) { cumulative[b + 1] = sum; });
    if (laneId() == 0)
      cumulative[0] = 0;
  }
  __syncthreads();
}
/// The places of tokens, b * seq + s, where valid(b * seq + s), row after row, and each row's first among them: [batch + 1]. By one block, a warp for each row.
template <int threads, class Valid> DEVICE void validTokens(int64 batch, int64 seq, Valid valid, int *index, int *cumulative) {
  constexpr int ahead = 8;
  // The lanes' valid places from first + 32 a on, loads together.
  auto eachLanes = [&](int64 b, auto work) {
    for (int64 first = 0; first < seq; first += 32 * ahead) {
      bool v[ahead];
      UNROLL
      for (int a = 0; a < ahead; ++a)
        v[a] = first + 32 * a + laneId() < seq && valid(b * seq + first + 32 * a + laneId());
      UNROLL
      for (int a = 0; a < ahead; ++a)
        work((int)(b * seq + first + 32 * a) + laneId(), v[a], __ballot_sync(~0u, v[a]));
    }
  };
  for (int64 b = warpId(); b < batch; b += threads / 32) {
    int count = 0;
    eachLanes(b, [&](int, bool, uint32 all) { count += __popc(all); });
    if (laneId() == 0)
      cumulative[b + 1] = count;
  }
  sumLengths(cumulative, batch);
  for (int64 b = warpId(); b < batch; b += threads / 32) {
    int to = cumulative[b];
    eachLanes(b, [&](int place, bool own, uint32 all) {
      if (own)
        index[to + __popc(all & ((1u << laneId()) - 1))] = place;
      to += __popc(all);
    });
  }
}
/// The same, of rows whose first lengths[b] tokens are valid, at most `seq`.
template <int threads> DEVICE void tokensOfLengths(int64 batch, int64 seq, const int *lengths, int *index, int *cumulative) {
  for (int64 b = threadIdx.x; b < batch; b += threads)
    cumulative[b + 1] = lengths[b] < 0 ? 0 : (int)(lengths[b] < seq ? lengths[b] : seq);
  sumLengths(cumulative, batch);
  for (int64 b = warpId(); b < batch; b += threads / 32) {
    const int from = cumulative[b], count = cumulative[b + 1] - from;
    for (int s = laneId(); s < count; s += 32)
      index[from + s] = (int)(b * seq + s);
  }
}

/// The sequence that packed token `token` belongs to, or -1 behind the last.
DEVICE int sequenceOf(const int *cumulative, int batch, int token) {
  if (token < 0 || token >= cumulative[batch])
    return -1;
  int low = 0, high = batch - 1;
  while (low < high) {
    int middle = (low + high + 1) / 2;
    if (cumulative[middle] <= token)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}
/// y[i] = x[index[i]] for the live tokens; rows of `width` 16-byte pieces.
template <int threads> DEVICE void packRows(const uint4 *x, const int *index, uint4 *y, int width, LiveRows live) {
  launchDependents();
  waitProducers();
  const int64 row = blockIdx.x;
  if (!live.has(row))
    return;
  for (int i = threadIdx.x; i < width; i += threads)
    y[row * width + i] = x[(int64)index[row] * width + i];
}
/// Padded rows [batch, seq] from packed ones; zeros behind each sequence's last.
template <int threads>
DEVICE void unpackRows(const uint4 *x, const int *cumulative, uint4 *y, int seq, int width) {
  launchDependents();
  waitProducers();
  const int64 row = blockIdx.x;
  const int sequence = row / seq, from = cumulative[sequence] + row % seq;
  const bool live = from < cumulative[sequence + 1];
  for (int i = threadIdx.x; i < width; i += threads)
    y[row * width + i] = live ? x[(int64)from * width + i] : make_uint4(0, 0, 0, 0);
}

//===-- The end of a step -------------------------------------------------------------------------------------------===//

struct StepState {
  uint64 *best;       // [batch]: the head's argmax (LogitsEpilogue); zeroed for the next step; may be null with `sampled`
  const int *sampled; // [batch]: what Sample.cuh chose, may be `tokens`; null: the argmax
  const int *lengths; // [batch]: 0 or 1; rows of length 0 stay as they are; null: all 1
  int *tokens;        // [batch]: what the host reads; -1 where no token could be chosen
  int *inputIds;      // [batch]: the next step's; 0 for -1
  int *past;          // [batch]: grows by the length
  int64 *tokenIndex;  // [batch]: grows by one, or null
  int batch;
};
/// Takes the tokens and advances the lengths. A thread for each row: any grid with batch threads or more.
DEVICE void advanceStep(const StepState &s) {
  launchDependents();
  waitProducers();
  const int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= s.batch)
    return;
  const int length = s.lengths ? s.lengths[row] : 1;
  if (length > 0) {
    const int token = s.sampled ? s.sampled[row] : argmaxToken(s.best[row]);
    s.tokens[row] = token;
    s.inputIds[row] = token < 0 ? 0 : token;
    s.past[row] += length;
    if (s.tokenIndex)
      s.tokenIndex[row] += 1;
  }
  if (s.best)
    s.best[row] = 0;
}

} // namespace transom::cuda
