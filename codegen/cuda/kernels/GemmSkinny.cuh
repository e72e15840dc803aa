// Products of some rows: y = epilogue(x W^T), x [rows, K], W [N, K], 16-bit, rows up to 64. Time is that of reading W, and of what cannot
// overlap with it: from the end of the kernel that makes x to the end of this one.
//
// A block takes `tiles` tiles of 16 rows of W, and with `splits` a part of K, whose sums the kernel behind adds. Its warps share K, and each
// takes all rows of x: so a number of W, and one of x, is needed by one warp of a block alone, and both go to the tensor cores as 16-byte
// loads bring them (Mma.cuh), x from L2 to registers, W by way of shared memory, where each lane reads back what it copied itself.
//
// 1. Start the successor; copy the first `depth` steps of W, read the epilogue's constants. On 8.0 and 9.0 a block takes half of a
//    multiprocessor at most, so that this goes on while the kernel that makes x is still at work.
// 2. Wait for that one; read what else the epilogue needs, and x some steps ahead; multiply.
// 3. Sum over the warps in a fixed order; hand the results to the epilogue (Epilogues.cuh), which finds a row's partner by a shuffle.
#pragma once

#include "Gemv.cuh"

namespace transom::cuda {

/// Pairs: which 16 rows of W a tile takes (Gemv.cuh). ahead: steps of x in registers.
template <class T_, int outputs, int inner, int most, int tiles_, int splits_, int ahead_, class Pairs_> struct SkinnyShape {
  using T = T_;
  using Pairs = Pairs_;
  static constexpr int N = outputs, K = inner, M = most, tiles = tiles_, splits = splits_, warps = 8, threads = 32 * warps;
  static constexpr int stepK = 32, steps = K / stepK, stepsOfPart = ceilDiv(steps, splits), turns = ceilDiv(stepsOfPart, warps);
  static constexpr int depth = minInt(turns, 7 / tiles), ahead = minInt(turns, ahead_);
  static constexpr int blocks = ceilDiv(Pairs::blocks(N), tiles);
  static constexpr int results = M * 16 * tiles / threads; // of a thread
  static constexpr int place = 20;                         // of 16 sums in shared memory: rows 2t and g apart lie in other banks
  static constexpr int copyBytes = depth * tiles * 1024, sumBytes = tiles * M * place * 4;
  static constexpr int warpBytes = copyBytes > sumBytes ? copyBytes : sumBytes, sharedBytes = warps * warpBytes;
  static_assert(K % stepK == 0 && M % 8 == 0 && M * 16 * tiles % threads == 0, "");
};

/// The sums of part blockIdx.y of K: y [splits, most, N].
template <int most, int N> struct PartEpilogue {
  float *y;
  struct Early {};
  DEVICE Early constants(int) const { return {}; }
  DEVICE void early(Early &, int, int) const {}
  DEVICE void prepare(Early &, int) const {}
  DEVICE void store(const Early &, int m, int n, float v, bool mine) const {
    if (mine)
      y[((int64)blockIdx.y * most + m) * N + n] = v;
  }
};

/// A warp's sums to shared memory, [tile][row of x][row of the tile].
template <class Shape, int columns> DEVICE void storeSums(float *to, const float (&sums)[Shape::tiles][columns][4]) {
  const int g = laneId() / 4, t = laneId() % 4;
  UNROLL
  for (int i = 0; i < Shape::tiles; ++i)
    UNROLL
    for (int j = 0; j < columns; ++j)
      UNROLL
      for (int e = 0; e < 4; ++e)
        to[(i * Shape::M + 8 * j + 2 * t + (e & 1)) * Shape::place + g + (e & 2 ? 8 : 0)] = sums[i][j][e];
}

/// Grid: [Shape::blocks, Shape::splits]. live: rows of x.
template <class Shape, class Epilogue>
DEVICE void gemmSkinny(const typename Shape::T *weights, const typename Shape::T *x, const Epilogue &epilogue, int live) {
  using T = typename Shape::T;
  extern __shared__ __align__(128) char shared[];
  constexpr int columns = Shape::M / 8; // tiles of 8 rows of x
  const int g = laneId() / 4, t = laneId() % 4;
  const int first = blockIdx.y * Shape::stepsOfPart + warpId(), last = minInt((blockIdx.y + 1) * Shape::stepsOfPart, Shape::steps);

  launchDependents();
  const T *rows[2 * Shape::tiles];
  UNROLL
  for (int i = 0; i < 2 * Shape::tiles; ++i) // past the last row the last one is computed again and dropped
    rows[i] = weights + (int64)minInt(Shape::Pairs::row(blockIdx.x * Shape::tiles + i / 2, g + 8 * (i % 2)), Shape::N - 1) * Shape::K + 8 * t;
  const char *copies = shared + warpId() * Shape::warpBytes + 16 * laneId();
  auto copy = [&](int turn) {
    const int step = first + turn * Shape::warps;
    if (turn < Shape::turns && step < last)
      UNROLL
      for (int i = 0; i < 2 * Shape::tiles; ++i)
        copyAsync16(sharedAddress(copies + (turn % Shape::depth * 2 * Shape::tiles + i) * 512), rows[i] + Shape::stepK * step, true);
    commitCopies();
  };
  UNROLL
  for (int turn = 0; turn < Shape::depth; ++turn)
    copy(turn);

  // Thread i's results: row i % 16 of a tile, row i / 16 of x, and so on in steps of all threads.
  auto resultOf = [&](int i, int &m, int &n) {
    const int result = threadIdx.x + i * Shape::threads;
    m = result / 16 % Shape::M, n = Shape::Pairs::row(blockIdx.x * Shape::tiles + result / (16 * Shape::M), result % 16);
    return m < live && n < Shape::N;
  };
  typename Epilogue::Early early[Shape::results];
  UNROLL
  for (int i = 0; i < Shape::results; ++i)
    if (int m, n; resultOf(i, m, n))
      early[i] = epilogue.constants(n);
  waitProducers();
  uint4 operands[Shape::ahead][columns];
  auto read = [&](int turn, uint4 (&to)[columns]) {
    const int step = first + turn * Shape::warps;
    if (turn < Shape::turns && step < last)
      UNROLL
      for (int j = 0; j < columns; ++j)
        if (8 * j < live)
          to[j] = *(const uint4 *)(x + (int64)minInt(8 * j + g, live - 1) * Shape::K + Shape::stepK * step + 8 * t);
  };
  UNROLL
  for (int turn = 0; turn < Shape::ahead; ++turn)
    read(turn, operands[turn]);
  UNROLL
  for (int i = 0; i < Shape::results; ++i)
    if (int m, n; resultOf(i, m, n))
      epilogue.early(early[i], m, n);

  float sums[Shape::tiles][columns][4] = {};
  for (int base = 0; base < Shape::turns; base += Shape::ahead) {
    UNROLL
    for (int a = 0; a < Shape::ahead; ++a) {
      const int turn = base + a;
      if (first + turn * Shape::warps >= last)
        break;
      waitCopies<Shape::depth - 1>();
      const char *from = copies + turn % Shape::depth * 2 * Shape::tiles * 512;
      UNROLL
      for (int i = 0; i < Shape::tiles; ++i) {
        const uint4 low = *(const uint4 *)(from + 1024 * i), high = *(const uint4 *)(from + 1024 * i + 512);
        UNROLL
        for (int j = 0; j < columns; ++j)
          if (8 * j < live)
            mma32<T>(sums[i][j], low, high, operands[a][j]);
      }
      copy(turn + Shape::depth);
      read(turn + Shape::ahead, operands[a]);
    }
  }

  UNROLL
  for (int i = 0; i < Shape::results; ++i)
    if (int m, n; resultOf(i, m, n))
      epilogue.prepare(early[i], n);
  __syncwarp(); // all lanes have read their copies: the warp's sums go there
  storeSums<Shape>((float *)(shared + warpId() * Shape::warpBytes), sums);
  __syncthreads();
  UNROLL
  for (int i = 0; i < Shape::results; ++i) {
    int m, n;
    const bool mine = resultOf(i, m, n);
    const float *sum = (const float *)shared + ((threadIdx.x + i * Shape::threads) / 16) * Shape::place + threadIdx.x % 16;
    float v = 0.0f;
    UNROLL
    for (int warp = 0; warp < Shape::warps; ++warp)
      v += sum[warp * (Shape::warpBytes / 4)];
    epilogue.store(early[i], m, n, v, mine);
  }
}

} // namespace transom::cuda
