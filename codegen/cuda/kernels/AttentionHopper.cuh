// Prefill attention for sm_90a: y = softmax(scale * q * k^T) * v by wgmma and TMA, causal or not, windowed, packed
// (cumulative lengths), padded, or over a cache. head_dim 32, 64 and 128. Other GPUs and options: AttentionMma.cuh.
//
// After FlashAttention-3 (Shah et al., 2024). A block stays on its multiprocessor and takes tiles of 64 queries per
// consumer warpgroup. One producer thread copies queries, keys and values through rings in shared memory. A consumer
// 1. multiplies its queries with the keys of the next block while
// 2. the values of the block before are multiplied with its weights, held in registers;
// 3. softmax of the next block follows, under the other consumers' products: they take turns at the tensor cores.
// Blocks of keys go from the last to the first: those that need a mask come first.
//
// A row in shared memory has 128 bytes: of heads of 32 numbers it holds two neighbours, of which a tile uses its own.
#pragma once

#include "AttentionTiles.cuh"

namespace transom::cuda {

/// turns: consumers take turns at the tensor cores: better for long rows. Consumers at rows of different lengths would wait for each other.
template <class T_, int headDim_, int consumers_, int keysAtOnce_, bool causal_, bool turns_ = true>
struct HopperAttentionShape {
  using T = T_;
  using Result = T;
  static constexpr int headDim = headDim_, consumers = consumers_, keysAtOnce = keysAtOnce_, stages = headDim <= 64 ? 4 : 2;
  static constexpr int headsAtOnce = headDim == 32 ? 2 : 1, width = headsAtOnce * headDim; // neighbours in a row; the row
  static constexpr bool causal = causal_, turns = turns_;
  static constexpr int queriesAtOnce = 64 * consumers, threads = 128 * (consumers + 1), runs = width / 64;
  static constexpr int queryBytes = queriesAtOnce * width * 2, stageBytes = keysAtOnce * width * 2;
  static constexpr int barrierBytes = 256, ringBytes = 1024 + 2 * stages * stageBytes + barrierBytes;
  static constexpr int queryStages = ringBytes + 2 * queryBytes <= 227 * 1024 ? 2 : 1; // the next tile's queries come under this one's products
  static constexpr int sharedBytes = ringBytes + queryStages * queryBytes;
  static constexpr int producerRegisters = consumers == 2 ? 40 : headDim == 32 ? 56 : 32, consumerRegisters = consumers == 2 ? 232 : headDim == 32 ? 152 : 160;
  static_assert(width % 64 == 0 && keysAtOnce % 16 == 0 && sharedBytes <= 227 * 1024, "");
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// Addresses in shared memory.
template <class Shape> struct HopperRings {
  uint32 query, keys, values, queryFull, queryEmpty, keysFull, keysEmpty, valuesFull, valuesEmpty;
  uint32 tile, tileFull, tileEmpty; // two tiles ahead
  DEVICE explicit HopperRings(const void *shared) {
    query = (sharedAddress(shared) + 1023) & ~1023u;
    keys = query + Shape::queryStages * Shape::queryBytes;
    values = keys + Shape::stages * Shape::stageBytes;
    tile = values + Shape::stages * Shape::stageBytes;
    tileFull = tile + 2 * sizeof(AttentionTile), tileEmpty = tileFull + 16;
    queryFull = tileEmpty + 16, queryEmpty = queryFull + 8 * Shape::queryStages, keysFull = queryEmpty + 8 * Shape::queryStages;
    keysEmpty = keysFull + 8 * Shape::stages, valuesFull = keysEmpty + 8 * Shape::stages, valuesEmpty = valuesFull + 8 * Shape::stages;
  }
};

template <class Shape> DEVICE void produceTiles(const HopperAttentionArguments &a, const HopperRings<Shape> &r) {
  const PackedBlocks<Shape> packed(a);
  bool leader = laneId() == 0, more = true;
  int stage = 0, round = 0, tiles = 0, next = blockIdx.x, shift = 0;
  for (int turn = 0; more;) {
    // Tiles are handed out as blocks come free: in fixed turns, some blocks would get the longer ones each time.
    AttentionTile tile;
    bool skip;
    more = tileAt(a, packed, __shfl_sync(~0u, next, 0), tile, skip);
    if (leader && more)
      next = atomicAdd(a.next, 1) + gridDim.x;
    if (!more)
      tile.head = -1;
    else if (skip)
      continue;
    // Consumers that this tile has no queries for begin the next one.
    const int parts = more ? minInt(ceilDiv(tile.queries - tile.firstQuery, 64), Shape::consumers) : 0;
    tile.shift = shift, shift = (shift + parts) % Shape::consumers;
    if (leader) {
      waitBarrier(r.tileEmpty + turn % 2 * 8, (turn / 2 & 1) ^ 1);
      writeTile(r.tile + turn % 2 * sizeof(AttentionTile), tile);
      arrive(r.tileFull + turn % 2 * 8);
    }
    ++turn;
    int2 blocks = more ? keyBlocks<Shape>(a, tile, tile.keys - tile.queries) : make_int2(0, 0);
    if (blocks.x >= blocks.y || !leader)
      continue;
    int kvHead = tile.head / (a.heads / a.kvHeads), place = tiles % Shape::queryStages;
    int queryBatch = a.cumulativeQueries ? 0 : tile.batch, keyBatch = a.cumulativeKeys ? 0 : tile.batch;
    uint32 queryFull = r.queryFull + 8 * place;
    waitBarrier(r.queryEmpty + 8 * place, (tiles / Shape::queryStages & 1) ^ 1);
    expectBytes(queryFull, parts * 64 * Shape::width * 2);
    for (int part = 0; part < parts; ++part)
      UNROLL
      for (int run = 0; run < Shape::runs; ++run)
        copyBox(r.query + place * Shape::queryBytes + (run * Shape::queriesAtOnce + part * 64) * 128, a.queryMap, queryFull, run * 64,
                tile.queryRow + tile.firstQuery + part * 64, tile.head / Shape::headsAtOnce, queryBatch);
    ++tiles;
    for (int block = blocks.y - 1; block >= blocks.x; --block) {
      int row = tile.keyRow + block * Shape::keysAtOnce;
      UNROLL
      for (int which = 0; which < 2; ++which) {
        uint32 full = (which ? r.valuesFull : r.keysFull) + 8 * stage, to = (which ? r.values : r.keys) + stage * Shape::stageBytes;
        waitBarrier((which ? r.valuesEmpty : r.keysEmpty) + 8 * stage, (round & 1) ^ 1);
        expectBytes(full, Shape::stageBytes);
        UNROLL
        for (int run = 0; run < Shape::runs; ++run)
          copyBox(to + run * Shape::keysAtOnce * 128, which ? a.valueMap : a.keyMap, full, run * 64, row, kvHead / Shape::headsAtOnce, keyBatch);
      }
      if (++stage == Shape::stages)
        stage = 0, ++round;
    }
  }
  if (leader && atomicAdd(a.next + 1, 1) == (int)gridDim.x - 1)
    a.next[0] = a.next[1] = 0;
}

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
  int t = laneId() % 4;
  UNROLL
  for (int row = 0; row < 2; ++row) {
    int place = query + 8 * row, end = causal ? minInt(keys, place + 1) : keys, begin = window > 0 ? place - window + 1 : 0;
    UNROLL
    for (int j = 0; j < n / 4; ++j)
      UNROLL
      for (int i = 0; i < 2; ++i) {
        int key = firstKey + 8 * j + 2 * t + i;
        float &v = s[4 * j + 2 * row + i];
        v = key >= begin && key < end ? v : -infinity();
      }
  }
}

/// Rows [first, keysAtOnce) of a stage of values become zero: what lies there may be NaN, which no weight of zero mends.
template <class Shape> DEVICE void clearValues(uint32 values, int first, int thread) {
  constexpr int pieces = 8; // of 16 bytes to a run's row
  for (int at = first * pieces + thread; at < Shape::keysAtOnce * pieces; at += 128)
    UNROLL
    for (int run = 0; run < Shape::runs; ++run)
      asm volatile("st.shared.v4.u32 [%0], {%1, %1, %1, %1};" ::"r"(values + run * Shape::keysAtOnce * 128 + at * 16), "r"(0) : "memory");
  fenceAsyncProxy();
}

/// v[i] of lane t becomes v[t] of lane i, of four neighbouring lanes.
DEVICE void exchange(uint32 (&v)[4]) {
  const int t = laneId() % 4;
  UNROLL
  for (int apart = 1; apart <= 2; apart <<= 1)
    UNROLL
    for (int i = 0; i < 4; ++i)
      if (!(i & apart)) {
        uint32 other = __shfl_xor_sync(~0u, t & apart ? v[i] : v[i | apart], apart);
        if (t & apart)
          v[i] = other;
        else
          v[i | apart] = other;
      }
}

/// Rows g and g + 8 of the sums to the result: four lanes exchange what each has of four tiles, in E4M3 of eight where there are so many; then
/// each stores neighbours, 16 bytes or 8.
template <class Shape, int n>
DEVICE void storeRows(const float (&sums)[n], const SoftmaxRows &rows, typename Shape::Result *result, int64 stride, int live, const float *resultScale) {
  using Result = typename Shape::Result;
  constexpr bool rounds = sizeof(Result) == 1;
  constexpr int columns = minInt(16 / sizeof(Result), Shape::headDim / 4), across = 4 * columns; // of a lane; of four
  constexpr bool twoTiles = columns == 16;
  const int g = laneId() / 4, t = laneId() % 4;
  const float scale = rounds ? *resultScale : 1.0f;
  UNROLL
  for (int row = 0; row < 2; ++row) {
    float sum = rows.sum[row];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    float factor = sum == 0.0f ? 0.0f : 1.0f / (sum * scale);
    UNROLL
    for (int q = 0; q < Shape::headDim / across; ++q) {
      // The lane's two columns of tile i of this part.
      auto pair = [&](int i) {
        const float *of = sums + q * across / 2 + 4 * i + 2 * row;
        return Type<Result>::pack(of[0] * factor, of[1] * factor);
      };
      uint32 v[4];
      UNROLL
      for (int i = 0; i < 4; ++i)
        v[i] = twoTiles ? pair(2 * i) | (uint32)pair(2 * i + 1) << 16 : pair(i);
      exchange(v);
      if (g + 8 * row >= live)
        continue;
      Result *const to = result + (g + 8 * row) * stride + across * q + columns * t;
      if (twoTiles) // low halves are columns of one tile, high ones of the next
        *(uint4 *)to = make_uint4(__byte_perm(v[0], v[1], 0x5410), __byte_perm(v[2], v[3], 0x5410), __byte_perm(v[0], v[1], 0x7632), __byte_perm(v[2], v[3], 0x7632));
      else if (rounds)
        *(uint2 *)to = make_uint2(v[0] | v[1] << 16, v[2] | v[3] << 16);
      else
        *(uint4 *)to = make_uint4(v[0], v[1], v[2], v[3]);
    }
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
  const uint64 allQueries = operandAt(r.query), allKeys = operandAt(r.keys), allValues = operandAt(r.values, N * 128);
  int stage = 0, round = 0, tiles = 0;
  for (int turn = 0;; ++turn) {
    waitBarrier(r.tileFull + turn % 2 * 8, turn / 2 & 1);
    const AttentionTile tile = readTile(r.tile + turn % 2 * sizeof(AttentionTile));
    __syncwarp(); // all lanes have read it
    release(r.tileEmpty + turn % 2 * 8);
    if (tile.head < 0)
      break;
    const int offset = tile.keys - tile.queries, part = __shfl_sync(~0u, (group - tile.shift + Shape::consumers) % Shape::consumers, 0), // the same in all lanes, as `group`
              firstRow = tile.firstQuery + part * 64 + warp * 16;
    int2 blocks = keyBlocks<Shape>(a, tile, offset);
    auto *result = (typename Shape::Result *)a.result + (a.cumulativeQueries ? 0 : tile.batch) * a.resultBatch + tile.head * a.resultHead +
                (tile.queryRow + firstRow) * a.resultRow;
    SoftmaxRows rows = {{-infinity(), -infinity()}, {0.0f, 0.0f}};
    float sums[D / 2];
    UNROLL
    for (int i = 0; i < D / 2; ++i)
      sums[i] = 0.0f;
    if (blocks.x >= blocks.y) {
      storeRows<Shape>(sums, rows, result, a.resultRow, tile.queries - firstRow, a.resultScale);
      continue;
    }
    const int queryPlace = tiles % Shape::queryStages, queryParity = tiles / Shape::queryStages & 1;
    ++tiles;
    // Behind the last query there is nothing to do but to keep the rings going.
    if (tile.firstQuery + part * 64 >= tile.queries) {
      for (int block = blocks.y - 1; block >= blocks.x; --block) {
        if (block < blocks.y - 1)
          takeTurn(), passTurn();
        waitBarrier(r.keysFull + 8 * stage, round & 1);
        waitBarrier(r.valuesFull + 8 * stage, round & 1);
        __syncwarp(); // no lane may still wait for what another releases
        release(r.keysEmpty + 8 * stage);
        release(r.valuesEmpty + 8 * stage);
        if (++stage == Shape::stages)
          stage = 0, ++round;
      }
      waitBarrier(r.queryFull + 8 * queryPlace, queryParity);
      __syncwarp();
      release(r.queryEmpty + 8 * queryPlace);
      continue;
    }
    float scores[N / 2], kept[2];
    uint4 weights[N / 16];
    // Where the tile's head begins in a row; descriptors count in 16 bytes.
    const int head = __shfl_sync(~0u, tile.head, 0), kvHead = head / (a.heads / a.kvHeads), inQuery = head % Shape::headsAtOnce * 4, inKey = kvHead % Shape::headsAtOnce * 4;
    auto multiplyKeys = [&](int at) {
      const uint64 query = allQueries + (queryPlace * (Shape::queryBytes / 16) + part * 64 * 8 + inQuery), keys = allKeys + (at * (Shape::stageBytes / 16) + inKey);
      UNROLL
      for (int run = 0; run < Shape::runs; ++run)
        UNROLL
        for (int k = 0; k < 4 / Shape::headsAtOnce; ++k)
          Wgmma<T, N>::inShared(scores, query + (run * Shape::queriesAtOnce * 8 + 2 * k), keys + (run * N * 8 + 2 * k), run + k > 0);
      commitProducts();
    };
    auto multiplyValues = [&](int at) {
      UNROLL
      for (int k = 0; k < N / 16; ++k)
        Wgmma<T, D>::fromRegisters(sums, weights[k], allValues + (at * (Shape::stageBytes / 16) + k * 128 + inKey));
      commitProducts();
    };
    auto mask = [&](int block) {
      int first = block * N, lastRow = firstRow + 15 + offset;
      bool some = first + N > tile.keys || (Shape::causal && first + N > firstRow + offset + 1) || (a.window > 0 && first <= lastRow - a.window);
      if (some)
        maskScores<Shape::causal>(scores, first, firstRow + offset + g, tile.keys, a.window);
    };
    waitBarrier(r.queryFull + 8 * queryPlace, queryParity);
    waitBarrier(r.keysFull + 8 * stage, round & 1);
    pin(scores);
    beginProducts();
    multiplyKeys(stage);
    waitProducts<0>();
    pin(scores);
    release(r.keysEmpty + 8 * stage);
    mask(blocks.y - 1);
    softmaxStep(scores, rows, kept, scale);
    packWeights<T>(weights, scores);
    int valueStage = stage, valueRound = round;
    const int clearFrom = a.cumulativeKeys || a.past ? tile.keys - (blocks.y - 1) * N : N;
    if (clearFrom < N) {
      waitBarrier(r.valuesFull + 8 * valueStage, valueRound & 1);
      clearValues<Shape>(r.values + valueStage * Shape::stageBytes, clearFrom, thread);
      syncNamed(8 + group, 128);
    }
    for (int block = blocks.y - 2; block >= blocks.x; --block) {
      if (++stage == Shape::stages)
        stage = 0, ++round;
      waitBarrier(r.keysFull + 8 * stage, round & 1);
      takeTurn();
      pin(scores);
      pin(sums);
      beginProducts();
      multiplyKeys(stage);
      waitBarrier(r.valuesFull + 8 * valueStage, valueRound & 1);
      beginProducts();
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
    release(r.queryEmpty + 8 * queryPlace);
    waitBarrier(r.valuesFull + 8 * valueStage, valueRound & 1);
    pin(sums);
    beginProducts();
    multiplyValues(valueStage);
    waitProducts<0>();
    pin(sums);
    release(r.valuesEmpty + 8 * valueStage);
    storeRows<Shape>(sums, rows, result, a.resultRow, tile.queries - firstRow, a.resultScale);
    if (++stage == Shape::stages)
      stage = 0, ++round;
  }
}

/// Grid: as many blocks as there are multiprocessors. `a` is a __grid_constant__ of the entry.
template <class Shape> DEVICE void attendHopper(const HopperAttentionArguments &a) {
  extern __shared__ __align__(1024) char shared[];
  HopperRings<Shape> rings(shared);
  if (threadIdx.x == 0) {
    prefetchMap(a.queryMap), prefetchMap(a.keyMap), prefetchMap(a.valueMap);
    for (int i = 0; i < Shape::queryStages; ++i) {
      initBarrier(rings.queryFull + 8 * i, 1);
      initBarrier(rings.queryEmpty + 8 * i, 4 * Shape::consumers);
    }
    for (int i = 0; i < 2; ++i) {
      initBarrier(rings.tileFull + 8 * i, 1);
      initBarrier(rings.tileEmpty + 8 * i, 4 * Shape::consumers);
    }
    for (int i = 0; i < Shape::stages; ++i) {
      initBarrier(rings.keysFull + 8 * i, 1);
      initBarrier(rings.valuesFull + 8 * i, 1);
      initBarrier(rings.keysEmpty + 8 * i, 4 * Shape::consumers);
      initBarrier(rings.valuesEmpty + 8 * i, 4 * Shape::consumers);
    }
    fenceBarrierInit();
  }
  __syncthreads();
  launchDependents();
  waitProducers();
  const int group = __shfl_sync(~0u, threadIdx.x / 128, 0) - 1; // the same in all lanes: addresses go to uniform registers
  if (group < 0) {
    giveRegisters<Shape::producerRegisters>();
    if (threadIdx.x < 32)
      produceTiles<Shape>(a, rings);
  } else {
    takeRegisters<Shape::consumerRegisters>();
    if (sizeof(typename Shape::Result) == 1)
      storeScales<Shape>(a);
    consumeTiles<Shape>(a, rings, group);
  }
}

#endif

} // namespace transom::cuda
