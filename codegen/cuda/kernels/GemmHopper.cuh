// Products of many rows for sm_90a by wgmma and TMA: y = epilogue(x W^T), x [rows, K], W [N, K], 16-bit or e4m3, sums in fp32.
//
// A block stays on its multiprocessor and takes tiles of [128, 128] or [128, 192]. One producer thread copies x and W through a ring in shared
// memory; two consumer warpgroups take every other tile each, in turns: while one multiplies, the other one's epilogue runs on its
// registers ("ping-pong" of CUTLASS 3). Blocks of a cluster share the columns of a tile: each loads a part of W for all, since L2 gives
// a multiprocessor some 39 bytes a clock, and a tile takes 64 at full speed, or 48 in a cluster of two.
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

/// columns: of a tile, 128 or, for 16 bits, 192.
template <class T_, int outputs_, int inner_, class Partner_, int cluster_, int stages_, int columns_ = 128> struct HopperGemmShape {
  using T = T_;
  using Partner = Partner_;
  static constexpr int outputs = outputs_, inner = inner_, cluster = cluster_, stages = stages_;
  static constexpr int rowsAtOnce = 128, columnsAtOnce = columns_;
  static constexpr int groupColumns = 32, boxGroups = columnsAtOnce / 2 / groupColumns; // W's rows come in two boxes, each whole groups of 32
  static constexpr int elements = 128 / sizeof(T), steps = (inner + elements - 1) / elements; // of K in a stage; stages of a tile
  static constexpr int width = Partner::halves ? Partner::halves : outputs;                   // columns that the epilogue is called for
  static constexpr int ownColumns = Partner::halves ? columnsAtOnce / 2 : columnsAtOnce;      // of them in a tile
  static constexpr int columnTiles = (width + ownColumns - 1) / ownColumns;
  static constexpr int xBytes = rowsAtOnce * 128, boxBytes = boxGroups * groupColumns * 128, stageBytes = xBytes + 2 * boxBytes;
  static constexpr int sharedBytes = 1024 + stages * stageBytes + 16 * stages, threads = 384;
  /// Registers of the producer and of a consumer, which has columnsAtOnce of them for its sums.
  static constexpr int ofProducer = columnsAtOnce > 128 ? 24 : 40, ofConsumer = columnsAtOnce > 128 ? 240 : 232;
  /// Tiles of rows in turn at a time, so that their part of x stays in L2.
  static constexpr int turnRows = (16 << 20) / (inner * (int)sizeof(T) * rowsAtOnce * cluster) > 1 ? (16 << 20) / (inner * (int)sizeof(T) * rowsAtOnce * cluster) : 1;
  static_assert(outputs % groupColumns == 0 && width % groupColumns == 0 && inner * sizeof(T) % 16 == 0, "");
  static_assert(sharedBytes <= 227 * 1024 && (cluster == 1 || cluster == 2), "");
  static_assert(columnsAtOnce == 128 || (columnsAtOnce == 192 && sizeof(T) == 2 && Partner::within <= 32), "a partner's columns lie in the same tile");
};

/// Maps, which are parameters of the entry. x: [K, rows] in boxes of 128 bytes x 128 rows. weights: row 32 g + 8 t + 2 i + e of W, t and i below 4
/// and e below 2, is place (e, t, i, g) of dimensions [K, 2, 4, 4, N / 32] in boxes of 128 bytes x [2, 4, 4, boxGroups]. So row 8 i + 2 t + e of a group
/// in shared memory is its row 8 t + 2 i + e, and thread t of a row, whose sums are those of 8 i + 2 t + e, has eight neighbours.
struct HopperGemmArguments {
  const TensorMap *x, *weights;
  int rows; // live rows of x
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
    int group = place.y / Shape::groupColumns, upper = group + (Shape::Partner::halves ? Shape::Partner::halves / Shape::groupColumns : Shape::boxGroups);
    for (int step = 0; step < Shape::steps; ++step) {
      uint32 to = ring.data + stage * Shape::stageBytes, full = ring.full + 8 * stage;
      waitBarrier(ring.empty + 8 * stage, (round & 1) ^ 1);
      expectBytes(full, Shape::stageBytes);
      copyBox(to, a.x, full, step * Shape::elements, place.x + rank * Shape::rowsAtOnce);
      to += Shape::xBytes;
      if (Shape::cluster == 1) {
        copyGroups(to, a.weights, full, step * Shape::elements, group);
        copyGroups(to + Shape::boxBytes, a.weights, full, step * Shape::elements, upper);
      } else {
        copyGroupsToCluster(to + rank * Shape::boxBytes, a.weights, full, step * Shape::elements, rank ? upper : group, 3);
      }
      if (++stage == Shape::stages)
        stage = 0, ++round;
    }
  }
}

/// Eight neighbouring columns of group `group`, in row `row` (0, 1) of a thread's two.
template <int n> DEVICE Lanes<8> columnsOf(const float (&sums)[n], int group, int row) {
  Lanes<8> columns;
  UNROLL
  for (int i = 0; i < 8; ++i)
    columns.v[i] = sums[16 * group + 4 * (i / 2) + 2 * row + i % 2];
  return columns;
}

/// The epilogue of a thread's two rows, m and m + 8: a group's columns at a time, each with its partner's. What it reads is under way
/// some groups before: begin() before the sums are there, finish() with them.
template <class Shape, class Epilogue> struct TileEnd {
  using Partner = typename Shape::Partner;
  static constexpr int groups = Shape::ownColumns / Shape::groupColumns;
  // As many as there are registers for beside the sums.
  static constexpr int bytes = sizeof(typename Epilogue::OfColumns) + 2 * sizeof(typename Epilogue::OfRow);
  static constexpr int free = Shape::columnsAtOnce > 128 ? 32 : 288, fit = minInt(minInt(free / bytes, 4), groups);
  static constexpr int ahead = fit > 1 ? fit : 1;
  const Epilogue &epilogue;
  int first, m, live, column; // of the tile; of the thread
  typename Epilogue::OfColumns ofColumns[ahead];
  typename Epilogue::OfRow ofRow[ahead][2];

  DEVICE void read(int group) {
    const int n = minInt(column + Shape::groupColumns * group, Shape::width - 8);
    const typename Epilogue::Band band = epilogue.band(first + Shape::groupColumns * group);
    ofColumns[group % ahead] = epilogue.readColumns(band, n);
    UNROLL
    for (int row = 0; row < 2; ++row)
      ofRow[group % ahead][row] = epilogue.readRow(band, minInt(m + 8 * row, live - 1), n);
  }
  DEVICE void begin() {
    UNROLL
    for (int group = 0; group < ahead; ++group)
      read(group);
  }
  template <int n> DEVICE void finish(const float (&sums)[n]) {
    UNROLL
    for (int group = 0; group < groups; ++group) {
      const int at = column + Shape::groupColumns * group;
      if (at >= Shape::width)
        break;
      const typename Epilogue::OfColumns columns = ofColumns[group % ahead];
      const typename Epilogue::Band band = epilogue.band(first + Shape::groupColumns * group);
      const typename Epilogue::OfRow rows[2] = {ofRow[group % ahead][0], ofRow[group % ahead][1]};
      if (group + ahead < groups)
        read(group + ahead);
      UNROLL
      for (int row = 0; row < 2; ++row) {
        Lanes<8> own = columnsOf(sums, group, row);
        Lanes<8> other = columnsOf(sums, Partner::halves ? group + Shape::boxGroups : Partner::within >= 32 ? group ^ Partner::within / 32 : group, row);
        if (Partner::within == 16)
          UNROLL
          for (int i = 0; i < 8; ++i)
            other.v[i] = __shfl_xor_sync(~0u, own.v[i], 2);
        if (m + 8 * row < live)
          epilogue.store(band, columns, rows[row], m + 8 * row, at, own, other);
      }
    }
  }
};

template <class Shape, class Epilogue>
DEVICE void consumeStages(const HopperGemmArguments &a, const GemmRing<Shape> &ring, const Epilogue &epilogue, int tiles, int rowTiles, int rank, int consumer) {
  using T = typename Shape::T;
  auto release = [&](int stage) {
    if (laneId() < Shape::cluster)
      arriveAt(ring.empty + 8 * stage, Shape::cluster == 1 ? -1 : laneId());
  };
  // Barrier 1 + consumer: its turn at the ring and the tensor cores.
  auto passTurn = [&] { arriveNamed(1 + (consumer ^ 1), 256); };
  if (consumer == 1)
    passTurn();
  // An operand's descriptor counts in 16 bytes; stages and parts of K lie below what its address has room for.
  const uint64 x = operandAt(ring.data), weights = operandAt(ring.data + Shape::xBytes);
  int stage = consumer * Shape::steps % Shape::stages, round = consumer * Shape::steps / Shape::stages;
  const int clusters = gridDim.x / Shape::cluster;
  for (int index = blockIdx.x / Shape::cluster + consumer * clusters; index < tiles; index += 2 * clusters) {
    float sums[2][Shape::columnsAtOnce / 2];
    int before = 0;
    int2 place = gemmTile<Shape>(index, rowTiles);
    const int row = place.x + rank * Shape::rowsAtOnce + 16 * (threadIdx.x % 128 / 32) + laneId() / 4;
    TileEnd<Shape, Epilogue> end = {epilogue, place.y, row, a.rows, place.y + 8 * (laneId() % 4)};
    end.begin();
    syncNamed(1 + consumer, 256);
    for (int step = 0; step < Shape::steps; ++step) {
      const uint64 at = stage * Shape::stageBytes / 16;
      waitBarrier(ring.full + 8 * stage, round & 1);
      pin(sums[0]), pin(sums[1]);
      beginProducts();
      UNROLL
      for (int k = 0; k < 4; ++k)
        UNROLL
        for (int half = 0; half < 2; ++half)
          Wgmma<T, Shape::columnsAtOnce>::inShared(sums[half], x + (at + half * 64 * 128 / 16 + 2 * k), weights + (at + 2 * k), step + k > 0);
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
    end.finish(sums[0]);
    end.m += 64, end.begin();
    end.finish(sums[1]);
  }
}

/// Grid: as many blocks as run at once, a multiple of the cluster. An epilogue offers Band; band(n): what is the same for all columns of the
/// group of 32 that begins at n; OfColumns; readColumns(band, n), OfRow; readRow(band, m, n): what it reads for columns n to n + 7, of all rows and
/// of row m, before the product is there; and store(band, columns, row, m, n, own, other).
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
    giveRegisters<Shape::ofProducer>();
    if (threadIdx.x == 0)
      produceStages(a, ring, tiles, rowTiles, rank);
  } else {
    takeRegisters<Shape::ofConsumer>();
    consumeStages<Shape>(a, ring, epilogue, tiles, rowTiles, rank, __shfl_sync(~0u, threadIdx.x / 128, 0) - 1); // the same in all lanes: addresses go to uniform registers
  }
  // A block's shared memory stays until its peers have written and released what they had to.
  if (Shape::cluster > 1)
    syncCluster();
}

#endif

} // namespace transom::cuda
