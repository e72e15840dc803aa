// Products of many rows for sm_90a by wgmma and TMA: y = epilogue(x W^T), x [rows, K], W [N, K], 16-bit or e4m3, sums in fp32.
//
// A block stays on its multiprocessor and takes tiles of [128, 128], or of [128, 192] with one or two of the others at a row's end. One producer thread copies x and W
// through a ring in shared memory; two consumer warpgroups take every other tile each, in turns: while one multiplies, the other one's epilogue runs on
// its registers ("ping-pong" of CUTLASS 3). Blocks of a cluster share the columns of a tile: each loads a part of W for all, since L2 gives
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

struct NoResidual {};
/// columns: of a tile, 128 or, for 16 bits, 192.
/// keepsX: all of K of a tile's rows stays in shared memory for all its columns; stages hold W alone. A tile takes a third of L2's bandwidth.
/// Residual: the type, of 16 bits, of a matrix [rows, outputs] that the epilogue reads: it comes through shared memory as x does. Loads of threads
/// would wait behind what the ring has under way.
/// columnBytes: of an epilogue's OfColumns at most, where they go through shared memory.
template <class T_, int outputs_, int inner_, class Partner_, int cluster_, int stages_, int columns_ = 128, bool keepsX_ = false, class Residual_ = NoResidual, int columnBytes_ = 64>
struct HopperGemmShape {
  using T = T_;
  using Partner = Partner_;
  using Residual = Residual_;
  static constexpr int outputs = outputs_, inner = inner_, cluster = cluster_, stages = stages_;
  static constexpr int rowsAtOnce = 128, columnsAtOnce = columns_;
  static constexpr int groupColumns = 32, boxGroups = columnsAtOnce / 2 / groupColumns; // W's rows come in two boxes, each whole groups of 32
  static constexpr int elements = 128 / sizeof(T), steps = (inner + elements - 1) / elements; // of K in a stage; stages of a tile
  static constexpr int width = Partner::halves ? Partner::halves : outputs;                   // columns that the epilogue is called for
  static constexpr int ownColumns = Partner::halves ? columnsAtOnce / 2 : columnsAtOnce;      // of them in a tile
  // Where a row's last tile would be a third empty, its last columns have tiles of 128.
  static constexpr int narrow = 128, rest = columnsAtOnce > narrow && Partner::halves == 0 && width > narrow ? width % columnsAtOnce : 0;
  static constexpr int narrowTiles = rest == 0 || rest > narrow ? 0 : rest > narrow / 2 ? 1 : 2;
  static constexpr int wideTiles = (width - narrowTiles * narrow + ownColumns - 1) / ownColumns, wideColumns = wideTiles * ownColumns, columnTiles = wideTiles + narrowTiles;
  static constexpr bool keepsX = keepsX_, hasResidual = sizeof(Residual) == 2, sharesColumns = columnsAtOnce > 128;
  static constexpr int xBytes = rowsAtOnce * 128, boxBytes = boxGroups * groupColumns * 128, weightBytes = 2 * boxBytes;
  static constexpr int keptBytes = keepsX ? steps * xBytes : 0, stageBytes = keepsX ? weightBytes : xBytes + weightBytes;
  // Of each consumer's epilogue: a tile of the residual, in boxes of 64 columns; what is of columns.
  static constexpr int residualBoxes = columnsAtOnce / 64, residualBytes = hasResidual ? residualBoxes * rowsAtOnce * 128 : 0;
  static constexpr int columnBytes = sharesColumns ? ownColumns / 8 * columnBytes_ : 0;
  static constexpr int residualStep = minInt(stages, steps) - 1; // of a tile, behind which its residual is asked for: then the one before is read
  static constexpr int sharedBytes = 1024 + keptBytes + stages * stageBytes + 2 * (residualBytes + columnBytes) + 16 * stages + 32 * hasResidual, threads = 384;
  /// Registers of the producer and of a consumer, which has columnsAtOnce of them for its sums.
  static constexpr int ofProducer = columnsAtOnce > 128 ? 24 : 40, ofConsumer = columnsAtOnce > 128 ? 240 : 232;
  /// Tiles of rows in turn at a time, so that their part of x stays in L2.
  static constexpr int turnRows = (16 << 20) / (inner * (int)sizeof(T) * rowsAtOnce * cluster) > 1 ? (16 << 20) / (inner * (int)sizeof(T) * rowsAtOnce * cluster) : 1;
  static_assert(outputs % groupColumns == 0 && width % groupColumns == 0 && inner * sizeof(T) % 16 == 0, "");
  static_assert(!keepsX || narrowTiles == 0, "");
  static_assert(!keepsX || stages <= steps, "a stage that is free tells that no product reads the rows before any more");
  static_assert(!hasResidual || (!sharesColumns && Partner::halves == 0), "");
  static_assert(sharedBytes <= 227 * 1024 && (cluster == 1 || cluster == 2), "");
  static_assert(columnsAtOnce == 128 || (columnsAtOnce == 192 && sizeof(T) == 2 && Partner::within <= 32), "a partner's columns lie in the same tile");
};

/// Maps, which are parameters of the entry. x: [K, rows] in boxes of 128 bytes x 128 rows. weights: row 32 g + 8 t + 2 i + e of W, t and i below 4
/// and e below 2, is place (e, t, i, g) of dimensions [K, 2, 4, 4, N / 32] in boxes of 128 bytes x [2, 4, 4, boxGroups]. So row 8 i + 2 t + e of a group
/// in shared memory is its row 8 t + 2 i + e, and thread t of a row, whose sums are those of 8 i + 2 t + e, has eight neighbours.
struct HopperGemmArguments {
  const TensorMap *x, *weights;
  int rows;                  // live rows of x
  const TensorMap *residual; // [N, rows] in boxes of 64 columns x 128 rows, or null
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// A cluster's tiles: from the first one, `apart` from each other. Where x is kept, they follow each other along the columns.
struct GemmTiles { int first, end, apart; };
template <class Shape> DEVICE GemmTiles gemmTiles(int tiles) {
  const int clusters = gridDim.x / Shape::cluster, own = blockIdx.x / Shape::cluster;
  if (Shape::keepsX)
    return {(int)((int64)tiles * own / clusters), (int)((int64)tiles * (own + 1) / clusters), 1};
  return {own, tiles, clusters};
}
/// Where tile `index` of a cluster lies: first row of the cluster's rows, first column.
template <class Shape> DEVICE int2 gemmTile(int index, int rowTiles) {
  if (Shape::keepsX)
    return make_int2(index / Shape::columnTiles * Shape::rowsAtOnce * Shape::cluster, index % Shape::columnTiles * Shape::ownColumns);
  int turn = index / (Shape::turnRows * Shape::columnTiles), within = index % (Shape::turnRows * Shape::columnTiles);
  int rows = minInt(Shape::turnRows, rowTiles - turn * Shape::turnRows);
  const int column = within / rows, first = column * Shape::ownColumns;
  return make_int2((turn * Shape::turnRows + within % rows) * Shape::rowsAtOnce * Shape::cluster,
                   first > Shape::wideColumns ? Shape::wideColumns + (column - Shape::wideTiles) * Shape::narrow : first);
}

template <class Shape> DEVICE bool isNarrowTile(int column) { return Shape::narrowTiles > 0 && column >= Shape::wideColumns; }

template <class Shape> struct GemmRing {
  uint32 kept, data, residual, columns, full, empty, residualFull, residualEmpty;
  DEVICE explicit GemmRing(const void *shared) {
    kept = (sharedAddress(shared) + 1023) & ~1023u;
    data = kept + Shape::keptBytes;
    residual = data + Shape::stages * Shape::stageBytes;
    columns = residual + 2 * Shape::residualBytes;
    full = columns + 2 * Shape::columnBytes, empty = full + 8 * Shape::stages;
    residualFull = empty + 8 * Shape::stages, residualEmpty = residualFull + 16;
  }
};

/// For the epilogue of the block's tile number `turn`.
template <class Shape> DEVICE void produceResidual(const HopperGemmArguments &a, const GemmRing<Shape> &ring, int turn, int row, int column) {
  const int consumer = turn % 2;
  const uint32 full = ring.residualFull + 8 * consumer, to = ring.residual + consumer * Shape::residualBytes;
  waitBarrier(ring.residualEmpty + 8 * consumer, (turn / 2 & 1) ^ 1);
  expectBytes(full, Shape::residualBytes);
  for (int box = 0; box < Shape::residualBoxes; ++box)
    copyBox(to + box * Shape::rowsAtOnce * 128, a.residual, full, column + 64 * box, row);
}

template <class Shape> DEVICE void produceStages(const HopperGemmArguments &a, const GemmRing<Shape> &ring, int tiles, int rowTiles, int rank) {
  int stage = 0, round = 0, turn = 0;
  const GemmTiles own = gemmTiles<Shape>(tiles);
  for (int index = own.first; index < own.end; index += own.apart, ++turn) {
    int2 place = gemmTile<Shape>(index, rowTiles);
    const bool needsX = !Shape::keepsX || index == own.first || place.y == 0;
    int group = place.y / Shape::groupColumns, upper = group + (Shape::Partner::halves ? Shape::Partner::halves / Shape::groupColumns : Shape::boxGroups);
    for (int step = 0; step < Shape::steps; ++step) {
      uint32 to = ring.data + stage * Shape::stageBytes, full = ring.full + 8 * stage;
      waitBarrier(ring.empty + 8 * stage, (round & 1) ^ 1);
      expectBytes(full, Shape::weightBytes + (needsX ? Shape::xBytes : 0));
      if (needsX)
        copyBox(Shape::keepsX ? ring.kept + step * Shape::xBytes : to, a.x, full, step * Shape::elements, place.x + rank * Shape::rowsAtOnce);
      if (!Shape::keepsX)
        to += Shape::xBytes;
      if (Shape::cluster == 1) {
        copyGroups(to, a.weights, full, step * Shape::elements, group);
        copyGroups(to + Shape::boxBytes, a.weights, full, step * Shape::elements, upper);
      } else {
        copyGroupsToCluster(to + rank * Shape::boxBytes, a.weights, full, step * Shape::elements, rank ? upper : group, 3);
      }
      if (++stage == Shape::stages)
        stage = 0, ++round;
      if (Shape::hasResidual && step == Shape::residualStep)
        produceResidual(a, ring, turn, place.x + rank * Shape::rowsAtOnce, place.y);
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

/// The epilogue of a thread's four rows, m, m + 8 and both 64 further: a group's columns at a time, each with its partner's. What it reads is under
/// way before the sums are there, of the first groups from begin() on.
template <class Shape, class Epilogue> struct TileEnd {
  using Partner = typename Shape::Partner;
  using OfColumns = typename Epilogue::OfColumns;
  using OfPiece = typename Epilogue::OfPiece;
  static constexpr int groups = Shape::ownColumns / Shape::groupColumns, rows = 4;
  // As many groups as there are registers for beside the sums. Beside 192 columns there are few: what is of columns alone comes once for all threads.
  static constexpr int bytes = (Shape::sharesColumns ? 0 : sizeof(OfColumns)) + (Shape::hasResidual ? 0 : rows * sizeof(OfPiece));
  static constexpr int free = Shape::sharesColumns ? 32 : 240, fit = minInt(minInt(free / bytes, 4), groups), ahead = fit > 1 ? fit : 1;
  static_assert(!Shape::sharesColumns || sizeof(OfColumns) * (Shape::ownColumns / 8) <= Shape::columnBytes, "");
  const Epilogue &epilogue;
  int first, m, live; // of the tile; of the thread
  OfColumns ofColumns[Shape::sharesColumns ? 1 : ahead];
  typename Epilogue::OfRow ofRow[rows];
  OfPiece ofPiece[ahead][rows];

  DEVICE static int thread() { return threadIdx.x % 128; }
  DEVICE static int below(int row) { return row / 2 * 64 + row % 2 * 8; }
  DEVICE int readable(int row) const { return minInt(m + below(row), live - 1); }
  DEVICE int column(int group) const { return first + Shape::groupColumns * group + 8 * (laneId() % 4); }
  DEVICE OfColumns columnsAt(int n) const { return epilogue.readColumns(epilogue.band(n - n % Shape::groupColumns), minInt(n, Shape::width - 8)); }
  DEVICE void read(int group) {
    if constexpr (!Shape::sharesColumns)
      ofColumns[group % ahead] = columnsAt(column(group));
    if constexpr (!Shape::hasResidual)
      UNROLL
      for (int row = 0; row < rows; ++row)
        ofPiece[group % ahead][row] = epilogue.readPiece(epilogue.band(first + Shape::groupColumns * group), readable(row), minInt(column(group), Shape::width - 8));
  }
  DEVICE void begin() {
    if constexpr (Shape::sharesColumns)
      if (8 * thread() < Shape::ownColumns)
        ofColumns[0] = columnsAt(first + 8 * thread());
    UNROLL
    for (int row = 0; row < rows; ++row)
      ofRow[row] = epilogue.readRow(readable(row));
    UNROLL
    for (int group = 0; group < ahead; ++group)
      read(group);
  }
  /// Eight columns of the residual's tile, in a box under its swizzle.
  DEVICE OfPiece residualAt(uint32 tile, int group, int row) const {
    if constexpr (Shape::hasResidual) {
      const int within = thread() / 32 * 16 + laneId() / 4 + below(row), piece = group % 2 * 4 + laneId() % 4;
      Stored<8, typename Shape::Residual> stored;
      stored.words[0] = loadShared(tile + (group / 2 * Shape::rowsAtOnce + within) * 128 + ((piece ^ within % 8) << 4));
      return {stored};
    }
    return {};
  }
  /// shared: for the consumer's columns; barrier: of its threads; residual: its tile.
  template <int n> DEVICE void finish(const float (&sums)[2][n], OfColumns *shared, int barrier, uint32 residual) {
    if constexpr (Shape::sharesColumns) {
      if (8 * thread() < Shape::ownColumns)
        shared[thread()] = ofColumns[0];
      syncNamed(barrier, 128);
    }
    const int behind = isNarrowTile<Shape>(first) ? minInt(first + Shape::narrow, Shape::width) : Shape::width;
    UNROLL
    for (int group = 0; group < groups; ++group) {
      const int at = column(group);
      if (at >= behind)
        break;
      const OfColumns columns = Shape::sharesColumns ? shared[4 * group + laneId() % 4] : ofColumns[Shape::sharesColumns ? 0 : group % ahead];
      const typename Epilogue::Band band = epilogue.band(first + Shape::groupColumns * group);
      OfPiece pieces[rows];
      UNROLL
      for (int row = 0; row < rows; ++row)
        pieces[row] = ofPiece[group % ahead][row];
      if (group + ahead < groups)
        read(group + ahead);
      UNROLL
      for (int row = 0; row < rows; ++row) {
        Lanes<8> own = columnsOf(sums[row / 2], group, row % 2);
        Lanes<8> other = columnsOf(sums[row / 2], Partner::halves ? group + Shape::boxGroups : Partner::within >= 32 ? group ^ Partner::within / 32 : group, row % 2);
        if (Partner::within == 16)
          UNROLL
          for (int i = 0; i < 8; ++i)
            other.v[i] = __shfl_xor_sync(~0u, own.v[i], 2);
        if (m + below(row) < live)
          epilogue.store(band, columns, ofRow[row], Shape::hasResidual ? residualAt(residual, group, row) : pieces[row], m + below(row), at, own, other);
      }
    }
  }
};

/// So many of a tile's columns.
template <int count_> struct FirstColumns { static constexpr int count = count_; };

template <class Shape, class Epilogue>
DEVICE void consumeStages(const HopperGemmArguments &a, const GemmRing<Shape> &ring, char *shared, const Epilogue &epilogue, int tiles, int rowTiles, int rank, int consumer) {
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
  const uint64 x = operandAt(Shape::keepsX ? ring.kept : ring.data), weights = operandAt(ring.data + (Shape::keepsX ? 0 : Shape::xBytes));
  int stage = consumer * Shape::steps % Shape::stages, round = consumer * Shape::steps / Shape::stages;
  const GemmTiles own = gemmTiles<Shape>(tiles);
  for (int index = own.first + consumer * own.apart, turn = 0; index < own.end; index += 2 * own.apart, ++turn) {
    float sums[2][Shape::columnsAtOnce / 2];
    int before = 0;
    int2 place = gemmTile<Shape>(index, rowTiles);
    const int row = place.x + rank * Shape::rowsAtOnce + 16 * (threadIdx.x % 128 / 32) + laneId() / 4;
    TileEnd<Shape, Epilogue> end = {epilogue, place.y, row, a.rows};
    end.begin();
    syncNamed(1 + consumer, 256);
    // Of the tile's first columns, in the first of the sums.
    auto multiply = [&](auto columns) {
      constexpr int n = decltype(columns)::count;
      for (int step = 0; step < Shape::steps; ++step) {
        const uint64 at = stage * Shape::stageBytes / 16, xAt = Shape::keepsX ? step * Shape::xBytes / 16 : at;
        waitBarrier(ring.full + 8 * stage, round & 1);
        pin(sums[0]), pin(sums[1]);
        beginProducts();
        UNROLL
        for (int k = 0; k < 4; ++k)
          UNROLL
          for (int half = 0; half < 2; ++half)
            Wgmma<T, n>::inShared((float (&)[n / 2])sums[half], x + (xAt + half * 64 * 128 / 16 + 2 * k), weights + (at + 2 * k), step + k > 0);
        commitProducts();
        if (step > 0) {
          waitProducts<1>();
          release(before);
        }
        before = stage;
        if (++stage == Shape::stages)
          stage = 0, ++round;
      }
    };
    if (isNarrowTile<Shape>(place.y))
      multiply(FirstColumns<(Shape::narrowTiles > 0) ? Shape::narrow : Shape::columnsAtOnce>());
    else
      multiply(FirstColumns<Shape::columnsAtOnce>());
    passTurn();
    waitProducts<0>();
    pin(sums[0]), pin(sums[1]);
    release(before);
    // The other consumer's stages.
    round += (stage + Shape::steps) / Shape::stages, stage = (stage + Shape::steps) % Shape::stages;
    if (Shape::hasResidual)
      waitBarrier(ring.residualFull + 8 * consumer, turn & 1);
    auto *columns = (typename Epilogue::OfColumns *)(shared + (ring.columns - sharedAddress(shared)) + consumer * Shape::columnBytes);
    end.finish(sums, columns, 3 + consumer, ring.residual + consumer * Shape::residualBytes);
    if (Shape::hasResidual) {
      __syncwarp(); // all lanes have read it
      if (laneId() == 0)
        arrive(ring.residualEmpty + 8 * consumer);
    }
  }
}

/// Grid: as many blocks as run at once, a multiple of the cluster. An epilogue offers Band; band(n): what is the same for all columns of the group of
/// 32 that begins at n; what it reads before the product is there: OfColumns; readColumns(band, n) for columns n to n + 7 of all rows, OfRow; readRow(m)
/// for all columns of row m, OfPiece; readPiece(band, m, n) for both; and store(band, columns, row, piece, m, n, own, other). Where the shape has a
/// residual, eight of its numbers are the piece.
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
    if (Shape::hasResidual) {
      prefetchMap(a.residual);
      for (int consumer = 0; consumer < 2; ++consumer) {
        initBarrier(ring.residualFull + 8 * consumer, 1);
        initBarrier(ring.residualEmpty + 8 * consumer, 4);
      }
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
    consumeStages<Shape>(a, ring, shared, epilogue, tiles, rowTiles, rank, __shfl_sync(~0u, threadIdx.x / 128, 0) - 1); // the same in all lanes: addresses go to uniform registers
  }
  // A block's shared memory stays until its peers have written and released what they had to.
  if (Shape::cluster > 1)
    syncCluster();
}

#endif

} // namespace transom::cuda
