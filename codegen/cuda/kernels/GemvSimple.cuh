// y[M, N] = prologue(x)[M, K] * W[N, K]^T one element at a time: any N, K and alignment, any plain type of weights, any number
// of rows. For the odd sizes of small models, where the kernels of Gemv.cuh and GemvFma.cuh (K % 8 == 0) do not fit. Pairs and
// epilogues are theirs.
#pragma once

#include "Gemv.cuh"

namespace transom::cuda {

/// W: type of the weights; outputs, inner: N, K; Pairs: which rows of W a block takes.
template <class W_, int outputs, int inner, class Pairs_> struct GemvSimpleShape {
  using W = W_;
  using Pairs = Pairs_;
  static constexpr int N = outputs, K = inner, warps = 8, threads = 256, blocks = Pairs::blocks(N);
};

//===-- Prologues ---------------------------------------------------------------------------------------------------===//
// begin<warps>(m, scratch): statistics of row m over the block, with `warps` floats of shared memory; one(m, k): the element.

/// x as it is.
template <class X, int K> struct SimplePrologue {
  const X *x; // [M, K]
  template <int warps> DEVICE void begin(int, float *) {}
  DEVICE float one(int m, int k) const { return toFloat(x[(int64)m * K + k]); }
};

/// Layer norm, or RMS norm without `centred`; bias may be null.
template <class X, class S, int K, bool centred> struct SimpleNormPrologue {
  const X *x;            // [M, K]
  const S *scale, *bias; // [K]
  float epsilon;
  float mean, factor; // found by begin
  template <int warps> DEVICE void begin(int m, float *scratch) {
    float sum = 0.0f, squares = 0.0f;
    mean = 0.0f;
    if constexpr (centred) {
      for (int k = threadIdx.x; k < K; k += 32 * warps)
        sum += toFloat(x[(int64)m * K + k]);
      mean = blockSum<warps>(sum, scratch) / K;
    }
    for (int k = threadIdx.x; k < K; k += 32 * warps) {
      float v = toFloat(x[(int64)m * K + k]) - mean;
      squares = fmaf(v, v, squares);
    }
    factor = rsqrtf(blockSum<warps>(squares, scratch) / K + epsilon);
  }
  DEVICE float one(int m, int k) const {
    float v = (toFloat(x[(int64)m * K + k]) - mean) * factor * toFloat(scale[k]);
    return bias ? v + toFloat(bias[k]) : v;
  }
};

//===-- Kernel ------------------------------------------------------------------------------------------------------===//

/// rows: how many of x's are live, or null for all of the grid. Grid: (Shape::blocks, M), Shape::threads threads. Warp w
/// takes rows w and w + 8 of the block's 16; its lanes share K.
template <class Shape, class Prologue, class Epilogue>
DEVICE void gemvSimple(const typename Shape::W *weights, Prologue prologue, Epilogue epilogue, const int *rows) {
  __shared__ float results[16], scratch[Shape::warps];
  const int warp = warpId(), lane = laneId(), tile = blockIdx.x, m = blockIdx.y;
  launchDependents();
  waitProducers();
  if (rows && m >= *rows)
    return;
  const int r = lane % 16, n = Shape::Pairs::row(tile, r);
  const bool mine = threadIdx.x < 16 && n < Shape::N;
  typename Epilogue::Early early;
  if (mine) {
    early = epilogue.constants(n);
    epilogue.early(early, m, n);
    epilogue.prepare(early, n);
  }
  prologue.template begin<Shape::warps>(m, scratch);
  float sums[2] = {};
  const typename Shape::W *row[2];
  UNROLL
  for (int i = 0; i < 2; ++i)
    row[i] = weights + (int64)minInt(Shape::Pairs::row(tile, warp + 8 * i), Shape::N - 1) * Shape::K;
  for (int k = lane; k < Shape::K; k += 32) {
    const float x = prologue.one(m, k);
    sums[0] = fmaf(toFloat(row[0][k]), x, sums[0]);
    sums[1] = fmaf(toFloat(row[1][k]), x, sums[1]);
  }
  UNROLL
  for (int i = 0; i < 2; ++i) {
    const float sum = warpSum(sums[i]);
    if (lane == 0)
      results[warp + 8 * i] = sum;
  }
  __syncthreads();
  if (warp == 0)
    epilogue.store(early, m, n, results[r], mine);
}

} // namespace transom::cuda
