// Products of rows in 8 bits by mma.sync, from compute capability 8.9 on: y = epilogue(x W^T), x [rows, K], W [N, K], e4m3, sums in fp32.
// GemmHopper.cuh is the one for 9.0.
//
// A block takes a tile of [128, 128]; both operands pass through shared memory by cp.async. Rows there are padded by 16 bytes, so that
// ldmatrix meets every bank once. Eight warps have [32, 64] each. Row 8 t + 2 i + e of a group of 32 of W, e below 2, lies there as row
// 8 i + 2 t + e: so a thread's sums are eight neighbours of a row, as in GemmHopper.cuh, and epilogues are the same.
#pragma once

#include "E4m3.cuh"
#include "Mma.cuh"

namespace transom::cuda {

template <int outputs, int inner> struct E4m3GemmShape {
  static constexpr int N = outputs, K = inner, rowsAtOnce = 128, columnsAtOnce = 128, threads = 256;
  static constexpr int stepK = 64, steps = ceilDiv(K, stepK), stages = 4; // of K in a stage, in bytes
  static constexpr int rowBytes = stepK + 16, stageBytes = (rowsAtOnce + columnsAtOnce) * rowBytes, sharedBytes = stages * stageBytes;
  static_assert(N % 32 == 0 && K % 16 == 0, "");
};

#if __CUDA_ARCH__ >= 890

/// c + A B, A [16, 32] and B [32, 8]. Lane = 4 g + t: a.x holds row g, columns 4t to 4t+3, a.y row g+8, a.z and a.w the same 16 columns
/// further; b0 rows 4t to 4t+3 of column g, b1 16 further; sums as in Mma.cuh.
DEVICE void mmaE4m3(float (&c)[4], uint4 a, uint32 b0, uint32 b1) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}

/// Grid: (tiles of columns, tiles of rows). live: rows of x. Epilogues are those of gemmHopper, without partners.
template <class Shape, class Epilogue> DEVICE void gemmE4m3(const E4m3 *x, const E4m3 *weights, const Epilogue &epilogue, int live) {
  constexpr int groups = 2, rowTiles = 2; // of a warp
  extern __shared__ __align__(128) char shared[];
  const uint32 ring = sharedAddress(shared);
  const int row = blockIdx.y * Shape::rowsAtOnce, column = blockIdx.x * Shape::columnsAtOnce;
  const int lane = laneId(), warpRow = warpId() / 2 * 32, warpColumn = warpId() % 2 * 64;
  launchDependents();
  waitProducers();
  auto copy = [&](int step) {
    if (step < Shape::steps)
      UNROLL
      for (int i = 0; i < (Shape::rowsAtOnce + Shape::columnsAtOnce) * 4 / Shape::threads; ++i) {
        const int piece = threadIdx.x + i * Shape::threads, line = piece / 4, k = step * Shape::stepK + piece % 4 * 16;
        const bool ofX = line < Shape::rowsAtOnce;
        const int place = line % 32, from = ofX ? row + line : column + line - Shape::rowsAtOnce - place + place % 8 / 2 * 8 + place / 8 * 2 + place % 2;
        const bool inside = k < Shape::K && from < (ofX ? live : Shape::N);
        const E4m3 *address = (ofX ? x : weights) + (inside ? (int64)from * Shape::K + k : 0);
        copyAsync16(ring + step % Shape::stages * Shape::stageBytes + line * Shape::rowBytes + piece % 4 * 16, address, inside);
      }
    commitCopies();
  };
  UNROLL
  for (int step = 0; step < Shape::stages - 1; ++step)
    copy(step);

  // What a lane's address names: of x, 16 rows, then the same 16 bytes further; of W, 8 rows, the same 16 bytes further, then the next tile.
  const uint32 ofX = (warpRow + lane % 16) * Shape::rowBytes + lane / 16 * 16;
  const uint32 ofW = (Shape::rowsAtOnce + warpColumn + lane % 8 + lane / 16 * 8) * Shape::rowBytes + lane / 8 % 2 * 16;
  float sums[rowTiles][4 * groups][4] = {};
  for (int step = 0; step < Shape::steps; ++step) {
    waitCopies<Shape::stages - 2>();
    __syncthreads(); // all have this stage, and are done with the one before
    copy(step + Shape::stages - 1);
    const uint32 stage = ring + step % Shape::stages * Shape::stageBytes;
    UNROLL
    for (int k = 0; k < Shape::stepK; k += 32) {
      uint4 a[rowTiles];
      UNROLL
      for (int i = 0; i < rowTiles; ++i)
        a[i] = loadMatrices(stage + ofX + i * 16 * Shape::rowBytes + k);
      UNROLL
      for (int j = 0; j < 2 * groups; ++j) { // two tiles of eight columns
        const uint4 b = loadMatrices(stage + ofW + j * 16 * Shape::rowBytes + k);
        UNROLL
        for (int i = 0; i < rowTiles; ++i) {
          mmaE4m3(sums[i][2 * j], a[i], b.x, b.y);
          mmaE4m3(sums[i][2 * j + 1], a[i], b.z, b.w);
        }
      }
    }
  }

  UNROLL
  for (int group = 0; group < groups; ++group) {
    const int first = column + warpColumn + 32 * group, n = first + lane % 4 * 8;
    if (first >= Shape::N)
      break;
    const typename Epilogue::Band band = epilogue.band(first);
    const typename Epilogue::OfColumns columns = epilogue.readColumns(band, n);
    UNROLL
    for (int i = 0; i < 2 * rowTiles; ++i) {
      const int m = row + warpRow + i / 2 * 16 + i % 2 * 8 + lane / 4;
      if (m >= live)
        continue;
      Lanes<8> own;
      UNROLL
      for (int e = 0; e < 8; ++e)
        own.v[e] = sums[i / 2][4 * group + e / 2][i % 2 * 2 + e % 2];
      epilogue.store(band, columns, epilogue.readRow(m), epilogue.readPiece(band, m, n), m, n, own, own);
    }
  }
}

#endif

} // namespace transom::cuda
