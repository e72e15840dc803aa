// y[M, N] = prologue(x)[M, K] * W[N, K]^T for few rows without tensor cores: for fp32 weights in full precision. K % 8 == 0, at most 16
// rows. Geometry, prologues and epilogues are those of Gemv.cuh, whose faster kernel this stands in for.
#pragma once

#include "Gemv.cuh"

namespace transom::cuda {

template <class W_, int outputs, int inner, int rowsOfX, class Pairs_> struct GemvFmaShape {
  using W = W_;
  using Pairs = Pairs_;
  static constexpr int N = outputs, K = inner, M = rowsOfX, warps = 8, threads = 256, blocks = Pairs::blocks(N);
  static_assert(K % 8 == 0 && M <= 16, "");
};

template <class W> struct Weights8 {
  uint4 bits;
  DEVICE void load(const W *p) { bits = loadStream(p); }
  DEVICE Eight floats() const { return unpack8<W>(bits); }
};
template <> struct Weights8<float> {
  uint4 low, high;
  DEVICE void load(const float *p) { low = loadStream(p), high = loadStream(p + 4); }
  DEVICE Eight floats() const {
    return {{__uint_as_float(low.x), __uint_as_float(low.y), __uint_as_float(low.z), __uint_as_float(low.w),
             __uint_as_float(high.x), __uint_as_float(high.y), __uint_as_float(high.z), __uint_as_float(high.w)}};
  }
};

/// Warp w takes rows w and w + 8 of the block's 16; its lanes share K.
template <class Shape, class Prologue, class Epilogue>
DEVICE void gemvFma(const typename Shape::W *weights, Prologue prologue, Epilogue epilogue, const int *rows) {
  constexpr int depth = 4;
  __shared__ float results[Shape::M * 16], scratch[32 + 2 * Shape::M];
  const int warp = warpId(), lane = laneId(), tile = blockIdx.x;
  const typename Shape::W *row[2];
  Weights8<typename Shape::W> ahead[depth][2];
  launchDependents();
  UNROLL
  for (int i = 0; i < 2; ++i)
    row[i] = weights + (int64)minInt(Shape::Pairs::row(tile, warp + 8 * i), Shape::N - 1) * Shape::K;
  UNROLL
  for (int d = 0; d < depth; ++d)
    UNROLL
    for (int i = 0; i < 2; ++i)
      if (8 * (lane + 32 * d) < Shape::K)
        ahead[d][i].load(row[i] + 8 * (lane + 32 * d));
  int m = threadIdx.x / 16, r = threadIdx.x % 16, n = Shape::Pairs::row(tile, r);
  bool mine = threadIdx.x < Shape::M * 16 && n < Shape::N && (!rows || m < *rows);
  typename Epilogue::Early early;
  if (mine)
    early = epilogue.constants(n);
  waitProducers();
  if (mine) {
    epilogue.early(early, m, n);
    epilogue.prepare(early, n);
  }
  prologue.template begin<Shape::M, Shape::warps>(scratch);

  float sums[2][Shape::M] = {}, squares[Shape::M] = {};
  for (int base = 8 * lane; base < Shape::K; base += 256 * depth)
    UNROLL
    for (int d = 0; d < depth; ++d) {
      int k = base + 256 * d;
      if (k >= Shape::K)
        break;
      Eight w[2] = {ahead[d][0].floats(), ahead[d][1].floats()};
      if (k + 256 * depth < Shape::K)
        UNROLL
        for (int i = 0; i < 2; ++i)
          ahead[d][i].load(row[i] + k + 256 * depth);
      UNROLL
      for (int j = 0; j < Shape::M; ++j) {
        Eight x = prologue.eight(prologue.fetch(j, k), j, squares[j]);
        UNROLL
        for (int e = 0; e < 8; ++e) {
          sums[0][j] = fmaf(w[0].v[e], x.v[e], sums[0][j]);
          sums[1][j] = fmaf(w[1].v[e], x.v[e], sums[1][j]);
        }
      }
    }
  UNROLL
  for (int j = 0; j < Shape::M; ++j) {
    const float factor = Prologue::deferred ? prologue.finish(warpSum(squares[j])) : 1.0f; // each warp saw the whole row
    UNROLL
    for (int i = 0; i < 2; ++i) {
      float sum = warpSum(sums[i][j]) * factor;
      if (lane == 0)
        results[j * 16 + warp + 8 * i] = sum;
    }
  }
  __syncthreads();
  if (warp * 32 >= Shape::M * 16)
    return;
  float result = threadIdx.x < Shape::M * 16 ? results[threadIdx.x] : 0.0f;
  epilogue.store(early, m, n, result, mine);
}

} // namespace transom::cuda
