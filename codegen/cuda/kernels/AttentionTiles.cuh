// What prefill attention for sm_90a computes, its tiles of work, 64 queries per consumer warpgroup of one head, and how these come to the consumers
// (AttentionHopper.cuh): one warp chooses tiles, a thread of another copies queries, keys and values, a third clears what lies behind a sequence's values. Each by
// itself, as its instructions are seldom in the caches beside the consumers'.
#pragma once

#include "Wgmma.cuh"

namespace transom::cuda {

struct HopperAttentionArguments {
  const TensorMap *queryMap, *keyMap, *valueMap; // [head_dim, row, head, batch or 1], boxes of 64 columns and 64 queries or a stage's keys; entries' parameters
  void *result;
  int64 resultBatch, resultRow, resultHead; // elements; packed: resultBatch 0
  const int *cumulativeQueries;  // [batch + 1], packed queries; else null
  const int *cumulativeKeys;     // [batch + 1], packed keys; else null
  const int *lengths;            // [batch]: live queries of padded rows; null: all
  const int *past;               // [batch]: keys before the queries', for caches; null: none
  int batch, heads, kvHeads, queries, keys; // queries, keys: sizes of padded rows
  int window;                    // 0: none
  int *next;                     // two zeroed ints: tiles handed out, blocks done; zero again at the end
  int pairsAtOnce;               // how many (batch, head) pairs are in turn at a time, so that their keys stay in L2
  float scale;
  const float *resultScale; // results in E4M3: what they are divided by before they are rounded; else null
  float *resultScales;      // and a place for it of each row of queries
};

/// How many (batch, head) pairs at a time: equal sections whose keys and values stay in 32 MB of L2.
DEVICE int pairsThatFit(const HopperAttentionArguments &a, int headDim) {
  const int pairs = a.batch * a.heads;
  int fit = (int)((32ll << 20) / ((int64)(a.keys > 0 ? a.keys : 1) * headDim * 4));
  fit = fit < 1 ? 1 : minInt(fit, pairs);
  while (fit > 1 && pairs % fit != 0)
    --fit;
  return fit;
}

/// turns: consumers take turns at the tensor cores: better for long rows. Consumers at rows of different lengths would wait for each other.
template <class T_, int headDim_, int consumers_, int keysAtOnce_, bool causal_, bool turns_ = true>
struct HopperAttentionShape {
  using T = T_;
  using Result = T;
  static constexpr int headDim = headDim_, consumers = consumers_, keysAtOnce = keysAtOnce_, stages = headDim <= 64 ? 5 : 2;
  static constexpr int headsAtOnce = headDim == 32 ? 2 : 1, width = headsAtOnce * headDim; // neighbours in a row; the row
  static constexpr bool causal = causal_, turns = turns_;
  static constexpr int queriesAtOnce = 64 * consumers, threads = 128 * (consumers + 1), runs = width / 64;
  static constexpr int partBytes = 64 * width * 2, stageBytes = keysAtOnce * width * 2; // of a consumer's queries; of keys, or values
  static constexpr int mostStarts = headDim <= 64 ? 1024 : 128, mostBlocks = headDim <= 64 ? 512 : 96, levels = 32; // of packed sequences, and of their queries, see PackedBlocks
  static constexpr int tilesAhead = 2, barrierBytes = 512, ringBytes = 1024 + 2 * stages * stageBytes + barrierBytes + 4 * (mostStarts + levels) + 8 * mostBlocks;
  static constexpr int places = minInt(3 * consumers, (227 * 1024 - ringBytes) / partBytes); // for queries, a consumer's each: those of the next tiles come under this one's products
  static constexpr int fulls = ceilDiv(places, consumers) * consumers; // barriers of queries that have come: each is one consumer's, who waits for all of its phases
  static constexpr int sharedBytes = ringBytes + places * partBytes;
  static constexpr int producerRegisters = consumers == 2 ? 40 : headDim == 32 ? 56 : 32, consumerRegisters = consumers == 2 ? 232 : headDim == 32 ? 152 : 160;
  static_assert(width % 64 == 0 && keysAtOnce % 16 == 0 && places > consumers, "a consumer's next queries come before the place of these is free");
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// One tile of work: 64 * consumers queries of one head.
struct __align__(16) AttentionTile {
  int batch, head, kvHead, firstQuery, queries, keys; // within the sequence: first row, rows, keys; head -1: there are no more tiles
  int queryRow, keyRow;                               // where the sequence begins
  int firstBlock, endBlock;                           // of the keys that its queries may see
  int parts;                                          // of 64 queries before, in this block's tiles: part i of all is consumer i % consumers's, in place i % places, by barrier i % fulls
  int ownParts;                                       // that it has, a consumer's each; none where no key is seen, as there is nothing to copy
};

/// Blocks of queries of packed sequences, those that see most keys first: what comes at last is short, so that all multiprocessors end together. They are written down in shared
/// memory, since to find one among all takes many instructions, which the consumers' push out of the caches each time.
template <class Shape> struct PackedBlocks {
  static constexpr int levels = Shape::levels;
  const int *queryStarts, *keyStarts; // [batch + 1], in shared memory where there is room; null as those of the arguments
  int *ofLevel;                       // [levels]: how many there are
  int2 *blocks;                       // [mostBlocks]: sequence, block within it; of all these are
  int first = 0, count = 0;

  /// shared: [mostStarts], [levels] and [mostBlocks].
  DEVICE PackedBlocks(const HopperAttentionArguments &a, int *shared) : queryStarts(a.cumulativeQueries), keyStarts(a.cumulativeKeys), ofLevel(shared + Shape::mostStarts), blocks((int2 *)(ofLevel + levels)) {
    if (queryStarts && a.batch < Shape::mostStarts)
      keyStarts = keyStarts == queryStarts ? shared : keyStarts, queryStarts = shared;
  }
  /// By all threads, before the first is asked for.
  DEVICE void begin(const HopperAttentionArguments &a) {
    int *const shared = ofLevel - Shape::mostStarts;
    if (queryStarts == shared)
      _Pragma("unroll 1") for (int i = threadIdx.x; i <= a.batch; i += Shape::threads)
        shared[i] = a.cumulativeQueries[i];
    __syncthreads();
    _Pragma("unroll 1") for (int level = warpId(); level < levels; level += Shape::threads / 32) {
      int own = 0;
      _Pragma("unroll 1") for (int sequence = laneId(); sequence < a.batch; sequence += 32)
        own += blocksOf(a, sequence, level);
      ofLevel[level] = __reduce_add_sync(~0u, own);
    }
    __syncthreads();
    fill(a, warpId(), Shape::threads / 32);
    __syncthreads();
  }
  /// What has been filled, by a warp.
  DEVICE void take() { count = queryStarts ? minInt(__reduce_add_sync(~0u, ofLevel[laneId()]) - first, Shape::mostBlocks) : 0; }
  /// The sequence and the block within it of block `index`, which is no less than when it was asked last; false where there is none. By a warp.
  DEVICE bool find(const HopperAttentionArguments &a, int index, int2 &place) {
    while (index - first >= count) {
      if (count < Shape::mostBlocks)
        return false;
      first += count;
      __syncwarp();
      fill(a, 0, 1);
      __syncwarp();
      take();
    }
    place = blocks[index - first];
    return true;
  }

private:
  DEVICE int queriesOf(int sequence) const { return queryStarts[sequence + 1] - queryStarts[sequence]; }
  /// Of queries, where the sequence is of that level: by blocks of keys, up to four, then powers of two of them.
  DEVICE int blocksOf(const HopperAttentionArguments &a, int sequence, int level) const {
    const int queries = queriesOf(sequence), keys = keyStarts ? keyStarts[sequence + 1] - keyStarts[sequence] : a.past ? minInt(a.past[sequence] + queries, a.keys) : a.keys;
    const int each = ceilDiv(keys, Shape::keysAtOnce), own = minInt(each <= 4 ? each : 34 - __clz(each - 1), levels - 1);
    return own == level ? ceilDiv(queries, Shape::queriesAtOnce) : 0;
  }
  /// Writes down blocks from `first` on, levels by warps in turn. Of a level, those of the last rows come first, which are still in L2.
  DEVICE void fill(const HopperAttentionArguments &a, int warp, int warps) const {
    const int all = ofLevel[laneId()];
    _Pragma("unroll 1") for (int level = warp; level < levels; level += warps) {
      int at = __reduce_add_sync(~0u, laneId() > level ? all : 0) - first;
      const int end = minInt(at + ofLevel[level], Shape::mostBlocks);
      _Pragma("unroll 1") for (int base = 0; base < a.batch && at < end; base += 32) {
        const int sequence = a.batch - 1 - base - laneId(), own = sequence >= 0 ? blocksOf(a, sequence, level) : 0, sum = sumUpTo(own);
        _Pragma("unroll 1") for (int i = 0; i < own; ++i)
          if (const int place = at + sum - own + i; place >= 0 && place < Shape::mostBlocks)
            blocks[place] = make_int2(sequence, own - 1 - i);
        at += __shfl_sync(~0u, sum, 31);
      }
    }
  }
};

/// Decodes tile `index`; false where there is none. All lanes of a warp call it.
template <class Shape> DEVICE bool tileAt(const HopperAttentionArguments &a, PackedBlocks<Shape> &packed, int index, AttentionTile &tile, bool &skip) {
  skip = false;
  int block;
  if (a.cumulativeQueries) {
    int2 place;
    if (!packed.find(a, index / a.heads, place)) // behind each other all heads of a block, whose rows are the same
      return false;
    tile.head = index % a.heads;
    tile.batch = place.x, block = place.y;
    tile.queryRow = packed.queryStarts[tile.batch];
    tile.queries = packed.queryStarts[tile.batch + 1] - tile.queryRow;
  } else {
    int blocks = ceilDiv(a.queries, Shape::queriesAtOnce), pairs = a.batch * a.heads;
    if (index >= blocks * pairs)
      return false;
    int section = index / (a.pairsAtOnce * blocks), within = index % (a.pairsAtOnce * blocks);
    int turn = minInt(a.pairsAtOnce, pairs - section * a.pairsAtOnce), pair = section * a.pairsAtOnce + within % turn;
    block = Shape::causal ? blocks - 1 - within / turn : within / turn; // the longest first
    tile.batch = pair / a.heads, tile.head = pair % a.heads;
    tile.queryRow = 0;
    tile.queries = a.lengths ? a.lengths[tile.batch] : a.queries;
  }
  tile.firstQuery = block * Shape::queriesAtOnce;
  if (a.cumulativeKeys) {
    tile.keyRow = packed.keyStarts[tile.batch];
    tile.keys = packed.keyStarts[tile.batch + 1] - tile.keyRow;
  } else {
    tile.keyRow = 0;
    tile.keys = a.past ? minInt(a.past[tile.batch] + tile.queries, a.keys) : a.keys;
  }
  skip = tile.firstQuery >= tile.queries;
  tile.kvHead = tile.head / (a.heads / a.kvHeads);
  const int offset = tile.keys - tile.queries, begin = a.window > 0 ? tile.firstQuery + offset - a.window + 1 : 0, // offset: key place of query 0
      end = Shape::causal ? minInt(tile.keys, tile.firstQuery + Shape::queriesAtOnce + offset) : tile.keys;
  tile.firstBlock = begin > 0 ? begin / Shape::keysAtOnce : 0, tile.endBlock = end > 0 ? ceilDiv(end, Shape::keysAtOnce) : 0;
  tile.ownParts = tile.firstBlock < tile.endBlock ? minInt(ceilDiv(tile.queries - tile.firstQuery, 64), Shape::consumers) : 0;
  return true;
}

DEVICE void writeTile(uint32 to, const AttentionTile &t) {
  storeShared(to, make_uint4(t.batch, t.head, t.kvHead, t.firstQuery));
  storeShared(to + 16, make_uint4(t.queries, t.keys, t.queryRow, t.keyRow));
  storeShared(to + 32, make_uint4(t.firstBlock, t.endBlock, t.parts, t.ownParts));
}
DEVICE AttentionTile readTile(uint32 from) {
  const uint4 x = loadShared(from), y = loadShared(from + 16), z = loadShared(from + 32);
  return {(int)x.x, (int)x.y, (int)x.z, (int)x.w, (int)y.x, (int)y.y, (int)y.z, (int)y.w, (int)z.x, (int)z.y, (int)z.z, (int)z.w};
}

/// Addresses in shared memory.
template <class Shape> struct HopperRings {
  uint32 queries, keys, values, queriesFull, queriesEmpty, queriesRead, keysFull, keysEmpty, valuesCopied, valuesFull, valuesEmpty;
  uint32 tile, tileFull, tileEmpty;
  DEVICE explicit HopperRings(const void *shared) {
    queries = (sharedAddress(shared) + 1023) & ~1023u;
    keys = queries + Shape::places * Shape::partBytes;
    values = keys + Shape::stages * Shape::stageBytes;
    tile = values + Shape::stages * Shape::stageBytes;
    tileFull = tile + Shape::tilesAhead * sizeof(AttentionTile), tileEmpty = tileFull + 8 * Shape::tilesAhead;
    queriesFull = tileEmpty + 8 * Shape::tilesAhead, queriesEmpty = queriesFull + 8 * Shape::fulls;
    queriesRead = queriesEmpty + 8 * Shape::places;
    keysFull = queriesRead + 8 * Shape::consumers, keysEmpty = keysFull + 8 * Shape::stages;
    valuesCopied = keysEmpty + 8 * Shape::stages, valuesFull = valuesCopied + 8 * Shape::stages, valuesEmpty = valuesFull + 8 * Shape::stages;
    static_assert(Shape::tilesAhead * (sizeof(AttentionTile) + 16) + 8 * (Shape::fulls + Shape::places + Shape::consumers) + 40 * Shape::stages <= Shape::barrierBytes, "");
  }
  /// Where sequences start, behind the barriers; `shared` as for the constructor.
  DEVICE int *starts(char *shared) const { return (int *)(shared + (tile + Shape::barrierBytes - sharedAddress(shared))); }
};

/// Decides which tiles this block takes, by all lanes of a warp.
template <class Shape> DEVICE void chooseTiles(const HopperAttentionArguments &a, const HopperRings<Shape> &r, int *starts) {
  PackedBlocks<Shape> packed(a, starts);
  packed.take();
  bool more = true;
  int parts = 0, index = blockIdx.x;
  for (int turn = 0; more;) {
    // Tiles are handed out as blocks come free, and as late as may be: in fixed turns, some blocks would get the longer ones each time.
    const int slot = turn % Shape::tilesAhead, lap = turn / Shape::tilesAhead;
    if (laneId() == 0) {
      waitBarrier(r.tileEmpty + 8 * slot, (lap & 1) ^ 1);
      index = index < 0 ? atomicAdd(a.next, 1) + gridDim.x : index;
    }
    AttentionTile tile = {};
    bool skip;
    more = tileAt(a, packed, __shfl_sync(~0u, index, 0), tile, skip);
    index = -1;
    if (!more)
      tile.head = -1, tile.kvHead = tile.ownParts = 0; // consumers multiply once more
    else if (skip)
      continue;
    tile.parts = parts;
    parts += tile.ownParts; // consumers that this tile has no queries for begin the next one
    ++turn;
    if (laneId() == 0) {
      writeTile(r.tile + slot * sizeof(AttentionTile), tile);
      arrive(r.tileFull + 8 * slot);
    }
    __syncwarp();
  }
  if (laneId() == 0 && atomicAdd(a.next + 1, 1) == (int)gridDim.x - 1)
    a.next[0] = a.next[1] = 0;
}

/// The block's tile `turn`, by one thread or all lanes of a warp. All arrive, as each has read; that they have the same numbers the compiler is told, so that it
/// keeps addresses in uniform registers.
template <class Shape, bool warp> DEVICE AttentionTile takeTile(const HopperRings<Shape> &r, int turn) {
  const int slot = turn % Shape::tilesAhead;
  waitBarrier(r.tileFull + 8 * slot, turn / Shape::tilesAhead & 1);
  AttentionTile tile = readTile(r.tile + slot * sizeof(AttentionTile));
  if (warp) {
    int *const fields[] = {&tile.batch, &tile.head, &tile.kvHead, &tile.firstQuery, &tile.queries, &tile.keys, &tile.queryRow, &tile.keyRow, &tile.firstBlock, &tile.endBlock, &tile.parts, &tile.ownParts};
    UNROLL
    for (int *field : fields)
      *field = __shfl_sync(~0u, *field, 0);
  }
  arrive(r.tileEmpty + 8 * slot);
  return tile;
}

/// Whether the block of keys goes beyond its sequence, where memory may hold NaN, which no weight of zero mends.
template <class Shape> DEVICE bool endsInside(const HopperAttentionArguments &a, const AttentionTile &tile, int block) {
  return (a.cumulativeKeys || a.past) && tile.keys < (block + 1) * Shape::keysAtOnce;
}

/// Copies queries, keys and values of the tiles chosen, by one thread.
template <class Shape> DEVICE void copyTiles(const HopperAttentionArguments &a, const HopperRings<Shape> &r) {
  int stage = 0, round = 0;
  for (int turn = 0;; ++turn) {
    const AttentionTile tile = takeTile<Shape, false>(r, turn);
    if (tile.head < 0)
      break;
    const int queryBatch = a.cumulativeQueries ? 0 : tile.batch, keyBatch = a.cumulativeKeys ? 0 : tile.batch;
    auto copy = [&](uint32 to, uint32 full, uint32 empty, const TensorMap *map, int block) {
      waitBarrier(empty + 8 * stage, (round & 1) ^ 1);
      expectBytes(full + 8 * stage, Shape::stageBytes);
      UNROLL
      for (int run = 0; run < Shape::runs; ++run)
        copyBox(to + stage * Shape::stageBytes + run * Shape::keysAtOnce * 128, map, full + 8 * stage, run * 64, tile.keyRow + block * Shape::keysAtOnce, tile.kvHead / Shape::headsAtOnce, keyBatch);
    };
    int part = tile.parts;
    _Pragma("unroll 1") for (int block = tile.endBlock - 1; block >= tile.firstBlock; --block) {
      copy(r.keys, r.keysFull, r.keysEmpty, a.keyMap, block);
      // Behind the first keys: with both, a consumer stores what it had before, and frees the place that a later part waits for here.
      _Pragma("unroll 1") for (; part < tile.parts + tile.ownParts; ++part) {
        const int place = part % Shape::places, full = r.queriesFull + 8 * (part % Shape::fulls);
        waitBarrier(r.queriesEmpty + 8 * place, (part / Shape::places & 1) ^ 1);
        expectBytes(full, Shape::partBytes);
        UNROLL
        for (int run = 0; run < Shape::runs; ++run)
          copyBox(r.queries + place * Shape::partBytes + run * 64 * 128, a.queryMap, full, run * 64, tile.queryRow + tile.firstQuery + (part - tile.parts) * 64,
                  tile.head / Shape::headsAtOnce, queryBatch);
      }
      copy(r.values, endsInside<Shape>(a, tile, block) ? r.valuesCopied : r.valuesFull, r.valuesEmpty, a.valueMap, block);
      if (++stage == Shape::stages)
        stage = 0, ++round;
    }
  }
}

/// Rows [first, keysAtOnce) of a stage of values become zero, by a warp.
template <class Shape> DEVICE void clearValues(uint32 values, int first) {
  constexpr int pieces = 8; // of 16 bytes to a run's row
  _Pragma("unroll 1") for (int at = first * pieces + laneId(); at < Shape::keysAtOnce * pieces; at += 32)
    UNROLL
    for (int run = 0; run < Shape::runs; ++run)
      storeShared(values + run * Shape::keysAtOnce * 128 + at * 16, make_uint4(0, 0, 0, 0));
  fenceAsyncProxy();
}

/// Between the copy of a sequence's last values and the consumers, by a warp: what lies behind them becomes zero.
template <class Shape> DEVICE void clearTiles(const HopperAttentionArguments &a, const HopperRings<Shape> &r) {
  int stage = 0;
  uint32 laps = 0; // of each stage's barrier
  for (int turn = 0;; ++turn) {
    const AttentionTile tile = takeTile<Shape, true>(r, turn);
    if (tile.head < 0)
      break;
    _Pragma("unroll 1") for (int block = tile.endBlock - 1; block >= tile.firstBlock; --block) {
      if (endsInside<Shape>(a, tile, block)) {
        waitBarrier(r.valuesCopied + 8 * stage, laps >> stage & 1);
        laps ^= 1u << stage;
        clearValues<Shape>(r.values + stage * Shape::stageBytes, tile.keys - block * Shape::keysAtOnce);
        __syncwarp();
        if (laneId() == 0)
          arrive(r.valuesFull + 8 * stage);
      }
      stage = stage + 1 == Shape::stages ? 0 : stage + 1;
    }
  }
}

#endif

} // namespace transom::cuda
