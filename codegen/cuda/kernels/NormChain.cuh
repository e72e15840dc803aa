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
// rows go to memory besides, for those who add them. How numbers lie in memory: ChainProducts.cuh.
#pragma once

#include "ChainProducts.cuh"
#include "Epilogues.cuh"

namespace transom::cuda {

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
  DEVICE void late(const Arguments &) const {}
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
  /// Reads what store needs besides, which the constructor has brought near: behind the product there are registers for it.
  DEVICE void late(const Norm &norm) {
    const int column = ownFour() % fours * 4;
    scale = *(const Vector<4> *)(norm.scale + column);
    shift = norm.shift ? *(const Vector<4> *)(norm.shift + column) : Vector<4>();
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
  norm.late(before);
  end.finish([&](int tile, int half) { return norm.apply(BlockSums<Shape, Shape::warps>::sum(add, tile, half), rowOfFour(half), tile); }, index, live);
  norm.store(live);
}

#endif

} // namespace transom::cuda
