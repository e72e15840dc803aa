// Two products of few rows in one kernel of sm_90a: parts of epilogue(x W^T) V^T, or of attention(epilogue(x W^T)) V^T, where x is [rows, K] and W and V
// are of 16 bits. Sums of parts are left to the kernel behind, as by GemmSkinny.cuh. What the first product makes is never in global memory.
//
// A cluster of eight blocks has some columns of the first product, a head's queries, keys and values among them: each block an eighth of them. Its
// columns are a part of K of the second product, of which each block computes an eighth of the outputs.
//
// 1. Copy what the block needs of W and V to shared memory, and read the epilogue's constants, while the kernel that makes x is still at work. Tiles of V
//    that would leave no room for another block go to L2, and to shared memory when W has been read.
// 2. Wait for that one; read x some steps ahead, from L2 to registers, each block from another step on; multiply. Warps share rows of x and K: two
//    tiles of 16 rows, four parts. Then start the successor, whose weights would come in x's way.
// 3. Sum over the parts of K in a fixed order; round what the epilogue gives and send it to all blocks of the cluster, each of which counts
//    what has come: a barrier of the cluster would wait for all that its threads have written anywhere.
// 4. Each block has the cluster's columns now: attention, if any, by all blocks alike; then the second product, whose sums go to memory.
//
// Numbers lie in shared memory as the tensor cores' 16-byte loads want them (Mma.cuh): weights in pieces of [8 rows, 32 numbers], a lane's 16 bytes
// behind those of the lane before; rows of 16-bit numbers swizzled, see placeInRow.
#pragma once

#include "ChainAttention.cuh"
#include "Epilogues.cuh"
#include "Wgmma.cuh"

namespace transom::cuda {

constexpr int chainCluster = 8, chainRows = 32;

/// Where eight numbers of row `row` lie in [32, width], in bytes: eight rows, or two rows of four neighbours, meet every bank once.
template <int width> __host__ __device__ constexpr int placeInRow(int row, int eight) {
  return row * width * 2 + (eight ^ (((row & 1) << 2 | (row >> 1 & 3)) & (minInt(width / 8, 8) - 1))) * 16;
}

//===-- What stands between the products ----------------------------------------------------------------------------===//
// columns: of the first product in a block; width: those of the cluster that the second product takes; arrays: [32, width], what blocks exchange.

/// Nothing: the cluster's columns are neighbours.
template <class T, int columns_> struct NoMiddle {
  static constexpr int columns = columns_, width = chainCluster * columns, arrays = 1;
  static_assert(columns % 8 == 0, "");
  static DEVICE int column(int index, int rank, int c) { return (index * chainCluster + rank) * columns + c; }
  static DEVICE int place(int m, int rank, int c) {
    const int at = rank * columns + c;
    return placeInRow<width>(m, at / 8) + at % 8 * 2;
  }
  DEVICE int early(int) const { return 0; }
  DEVICE void prepare(int, uint32 *) const {}
  DEVICE const char *run(const char *exchanged, char *, const uint32 *, int) const { return exchanged; }
};

/// Attention of the cluster's head over packed sequences or padded rows. queries, keys, values: the first product's columns where those of head 0 begin.
template <class T, int headDim, int queries, int keys, int values, bool causal> struct AttentionMiddle {
  static constexpr int own = headDim / chainCluster, columns = 3 * own, width = headDim, arrays = 3;
  static_assert(headDim == 32 || headDim == 64 || headDim == 128, "");
  const int *cumulative; // [count + 1], of packed sequences; null: rows are padded to `count` places
  const int *mask;       // of padded rows: [rows, places], or null
  int count;
  float scale;

  static DEVICE int column(int head, int rank, int c) {
    return (c < own ? queries : c < 2 * own ? keys : values) + head * headDim + rank * own + c % own;
  }
  static DEVICE int place(int m, int rank, int c) {
    const int at = rank * own + c % own;
    return c / own * chainRows * width * 2 + placeInRow<width>(m, at / 8) + at % 8 * 2;
  }

  /// Where a sequence starts, or whether a place is valid, each lane's own.
  DEVICE int early(int live) const {
    const int lane = laneId();
    return cumulative ? cumulative[minInt(lane, count)] : lane < live && (!mask || mask[lane] != 0);
  }
  /// The keys that each row sees, a bit for each. By one warp, a lane for each row.
  DEVICE void prepare(int early, uint32 *seen) const {
    if (warpId() == 0)
      seen[laneId()] = keysSeen<causal>(cumulative, count, early);
  }

  /// To `result` [32, width]. Warps share rows and columns of the result; those of one tile of rows have the same scores.
  DEVICE const char *run(const char *exchanged, char *result, const uint32 *seen, int live) const {
    constexpr int arrayBytes = chainRows * width * 2;
    const int g = laneId() / 4, t = laneId() % 4, first = warpId() % 2 * 16;
    auto eight = [&](const char *array, int row, int at) { return *(const uint4 *)(array + placeInRow<width>(row, at)); };
    if (first < live) {
      float scores[4][4] = {};
      UNROLL
      for (int step = 0; step < headDim / 32; ++step) {
        const uint4 low = eight(exchanged, first + g, 4 * step + t), high = eight(exchanged, first + g + 8, 4 * step + t);
        UNROLL
        for (int j = 0; j < 4; ++j)
          mma32<T>(scores[j], low, high, eight(exchanged + arrayBytes, 8 * j + g, 4 * step + t));
      }
      float factor[2];
      const uint32 sees[2] = {seen[first + g] >> 2 * t, seen[first + g + 8] >> 2 * t};
      weightsOfScores<8>(scores, factor, sees, scale * log2E);
      auto weights = [&](int j) {
        return make_uint4(Type<T>::pack(scores[j][0], scores[j][1]), Type<T>::pack(scores[j][2], scores[j][3]),
                          Type<T>::pack(scores[j + 1][0], scores[j + 1][1]), Type<T>::pack(scores[j + 1][2], scores[j + 1][3]));
      };
      const uint4 low = weights(0), high = weights(2); // of keys 0 to 15, and behind
      UNROLL
      for (int at = warpId() / 2; at < headDim / 8; at += 4) {
        const uint4 v = loadMatricesTransposed(sharedAddress(exchanged + 2 * arrayBytes + placeInRow<width>(laneId(), at)));
        float sums[4] = {};
        mma<T>(sums, low, v.x, v.y);
        mma<T>(sums, high, v.z, v.w);
        UNROLL
        for (int half = 0; half < 2; ++half)
          *(uint32 *)(result + placeInRow<width>(first + g + 8 * half, at) + 4 * t) = Type<T>::pack(sums[2 * half] * factor[half], sums[2 * half + 1] * factor[half]);
      }
    }
    __syncthreads();
    return result;
  }
};

//===-- The kernel --------------------------------------------------------------------------------------------------===//

/// clusters: how many share the first product's columns, the parts of the second; ahead: steps of x in registers.
template <class T_, int inner, int clusters_, int outputs, int ahead_, class Middle_> struct SkinnyChainShape {
  using T = T_;
  using Middle = Middle_;
  static constexpr int K = inner, N = outputs, clusters = clusters_, M = chainRows, cluster = chainCluster, warps = 8, threads = 32 * warps;
  static constexpr int stepK = 32, pieceBytes = 512, groups = warps / 2; // of warps that share K
  static constexpr int steps = K / stepK, turns = ceilDiv(steps, groups), ahead = minInt(turns, ahead_), tiles = ceilDiv(Middle::columns, 8);
  static constexpr int outSteps = Middle::width / stepK, ownOutputs = N / cluster, outTiles = ownOutputs / 8, outTurns = ceilDiv(outTiles, warps);
  static constexpr int fours = M * Middle::columns / 4, results = ceilDiv(fours, threads); // of four neighbours each; of a thread
  static constexpr int place = 8 * (tiles | 1); // of a row's sums in shared memory: rows g apart lie in other banks
  static constexpr int copyBytes = steps * tiles * pieceBytes, sumBytes = groups * M * place * 4, firstBytes = copyBytes > sumBytes ? copyBytes : sumBytes;
  static constexpr int tileBytes = outSteps * pieceBytes, arrayBytes = M * Middle::width * 2, exchangeBytes = Middle::arrays * arrayBytes;
  // Tiles of V that come where W was, behind the sums: so many that two blocks have room on a multiprocessor, if there are so many.
  static constexpr int restBytes = firstBytes + exchangeBytes + M * (int)sizeof(uint32) + 16, wanted = ceilDiv(restBytes + outTiles * tileBytes - 113 * 1024, tileBytes);
  static constexpr int lateTiles = wanted < 0 ? 0 : minInt(wanted, minInt((firstBytes - sumBytes) / tileBytes, outTiles));
  static constexpr int outBytes = (outTiles - lateTiles) * tileBytes, sharedBytes = restBytes + outBytes;
  static_assert(K % stepK == 0 && N % (8 * cluster) == 0 && Middle::width % stepK == 0 && arrayBytes <= firstBytes && (lateTiles == 0 || arrayBytes <= sumBytes), "");
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// Pieces of a matrix to shared memory: tile j has rows rowOf(j), each lane its own; begins at 32 numbers a step.
template <int steps, int tiles, int warps, class T, class RowOf> DEVICE void copyPieces(char *to, const T *matrix, int rowLength, RowOf rowOf) {
  UNROLL
  for (int i = 0; i < ceilDiv(steps * tiles, warps); ++i) {
    const int piece = warpId() % warps + i * warps; // so that the compiler knows what is left of a division
    if (steps * tiles % warps == 0 || piece < steps * tiles)
      copyAsync16(sharedAddress(to + piece * 512 + 16 * laneId()), matrix + (int64)rowOf(piece / steps) * rowLength + piece % steps * 32 + laneId() % 4 * 8, true);
  }
  commitCopies();
}

/// This warp's sums of the first product: 16 rows of x, a part of K. pieces: W, as copyPieces left it, which other warps may still have to wait for.
template <class Shape> DEVICE void multiplyFirst(float (&sums)[Shape::tiles][4], const typename Shape::T *x, const char *pieces, int live) {
  using T = typename Shape::T;
  const int row = warpId() % 2 * 16 + laneId() / 4, group = warpId() / 2;
  const bool any = warpId() % 2 * 16 < live;
  const T *const low = x + (int64)minInt(row, live - 1) * Shape::K + 8 * (laneId() % 4), *const high = x + (int64)minInt(row + 8, live - 1) * Shape::K + 8 * (laneId() % 4);
  // All blocks read all of x, but not the same of it at the same time.
  auto stepOf = [&](int turn) { return group + (turn + (int)blockIdx.x) % Shape::turns * Shape::groups; };
  uint4 operands[Shape::ahead][2];
  auto read = [&](int turn, uint4 (&to)[2]) {
    const int step = stepOf(turn);
    if (turn < Shape::turns && step < Shape::steps && any)
      to[0] = *(const uint4 *)(low + step * Shape::stepK), to[1] = *(const uint4 *)(high + step * Shape::stepK);
  };
  UNROLL
  for (int turn = 0; turn < Shape::ahead; ++turn)
    read(turn, operands[turn]);
  waitCopies<1>();
  __syncthreads();
  for (int base = 0; base < Shape::turns && any; base += Shape::ahead) {
    UNROLL
    for (int a = 0; a < Shape::ahead; ++a) {
      if (base + a >= Shape::turns)
        break;
      if (const int step = stepOf(base + a); step < Shape::steps)
        UNROLL
        for (int j = 0; j < Shape::tiles; ++j)
          mma32<T>(sums[j], operands[a][0], operands[a][1], *(const uint4 *)(pieces + (j * Shape::steps + step) * Shape::pieceBytes + 16 * laneId()));
      read(base + a + Shape::ahead, operands[a]);
    }
  }
}

/// What a thread makes of the first product's sums: four neighbours of row i / (columns / 4), and so on in steps of all threads.
template <class Shape, class Epilogue> struct ChainResults {
  using Middle = typename Shape::Middle;
  const Epilogue &epilogue;
  int index, rank, live;
  typename Epilogue::Early early[Shape::results][4];

  static DEVICE bool place(int i, int &m, int &c) {
    const int result = threadIdx.x + i * Shape::threads;
    m = result / (Middle::columns / 4), c = result % (Middle::columns / 4) * 4;
    return result < Shape::fours;
  }
  /// Calls work(early, m, n) for those of live rows.
  template <class Work> DEVICE void each(Work work) {
    UNROLL
    for (int i = 0; i < Shape::results; ++i)
      if (int m, c; place(i, m, c) && m < live)
        UNROLL
        for (int e = 0; e < 4; ++e)
          work(early[i][e], m, Middle::column(index, rank, c) + e);
  }
  /// Sums over the parts of K, the epilogue, and to all blocks of the cluster. sums: [groups, 32, Shape::place].
  DEVICE void send(const float *sums, uint32 exchanged, uint32 barrier) const {
    using T = typename Shape::T;
    UNROLL
    for (int i = 0; i < Shape::results; ++i)
      if (int m, c; place(i, m, c)) {
        float v[4] = {};
        UNROLL
        for (int part = 0; part < Shape::groups; ++part) {
          const float4 sum = *(const float4 *)(sums + (part * Shape::M + m) * Shape::place + c);
          v[0] += sum.x, v[1] += sum.y, v[2] += sum.z, v[3] += sum.w;
        }
        UNROLL
        for (int e = 0; e < 4; ++e) // zeros behind the last row: weights of 0 meet them
          v[e] = m < live ? epilogue.value(early[i][e], m, Middle::column(index, rank, c) + e, v[e]) : 0.0f;
        const uint2 four = make_uint2(Type<T>::pack(v[0], v[1]), Type<T>::pack(v[2], v[3]));
        UNROLL
        for (int block = 0; block < Shape::cluster; ++block)
          storeAt(exchanged + Middle::place(m, rank, c), barrier, block, four);
      }
  }
};

/// The block's outputs of the second product: rows [32, Middle::width] times V, as copyPieces left its tiles, to y [32, N]. Warps share the outputs.
template <class Shape> DEVICE void multiplySecond(const char *rows, const char *pieces, const char *late, float *y, int live) {
  const int g = laneId() / 4, t = laneId() % 4;
  float sums[Shape::outTurns][2][4] = {};
  UNROLL
  for (int step = 0; step < Shape::outSteps; ++step) {
    uint4 numbers[2][2];
    UNROLL
    for (int i = 0; i < 4; ++i)
      numbers[i / 2][i % 2] = *(const uint4 *)(rows + placeInRow<Shape::Middle::width>(8 * i + g, 4 * step + t));
    UNROLL
    for (int turn = 0; turn < Shape::outTurns; ++turn)
      if (const int tile = warpId() + turn * Shape::warps; tile < Shape::outTiles) {
        constexpr int early = Shape::outTiles - Shape::lateTiles;
        const char *from = tile < early ? pieces + tile * Shape::tileBytes : late + (tile - early) * Shape::tileBytes;
        const uint4 weights = *(const uint4 *)(from + step * Shape::pieceBytes + 16 * laneId());
        UNROLL
        for (int i = 0; i < 2; ++i)
          mma32<typename Shape::T>(sums[turn][i], numbers[i][0], numbers[i][1], weights);
      }
  }
  UNROLL
  for (int turn = 0; turn < Shape::outTurns; ++turn)
    UNROLL
    for (int i = 0; i < 4; ++i) {
      const int tile = warpId() + turn * Shape::warps, m = 8 * i + g;
      if (tile < Shape::outTiles && m < live)
        *(float2 *)(y + (int64)m * Shape::N + 8 * tile + 2 * t) = make_float2(sums[turn][i / 2][i % 2 * 2], sums[turn][i / 2][i % 2 * 2 + 1]);
    }
}

/// Grid: [Shape::clusters * Shape::cluster] in clusters. live: rows of x, at most 32. An epilogue is as in Epilogues.cuh, but has value(e, m, n, v) instead of
/// store. parts: [clusters, 32, N].
template <class Shape, class Epilogue>
DEVICE void skinnyChain(const typename Shape::T *x, const typename Shape::T *first, const Epilogue &epilogue, const typename Shape::Middle &middle,
                        const typename Shape::T *second, float *parts, int live) {
  using Middle = typename Shape::Middle;
  extern __shared__ __align__(128) char shared[];
  char *const outWeights = shared + Shape::firstBytes, *const exchanged = outWeights + Shape::outBytes;
  uint32 *const seen = (uint32 *)(exchanged + Shape::exchangeBytes);
  const uint32 barrier = sharedAddress(seen + Shape::M); // of what comes from the cluster
  const int index = blockIdx.x / Shape::cluster, rank = blockIdx.x % Shape::cluster, g = laneId() / 4, t = laneId() % 4;

  if (threadIdx.x == 0) {
    initBarrier(barrier, 1);
    fenceBarrierInit();
  }
  arriveCluster(); // others may write here from now on
  copyPieces<Shape::steps, Shape::tiles, Shape::warps>(shared, first, Shape::K, [&](int tile) { return Middle::column(index, rank, minInt(8 * tile + g, Middle::columns - 1)); });
  const typename Shape::T *const own = second + index * Middle::width; // this cluster's part of K
  constexpr int rowLength = Shape::clusters * Middle::width, early = Shape::outTiles - Shape::lateTiles;
  auto outputs = [&](int tile) { return rank * Shape::ownOutputs + 8 * tile + g; };
  copyPieces<Shape::outSteps, early, Shape::warps>(outWeights, own, rowLength, outputs);
  for (int row = threadIdx.x; row < 8 * Shape::lateTiles; row += Shape::threads)
    prefetchL2(own + (int64)(rank * Shape::ownOutputs + 8 * early + row) * rowLength, Middle::width * 2);
  ChainResults<Shape, Epilogue> results = {epilogue, index, rank, live};
  results.each([&](auto &e, int, int n) { e = epilogue.constants(n); });
  waitProducers();

  results.each([&](auto &e, int m, int n) { epilogue.early(e, m, n); });
  float sums[Shape::tiles][4] = {};
  multiplyFirst<Shape>(sums, x, shared, live);
  launchDependents();
  if (threadIdx.x == 0)
    expectBytes(barrier, Shape::exchangeBytes); // some may have come already
  const int starts = middle.early(live);
  results.each([&](auto &e, int, int n) { epilogue.prepare(e, n); });
  __syncthreads(); // W has been read: sums go there, and what is left of V
  char *const late = shared + Shape::sumBytes;
  if (Shape::lateTiles > 0)
    copyPieces<Shape::outSteps, Shape::lateTiles, Shape::warps>(late, own, rowLength, [&](int tile) { return outputs(early + tile); });
  float *const to = (float *)shared + (warpId() / 2 * Shape::M + warpId() % 2 * 16 + g) * Shape::place + 2 * t;
  UNROLL
  for (int j = 0; j < Shape::tiles; ++j)
    UNROLL
    for (int half = 0; half < 2; ++half)
      *(float2 *)(to + 8 * half * Shape::place + 8 * j) = make_float2(sums[j][2 * half], sums[j][2 * half + 1]);
  __syncthreads();
  waitCluster();
  results.send((const float *)shared, sharedAddress(exchanged), barrier);
  middle.prepare(starts, seen);
  waitCopies<0>();
  __syncthreads(); // all warps' copies of V are there, and sums have been read
  waitBarrier(barrier, 0);
  multiplySecond<Shape>(middle.run(exchanged, shared, seen, live), outWeights, late, parts + (int64)index * Shape::M * Shape::N + rank * Shape::ownOutputs, live);
}

#endif

} // namespace transom::cuda
