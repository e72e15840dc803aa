// y[M, N] = prologue(x)[M, K] * W[N, K]^T for few rows (M <= 16), then an epilogue: the kernel that decoding spends its
// time in. One block takes 16 rows of W; its warps share K. Weights go from memory to registers to the tensor cores,
// without shared memory and, in plain types, without an instruction in between.
//
// 1. Start the successor; load the first `depth` steps of weights per warp into registers, hint the rest towards L2.
// 2. Wait for the producer of x; norm x and stage it as 16-bit operands: with `splits` 2, each number as the sum of two
//    (16 bits of mantissa for bf16), which take columns of the tensor cores' tile that would be idle.
// 3. Multiply; reload a register as soon as it is used.
// 4. Sum over the warps in a fixed order; hand the results to the epilogue, which finds a row's partner by a shuffle.
#pragma once

#include "GemvFormats.cuh"

namespace transom::cuda {

/// Which 16 rows of W a tile takes, and which two of them are a pair in the epilogue: r and r ^ partner. Rows from N on
/// are computed from the last one and dropped. blocks(N): tiles that cover N rows.
struct NeighbourPairs { // rows in order; pairs (2i, 2i+1)
  static constexpr int partner = 1;
  static constexpr int blocks(int N) { return ceilDiv(N, 16); }
  static DEVICE int row(int tile, int r) { return tile * 16 + r; }
};
template <int apart> struct HalfPairs { // W is two halves, `apart` rows each: gate and up; pairs (i, apart + i)
  static constexpr int partner = 8;
  static constexpr int blocks(int) { return ceilDiv(apart, 8); }
  static DEVICE int row(int tile, int r) {
    const int i = tile * 8 + (r & 7);
    return i >= apart ? 2 * apart : i + (r & 8 ? apart : 0);
  }
};
/// W is heads; of each, the first `dims` rows pair as (i, dims / 2 + i), the rest follow in order, without partners. Where
/// the parts of a head are no whole tiles, some rows of a tile are idle.
template <int headDim, int dims = headDim> struct HeadPairs {
  static constexpr int partner = 8, pairTiles = ceilDiv(dims / 2, 8), tiles = pairTiles + ceilDiv(headDim - dims, 16);
  static constexpr int idle = 0x7fffffff;
  static_assert(dims % 2 == 0 && dims <= headDim, "pairs within a head");
  static constexpr int blocks(int N) { return N / headDim * tiles; }
  static DEVICE int row(int tile, int r) {
    const int head = tile / tiles * headDim, part = tile % tiles, i = part * 8 + (r & 7), rest = dims + (part - pairTiles) * 16 + r;
    if (part < pairTiles)
      return i < dims / 2 ? head + i + (r & 8 ? dims / 2 : 0) : idle;
    return rest < headDim ? head + rest : idle;
  }
};

/// hint: how many bytes of each row behind those in registers are hinted towards L2 before the wait; staged: most bytes of x that are
/// staged at once, if a round is no more.
template <class Format_, int outputs, int rowsOfX, int splits_, int warps_, int depth_, class Pairs_, int hint_ = 0, int staged = 72 * 1024>
struct GemvShape {
  using Format = Format_;
  using Pairs = Pairs_;
  static constexpr int N = outputs, M = rowsOfX, K = Format::K, splits = splits_, warps = warps_, depth = depth_;
  static constexpr int threads = warps * 32, columns = M * splits, columnTiles = ceilDiv(columns, 8);
  static constexpr int blocks = Pairs::blocks(N);
  static constexpr int steps = Format::steps, hint = hint_;
  // x is staged in phases, so that it fits beside other blocks; of whole rounds of `depth`, so that each phase begins
  // with the first register.
  static constexpr int roundK = warps * Format::stepK, columnBytes = columns * 2 + (Format::minima ? columns / 8 : 0);
  static constexpr int roundsThatFit = staged / (roundK * columnBytes);
  static constexpr int roundsAtOnce = roundsThatFit > depth ? roundsThatFit / depth * depth : depth;
  static constexpr int phaseK = minInt(roundsAtOnce, ceilDiv(K, roundK)) * roundK;
  static constexpr int xBytes = phaseK * columns * 2, sumBytes = Format::minima ? phaseK / 32 * columns * 4 : 0;
  static constexpr int reduceBytes = warps * columns * 16 * 4;
  static constexpr int factorBytes = (warps + 1) * M * 4 + 64 * 4;
  /// Dynamic shared memory.
  static constexpr int sharedBytes = xBytes + sumBytes + reduceBytes + factorBytes;
  static_assert(columns <= 16, "at most two tiles of eight columns");
  static_assert(M * 16 <= threads, "a thread per result in the epilogue");
};

//===-- Prologues ---------------------------------------------------------------------------------------------------===//
// begin(scratch): block-wide statistics, before staging. fetch(m, k): what is to be read for eight neighbours of row m;
// eight(fetched, m, squares): their values. `deferred`: results are multiplied by finish(squares, what eight() summed up)
// at the end instead.

/// x as it is.
template <class X, int K> struct NoPrologue {
  const X *x; // [M, K]
  static constexpr bool deferred = false;
  template <int M, int warps> DEVICE void begin(float *) {}
  using Fetched = Packed8<X>;
  DEVICE Fetched fetch(int m, int k) const { return Packed8<X>::load(x + (int64)m * K + k); }
  DEVICE Eight eight(const Fetched &f, int, float &) const { return f.floats(); }
  DEVICE float finish(float) const { return 1.0f; }
};

/// RMS norm, its factor applied to the results: for operands with the exponents of fp32.
template <class X, class S, int K> struct RmsPrologue {
  const X *x;     // [M, K]
  const S *scale; // [K]
  float epsilon;
  static constexpr bool deferred = true;
  template <int M, int warps> DEVICE void begin(float *) {}
  struct Fetched {
    Packed8<X> x;
    Packed8<S> scale;
  };
  DEVICE Fetched fetch(int m, int k) const { return {Packed8<X>::load(x + (int64)m * K + k), Packed8<S>::load(scale + k)}; }
  DEVICE Eight eight(const Fetched &f, int, float &squares) const {
    Eight v = f.x.floats(), s = f.scale.floats();
    UNROLL
    for (int i = 0; i < 8; ++i) {
      squares = fmaf(v.v[i], v.v[i], squares);
      v.v[i] *= s.v[i];
    }
    return v;
  }
  DEVICE float finish(float squares) const { return rsqrtf(squares / K + epsilon); }
};

/// Layer norm (or, without `centred`, RMS norm) before staging: for fp16 operands, and where there is a bias.
template <class X, class S, int K, bool centred, bool withBias> struct NormPrologue {
  const X *x;            // [M, K]
  const S *scale, *bias; // [K]
  float epsilon;
  static constexpr bool deferred = false;
  float *statistics; // mean and factor of each row, in shared memory
  template <int M, int warps> DEVICE void begin(float *scratch) {
    statistics = scratch + 32;
    for (int m = 0; m < M; ++m) {
      float sum = 0.0f, mean = 0.0f, squares = 0.0f;
      if constexpr (centred) {
        for (int k = 8 * threadIdx.x; k < K; k += 8 * 32 * warps) {
          Eight v = load8(x + (int64)m * K + k);
          UNROLL
          for (int i = 0; i < 8; ++i)
            sum += v.v[i];
        }
        mean = blockSum<warps>(sum, scratch) / K;
      }
      for (int k = 8 * threadIdx.x; k < K; k += 8 * 32 * warps) {
        Eight v = load8(x + (int64)m * K + k);
        UNROLL
        for (int i = 0; i < 8; ++i)
          squares = fmaf(v.v[i] - mean, v.v[i] - mean, squares);
      }
      squares = blockSum<warps>(squares, scratch);
      if (threadIdx.x == 0) {
        statistics[2 * m] = mean;
        statistics[2 * m + 1] = rsqrtf(squares / K + epsilon);
      }
    }
    __syncthreads();
  }
  struct Fetched {
    Packed8<X> x;
    Packed8<S> scale, bias;
  };
  DEVICE Fetched fetch(int m, int k) const {
    Fetched f{Packed8<X>::load(x + (int64)m * K + k), Packed8<S>::load(scale + k), {}};
    if constexpr (withBias)
      f.bias = Packed8<S>::load(bias + k);
    return f;
  }
  DEVICE Eight eight(const Fetched &f, int m, float &) const {
    Eight v = f.x.floats(), s = f.scale.floats(), b = f.bias.floats();
    float mean = statistics[2 * m], factor = statistics[2 * m + 1];
    UNROLL
    for (int i = 0; i < 8; ++i)
      v.v[i] = (v.v[i] - mean) * factor * s.v[i] + (withBias ? b.v[i] : 0.0f);
    return v;
  }
  DEVICE float finish(float) const { return 1.0f; }
};

/// As NormPrologue, for short rows (K up to 2048 or so): each warp reads all of x at once and finds the statistics by itself, so
/// that no barrier and one wait for memory come before staging. rowsOfX: M.
template <class X, class S, int K, int rowsOfX, bool centred, bool withBias> struct WarpNormPrologue {
  const X *x;            // [M, K]
  const S *scale, *bias; // [K]
  float epsilon;
  static constexpr bool deferred = false;
  float mean[rowsOfX], factor[rowsOfX]; // found by begin
  template <int M, int warps> DEVICE void begin(float *) {
    static_assert(M == rowsOfX, "");
    constexpr int pieces = ceilDiv(K, 256);
    UNROLL
    for (int m = 0; m < M; ++m) {
      Packed8<X> packed[pieces];
      UNROLL
      for (int p = 0; p < pieces; ++p)
        if (int k = 8 * (laneId() + 32 * p); k < K)
          packed[p] = Packed8<X>::load(x + (int64)m * K + k);
      float sum = 0.0f, squares = 0.0f;
      mean[m] = 0.0f;
      if constexpr (centred) {
        UNROLL
        for (int p = 0; p < pieces; ++p)
          if (8 * (laneId() + 32 * p) < K) {
            Eight v = packed[p].floats();
            UNROLL
            for (int i = 0; i < 8; ++i)
              sum += v.v[i];
          }
        mean[m] = warpSum(sum) / K;
      }
      UNROLL
      for (int p = 0; p < pieces; ++p)
        if (8 * (laneId() + 32 * p) < K) {
          Eight v = packed[p].floats();
          UNROLL
          for (int i = 0; i < 8; ++i)
            squares = fmaf(v.v[i] - mean[m], v.v[i] - mean[m], squares);
        }
      factor[m] = rsqrtf(warpSum(squares) / K + epsilon);
    }
  }
  using Fetched = typename NormPrologue<X, S, K, centred, withBias>::Fetched;
  DEVICE Fetched fetch(int m, int k) const {
    Fetched f{Packed8<X>::load(x + (int64)m * K + k), Packed8<S>::load(scale + k), {}};
    if constexpr (withBias)
      f.bias = Packed8<S>::load(bias + k);
    return f;
  }
  DEVICE Eight eight(const Fetched &f, int m, float &) const {
    Eight v = f.x.floats(), s = f.scale.floats(), b = f.bias.floats();
    UNROLL
    for (int i = 0; i < 8; ++i)
      v.v[i] = (v.v[i] - mean[m]) * factor[m] * s.v[i] + (withBias ? b.v[i] : 0.0f);
    return v;
  }
  DEVICE float finish(float) const { return 1.0f; }
};

//===-- Skeleton ----------------------------------------------------------------------------------------------------===//

/// Stages eight neighbours as `splits` operands each: the number's rounding, then the rest's.
template <class Shape> DEVICE void stageEight(uint16 *staged, int m, int k, Eight v) {
  using T = typename Shape::Format::Operand;
  int block = k / 32, place = k % 32;
  UNROLL
  for (int split = 0; split < Shape::splits; ++split) {
    uint32 pair[4];
    UNROLL
    for (int i = 0; i < 4; ++i) {
      pair[i] = Type<T>::pack(v.v[2 * i], v.v[2 * i + 1]);
      v.v[2 * i] -= lowFloat<T>(pair[i]);
      v.v[2 * i + 1] -= highFloat<T>(pair[i]);
    }
    uint16 *to = staged + (block * Shape::columns + m * Shape::splits + split) * 32;
    if constexpr (Shape::Format::halves) { // to lanes t and t+1, to their first or second four
      int t = place % 16 / 4, half = place / 16;
      *(uint2 *)(to + 8 * t + 4 * half) = make_uint2(pair[0], pair[1]);
      *(uint2 *)(to + 8 * t + 8 + 4 * half) = make_uint2(pair[2], pair[3]);
    } else {
      *(uint4 *)(to + place) = make_uint4(pair[0], pair[1], pair[2], pair[3]);
    }
  }
}

/// Stages x from `from` on; adds to each thread's share of the rows' squares. Loads go out in batches: each batch waits
/// for memory once.
template <class Shape, class Prologue>
DEVICE void stagePhase(const Prologue &prologue, uint16 *staged, float *blockSums, int from, float (&squares)[Shape::M]) {
  constexpr int pieces = Shape::phaseK / 8, perThread = ceilDiv(pieces, Shape::threads), batch = minInt(perThread, 4);
  UNROLL
  for (int m = 0; m < Shape::M; ++m)
    for (int first = 0; first < perThread; first += batch) {
      typename Prologue::Fetched fetched[batch];
      UNROLL
      for (int i = 0; i < batch; ++i) {
        int k = 8 * (threadIdx.x + (first + i) * Shape::threads);
        if (k < Shape::phaseK && from + k < Shape::K)
          fetched[i] = prologue.fetch(m, from + k);
      }
      UNROLL
      for (int i = 0; i < batch; ++i) {
        int piece = threadIdx.x + (first + i) * Shape::threads, k = 8 * piece;
        Eight v = {};
        if (piece < pieces && from + k < Shape::K)
          v = prologue.eight(fetched[i], m, squares[m]);
        if (piece < pieces)
          stageEight<Shape>(staged, m, k, v);
        if constexpr (Shape::Format::minima) {
          float sum = 0.0f;
          UNROLL
          for (int e = 0; e < 8; ++e)
            sum += v.v[e];
          sum += __shfl_xor_sync(~0u, sum, 1);
          sum += __shfl_xor_sync(~0u, sum, 2);
          if (piece % 4 == 0 && piece < pieces)
            UNROLL
            for (int split = 0; split < Shape::splits; ++split)
              blockSums[piece / 4 * Shape::columns + m * Shape::splits + split] = split == 0 ? sum : 0.0f;
        }
      }
    }
}

/// The body of an entry with `Shape::threads` threads and `Shape::blocks` blocks. rows: how many of x's are live, which no
/// kernel under way writes, or null for all. See Epilogues.cuh for what an epilogue offers.
template <class Shape, class Prologue, class Epilogue>
DEVICE void gemv(const typename Shape::Format::View &weights, Prologue prologue, Epilogue epilogue, const int *rows) {
  using Format = typename Shape::Format;
  using Piece = typename Format::Piece;
  extern __shared__ __align__(128) char shared[];
  uint16 *staged = (uint16 *)shared;
  float *blockSums = (float *)(shared + Shape::xBytes), *partial = (float *)(shared + Shape::xBytes + Shape::sumBytes);
  float *squareSums = partial + Shape::reduceBytes / 4, *scratch = squareSums + Shape::warps * Shape::M;
  const int warp = warpId(), g = laneId() / 4, t = laneId() % 4, tile = blockIdx.x;

  launchDependents();
  // Past the last row the last one is computed again and dropped.
  int rowLow = minInt(Shape::Pairs::row(tile, g), Shape::N - 1), rowHigh = minInt(Shape::Pairs::row(tile, g + 8), Shape::N - 1);
  Piece low[Shape::depth], high[Shape::depth];
  UNROLL
  for (int d = 0; d < Shape::depth; ++d) {
    int step = warp + d * Shape::warps;
    if (step < Shape::steps) {
      low[d] = Format::load(weights, rowLow, step, t);
      high[d] = Format::load(weights, rowHigh, step, t);
    }
  }
  if (Shape::hint > 0 && Shape::depth * Shape::warps < Shape::steps && threadIdx.x < 16)
    Format::prefetchRow(weights, minInt(Shape::Pairs::row(tile, threadIdx.x), Shape::N - 1), Shape::depth * Shape::warps, Shape::hint);

  // Results: thread i has row i % 16 of the tile and row i / 16 of x.
  int m = threadIdx.x / 16, r = threadIdx.x % 16, n = Shape::Pairs::row(tile, r);
  bool mine = threadIdx.x < Shape::M * 16 && n < Shape::N && (!rows || m < *rows);
  typename Epilogue::Early early;
  if (mine)
    early = epilogue.constants(n);
  waitProducers();
  if (mine)
    epilogue.early(early, m, n);
  prologue.template begin<Shape::M, Shape::warps>(scratch);

  float sums[Shape::columnTiles][4] = {}, squares[Shape::M] = {};
  constexpr int phaseSteps = Shape::phaseK / Format::stepK, phases = ceilDiv(Shape::steps, phaseSteps);
  UNROLL
  for (int phase = 0; phase < phases; ++phase) {
    if (phase > 0)
      __syncthreads();
    stagePhase<Shape>(prologue, staged, blockSums, phase * Shape::phaseK, squares);
    if (Prologue::deferred && phase == phases - 1) {
      UNROLL
      for (int i = 0; i < Shape::M; ++i) {
        float sum = warpSum(squares[i]);
        if (laneId() == 0)
          squareSums[warp * Shape::M + i] = sum;
      }
    }
    __syncthreads();
    if (phase == 0 && mine)
      epilogue.prepare(early, n);
    const int first = phase * phaseSteps, last = minInt(first + phaseSteps, Shape::steps);
    for (int base = first + warp; base < last; base += Shape::depth * Shape::warps) {
      UNROLL
      for (int d = 0; d < Shape::depth; ++d) {
        int step = base + d * Shape::warps, next = step + Shape::depth * Shape::warps;
        if (step >= last)
          break;
        int within = step - first;
        Format::template multiply<Shape::columnTiles, Shape::columns>(
            sums, low[d], high[d], staged + (int64)within * Format::stepK * Shape::columns,
            blockSums + within * (Format::stepK / 32) * Shape::columns, g, t);
        if (next < Shape::steps) {
          low[d] = Format::load(weights, rowLow, next, t);
          high[d] = Format::load(weights, rowHigh, next, t);
        }
      }
    }
  }

  // partial [warp][column][row of the tile]
  UNROLL
  for (int i = 0; i < Shape::columnTiles; ++i)
    UNROLL
    for (int j = 0; j < 4; ++j) {
      int column = i * 8 + 2 * t + (j & 1), row = g + (j & 2 ? 8 : 0);
      if (column < Shape::columns)
        partial[(warp * Shape::columns + column) * 16 + row] = sums[i][j];
    }
  __syncthreads();
  if (warp * 32 >= Shape::M * 16)
    return;
  float result = 0.0f, square = 0.0f;
  if (threadIdx.x < Shape::M * 16) {
    UNROLL
    for (int w = 0; w < Shape::warps; ++w) {
      UNROLL
      for (int split = 0; split < Shape::splits; ++split)
        result += partial[(w * Shape::columns + m * Shape::splits + split) * 16 + r];
      if (Prologue::deferred)
        square += squareSums[w * Shape::M + m];
    }
    if (Prologue::deferred)
      result *= prologue.finish(square);
  }
  epilogue.store(early, m, n, result, mine);
}

} // namespace transom::cuda
