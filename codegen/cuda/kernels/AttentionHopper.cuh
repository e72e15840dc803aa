// Prefill attention for sm_90a: y = softmax(scale * q * k^T) * v by wgmma and TMA, causal or not, windowed, packed
// (cumulative lengths), padded, or over a cache. head_dim 32, 64 and 128. Other GPUs and options: AttentionMma.cuh.
//
// After FlashAttention-3 (Shah et al., 2024). A block stays on its multiprocessor and takes tiles of 64 queries per
// consumer warpgroup. Queries, keys and values come through rings in shared memory (AttentionTiles.cuh). A consumer
// 1. multiplies its queries with the keys of the next block while
// 2. the values of the block before are multiplied with its weights, held in registers;
// 3. softmax of the next block follows, under the other consumers' products: they take turns at the tensor cores.
// After its last block it starts the first product of its next tile, and stores its results under that one. Blocks of keys go from the last to the first: those that need a mask come first.
//
// A row in shared memory has 128 bytes: of heads of 32 numbers it holds two neighbours, of which a tile uses its own.
#pragma once

#include "AttentionTiles.cuh"

namespace transom::cuda {

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// Online softmax of rows g and g + 8 of a warp.
struct SoftmaxRows {
  float top[2], sum[2];
};

/// s becomes e^(scale * s - top); kept: what earlier sums are multiplied by.
template <int n> DEVICE void softmaxStep(float (&s)[n], SoftmaxRows &rows, float (&kept)[2], float scale) {
  UNROLL
  for (int row = 0; row < 2; ++row) {
    float top = rows.top[row];
    UNROLL
    for (int j = 0; j < n / 4; ++j)
      top = fmaxf(top, fmaxf(s[4 * j + 2 * row], s[4 * j + 2 * row + 1]));
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
    float shift = top == -infinity() ? 0.0f : top * scale;
    kept[row] = exp2Fast(rows.top[row] * scale - shift);
    rows.top[row] = top;
    float sum = 0.0f;
    UNROLL
    for (int j = 0; j < n / 4; ++j)
      UNROLL
      for (int i = 0; i < 2; ++i) {
        float &v = s[4 * j + 2 * row + i];
        v = exp2Fast(fmaf(v, scale, -shift));
        sum += v;
      }
    rows.sum[row] = rows.sum[row] * kept[row] + sum;
  }
}

template <class T, int n> DEVICE void packWeights(uint4 (&weights)[n / 8], const float (&s)[n]) {
  UNROLL
  for (int i = 0; i < n / 8; ++i)
    weights[i] = make_uint4(Type<T>::pack(s[8 * i], s[8 * i + 1]), Type<T>::pack(s[8 * i + 2], s[8 * i + 3]),
                            Type<T>::pack(s[8 * i + 4], s[8 * i + 5]), Type<T>::pack(s[8 * i + 6], s[8 * i + 7]));
}

/// Scores of a block where a query may not see all keys. query: the place among the keys of the lane's row g.
template <bool causal, int n> DEVICE void maskScores(float (&s)[n], int firstKey, int query, int keys, int window) {
  const int own = firstKey + laneId() % 4 * 2; // the key of the lane's first score
  int begin[2], end[2];
  UNROLL
  for (int row = 0; row < 2; ++row) {
    const int place = query + 8 * row;
    begin[row] = place - window + 1 - own, end[row] = (causal ? minInt(keys, place + 1) : keys) - own;
  }
  auto keep = [&](auto sees) {
    UNROLL
    for (int j = 0; j < n / 4; ++j)
      UNROLL
      for (int i = 0; i < 2; ++i)
        UNROLL
        for (int row = 0; row < 2; ++row) {
          float &v = s[4 * j + 2 * row + i];
          v = sees(row, 8 * j + i) ? v : -infinity();
        }
  };
  keep([&](int row, int key) { return key < end[row]; });
  if (window > 0)
    keep([&](int row, int key) { return key >= begin[row]; });
}

/// Where a warp's rows of results wait for their stores, 16 bytes of them a piece, in what has been its queries. Pieces of neighbouring rows meet no bank twice.
template <class Shape> struct ResultRows {
  using Result = typename Shape::Result;
  static constexpr int pieces = Shape::headDim * (int)sizeof(Result) / 16; // of a row
  static DEVICE uint32 place(int row, int piece) { return piece / 8 * 64 * 128 + row * 128 + (piece % 8 ^ row % 8) * 16; }
};

/// sums over those of their rows' weights, to shared memory.
template <class Shape, int n> DEVICE void stageRows(uint32 to, const float (&sums)[n], const SoftmaxRows &rows, const float *resultScale) {
  using Result = typename Shape::Result;
  constexpr bool rounds = sizeof(Result) == 1;
  const int g = laneId() / 4, t = laneId() % 4;
  const float scale = rounds ? *resultScale : 1.0f;
  float factor[2];
  UNROLL
  for (int row = 0; row < 2; ++row) {
    float sum = rows.sum[row];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    factor[row] = sum == 0.0f ? 0.0f : __fdividef(1.0f, sum * scale);
  }
  auto pair = [&](int j, int row) { return Type<Result>::pack(sums[4 * j + 2 * row] * factor[row], sums[4 * j + 2 * row + 1] * factor[row]); };
  if constexpr (rounds) {
    UNROLL
    for (int row = 0; row < 2; ++row)
      UNROLL
      for (int j = 0; j < n / 4; ++j)
        asm volatile("st.shared.u16 [%0], %1;" ::"r"(to + ResultRows<Shape>::place(g + 8 * row, j / 2) + j % 2 * 8 + 2 * t), "h"((uint16)pair(j, row)) : "memory");
  } else {
    const int lane = laneId(), row = lane % 16;
    UNROLL
    for (int j = 0; j < n / 4; j += 2)
      storeMatrices(to + ResultRows<Shape>::place(row, j + lane / 16), pair(j, 0), pair(j, 1), pair(j + 1, 0), pair(j + 1, 1));
  }
}

/// The warp's first `live` of 16 rows to the result: what `piece` gives for a row and 16 bytes of it. ready() comes when all are there.
template <class Shape, class Piece, class Ready> DEVICE void storeRows(typename Shape::Result *result, int64 stride, int live, Piece piece, Ready ready) {
  using Rows = ResultRows<Shape>;
  constexpr int count = ceilDiv(16 * Rows::pieces, 32);
  uint4 v[count];
  UNROLL
  for (int i = 0; i < count; ++i)
    v[i] = piece((32 * i + laneId()) / Rows::pieces, laneId() % Rows::pieces);
  ready();
  UNROLL
  for (int i = 0; i < count; ++i) {
    const int row = (32 * i + laneId()) / Rows::pieces;
    storeGlobalIf(row < live, result + row * stride + laneId() % Rows::pieces * (16 / (int)sizeof(*result)), v[i]);
  }
}

/// Of results in E4M3: the scale for each row of queries, by all consumers.
template <class Shape> DEVICE void storeScales(const HopperAttentionArguments &a) {
  const int rows = a.cumulativeQueries ? a.cumulativeQueries[a.batch] : a.batch * a.queries;
  const float scale = *a.resultScale;
  constexpr int threads = 128 * Shape::consumers;
  for (int row = blockIdx.x * threads + threadIdx.x - 128; row < rows; row += gridDim.x * threads)
    a.resultScales[row] = scale;
}

/// A consumer's results of 64 queries, which go to memory once its next tile is under way.
template <class Shape> struct PartDone {
  typename Shape::Result *to = nullptr; // the warp's first row
  int live = 0, place = 0;              // rows from there on; where the queries have been
  bool any = false;
};

template <class Shape>
DEVICE void storePart(const HopperAttentionArguments &a, const HopperRings<Shape> &r, const PartDone<Shape> &part, const float (&sums)[Shape::headDim / 2], const SoftmaxRows &rows) {
  const uint32 staged = r.queries + part.place * Shape::partBytes + warpId() % 4 * 16 * 128;
  stageRows<Shape>(staged, sums, rows, a.resultScale);
  __syncwarp();
  storeRows<Shape>(part.to, a.resultRow, part.live, [&](int row, int piece) { return loadShared(staged + ResultRows<Shape>::place(row, piece)); }, [&] {
    fenceAsyncProxy();
    __syncwarp();
    if (laneId() == 0)
      arrive(r.queriesEmpty + 8 * part.place);
  });
}

template <class Shape> DEVICE void consumeTiles(const HopperAttentionArguments &a, const HopperRings<Shape> &r, int group) {
  using T = typename Shape::T;
  constexpr int N = Shape::keysAtOnce, D = Shape::headDim;
  const int thread = threadIdx.x % 128, warp = thread / 32, g = laneId() / 4;
  const float scale = a.scale * log2E;
  auto release = [&](uint32 barrier) {
    if (laneId() == 0)
      arrive(barrier);
  };
  // Consumers take turns at the tensor cores in a ring; barrier 1 + group is group's turn.
  auto takeTurn = [&] {
    if (Shape::turns)
      syncNamed(1 + group, 256);
  };
  auto passTurn = [&] {
    if (Shape::turns)
      arriveNamed(1 + (group + 1) % Shape::consumers, 256);
  };
  if (group == Shape::consumers - 1)
    passTurn();
  // Descriptors count in 16 bytes; stages lie below what an address has room for.
  const uint64 allQueries = operandAt(r.queries), allKeys = operandAt(r.keys), allValues = operandAt(r.values, N * 128);
  int stage = 0, round = 0, turn = 0, part = group, place = group, full = group, lap = 0, read = 0; // part: of all, this consumer's next, with its place and barrier; read: parts done
  AttentionTile tile;
  float sums[D / 2], scores[N / 2], kept[2];
  uint4 weights[N / 16];
  auto advance = [&] {
    if (++stage == Shape::stages)
      stage = 0, ++round;
  };
  auto take = [&] { tile = takeTile<Shape, true>(r, turn++); };
  auto isOwn = [&] { return part - tile.parts < tile.ownParts; }; // the same in all lanes, as `group`
  auto firstRowOf = [&] { return tile.firstQuery + (part - tile.parts) * 64 + warp * 16; }; // the warp's
  auto result = [&] { return (typename Shape::Result *)a.result + tile.batch * a.resultBatch + tile.head * a.resultHead + (tile.queryRow + firstRowOf()) * a.resultRow; };
  auto inRow = [](int head) { return (head & (Shape::headsAtOnce - 1)) * 4; }; // where the head begins
  auto multiplyKeys = [&] {
    const uint64 query = allQueries + (place * (Shape::partBytes / 16) + inRow(tile.head)), keys = allKeys + (stage * (Shape::stageBytes / 16) + inRow(tile.kvHead));
    pin(scores);
    beginProducts();
    UNROLL
    for (int run = 0; run < Shape::runs; ++run)
      UNROLL
      for (int k = 0; k < 4 / Shape::headsAtOnce; ++k)
        Wgmma<T, N>::inShared(scores, query + (run * 64 * 8 + 2 * k), keys + (run * N * 8 + 2 * k), run + k > 0);
    commitProducts();
  };
  auto multiplyValues = [&](int at) {
    const uint64 values = allValues + (at * (Shape::stageBytes / 16) + inRow(tile.kvHead));
    beginProducts();
    UNROLL
    for (int k = 0; k < N / 16; ++k)
      Wgmma<T, D>::fromRegisters(sums, weights[k], values + k * 128);
    commitProducts();
  };
  PartDone<Shape> before; // its last product is under way when the next part is taken
  SoftmaxRows rows;
  int valueStage = 0;
  for (;;) {
    take();
    const bool next = isOwn();
    if (!next) { // to pass tiles of others by, it waits for values that may need the stage it holds
      waitProducts<0>();
      pin(sums);
      if (before.any)
        release(r.valuesEmpty + 8 * valueStage);
      for (; !isOwn() && tile.head >= 0; take()) {
        if (tile.firstBlock >= tile.endBlock)
          storeRows<Shape>(result(), a.resultRow, tile.queries - firstRowOf(), [](int, int) { return uint4(); }, [] {});
        // Behind the last query there is nothing to do but to keep the rings going.
        _Pragma("unroll 1") for (int block = tile.endBlock - 1; block >= tile.firstBlock; --block) {
          if (block < tile.endBlock - 1)
            takeTurn(), passTurn();
          waitBarrier(r.keysFull + 8 * stage, round & 1);
          waitBarrier(r.valuesFull + 8 * stage, round & 1);
          __syncwarp(); // no lane may still wait for what another releases
          release(r.keysEmpty + 8 * stage);
          release(r.valuesEmpty + 8 * stage);
          advance();
        }
      }
    }
    if (tile.head >= 0) {
      waitBarrier(r.queriesFull + 8 * full, lap & 1);
      waitBarrier(r.keysFull + 8 * stage, round & 1);
    }
    multiplyKeys(); // behind the last tile of whatever lies there, for nobody: where a condition decides about a product, ptxas waits for the sums in flight
    waitProducts<1>();
    pin(sums);
    if (before.any) {
      if (next)
        release(r.valuesEmpty + 8 * valueStage);
      waitBarrier(r.queriesRead + 8 * group, read & 1), ++read; // by all warps: results may take their place
      storePart<Shape>(a, r, before, sums, rows);
    }
    waitProducts<0>();
    pin(scores);
    if (tile.head < 0)
      break;
    const int offset = tile.keys - tile.queries, firstRow = firstRowOf();
    auto mask = [&](int block) {
      int first = block * N, lastRow = firstRow + 15 + offset;
      bool some = first + N > tile.keys || (Shape::causal && first + N > firstRow + offset + 1) || (a.window > 0 && first <= lastRow - a.window);
      if (some)
        maskScores<Shape::causal>(scores, first, firstRow + offset + g, tile.keys, a.window);
    };
    rows = {{-infinity(), -infinity()}, {0.0f, 0.0f}};
    UNROLL
    for (int i = 0; i < D / 2; ++i)
      sums[i] = 0.0f;
    release(r.keysEmpty + 8 * stage);
    mask(tile.endBlock - 1);
    softmaxStep(scores, rows, kept, scale);
    packWeights<T>(weights, scores);
    int valueRound = round;
    valueStage = stage;
    for (int block = tile.endBlock - 2; block >= tile.firstBlock; --block) {
      advance();
      waitBarrier(r.keysFull + 8 * stage, round & 1);
      takeTurn();
      pin(sums);
      multiplyKeys();
      waitBarrier(r.valuesFull + 8 * valueStage, valueRound & 1);
      multiplyValues(valueStage);
      passTurn();
      waitProducts<1>();
      pin(scores);
      release(r.keysEmpty + 8 * stage);
      mask(block);
      softmaxStep(scores, rows, kept, scale);
      waitProducts<0>();
      pin(sums);
      release(r.valuesEmpty + 8 * valueStage);
      UNROLL
      for (int i = 0; i < D / 2; ++i)
        sums[i] *= kept[i / 2 % 2];
      packWeights<T>(weights, scores);
      valueStage = stage, valueRound = round;
    }
    release(r.queriesRead + 8 * group);
    waitBarrier(r.valuesFull + 8 * valueStage, valueRound & 1);
    pin(sums);
    multiplyValues(valueStage);
    advance();
    before = {result(), tile.queries - firstRow, place, true};
    part += Shape::consumers, place += Shape::consumers, full += Shape::consumers;
    if (place >= Shape::places)
      place -= Shape::places;
    if (full >= Shape::fulls)
      full -= Shape::fulls, ++lap;
  }
}

/// Grid: as many blocks as there are multiprocessors. `a` is a __grid_constant__ of the entry.
template <class Shape> DEVICE void attendHopper(const HopperAttentionArguments &a) {
  extern __shared__ __align__(1024) char shared[];
  HopperRings<Shape> rings(shared);
  if (threadIdx.x == 0) {
    prefetchMap(a.queryMap), prefetchMap(a.keyMap), prefetchMap(a.valueMap);
    for (int i = 0; i < Shape::fulls; ++i)
      initBarrier(rings.queriesFull + 8 * i, 1);
    for (int i = 0; i < Shape::places; ++i)
      initBarrier(rings.queriesEmpty + 8 * i, 4);
    for (int i = 0; i < Shape::consumers; ++i)
      initBarrier(rings.queriesRead + 8 * i, 4);
    for (int i = 0; i < Shape::tilesAhead; ++i) {
      initBarrier(rings.tileFull + 8 * i, 1);
      initBarrier(rings.tileEmpty + 8 * i, 128 * Shape::consumers + 33);
    }
    for (int i = 0; i < Shape::stages; ++i) {
      initBarrier(rings.keysFull + 8 * i, 1);
      initBarrier(rings.valuesCopied + 8 * i, 1);
      initBarrier(rings.valuesFull + 8 * i, 1);
      initBarrier(rings.keysEmpty + 8 * i, 4 * Shape::consumers);
      initBarrier(rings.valuesEmpty + 8 * i, 4 * Shape::consumers);
    }
    fenceBarrierInit();
  }
  __syncthreads();
  launchDependents();
  waitProducers();
  if (a.cumulativeQueries)
    PackedBlocks<Shape>(a, rings.starts(shared)).begin(a);
  const int group = __shfl_sync(~0u, threadIdx.x / 128, 0) - 1; // the same in all lanes: addresses go to uniform registers
  if (group < 0) {
    giveRegisters<Shape::producerRegisters>();
    if (threadIdx.x == 0)
      copyTiles<Shape>(a, rings);
    else if (warpId() == 1)
      chooseTiles<Shape>(a, rings, rings.starts(shared));
    else if (warpId() == 2)
      clearTiles<Shape>(a, rings);
  } else {
    takeRegisters<Shape::consumerRegisters>();
    if (sizeof(typename Shape::Result) == 1)
      storeScales<Shape>(a);
    consumeTiles<Shape>(a, rings, group);
  }
}

#endif

} // namespace transom::cuda
