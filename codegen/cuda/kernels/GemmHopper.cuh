// Products of many rows for sm_90a by wgmma and TMA: y = epilogue(x W^T), x [rows, K], W [N, K], 16-bit or e4m3, sums in fp32.
//
// A block stays on its multiprocessor and takes tiles of [128, 128]. One producer thread copies x and W through a ring in shared
// memory; two consumer warpgroups take every other tile each, in turns: while one multiplies, the other one's epilogue runs on its
// registers ("ping-pong" of CUTLASS 3). Blocks of a cluster share the columns of a tile: each loads a part of W for all.
//
// The order of a sum over K depends on neither rows nor grid, so a row's results are the same bits in any batch.
#pragma once

#include "Lanes.cuh"
#include "Wgmma.cuh"

namespace transom::cuda {

/// Which columns of the product an epilogue sees at once: its own eight and those of a partner.
struct NoPartner { static constexpr int within = 0, halves = 0; };
/// Columns n and n ^ half, half 16, 32 or 64: the halves of a rotary head.
template <int half> struct PartnerWithin {
  static constexpr int within = half, halves = 0;
  static_assert(half == 16 || half == 32 || half == 64, "");
};
/// Columns n and n + apart of a product with 2 apart columns: gate and up. The epilogue is called for n < apart.
template <int apart> struct PartnerHalves { static constexpr int within = 0, halves = apart; };

template <class T_, int outputs_, int inner_, class Partner_, int cluster_, int stages_> struct HopperGemmShape {
  using T = T_;
  using Partner = Partner_;
  static constexpr int outputs = outputs_, inner = inner_, cluster = cluster_, stages = stages_;
  static constexpr int rowsAtOnce = 128, columnsAtOnce = 128, boxColumns = 64; // W's rows come in two boxes of 64
  static constexpr int elements = 128 / sizeof(T), steps = (inner + elements - 1) / elements; // of K in a stage; stages of a tile
  static constexpr int ownColumns = Partner::halves ? 64 : 128; // columns of a tile that the epilogue is called for
  static constexpr int columnTiles = ((Partner::halves ? Partner::halves : outputs) + ownColumns - 1) / ownColumns;
  static constexpr int xBytes = rowsAtOnce * 128, boxBytes = boxColumns * 128, stageBytes = xBytes + 2 * boxBytes;
  static constexpr int sharedBytes = 1024 + stages * stageBytes + 16 * stages, threads = 384;
  /// Tiles of rows in turn at a time, so that their part of x stays in L2.
  static constexpr int turnRows = (16 << 20) / (inner * (int)sizeof(T) * rowsAtOnce * cluster) > 1 ? (16 << 20) / (inner * (int)sizeof(T) * rowsAtOnce * cluster) : 1;
  static_assert(outputs % 8 == 0 && inner * sizeof(T) % 16 == 0 && sharedBytes <= 227 * 1024 && (cluster == 1 || cluster == 2), "");
};

struct HopperGemmArguments {
  const TensorMap *x, *weights; // [K, rows] in boxes of 128 bytes x 128 rows, [K, N] in boxes of 128 bytes x 64 rows; entries' parameters
  int rows;                     // live rows of x
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// Where tile `index` of a cluster lies: first row of the cluster's rows, first column.
template <class Shape> DEVICE int2 gemmTile(int index, int rowTiles) {
  int turn = index / (Shape::turnRows * Shape::columnTiles), within = index % (Shape::turnRows * Shape::columnTiles);
  int rows = minInt(Shape::turnRows, rowTiles - turn * Shape::turnRows);
  return make_int2((turn * Shape::turnRows + within % rows) * Shape::rowsAtOnce * Shape::cluster, within / rows * Shape::ownColumns);
}

template <class Shape> struct GemmRing {
  uint32 data, full, empty;
  DEVICE explicit GemmRing(const void *shared) {
    data = (sharedAddress(shared) + 1023) & ~1023u;
    full = data + Shape::stages * Shape::stageBytes, empty = full + 8 * Shape::stages;
  }
};

template <class Shape> DEVICE void produceStages(const HopperGemmArguments &a, const GemmRing<Shape> &ring, int tiles, int rowTiles, int rank) {
  int stage = 0, round = 0;
  for (int index = blockIdx.x / Shape::cluster; index < tiles; index += gridDim.x / Shape::cluster) {
    int2 place = gemmTile<Shape>(index, rowTiles);
    int upper = Shape::Partner::halves ? place.y + Shape::Partner::halves : place.y + Shape::boxColumns;
    for (int step = 0; step < Shape::steps; ++step) {
      uint32 to = ring.data + stage * Shape::stageBytes, full = ring.full + 8 * stage;
      waitBarrier(ring.empty + 8 * stage, (round & 1) ^ 1);
      expectBytes(full, Shape::stageBytes);
      copyBox(to, a.x, full, step * Shape::elements, place.x + rank * Shape::rowsAtOnce);
      to += Shape::xBytes;
      if (Shape::cluster == 1) {
        copyBox(to, a.weights, full, step * Shape::elements, place.y);
        copyBox(to + Shape::boxBytes, a.weights, full, step * Shape::elements, upper);
      } else {
        copyBoxToCluster(to + rank * Shape::boxBytes, a.weights, full, step * Shape::elements, rank ? upper : place.y, 3);
      }
      if (++stage == Shape::stages)
        stage = 0, ++round;
    }
  }
}

/// Eight neighbouring columns 32 group + 8 (lane % 4) of a row: the four lanes of a row exchange what each has of them.
template <int n> DEVICE Lanes<8> columnsOf(const float (&sums)[n], int group, int row) {
  const int t = laneId() % 4;
  float v[4][2];
  UNROLL
  for (int i = 0; i < 4; ++i)
    UNROLL
    for (int e = 0; e < 2; ++e)
      v[i][e] = sums[16 * group + 4 * i + 2 * row + e];
  UNROLL
  for (int apart = 1; apart <= 2; apart <<= 1)
    UNROLL
    for (int i = 0; i < 4; ++i)
      UNROLL
      for (int e = 0; e < 2; ++e)
        if (!(i & apart)) {
          float other = __shfl_xor_sync(~0u, t & apart ? v[i][e] : v[i | apart][e], apart);
          if (t & apart)
            v[i][e] = other;
          else
            v[i | apart][e] = other;
        }
  Lanes<8> columns;
  UNROLL
  for (int i = 0; i < 8; ++i)
    columns.v[i] = v[i / 2][i % 2];
  return columns;
}

/// The epilogue of one row: its eight columns four times, each with its partner's.
template <class Shape, class Epilogue, int n>
DEVICE void finishRow(const Epilogue &epilogue, const float (&sums)[n], int row, int m, int live, int firstColumn) {
  using Partner = typename Shape::Partner;
  Lanes<8> all[4];
  UNROLL
  for (int group = 0; group < 4; ++group)
    all[group] = columnsOf(sums, group, row);
  UNROLL
  for (int group = 0; group < Shape::ownColumns / 32; ++group) {
    Lanes<8> other = all[Partner::halves ? group + 2 : Partner::within >= 32 ? group ^ Partner::within / 32 : group];
    if (Partner::within == 16)
      UNROLL
      for (int i = 0; i < 8; ++i)
        other.v[i] = __shfl_xor_sync(~0u, all[group].v[i], 2);
    int column = firstColumn + 32 * group + 8 * (laneId() % 4);
    if (m < live && column < (Partner::halves ? Partner::halves : Shape::outputs))
      epilogue.store(m, column, all[group], other);
  }
}

template <class Shape, class Epilogue>
DEVICE void consumeStages(const HopperGemmArguments &a, const GemmRing<Shape> &ring, const Epilogue &epilogue, int tiles, int rowTiles, int rank, int consumer) {
  using T = typename Shape::T;
  const int warp = threadIdx.x % 128 / 32;
  auto release = [&](int stage) {
    if (laneId() < Shape::cluster)
      arriveAt(ring.empty + 8 * stage, Shape::cluster == 1 ? -1 : laneId());
  };
  // Barrier 1 + consumer: its turn at the ring and the tensor cores.
  auto passTurn = [&] { arriveNamed(1 + (consumer ^ 1), 256); };
  if (consumer == 1)
    passTurn();
  int stage = consumer * Shape::steps % Shape::stages, round = consumer * Shape::steps / Shape::stages;
  const int clusters = gridDim.x / Shape::cluster;
  for (int index = blockIdx.x / Shape::cluster + consumer * clusters; index < tiles; index += 2 * clusters) {
    float sums[2][64];
    syncNamed(1 + consumer, 256);
    int before = 0;
    for (int step = 0; step < Shape::steps; ++step) {
      uint32 x = ring.data + stage * Shape::stageBytes, weights = x + Shape::xBytes;
      waitBarrier(ring.full + 8 * stage, round & 1);
      pin(sums[0]), pin(sums[1]);
      beginProducts();
      UNROLL
      for (int k = 0; k < 4; ++k)
        UNROLL
        for (int half = 0; half < 2; ++half)
          Wgmma<T, 128>::inShared(sums[half], operandAt(x + half * 64 * 128 + 32 * k), operandAt(weights + 32 * k), step + k > 0);
      commitProducts();
      if (step > 0) {
        waitProducts<1>();
        release(before);
      }
      before = stage;
      if (++stage == Shape::stages)
        stage = 0, ++round;
    }
    passTurn();
    waitProducts<0>();
    pin(sums[0]), pin(sums[1]);
    release(before);
    // The other consumer's stages.
    round += (stage + Shape::steps) / Shape::stages, stage = (stage + Shape::steps) % Shape::stages;
    int2 place = gemmTile<Shape>(index, rowTiles);
    int first = place.x + rank * Shape::rowsAtOnce + 16 * warp + laneId() / 4;
    UNROLL
    for (int half = 0; half < 2; ++half)
      UNROLL
      for (int row = 0; row < 2; ++row)
        finishRow<Shape>(epilogue, sums[half], row, first + 64 * half + 8 * row, a.rows, place.y);
  }
}

/// Grid: as many blocks as there are multiprocessors, a multiple of the cluster.
template <class Shape, class Epilogue> DEVICE void gemmHopper(const HopperGemmArguments &a, const Epilogue &epilogue) {
  extern __shared__ __align__(1024) char shared[];
  GemmRing<Shape> ring(shared);
  const int rank = blockIdx.x % Shape::cluster;
  if (threadIdx.x == 0) {
    prefetchMap(a.x), prefetchMap(a.weights);
    for (int i = 0; i < Shape::stages; ++i) {
      initBarrier(ring.full + 8 * i, 1);
      initBarrier(ring.empty + 8 * i, 4 * Shape::cluster);
    }
    fenceBarrierInit();
  }
  if (Shape::cluster == 1)
    __syncthreads();
  else
    syncCluster();
  launchDependents();
  waitProducers();
  const int rowTiles = ceilDiv(a.rows, Shape::rowsAtOnce * Shape::cluster), tiles = rowTiles * Shape::columnTiles;
  if (threadIdx.x < 128) {
    giveRegisters<40>();
    if (threadIdx.x == 0)
      produceStages(a, ring, tiles, rowTiles, rank);
  } else {
    takeRegisters<232>();
    consumeStages<Shape>(a, ring, epilogue, tiles, rowTiles, rank, threadIdx.x / 128 - 1);
  }
  // A block's shared memory stays until its peers have written and released what they had to.
  if (Shape::cluster > 1)
    syncCluster();
}

#endif

} // namespace transom::cuda
