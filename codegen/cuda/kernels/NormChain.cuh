// Products of up to 32 rows with norms between them, by two kernels of sm_90a in turn: the layers of an encoder for texts of few tokens, whose time is
// what each kernel waits for of the one before. So both read their weights into registers while that one is still at work, and ask L2 for those of the
// kernel behind; and the norm has no kernel of its own.
//
// chainToNorm: sums = epilogue(x W^T), x [32, K] or attention's rows, which the kernel computes itself. A cluster of four blocks has some of the columns, each
// block a part of K. Each sends its sums to the block of the cluster that owns their row, which counts what has come (a barrier of the cluster would wait
// for all that its threads have written anywhere), and adds them in a fixed order. It leaves the sums, mean and variance of their rows over the cluster's
// columns, and sums * scale in 16 bits: z.
//
// chainFromNorm: epilogue(norm(sums) W^T), where norm(s) = (s - mean) factor * scale + shift, so that
//   norm(s) W^T = factor (z W^T - mean (scale W^T)) + shift W^T.
// What does not depend on rows comes of the tensor cores as two more rows, while the kernel waits. A block has some columns and all of K. The norm's
// rows go to memory besides, for those who add them.
//
// Numbers lie in memory, and in shared memory, as the tensor cores' 16-byte loads want them (Mma.cuh): [columns / 32, 4] pieces of [8 rows, 32 columns], a
// lane's 16 bytes behind those of the lane before; so a copy in bulk brings what a warp needs. Rows behind the last are zeros there.
#pragma once

#include "Epilogues.cuh"
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

/// What the kernels leave to each other, and the norm: LayerNorm where `centred`, else RMSNorm, which has no mean. parts: of how many groups' columns a
/// row's moments are; G: the type of scale and shift.
template <class T, class G_, int width_, int parts_, bool centred_> struct ChainNorm {
  using G = G_;
  static constexpr int width = width_, parts = parts_;
  static constexpr bool centred = centred_;
  float *sums;            // [32, width]
  float2 *moments;        // [32, parts]: mean, and the sum of squares of what differs from it
  T *z;                   // pieces of [32, width]
  const G *scale, *shift; // [width]; shift may be null
  T *y;                   // [live, width]: the norm
  float epsilon;
};

/// Weights of the kernel behind this one, of which each block asks L2 for an equal part: a multiple of 64 bytes.
struct ChainNext {
  const void *weights;
  uint32 bytes; // of a block
  DEVICE void prefetch() const {
    if (threadIdx.x < 4 && bytes > 0)
      prefetchL2((const char *)weights + (int64)blockIdx.x * bytes + threadIdx.x * (bytes / 4), bytes / 4);
  }
};

DEVICE void readParameter(const void *p) { asm volatile("" ::"l"(p)); }
/// Parameters lie in constant memory, and what is first used behind the wait would be waited for there: reads them now.
template <class... P> DEVICE void readParameters(const P *...parameters) { (..., readParameter(parameters)); }

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
    const uint32 keysOfRow = seenKeys();
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
      softmax(scores, factor, sees);
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
  /// The keys that row laneId() sees, a bit for each.
  DEVICE uint32 seenKeys() const {
    const int row = laneId();
    int first, last;
    uint32 valid = ~0u;
    if (cumulative) {
      uint32 starts = 0; // a bit for each row where a sequence starts
      _Pragma("unroll 1") for (int at = 0; at <= count; at += 32) {
        const int start = at == 0 ? seen : cumulative[minInt(at + row, count)];
        starts |= __reduce_or_sync(~0u, start < 32 ? 1u << start : 0u);
      }
      const uint32 upTo = starts & ((2u << row) - 1), behind = starts & ~((2u << row) - 1);
      first = upTo ? 31 - __clz((int)upTo) : 0, last = behind ? __ffs((int)behind) - 1 : Shape::M;
    } else {
      first = row / count * count, last = minInt(first + count, Shape::M);
      valid = __ballot_sync(~0u, seen != 0);
    }
    last = causal ? minInt(last, row + 1) : last;
    return valid & (last < 32 ? (1u << last) - 1 : ~0u) & ~((1u << first) - 1);
  }
  /// Scores to weights; one over their sum. sees: of the two rows, from the lane's first key on.
  DEVICE void softmax(float (&scores)[4][4], float (&factor)[2], const uint32 (&sees)[2]) const {
    float most[2] = {-infinity(), -infinity()}, total[2] = {};
    UNROLL
    for (int j = 0; j < 4; ++j)
      UNROLL
      for (int i = 0; i < 4; ++i) {
        scores[j][i] = sees[i / 2] >> (2 * j + i % 2) & 1 ? scores[j][i] * scale : -infinity();
        most[i / 2] = greaterOrNan(most[i / 2], scores[j][i]);
      }
    UNROLL
    for (int other = 1; other <= 2; other *= 2)
      UNROLL
      for (int h = 0; h < 2; ++h)
        most[h] = greaterOrNan(most[h], __shfl_xor_sync(~0u, most[h], other));
    UNROLL
    for (int h = 0; h < 2; ++h)
      most[h] = most[h] == -infinity() ? 0.0f : most[h];
    UNROLL
    for (int j = 0; j < 4; ++j)
      UNROLL
      for (int i = 0; i < 4; ++i) {
        scores[j][i] = exp2Fast(scores[j][i] - most[i / 2]);
        total[i / 2] += scores[j][i];
      }
    UNROLL
    for (int other = 1; other <= 2; other *= 2)
      UNROLL
      for (int h = 0; h < 2; ++h)
        total[h] += __shfl_xor_sync(~0u, total[h], other);
    UNROLL
    for (int h = 0; h < 2; ++h)
      factor[h] = total[h] == 0.0f ? 0.0f : __fdividef(1.0f, total[h]);
  }
  static DEVICE float greaterOrNan(float a, float b) {
    float v;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(v) : "f"(a), "f"(b));
    return v;
  }
};

//===-- Sums of a row to the norm -----------------------------------------------------------------------------------===//

/// epilogue(sums), and what chainFromNorm wants of them. A block owns every cluster-th row. An epilogue is as in Epilogues.cuh, but has value(e, m, n, v)
/// instead of store.
template <class Shape, class Epilogue, class Norm> struct NormEnd {
  struct Arguments {
    Epilogue epilogue;
    Norm norm;
  };
  static constexpr int lanes = Shape::columns / 4, rows = Shape::M / Shape::cluster;
  static_assert(lanes <= 32 && (lanes & (lanes - 1)) == 0 && rows * lanes % 32 == 0 && rows * lanes <= Shape::threads && Norm::parts == Shape::groups && Norm::width == Shape::N, "");
  const Epilogue &epilogue;
  typename Epilogue::Early constants[4];
  float scale[4];
  float *sums;
  float2 *moments;
  char *z;
  int m, n; // of four columns, the thread's own

  /// Who owns a row, and where its sums lie there.
  static DEVICE int owner(int half) { return rowOfFour(half) % Shape::cluster; }
  static DEVICE int place(int tile, int half) { return (rowOfFour(half) / Shape::cluster * lanes + 2 * tile + laneId() % 4 / 2) * 16; }
  /// Whether this warp has rows.
  static DEVICE bool works() { return threadIdx.x / 32 * 32 < rows * lanes; }
  DEVICE NormEnd(const Arguments &to, int index, int rank) : epilogue(to.epilogue) {
    m = threadIdx.x / lanes * Shape::cluster + rank, n = index * Shape::columns + threadIdx.x % lanes * 4;
    sums = to.norm.sums + m * Shape::N + n, moments = to.norm.moments + m * Norm::parts + index, z = (char *)to.norm.z + placeInPieces(m, n);
    keepInRegister(sums), keepInRegister(moments), keepInRegister(z);
    if (works())
      UNROLL
      for (int e = 0; e < 4; ++e)
        constants[e] = epilogue.constants(n + e), scale[e] = toFloat(to.norm.scale[n + e]);
  }
  DEVICE void early(int live) {
    if (works())
      UNROLL
      for (int e = 0; e < 4; ++e)
        epilogue.early(constants[e], minInt(m, live - 1), n + e);
  }
  DEVICE void finish(const char *come, int live) {
    float4 all = *(const float4 *)(come + threadIdx.x * 16);
    UNROLL
    for (int block = 1; block < Shape::cluster; ++block)
      all = plus(all, *(const float4 *)(come + block * Shape::ownBytes + threadIdx.x * 16));
    float v[4] = {all.x, all.y, all.z, all.w};
    UNROLL
    for (int e = 0; e < 4; ++e) {
      epilogue.prepare(constants[e], n + e);
      v[e] = epilogue.value(constants[e], m, n + e, v[e]);
      v[e] = m < live ? v[e] : 0.0f;
    }
    using P = Type<typename Shape::T>;
    *(uint2 *)z = make_uint2(P::pack(v[0] * scale[0], v[1] * scale[1]), P::pack(v[2] * scale[2], v[3] * scale[3]));
    *(float4 *)sums = make_float4(v[0], v[1], v[2], v[3]);
    const float mean = sumOfRow(v[0] + v[1] + v[2] + v[3]) * (1.0f / Shape::columns);
    float squares = 0.0f;
    UNROLL
    for (int e = 0; e < 4; ++e)
      squares += (v[e] - mean) * (v[e] - mean);
    squares = sumOfRow(squares);
    if (threadIdx.x % lanes == 0)
      *moments = make_float2(mean, squares);
  }

private:
  static DEVICE float sumOfRow(float v) {
    UNROLL
    for (int other = lanes / 2; other > 0; other /= 2)
      v += __shfl_xor_sync(~0u, v, other);
    return v;
  }
};

//===-- The norm in front of a product ------------------------------------------------------------------------------===//

/// None.
template <class Shape> struct NoNorm {
  struct Arguments {};
  static constexpr int bytes = 0;
  DEVICE explicit NoNorm(const Arguments &) {}
  template <class Product> DEVICE void multiply(char *, const Product &) const {}
  DEVICE void early() const {}
  DEVICE void run() const {}
  DEVICE float4 apply(float4 v, int, int) const { return v; }
  DEVICE void store(int) const {}
};

template <class Shape, class Norm> struct NormBefore {
  using T = typename Shape::T;
  using G = typename Norm::G;
  using Arguments = Norm;
  template <int n> struct __align__(n * sizeof(G) < 16 ? n * sizeof(G) : 16) Vector {
    G v[n];
  };
  static constexpr int columns = Shape::columns, partFloats = Shape::warps * 2 * columns, bytes = 4 * (partFloats + 2 * columns + 2 * Shape::M);
  static constexpr int fours = Norm::width / 4, threads = ceilDiv(Shape::M * fours, Shape::groups); // of a block, for the norm's rows
  static constexpr int lanes = 8, partsOfLane = ceilDiv(Norm::parts, lanes);                        // that have the moments of a row
  static_assert(threads <= Shape::threads && Norm::width == Shape::K, "");
  Vector<8> factors[Shape::stepsOfWarp]; // scale or shift, for the product with W
  Vector<4> scale, shift;            // of the thread's part of the norm's rows
  const float2 *moments;
  const float *sums;
  T *y;
  float epsilon;
  float *shared; // parts of the folded weights; these, [2, columns]; mean and factor of each row
  float2 parts[partsOfLane];
  float4 own;

  DEVICE explicit NormBefore(const Norm &norm) : epsilon(norm.epsilon) {
    using Steps = RowsProduct<Shape, false>;
    const int row = laneId() / 4, at = ownFour();
    const G *ofScale = norm.scale, *ofShift = norm.shift;
    keepInRegister(ofScale), keepInRegister(ofShift);
    const G *const from = row % 2 == 0 ? ofScale : ofShift;
    UNROLL
    for (int i = 0; i < Shape::stepsOfWarp; ++i)
      factors[i] = row < 4 && from && Steps::hasStep(Steps::stepOf(i)) ? *(const Vector<8> *)(from + Steps::stepOf(i) * 32 + laneId() % 4 * 8) : Vector<8>();
    scale = *(const Vector<4> *)(ofScale + at % fours * 4);
    shift = ofShift ? *(const Vector<4> *)(ofShift + at % fours * 4) : Vector<4>();
    moments = norm.moments + (warpId() * 4 + laneId() / lanes) * Norm::parts + laneId() % lanes;
    sums = norm.sums + at * 4, y = norm.y + at * 4;
    keepInRegister(moments), keepInRegister(sums), keepInRegister(y);
  }
  /// scale W^T and shift W^T, by all threads: rows of factors are scale, shift, and what rounding to 16 bits has left of them.
  template <class Product> DEVICE void multiply(char *to, const Product &product) {
    shared = (float *)to;
    float sums[Shape::tiles][4] = {};
    UNROLL
    for (int i = 0; i < Shape::stepsOfWarp; ++i) {
      if (!Product::hasStep(Product::stepOf(i)))
        break;
      float v[8];
      UNROLL
      for (int e = 0; e < 8; ++e) {
        const float whole = toFloat(factors[i].v[e]), rounded = toFloat(fromFloat<T>(whole));
        v[e] = laneId() < 8 ? rounded : whole - rounded;
      }
      const uint4 rows = make_uint4(Type<T>::pack(v[0], v[1]), Type<T>::pack(v[2], v[3]), Type<T>::pack(v[4], v[5]), Type<T>::pack(v[6], v[7]));
      UNROLL
      for (int j = 0; j < Shape::tiles; ++j)
        mma32<T>(sums[j], rows, uint4(), product.w[j][i]);
    }
    UNROLL
    for (int j = 0; j < Shape::tiles; ++j)
      UNROLL
      for (int i = 0; i < 2; ++i) {
        const float v = sums[j][i] + __shfl_xor_sync(~0u, sums[j][i], 8);
        if (laneId() < 8)
          shared[(warpId() * 2 + laneId() / 4) * columns + 8 * j + laneId() % 4 * 2 + i] = v;
      }
    __syncthreads();
    for (int c = threadIdx.x; c < 2 * columns; c += Shape::threads) {
      float v = 0.0f;
      UNROLL
      for (int warp = 0; warp < Shape::warps; ++warp)
        v += shared[warp * 2 * columns + c];
      folded()[c] = v;
    }
  }
  DEVICE void early() {
    UNROLL
    for (int i = 0; i < partsOfLane; ++i)
      parts[i] = laneId() % lanes + lanes * i < Norm::parts ? moments[lanes * i] : make_float2(0.0f, 0.0f);
    if (ownsFour())
      own = *(const float4 *)sums;
  }
  /// Mean and factor of all rows, four a warp. Moments of parts of equal size: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
  /// computing sample variances", 1979.
  DEVICE void run() const {
    float mean = 0.0f, squares = 0.0f;
    UNROLL
    for (int i = 0; i < partsOfLane; ++i)
      mean += parts[i].x;
    mean = sumOf(mean) * (1.0f / Norm::parts);
    UNROLL
    for (int i = 0; i < partsOfLane; ++i)
      if (laneId() % lanes + lanes * i < Norm::parts)
        squares += parts[i].y + (float)(Norm::width / Norm::parts) * (parts[i].x - mean) * (parts[i].x - mean);
    squares = sumOf(squares) * (1.0f / Norm::width);
    if (laneId() % lanes == 0)
      rows()[warpId() * 4 + laneId() / lanes] = make_float2(Norm::centred ? mean : 0.0f, rsqrtf(squares + (Norm::centred ? 0.0f : mean * mean) + epsilon));
  }
  /// Four sums of row m: of the norm.
  DEVICE float4 apply(float4 v, int m, int tile) const {
    const float2 row = rows()[m];
    const float4 scales = *(const float4 *)(folded() + 8 * tile + columnOfFour()), shifts = *(const float4 *)(folded() + columns + 8 * tile + columnOfFour());
    return make_float4((v.x - row.x * scales.x) * row.y + shifts.x, (v.y - row.x * scales.y) * row.y + shifts.y, (v.z - row.x * scales.z) * row.y + shifts.z,
                       (v.w - row.x * scales.w) * row.y + shifts.w);
  }
  /// The block's share of the norm's rows, to memory.
  DEVICE void store(int live) const {
    const int m = ownFour() / fours;
    if (!ownsFour() || m >= live)
      return;
    const float2 row = rows()[m];
    const float v[4] = {own.x, own.y, own.z, own.w};
    float out[4];
    UNROLL
    for (int e = 0; e < 4; ++e)
      out[e] = (v[e] - row.x) * row.y * toFloat(scale.v[e]) + toFloat(shift.v[e]);
    *(uint2 *)y = make_uint2(Type<T>::pack(out[0], out[1]), Type<T>::pack(out[2], out[3]));
  }

private:
  /// Which four numbers are the thread's: the last warps have them, as fewer of these have columns.
  static DEVICE int four() { return (int)threadIdx.x - (Shape::threads - threads); }
  static DEVICE int ownFour() { return minInt(blockIdx.x * threads + (four() < 0 ? 0 : four()), Shape::M * fours - 1); }
  static DEVICE bool ownsFour() { return four() >= 0 && (int)blockIdx.x * threads + four() < Shape::M * fours; }
  DEVICE float *folded() const { return shared + partFloats; }
  DEVICE float2 *rows() const { return (float2 *)(folded() + 2 * columns); }
  static DEVICE float sumOf(float v) {
    UNROLL
    for (int other = lanes / 2; other > 0; other /= 2)
      v += __shfl_xor_sync(~0u, v, other);
    return v;
  }
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

//===-- The kernels -------------------------------------------------------------------------------------------------===//

/// A block begins when one of the kernel before last ends, just as that of the kernel between reads its rows, with which all wait: weights come after these.
DEVICE void letRowsPass() { __nanosleep(600); }

/// Bytes of shared memory: rows, sums of warps, and of blocks with their barrier; or what the norm needs.
template <class Shape, class Product> __host__ __device__ constexpr int toNormSharedBytes() { return Product::bytes + Shape::addBytes + Shape::comeBytes + 16; }
template <class Shape, class Product, class Norm> __host__ __device__ constexpr int fromNormSharedBytes() { return Product::bytes + Shape::addBytes + Norm::bytes; }

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// Grid: [Shape::groups * Shape::cluster] in clusters. live: rows, at most 32.
template <class Shape, class Product, class End>
DEVICE void chainToNorm(const typename Product::Arguments &from, const typename Shape::T *weights, const typename End::Arguments &to, const ChainNext &next, int live) {
  extern __shared__ __align__(128) char shared[];
  char *const add = shared + Product::bytes, *const come = add + Shape::addBytes;
  const uint32 barrier = sharedAddress(come + Shape::comeBytes); // of what comes from the cluster
  const int index = blockIdx.x / Shape::cluster, rank = blockIdx.x % Shape::cluster;
  using Sums = BlockSums<Shape, Product::sources>;
  if (threadIdx.x == 0) {
    initBarrier(barrier, 1);
    fenceBarrierInit();
    expectBytes(barrier, Shape::comeBytes);
  }
  arriveCluster(); // others may write here from now on
  launchDependents();
  letRowsPass();
  Product product(from, weights, shared, index, rank);
  next.prefetch();
  End end(to, index, rank);
  __syncthreads(); // barriers are there
  waitCluster();
  waitProducers();

  product.early(shared, live);
  end.early(live);
  product.run(add, shared, live);
  __syncthreads();
  Sums::each([&](int, int tile, int half) { storeAt(sharedAddress(come) + rank * Shape::ownBytes + End::place(tile, half), barrier, End::owner(half), Sums::sum(add, tile, half)); });
  if (End::works()) {
    waitBarrier(barrier, 0);
    end.finish(come, live);
  }
}

/// Grid: [Shape::groups]. Norm: NormBefore, then rows of the product are its z; or NoNorm.
template <class Shape, class Product, class Norm, class End>
DEVICE void chainFromNorm(const typename Product::Arguments &from, const typename Norm::Arguments &before, const typename Shape::T *weights, const typename End::Arguments &to,
                          const ChainNext &next, int live) {
  extern __shared__ __align__(128) char shared[];
  char *const add = shared + Product::bytes;
  const int index = blockIdx.x;
  launchDependents();
  letRowsPass();
  Norm norm(before);
  Product product(from, weights, shared, index, 0);
  next.prefetch();
  End end(to, index);
  norm.multiply(add + Shape::addBytes, product);
  __syncwarp(); // a warp's own barrier is there
  waitProducers();

  product.early(shared, live);
  norm.early();
  end.early(index, live);
  norm.run();
  product.run(add, shared, live);
  __syncthreads();
  end.finish([&](int tile, int half) { return norm.apply(BlockSums<Shape, Shape::warps>::sum(add, tile, half), rowOfFour(half), tile); }, index, live);
  norm.store(live);
}

#endif

} // namespace transom::cuda
