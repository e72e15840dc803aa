// Products of many rows whose results a norm follows, in one kernel of sm_90a by wgmma and TMA: y = norm(epilogue(x W^T)), x [rows, K], W [N, K], 16-bit or
// e4m3, sums in fp32.
//
// A cluster has whole rows: each of its blocks 256 of the columns, so N is 256 times the cluster. Blocks stay and take tiles of [128, 256]; two consumer
// warpgroups have 64 rows each. The rows of x come to all blocks of the cluster at once, each step's from another one of them. Results stay in registers
// as the sums do, until each block has told the others mean and squares of its part of each row: nothing between product and norm meets memory or
// is rounded to it.
//
// Scale, shift and what is stored come under the next tile's product: until then a tile's norm waits in registers, in fp16, beside the next sums.
// A residual comes through the ring of stages, behind a tile's last step, so the next tile's first steps are under way behind it. Shared memory's bandwidth is
// what a tile's end takes: what is of columns lies there in planes of 16 bytes, and a residual in boxes of 64 bytes a row, so that eight lanes meet every bank once.
//
// The order of a sum over K, and over a row, depends on neither rows nor grid, so a row's results are the same bits in any batch.
#pragma once

#include "GemmHopper.cuh"
#include "Wgmma256.cuh"

namespace transom::cuda {

/// Residual: as in HopperGemmShape. centred: LayerNorm, else RMSNorm, which has no mean.
template <class T_, int outputs, int inner, int cluster_, class Residual_, bool centred_> struct GemmNormShape {
  using T = T_;
  using Residual = Residual_;
  static constexpr int N = outputs, K = inner, cluster = cluster_, stages = 4;
  static constexpr bool hasResidual = sizeof(Residual) == 2, centred = centred_;
  static constexpr int rowsAtOnce = 128, rowsOfConsumer = 64, columns = N / cluster, groupColumns = 32, groups = columns / groupColumns, boxGroups = groups / 2;
  static constexpr int elements = 128 / sizeof(T), steps = ceilDiv(K, elements); // of K in a stage; of a tile
  static constexpr int xBytes = rowsAtOnce * 128, boxBytes = boxGroups * groupColumns * 128, stageBytes = xBytes + 2 * boxBytes;
  static constexpr int endGroups = 4, endSteps = hasResidual ? groups / endGroups : 0, residualBytes = rowsAtOnce * groupColumns * 2; // of a stage of the residual; of a tile; of a group
  static constexpr int momentsBytes = 2 * cluster * rowsAtOnce * 8; // of two tiles in turn, from each block
  static constexpr int ofProducer = 24, ofConsumer = 240, threads = 384;
  template <class Epilogue> static __host__ __device__ constexpr int columnBytes() { return columns / 8 * (int)(sizeof(typename Epilogue::OfColumns) / 16 + sizeof(typename Epilogue::OfNorm) / 16) * 16; }
  template <class Epilogue> static __host__ __device__ constexpr int sharedBytes() { return 1024 + stages * (stageBytes + 16) + momentsBytes + columnBytes<Epilogue>() + 32; }
  static_assert(columns == 256 && N % cluster == 0 && cluster > 1 && cluster <= 8 && K * sizeof(T) % 16 == 0 && endGroups * residualBytes <= stageBytes && endSteps <= 2, "");
};

/// Maps, which are parameters of the entry: x and weights as in HopperGemmArguments; residual: [N, rows] in boxes of 32 columns x 128 rows, not swizzled.
struct GemmNormArguments {
  const TensorMap *x, *weights, *residual;
  int rows; // live
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// Tiles of a cluster: in each turn all clusters have 128 rows, but in the last one 64 where that is enough for what is left.
template <class Shape> struct NormTiles {
  int clusters, own, halves, whole;
  DEVICE explicit NormTiles(int rows) {
    clusters = gridDim.x / Shape::cluster, own = blockIdx.x / Shape::cluster;
    halves = ceilDiv(rows, Shape::rowsOfConsumer), whole = halves / (2 * clusters);
  }
  DEVICE bool isHalf(int turn) const { return turn == whole && halves - 2 * clusters * whole <= clusters; }
  DEVICE int row(int turn) const { return turn * clusters * Shape::rowsAtOnce + own * (isHalf(turn) ? Shape::rowsOfConsumer : Shape::rowsAtOnce); }
  DEVICE bool has(int turn) const { return turn <= whole && row(turn) < Shape::rowsOfConsumer * halves; }
};

template <class Shape, class Epilogue> struct NormRing {
  uint32 data, moments, columns, full, empty, come; // come: what the cluster tells, of each tile of two, for each consumer
  DEVICE explicit NormRing(const void *shared) {
    data = (sharedAddress(shared) + 1023) & ~1023u;
    moments = data + Shape::stages * Shape::stageBytes;
    columns = moments + Shape::momentsBytes;
    full = columns + Shape::template columnBytes<Epilogue>(), empty = full + 8 * Shape::stages, come = empty + 8 * Shape::stages;
  }
};

/// Which stage is next, and how often the ring has come round.
template <int stages> struct RingPlace {
  int stage = 0, round = 0;
  DEVICE void advance() {
    if (++stage == stages)
      stage = 0, ++round;
  }
};

template <class Shape, class Ring> DEVICE void produceNormStages(const GemmNormArguments &a, const Ring &ring, int rank) {
  const NormTiles<Shape> tiles(a.rows);
  const int column = rank * Shape::columns;
  RingPlace<Shape::stages> place;
  int owner = 0; // of the step's x
  for (int turn = 0; tiles.has(turn); ++turn) {
    const int row = tiles.row(turn);
    for (int step = 0; step < Shape::steps + Shape::endSteps; ++step, place.advance()) {
      const uint32 to = ring.data + place.stage * Shape::stageBytes, full = ring.full + 8 * place.stage;
      waitBarrier(ring.empty + 8 * place.stage, (place.round & 1) ^ 1);
      if (step >= Shape::steps) {
        expectBytes(full, Shape::endGroups * Shape::residualBytes);
        for (int group = 0; group < Shape::endGroups; ++group)
          copyBox(to + group * Shape::residualBytes, a.residual, full, column + ((step - Shape::steps) * Shape::endGroups + group) * Shape::groupColumns, row);
        continue;
      }
      expectBytes(full, Shape::stageBytes);
      if (owner == rank)
        copyBoxToCluster(to, a.x, full, step * Shape::elements, row, (1 << Shape::cluster) - 1);
      owner = owner + 1 == Shape::cluster ? 0 : owner + 1;
      for (int box = 0; box < 2; ++box)
        copyGroups(to + Shape::xBytes + box * Shape::boxBytes, a.weights, full, step * Shape::elements, column / Shape::groupColumns + box * Shape::boxGroups);
    }
  }
}

/// Structs of whole 16-byte words, `count` in planes of one word of each.
template <class Struct, int count> struct Planed {
  static constexpr int words = sizeof(Struct) / 16; // none of an empty one
  static_assert(sizeof(Struct) % 16 == 0 || sizeof(Struct) == 1, "");
  uint4 *data;
  DEVICE void put(int i, const Struct &v) const {
    UNROLL
    for (int word = 0; word < words; ++word)
      data[word * count + i] = ((const uint4 *)&v)[word];
  }
  DEVICE Struct get(int i) const {
    Struct v;
    UNROLL
    for (int word = 0; word < words; ++word)
      ((uint4 *)&v)[word] = data[word * count + i];
    return v;
  }
};

/// Of a thread's two rows, m and m + 8, the norm before scale and shift, two numbers of fp16 a register: its size is at most the root of N.
template <class Shape> struct HeldNorm {
  uint32 rows[Shape::groups][2][4];
  int m; // beyond the last row where there is none
};

DEVICE float sumOfFour(float v) {
  v += __shfl_xor_sync(~0u, v, 1);
  return v + __shfl_xor_sync(~0u, v, 2);
}

/// The norm of a thread's two rows, m and m + 8, whose results are in `sums`. within: the first in the tile.
template <class Shape, class Epilogue> struct NormTile {
  using OfColumns = typename Epilogue::OfColumns;
  using OfNorm = typename Epilogue::OfNorm;
  const Epilogue &epilogue;
  Planed<OfColumns, Shape::columns / 8> ofColumns;
  Planed<OfNorm, Shape::columns / 8> ofNorm;
  int m, live, within, first; // first of the block's columns
  typename Epilogue::OfRow ofRow[2];
  float part[2][4] = {}; // sums of a row, four at a time, as one waits for itself
  float mean[2], factor[2];

  DEVICE void begin() {
    UNROLL
    for (int row = 0; row < 2; ++row)
      ofRow[row] = epilogue.readRow(minInt(m + 8 * row, live - 1));
  }
  DEVICE int column(int group) const { return first + Shape::groupColumns * group + 8 * (laneId() % 4); }
  /// Results of groups from `from` on, in place of sums. residual: a stage of it.
  template <int from, int count, int n> DEVICE void results(float (&sums)[n], const char *residual) {
    typename Epilogue::OfPiece pieces[count][2];
    if constexpr (Shape::hasResidual)
      UNROLL
      for (int group = 0; group < count; ++group)
        UNROLL
        for (int row = 0; row < 2; ++row)
          *(uint4 *)&pieces[group][row] = *(const uint4 *)(residual + group * Shape::residualBytes + (within + 8 * row) * 64 + laneId() % 4 * 16);
    OfColumns next = ofColumns.get(4 * from + laneId() % 4);
    UNROLL
    for (int group = 0; group < count; ++group) {
      const OfColumns columns = next;
      if (group + 1 < count)
        next = ofColumns.get(4 * (from + group + 1) + laneId() % 4);
      UNROLL
      for (int row = 0; row < 2; ++row) {
        const Lanes<8> own = epilogue.value(epilogue.band(column(from + group) & ~31), columns, ofRow[row], pieces[group][row], minInt(m + 8 * row, live - 1), column(from + group), columnsOf(sums, from + group, row));
        UNROLL
        for (int i = 0; i < 8; ++i)
          sums[16 * (from + group) + 4 * (i / 2) + 2 * row + i % 2] = own.v[i], part[row][i % 4] += own.v[i];
      }
    }
  }
  static DEVICE float sumOfRow(const float (&part)[4]) { return sumOfFour(part[0] + part[1] + (part[2] + part[3])); }
  /// Sends the block's moments to each of the cluster, and waits for theirs. moments: of this tile, [cluster, 128]. Moments of parts of equal size: Chan, Golub
  /// and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
  template <int n> DEVICE void meet(const float (&sums)[n], const float2 *moments, uint32 come, int parity, int rank) {
    float own[2], squares[2][4] = {};
    UNROLL
    for (int row = 0; row < 2; ++row)
      own[row] = sumOfRow(part[row]) * (1.0f / Shape::columns);
    UNROLL
    for (int i = 0; i < n; ++i) {
      const float v = sums[i] - own[i / 2 % 2];
      squares[i / 2 % 2][i / 4 % 2 * 2 + i % 2] += v * v;
    }
    UNROLL
    for (int row = 0; row < 2; ++row) {
      const uint2 moment = make_uint2(__float_as_uint(own[row]), __float_as_uint(sumOfRow(squares[row])));
      for (int to = laneId() % 4; to < Shape::cluster; to += 4)
        storeAt(sharedAddress(moments + rank * Shape::rowsAtOnce + within + 8 * row), come, to, moment);
    }
    waitBarrier(come, parity);
    UNROLL
    for (int row = 0; row < 2; ++row) {
      float2 parts[Shape::cluster];
      float all = 0.0f, sum = 0.0f;
      UNROLL
      for (int block = 0; block < Shape::cluster; ++block) {
        parts[block] = moments[block * Shape::rowsAtOnce + within + 8 * row];
        all += parts[block].x;
      }
      all *= 1.0f / Shape::cluster;
      UNROLL
      for (int block = 0; block < Shape::cluster; ++block)
        sum += parts[block].y + (float)Shape::columns * (parts[block].x - all) * (parts[block].x - all);
      sum *= 1.0f / Shape::N;
      mean[row] = Shape::centred ? all : 0.0f;
      factor[row] = rsqrtf(sum + (Shape::centred ? 0.0f : all * all) + epilogue.epsilon());
    }
  }
  template <int n> DEVICE void hold(const float (&sums)[n], HeldNorm<Shape> &held) const {
    held.m = m;
    UNROLL
    for (int group = 0; group < Shape::groups; ++group)
      UNROLL
      for (int row = 0; row < 2; ++row) {
        const Lanes<8> v = columnsOf(sums, group, row);
        UNROLL
        for (int i = 0; i < 8; i += 2)
          held.rows[group][row][i / 2] = Type<Half>::pack((v.v[i] - mean[row]) * factor[row], (v.v[i + 1] - mean[row]) * factor[row]);
      }
  }
  /// Of a tile before.
  DEVICE void store(const HeldNorm<Shape> &held, int group) const {
    const OfNorm norm = ofNorm.get(4 * group + laneId() % 4);
    UNROLL
    for (int row = 0; row < 2; ++row) {
      Stored<8, Half> eight;
      eight.words[0] = make_uint4(held.rows[group][row][0], held.rows[group][row][1], held.rows[group][row][2], held.rows[group][row][3]);
      if (held.m + 8 * row < live)
        epilogue.store(norm, held.m + 8 * row, column(group), lanesOf<Half>(eight));
    }
  }
};

template <class Shape, class Epilogue>
DEVICE void consumeNormStages(const GemmNormArguments &a, const NormRing<Shape, Epilogue> &ring, char *shared, const Epilogue &epilogue, int rank, int consumer) {
  using T = typename Shape::T;
  using Tile = NormTile<Shape, Epilogue>;
  const NormTiles<Shape> tiles(a.rows);
  const int thread = threadIdx.x % 128, within = Shape::rowsOfConsumer * consumer + thread / 32 * 16 + laneId() / 4, first = rank * Shape::columns;
  auto at = [&](uint32 address) { return shared + (address - sharedAddress(shared)); };
  constexpr int eights = Shape::columns / 8;
  const Planed<typename Tile::OfColumns, eights> ofColumns = {(uint4 *)at(ring.columns)};
  const Planed<typename Tile::OfNorm, eights> ofNorm = {ofColumns.data + eights * ofColumns.words};
  for (int i = threadIdx.x - 128; i < eights; i += 256)
    ofColumns.put(i, epilogue.readColumns(epilogue.band(first + 8 * i), first + 8 * i)), ofNorm.put(i, epilogue.readNorm(first + 8 * i));
  syncNamed(1, 256);
  auto release = [&](int stage) {
    if (laneId() < Shape::cluster)
      arriveAt(ring.empty + 8 * stage, laneId());
  };
  const uint64 x = operandAt(ring.data) + consumer * Shape::rowsOfConsumer * 128 / 16, weights = operandAt(ring.data + Shape::xBytes);
  RingPlace<Shape::stages> place;
  HeldNorm<Shape> held;
  held.m = a.rows;
  UNROLL
  for (int i = 0; i < Shape::groups * 8; ++i)
    held.rows[i / 8][i / 4 % 2][i % 4] = 0;
  for (int turn = 0; tiles.has(turn); ++turn) {
    if (consumer == 1 && tiles.isHalf(turn)) { // nothing to do but to let the others go on
      for (int step = 0; step < Shape::steps + Shape::endSteps; ++step, place.advance()) {
        waitBarrier(ring.full + 8 * place.stage, place.round & 1);
        release(place.stage);
      }
      continue;
    }
    const float2 *const moments = (const float2 *)at(ring.moments) + turn % 2 * (Shape::momentsBytes / 16);
    const uint32 come = ring.come + 16 * (turn % 2) + 8 * consumer;
    if (thread == 0)
      expectBytes(come, Shape::cluster * Shape::rowsOfConsumer * 8);
    float sums[Shape::columns / 2];
    Tile tile = {epilogue, ofColumns, ofNorm, tiles.row(turn) + within, a.rows, within, first};
    tile.begin();
    int before = 0;
    auto multiply = [&](int step) {
      const uint64 stage = place.stage * Shape::stageBytes / 16;
      waitBarrier(ring.full + 8 * place.stage, place.round & 1);
      pin(sums);
      beginProducts();
      UNROLL
      for (int k = 0; k < 4; ++k)
        Wgmma<T, Shape::columns>::inShared(sums, x + (stage + 2 * k), weights + (stage + 2 * k), step + k > 0);
      commitProducts();
    };
    auto goOn = [&](int step) {
      if (step > 0) {
        waitProducts<1>();
        release(before);
      }
      before = place.stage;
      place.advance();
    };
    constexpr int beside = minInt(Shape::steps, Shape::groups); // steps with work beside
    UNROLL
    for (int step = 0; step < beside; ++step) {
      multiply(step);
      UNROLL
      for (int group = step * Shape::groups / beside; group < (step + 1) * Shape::groups / beside; ++group)
        tile.store(held, group);
      goOn(step);
    }
    for (int step = beside; step < Shape::steps; ++step) {
      multiply(step);
      goOn(step);
    }
    waitProducts<0>();
    pin(sums);
    release(before);
    if constexpr (Shape::hasResidual) {
      UNROLL
      for (int step = 0; step < Shape::endSteps; ++step, place.advance()) {
        waitBarrier(ring.full + 8 * place.stage, place.round & 1);
        const char *const residual = at(ring.data + place.stage * Shape::stageBytes);
        if (step == 0)
          tile.template results<0, Shape::endGroups>(sums, residual);
        else
          tile.template results<Shape::endGroups, Shape::endGroups>(sums, residual);
        __syncwarp(); // all lanes have read it
        release(place.stage);
      }
    } else {
      tile.template results<0, Shape::groups>(sums, nullptr);
    }
    tile.meet(sums, moments, come, turn / 2 & 1, rank);
    tile.hold(sums, held);
  }
  const Tile last = {epilogue, ofColumns, ofNorm, 0, a.rows, within, first};
  UNROLL
  for (int group = 0; group < Shape::groups; ++group)
    last.store(held, group);
}

/// Grid: as many blocks as run at once, a multiple of the cluster. An epilogue is as that of gemmHopper, OfColumns of whole 16 bytes, but has no readPiece:
/// OfPiece is eight numbers of the residual, or empty; and value(band, columns, row, piece, m, n, sums), which the norm is taken of, instead of store. Of
/// columns n to n + 7 of the norm it has OfNorm, of whole 16 bytes, and readNorm(n); store(norm, m, n, v), v the norm before scale and shift; and epsilon().
template <class Shape, class Epilogue> DEVICE void gemmNorm(const GemmNormArguments &a, const Epilogue &epilogue) {
  extern __shared__ __align__(1024) char shared[];
  const NormRing<Shape, Epilogue> ring(shared);
  const int rank = blockIdx.x % Shape::cluster;
  if (threadIdx.x == 0) {
    prefetchMap(a.x), prefetchMap(a.weights);
    if (Shape::hasResidual)
      prefetchMap(a.residual);
    for (int i = 0; i < Shape::stages; ++i) {
      initBarrier(ring.full + 8 * i, 1);
      initBarrier(ring.empty + 8 * i, 8 * Shape::cluster);
    }
    for (int i = 0; i < 4; ++i)
      initBarrier(ring.come + 8 * i, 1);
    fenceBarrierInit();
  }
  syncCluster();
  launchDependents();
  waitProducers();
  if (threadIdx.x < 128) {
    giveRegisters<Shape::ofProducer>();
    if (threadIdx.x == 0)
      produceNormStages<Shape>(a, ring, rank);
  } else {
    takeRegisters<Shape::ofConsumer>();
    consumeNormStages<Shape>(a, ring, shared, epilogue, rank, __shfl_sync(~0u, threadIdx.x / 128, 0) - 1); // the same in all lanes: addresses go to uniform registers
  }
  // A block's shared memory stays until its peers have written and released what they had to.
  syncCluster();
}

#endif

} // namespace transom::cuda
