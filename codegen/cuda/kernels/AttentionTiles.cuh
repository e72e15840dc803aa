// What prefill attention for sm_90a computes, and its tiles of work: 64 queries per consumer warpgroup of one head (AttentionHopper.cuh).
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

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// One tile of work: 64 * consumers queries of one head.
struct __align__(16) AttentionTile {
  int batch, head, firstQuery, queries, keys; // within the sequence: first row, rows, keys; head -1: there are no more tiles
  int queryRow, keyRow;                       // where the sequence begins
  int shift;                                  // consumer `shift` has the first 64 queries, the one behind it the next, and so on around
};

/// Where blocks of queries of packed sequences lie: lane i of a warp knows how many there are before sequence i * step.
template <class Shape> struct PackedBlocks {
  int step, before, total;

  DEVICE static int blocks(const HopperAttentionArguments &a, int sequence) {
    return a.cumulativeQueries && sequence < a.batch ? ceilDiv(a.cumulativeQueries[sequence + 1] - a.cumulativeQueries[sequence], Shape::queriesAtOnce) : 0;
  }
  DEVICE explicit PackedBlocks(const HopperAttentionArguments &a) : step(ceilDiv(a.batch, 32)) {
    int own = 0;
    for (int i = 0; i < step; ++i)
      own += blocks(a, laneId() * step + i);
    const int sum = sumUpTo(own);
    before = sum - own, total = __shfl_sync(~0u, sum, 31);
  }
  /// The sequence and the block within it of block `index` of all, which is below total.
  DEVICE int2 find(const HopperAttentionArguments &a, int index) const {
    const int lane = __popc(__ballot_sync(~0u, before <= index)) - 1;
    int left = index - __shfl_sync(~0u, before, lane);
    for (int base = lane * step;; base += 32) {
      const int own = blocks(a, base + laneId()), sum = sumUpTo(own);
      const unsigned past = __ballot_sync(~0u, sum > left);
      if (past) {
        const int first = __ffs(past) - 1;
        return make_int2(base + first, left - __shfl_sync(~0u, sum - own, first));
      }
      left -= __shfl_sync(~0u, sum, 31);
    }
  }
};

/// Decodes tile `index`; false where there is none. All lanes of a warp call it.
template <class Shape> DEVICE bool tileAt(const HopperAttentionArguments &a, const PackedBlocks<Shape> &packed, int index, AttentionTile &tile, bool &skip) {
  skip = false;
  int block;
  if (a.cumulativeQueries) {
    if (index >= packed.total * a.heads)
      return false;
    // From the last rows on, which are still in L2, and behind each other all heads of a block, whose rows are the same.
    const int2 place = packed.find(a, packed.total - 1 - index / a.heads);
    tile.head = index % a.heads;
    tile.batch = place.x, block = place.y;
    tile.queryRow = a.cumulativeQueries[tile.batch];
    tile.queries = a.cumulativeQueries[tile.batch + 1] - tile.queryRow;
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
    tile.keyRow = a.cumulativeKeys[tile.batch];
    tile.keys = a.cumulativeKeys[tile.batch + 1] - tile.keyRow;
  } else {
    tile.keyRow = 0;
    tile.keys = a.past ? minInt(a.past[tile.batch] + tile.queries, a.keys) : a.keys;
  }
  skip = tile.firstQuery >= tile.queries;
  return true;
}

/// Blocks [first, last) of keys that the tile's queries may see; offset: key place of query 0.
template <class Shape> DEVICE int2 keyBlocks(const HopperAttentionArguments &a, const AttentionTile &tile, int offset) {
  int end = tile.keys, begin = 0;
  if (Shape::causal)
    end = minInt(end, tile.firstQuery + Shape::queriesAtOnce + offset);
  if (a.window > 0)
    begin = tile.firstQuery + offset - a.window + 1;
  begin = begin > 0 ? begin / Shape::keysAtOnce : 0;
  return make_int2(begin, end > 0 ? ceilDiv(end, Shape::keysAtOnce) : 0);
}

DEVICE void writeTile(uint32 to, const AttentionTile &t) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(t.batch), "r"(t.head), "r"(t.firstQuery), "r"(t.queries) : "memory");
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to + 16), "r"(t.keys), "r"(t.queryRow), "r"(t.keyRow), "r"(t.shift) : "memory");
}
DEVICE AttentionTile readTile(uint32 from) {
  AttentionTile t;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(t.batch), "=r"(t.head), "=r"(t.firstQuery), "=r"(t.queries) : "r"(from) : "memory");
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(t.keys), "=r"(t.queryRow), "=r"(t.keyRow), "=r"(t.shift) : "r"(from + 16) : "memory");
  return t;
}

#endif

} // namespace transom::cuda
