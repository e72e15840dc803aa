// Products of up to 32 rows for NormChain.cuh, of rows in memory or of attention's: a block's weights in registers, its sums in shared memory, and
// columns of results to memory.
//
// Numbers lie in memory, and in shared memory, as the tensor cores' 16-byte loads want them (Mma.cuh): [columns / 32, 4] pieces of [8 rows, 32 columns], a
// lane's 16 bytes behind those of the lane before; so a copy in bulk brings what a warp needs. Rows behind the last are zeros there.
#pragma once

#include "ChainAttention.cuh"
#include "Wgmma.cuh"

namespace transom::cuda {

/// Rows [32, K] times W [N, K]. Blocks of a cluster share K, groups of blocks the columns.
template <class T_, int inner, int outputs, int groups_, int cluster_> struct NormChainShape {
  using T = T_;
  static constexpr int K = inner, N = outputs, groups = groups_, cluster = cluster_, M = 32, warps = 8, threads = 32 * warps;
  static constexpr int slice = K / cluster, steps = slice / 32, stepsOfWarp = ceilDiv(steps, warps); // of K, in a block; 32 numbers each
  static constexpr int columns = N / groups, tiles = columns / 8;                                    // of a group; of eight columns each
  static constexpr int pieceBytes = 512, stepBytes = 4 * pieceBytes, tileBytes = M * 8 * 4;
  static constexpr int addBytes = warps * tiles * tileBytes;                                         // of sums that warps add,
  static constexpr int ownBytes = tiles * tileBytes / cluster, comeBytes = cluster > 1 ? cluster * ownBytes : 0; // and that come from a block, from all
  static_assert(K % (32 * cluster) == 0 && N % (8 * groups) == 0, "");
};

template <class P> DEVICE void keepInRegister(P *&p) { asm volatile("" : "+l"(p)); }

//===-- A block's sums ----------------------------------------------------------------------------------------------===//

/// Two lanes have two columns of two rows each: now one has four of one, see rowOfFour and columnOfFour.
DEVICE float4 fourColumns(float4 v) {
  const bool odd = laneId() & 1;
  const float a = __shfl_xor_sync(~0u, odd ? v.x : v.z, 1), b = __shfl_xor_sync(~0u, odd ? v.y : v.w, 1);
  return odd ? make_float4(a, b, v.z, v.w) : make_float4(v.x, v.y, a, b);
}
DEVICE int rowOfFour(int half) { return 16 * half + 8 * (laneId() & 1) + laneId() / 4; }
DEVICE int columnOfFour() { return laneId() % 4 / 2 * 4; }
DEVICE float4 plus(float4 v, float4 w) { return make_float4(v.x + w.x, v.y + w.y, v.z + w.z, v.w + w.w); }

/// Where row m, column n lies among pieces, in bytes.
DEVICE int placeInPieces(int m, int n) { return (n / 32 * 4 + m / 8) * 512 + m % 8 * 64 + n % 32 * 2; }

/// [sources, tiles, 2 halves of the rows, 32 lanes] of four sums in shared memory; a warp adds one tile's half, or some.
template <class Shape, int sources> struct BlockSums {
  static constexpr int items = ceilDiv(Shape::tiles * 2, Shape::warps); // of a warp, at most
  static DEVICE float4 *place(char *shared, int source, int tile, int half) { return (float4 *)(shared + source * Shape::tiles * Shape::tileBytes) + (tile * 2 + half) * 32 + laneId(); }
  static DEVICE void put(char *shared, int source, int tile, int half, const float (&v)[4]) { *place(shared, source, tile, half) = make_float4(v[0], v[1], v[2], v[3]); }
  /// Calls work(item, tile, half) for those of this warp.
  template <class Work> static DEVICE void each(Work work) {
    UNROLL
    for (int i = 0; i < items; ++i)
      if (const int unit = warpId() + i * Shape::warps; unit < Shape::tiles * 2)
        work(i, unit / 2, unit % 2);
  }
  /// Four columns of a row.
  static DEVICE float4 sum(char *shared, int tile, int half) {
    float4 v[sources];
    UNROLL
    for (int source = 0; source < sources; ++source)
      v[source] = *place(shared, source, tile, half);
    UNROLL
    for (int step = 1; step < sources; step *= 2)
      UNROLL
      for (int source = 0; source + step < sources; source += 2 * step)
        v[source] = plus(v[source], v[source + step]);
    return fourColumns(v[0]);
  }
};

//===-- Products ----------------------------------------------------------------------------------------------------===//
// The constructor reads W and what else no kernel makes; early, behind the wait, starts to read rows; run leaves `sources` sums in `add`, see BlockSums.

/// Of rows in memory, in pieces or `plain`: [live, K]. Each warp has a part of K.
template <class Shape, bool plain> struct RowsProduct {
  using T = typename Shape::T;
  struct Arguments {
    const T *x;
  };
  static constexpr int rowsBytes = Shape::warps * Shape::stepsOfWarp * Shape::stepBytes, bytes = rowsBytes + 8 * Shape::warps, sources = Shape::warps;
  const T *x;
  uint4 w[Shape::tiles][Shape::stepsOfWarp];

  static DEVICE int stepOf(int i) { return warpId() * Shape::stepsOfWarp + i; }
  static DEVICE bool hasStep(int step) { return Shape::steps % Shape::warps == 0 || step < Shape::steps; }

  DEVICE RowsProduct(const Arguments &from, const T *weights, char *shared, int index, int rank) {
    UNROLL
    for (int j = 0; j < Shape::tiles; ++j)
      UNROLL
      for (int i = 0; i < Shape::stepsOfWarp; ++i)
        if (hasStep(stepOf(i)))
          w[j][i] = *(const uint4 *)(weights + (int64)(index * Shape::columns + 8 * j + laneId() / 4) * Shape::K + rank * Shape::slice + stepOf(i) * 32 + laneId() % 4 * 8);
    x = plain ? from.x + rank * Shape::slice + stepOf(0) * 32 + laneId() % 4 * 8 : from.x + (rank * Shape::steps + stepOf(0)) * (Shape::stepBytes / 2);
    keepInRegister(x);
    if (!plain && laneId() == 0 && stepsHere() > 0) {
      initBarrier(barrier(shared), 1);
      fenceBarrierInit();
      expectBytes(barrier(shared), stepsHere() * Shape::stepBytes);
    }
  }
  DEVICE void early(char *shared, int live) const {
    if constexpr (plain) {
      UNROLL
      for (int i = 0; i < Shape::stepsOfWarp; ++i)
        UNROLL
        for (int eight = 0; eight < 4; ++eight)
          if (hasStep(stepOf(i)))
            copyAsync16(sharedAddress(own(shared) + (4 * i + eight) * Shape::pieceBytes + 16 * laneId()), x + (int64)minInt(8 * eight + laneId() / 4, live - 1) * Shape::K + 32 * i, true);
      commitCopies();
    } else {
      if (laneId() == 0 && stepsHere() > 0)
        copyBulk(sharedAddress(own(shared)), x, stepsHere() * Shape::stepBytes, barrier(shared));
      __syncwarp();
    }
  }
  DEVICE void run(char *add, char *shared, int live) const {
    float sums[Shape::tiles][2][4] = {};
    if (plain) {
      waitCopies<0>();
      __syncwarp();
    } else if (stepsHere() > 0) {
      waitBarrier(barrier(shared), 0);
    }
    UNROLL
    for (int i = 0; i < Shape::stepsOfWarp; ++i) {
      if (!hasStep(stepOf(i)))
        break;
      uint4 rows[4];
      UNROLL
      for (int eight = 0; eight < 4; ++eight)
        rows[eight] = *(const uint4 *)(own(shared) + (4 * i + eight) * Shape::pieceBytes + 16 * laneId());
      UNROLL
      for (int j = 0; j < Shape::tiles; ++j) {
        mma32<T>(sums[j][0], rows[0], rows[1], w[j][i]);
        if (live > 16)
          mma32<T>(sums[j][1], rows[2], rows[3], w[j][i]);
      }
    }
    UNROLL
    for (int j = 0; j < Shape::tiles; ++j)
      UNROLL
      for (int half = 0; half < 2; ++half)
        BlockSums<Shape, sources>::put(add, warpId(), j, half, sums[j][half]);
  }

private:
  static DEVICE int stepsHere() { return Shape::steps % Shape::warps == 0 ? Shape::stepsOfWarp : minInt(Shape::stepsOfWarp, Shape::steps - stepOf(0)); }
  static DEVICE uint32 barrier(char *shared) { return sharedAddress(shared + rowsBytes) + 8 * warpId(); }
  static DEVICE char *own(char *shared) { return shared + warpId() * Shape::stepsOfWarp * Shape::stepBytes; }
};

/// Of attention's results, over packed sequences or padded rows. A block has some heads, a warp 16 rows of one; scores, results and the product's rows stay in
/// its registers: keys and columns come in the order in which one product's sums are the next one's operands.
template <class Shape, int headDim, bool causal> struct AttentionProduct {
  using T = typename Shape::T;
  struct Arguments {
    const T *queries, *keys; // pieces of [32, K]
    const T *values;         // [K, 32]: transposed
    const int *cumulative;   // [count + 1], of packed sequences; null: rows are padded to `count` places
    const int *mask;         // of padded rows: [rows, places], or null
    int count;
    float scale;
  };
  static constexpr int heads = Shape::slice / headDim, units = 2 * heads, unitsOfWarp = ceilDiv(units, Shape::warps), steps = headDim / 32;
  static constexpr int arrayBytes = Shape::slice * 64, bytes = 3 * arrayBytes + 16, sources = Shape::warps / 2;
  static_assert(Shape::slice % headDim == 0 && headDim % 32 == 0, "");
  const T *queries, *keys, *values;
  const int *cumulative, *mask;
  int count;
  float scale;
  uint4 w[unitsOfWarp][Shape::tiles][steps];
  int seen; // of what decides which keys are seen, this lane's number

  DEVICE AttentionProduct(const Arguments &from, const T *weights, char *shared, int index, int rank)
      : cumulative(from.cumulative), mask(from.mask), count(from.count), scale(from.scale * log2E) {
    UNROLL
    for (int i = 0; i < unitsOfWarp; ++i)
      UNROLL
      for (int j = 0; j < Shape::tiles; ++j)
        UNROLL
        for (int s = 0; s < steps; ++s)
          if (hasUnit(i))
            w[i][j][s] = *(const uint4 *)(weights + (int64)(index * Shape::columns + 8 * j + laneId() / 4) * Shape::K + rank * Shape::slice + unitOf(i) / 2 * headDim + s * 32 +
                                          laneId() % 4 * 8);
    queries = from.queries + rank * (arrayBytes / 2), keys = from.keys + rank * (arrayBytes / 2), values = from.values + rank * (arrayBytes / 2);
    keepInRegister(queries), keepInRegister(keys), keepInRegister(values), keepInRegister(cumulative), keepInRegister(mask);
    if (threadIdx.x == 0) {
      initBarrier(barrier(shared), 1);
      fenceBarrierInit();
      expectBytes(barrier(shared), 3 * arrayBytes);
    }
  }
  DEVICE void early(char *shared, int live) {
    if (threadIdx.x == 0) {
      copyBulk(sharedAddress(shared), queries, arrayBytes, barrier(shared));
      copyBulk(sharedAddress(shared) + arrayBytes, keys, arrayBytes, barrier(shared));
      copyBulk(sharedAddress(shared) + 2 * arrayBytes, values, arrayBytes, barrier(shared));
    }
    __syncwarp();
    seen = cumulative ? cumulative[minInt(laneId(), count)] : laneId() < live && (!mask || mask[laneId()] != 0);
  }
  DEVICE void run(char *add, char *shared, int live) const {
    const uint32 keysOfRow = keysSeen<causal>(cumulative, count, seen);
    const int half = warpId() % 2, g = laneId() / 4, t = laneId() % 4;
    const uint32 sees[2] = {__shfl_sync(~0u, keysOfRow, 16 * half + g) >> 8 * t, __shfl_sync(~0u, keysOfRow, 16 * half + 8 + g) >> 8 * t};
    waitBarrier(barrier(shared), 0);
    float sums[Shape::tiles][4] = {};
    UNROLL
    for (int i = 0; i < unitsOfWarp; ++i) {
      if (!hasUnit(i) || 16 * half >= live)
        break;
      const char *const head = shared + unitOf(i) / 2 * steps * Shape::stepBytes;
      auto sixteenBytes = [&](int array, int s, int piece, int row) { return *(const uint4 *)(head + array * arrayBytes + (4 * s + piece) * Shape::pieceBytes + row * 64 + 16 * t); };
      float scores[4][4] = {};
      UNROLL
      for (int s = 0; s < steps; ++s) {
        const uint4 low = sixteenBytes(0, s, 2 * half, g), high = sixteenBytes(0, s, 2 * half + 1, g);
        UNROLL
        for (int j = 0; j < 4; ++j) // so that a lane's scores are those of keys 8 t to 8 t + 7
          mma32<T>(scores[j], low, high, sixteenBytes(1, s, g / 2, 2 * j + g % 2));
      }
      float factor[2];
      weightsOfScores<2>(scores, factor, sees, scale);
      auto packed = [](const float (&v)[4][4], int h, float by) {
        return make_uint4(Type<T>::pack(v[0][2 * h] * by, v[0][2 * h + 1] * by), Type<T>::pack(v[1][2 * h] * by, v[1][2 * h + 1] * by),
                          Type<T>::pack(v[2][2 * h] * by, v[2][2 * h + 1] * by), Type<T>::pack(v[3][2 * h] * by, v[3][2 * h + 1] * by));
      };
      const uint4 low = packed(scores, 0, 1.0f), high = packed(scores, 1, 1.0f);
      UNROLL
      for (int s = 0; s < steps; ++s) {
        float results[4][4] = {};
        UNROLL
        for (int j = 0; j < 4; ++j) // and its results those of columns 8 t to 8 t + 7
          mma32<T>(results[j], low, high, sixteenBytes(2, s, g / 2, 2 * j + g % 2));
        const uint4 rowsLow = packed(results, 0, factor[0]), rowsHigh = packed(results, 1, factor[1]);
        UNROLL
        for (int j = 0; j < Shape::tiles; ++j)
          mma32<T>(sums[j], rowsLow, rowsHigh, w[i][j][s]);
      }
    }
    UNROLL
    for (int j = 0; j < Shape::tiles; ++j)
      BlockSums<Shape, sources>::put(add, warpId() / 2, j, half, sums[j]);
  }

private:
  static DEVICE int unitOf(int i) { return warpId() + i * Shape::warps; }
  static DEVICE bool hasUnit(int i) { return units % Shape::warps == 0 || unitOf(i) < units; }
  static DEVICE uint32 barrier(char *shared) { return sharedAddress(shared + 3 * arrayBytes); }
};

//===-- Results -----------------------------------------------------------------------------------------------------===//

/// Rows of each result; pieces of it; the same, but of the third, values, [width, 32].
enum class ChainFormat { rows, pieces, attention };

/// epilogue(sums) to results of `width` columns each, at most three.
template <class Shape, class Epilogue, int width, ChainFormat format> struct ColumnsEnd {
  using T = typename Shape::T;
  using Sums = BlockSums<Shape, Shape::warps>;
  struct Arguments {
    Epilogue epilogue;
    T *y0, *y1, *y2;
  };
  static_assert(width % 8 == 0 && Shape::N % width == 0 && Shape::N <= 3 * width, "");
  const Epilogue &epilogue;
  typename Epilogue::Early constants[Sums::items][4];
  char *to[Sums::items];

  DEVICE ColumnsEnd(const Arguments &a, int index) : epilogue(a.epilogue) {
    Sums::each([&](int i, int tile, int half) {
      const int m = rowOfFour(half), n = column(index, tile), which = n / width, c = n % width;
      T *y0 = a.y0, *y1 = a.y1, *y2 = a.y2;
      keepInRegister(y0), keepInRegister(y1), keepInRegister(y2);
      to[i] = (char *)(which == 0 ? y0 : which == 1 ? y1 : y2);
      if (format == ChainFormat::rows)
        to[i] += ((int64)m * width + c) * 2;
      else if (isTransposed(n))
        to[i] += (c + (laneId() & 4 ? 2 : 0)) * 64 + (m & ~1) * 2;
      else
        to[i] += placeInPieces(m, c);
      keepInRegister(to[i]);
      UNROLL
      for (int e = 0; e < 4; ++e)
        constants[i][e] = epilogue.constants(n + e);
    });
  }
  DEVICE void early(int index, int live) {
    Sums::each([&](int i, int tile, int half) {
      UNROLL
      for (int e = 0; e < 4; ++e)
        epilogue.early(constants[i][e], minInt(rowOfFour(half), live - 1), column(index, tile) + e);
    });
  }
  /// sumOf(tile, half): four columns of a row.
  template <class SumOf> DEVICE void finish(SumOf sumOf, int index, int live) {
    Sums::each([&](int i, int tile, int half) {
      const int m = rowOfFour(half), n = column(index, tile);
      const float4 sums = sumOf(tile, half);
      float v[4] = {sums.x, sums.y, sums.z, sums.w};
      UNROLL
      for (int e = 0; e < 4; ++e) {
        epilogue.prepare(constants[i][e], n + e);
        v[e] = epilogue.value(constants[i][e], m, n + e, v[e]);
        v[e] = m < live ? v[e] : 0.0f;
      }
      if (isTransposed(n)) { // two columns of two neighbouring rows a lane
        const bool odd = laneId() & 4;
        const float a = __shfl_xor_sync(~0u, odd ? v[0] : v[2], 4), b = __shfl_xor_sync(~0u, odd ? v[1] : v[3], 4);
        *(uint32 *)to[i] = odd ? Type<T>::pack(a, v[2]) : Type<T>::pack(v[0], a);
        *(uint32 *)(to[i] + 64) = odd ? Type<T>::pack(b, v[3]) : Type<T>::pack(v[1], b);
      } else if (format != ChainFormat::rows || m < live) {
        *(uint2 *)to[i] = make_uint2(Type<T>::pack(v[0], v[1]), Type<T>::pack(v[2], v[3]));
      }
    });
  }

private:
  static DEVICE int column(int index, int tile) { return index * Shape::columns + 8 * tile + columnOfFour(); }
  static DEVICE bool isTransposed(int n) { return format == ChainFormat::attention && n >= 2 * width; }
};

} // namespace transom::cuda
