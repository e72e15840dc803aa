// The product of Gemv.cuh by blocks that stay: a block takes every gridDim.x-th tile of 16 rows, stages x once, and loads the
// next tile's weights into the registers that this one's free, so that memory never waits for a block's start or end. For
// matrices of many tiles (gate and up, head). Shapes, prologues and epilogues are those of Gemv.cuh.
//
// 1. Start the successor; load the first `depth` steps of the first tile per warp.
// 2. Wait for the producer of x; stage all of x.
// 3. Per tile: multiply, reloading each register with the step `depth` further on, of this tile or the next; write sums to one
//    of two buffers; one barrier; then one or more warps, others each time, add them up and store.
#pragma once

#include "Gemv.cuh"

namespace transom::cuda {

/// Whether the shape can be streamed: each warp's steps are whole rounds of `depth`, and x fits into shared memory.
template <class Shape> struct GemvStreamShape {
  static constexpr int turns = ceilDiv(Shape::steps, Shape::warps), roundK = turns * Shape::warps * Shape::Format::stepK;
  static constexpr int xBytes = roundK * Shape::columns * 2, sumBytes = Shape::Format::minima ? roundK / 32 * Shape::columns * 4 : 0;
  static constexpr int sharedBytes = xBytes + sumBytes + 2 * Shape::reduceBytes + Shape::factorBytes;
  static constexpr bool fits = turns % Shape::depth == 0 && sharedBytes <= 99 * 1024;
};

/// Stages all of x, zeros behind its end; see stagePhase.
template <class Stream, class Shape> struct WholePhase : Shape {
  static constexpr int phaseK = Stream::roundK;
};

/// The body of an entry with Shape::threads threads, GemvStreamShape<Shape>::sharedBytes of dynamic shared memory, and any number of
/// blocks: best as many as the GPU holds at once beside the successor's, two or so per multiprocessor. rows: as for gemv.
template <class Shape, class Prologue, class Epilogue>
DEVICE void gemvStream(const typename Shape::Format::View &weights, Prologue prologue, Epilogue epilogue, const int *rows) {
  using Format = typename Shape::Format;
  using Piece = typename Format::Piece;
  using Stream = GemvStreamShape<Shape>;
  static_assert(Stream::fits, "see GemvStreamShape");
  constexpr int depth = Shape::depth, warps = Shape::warps, reducers = ceilDiv(Shape::M * 16, 32); // warps that add up
  extern __shared__ __align__(128) char shared[];
  uint16 *staged = (uint16 *)shared;
  float *blockSums = (float *)(shared + Stream::xBytes), *partial = (float *)(shared + Stream::xBytes + Stream::sumBytes);
  float *squareSums = partial + 2 * (Shape::reduceBytes / 4), *scratch = squareSums + warps * Shape::M;
  const int warp = warpId(), g = laneId() / 4, t = laneId() % 4;

  launchDependents();
  auto rowOf = [](int tile, int r) { return minInt(Shape::Pairs::row(tile, r), Shape::N - 1); };
  int tile = blockIdx.x;
  if (tile >= Shape::blocks) {
    waitProducers(); // a kernel that ends before its producer would let its own successor pass both
    return;
  }
  int rowLow = rowOf(tile, g), rowHigh = rowOf(tile, g + 8);
  Piece low[depth], high[depth];
  UNROLL
  for (int d = 0; d < depth; ++d)
    if (int step = warp + d * warps; step < Shape::steps) {
      low[d] = Format::load(weights, rowLow, step, t);
      high[d] = Format::load(weights, rowHigh, step, t);
    }

  waitProducers();
  const int live = rows ? *rows : Shape::M;
  prologue.template begin<Shape::M, warps>(scratch);
  float squares[Shape::M] = {};
  stagePhase<WholePhase<Stream, Shape>>(prologue, staged, blockSums, 0, squares);
  if constexpr (Prologue::deferred) {
    UNROLL
    for (int i = 0; i < Shape::M; ++i) {
      float sum = warpSum(squares[i]);
      if (laneId() == 0)
        squareSums[warp * Shape::M + i] = sum;
    }
  }
  __syncthreads();

  for (int turn = 0; tile < Shape::blocks; ++turn) {
    // Results: thread i, counted from the first of this turn's reducers, has row i % 16 of the tile and row i / 16 of x.
    const int i = (int)(threadIdx.x + Shape::threads - turn * reducers % warps * 32) % Shape::threads;
    const int m = i / 16, r = i % 16, n = Shape::Pairs::row(tile, r);
    const bool mine = i < Shape::M * 16 && n < Shape::N && m < live;
    typename Epilogue::Early early;
    if (mine) {
      early = epilogue.constants(n);
      epilogue.early(early, m, n);
    }
    const int next = tile + gridDim.x;
    const int nextLow = next < Shape::blocks ? rowOf(next, g) : 0, nextHigh = next < Shape::blocks ? rowOf(next, g + 8) : 0;
    float sums[Shape::columnTiles][4] = {};
    for (int base = 0; base < Stream::turns; base += depth) {
      const bool last = base + depth == Stream::turns; // the registers are free for the next tile
      UNROLL
      for (int d = 0; d < depth; ++d) {
        const int step = warp + (base + d) * warps, ahead = last ? warp + d * warps : step + depth * warps;
        if (step < Shape::steps)
          Format::template multiply<Shape::columnTiles, Shape::columns>(sums, low[d], high[d], staged + (int64)step * Format::stepK * Shape::columns,
                                                                        blockSums + step * (Format::stepK / 32) * Shape::columns, g, t);
        if (ahead < Shape::steps && (!last || next < Shape::blocks)) {
          low[d] = Format::load(weights, last ? nextLow : rowLow, ahead, t);
          high[d] = Format::load(weights, last ? nextHigh : rowHigh, ahead, t);
        }
      }
    }
    if (mine)
      epilogue.prepare(early, n);
    float *sumsOfWarps = partial + turn % 2 * (Shape::reduceBytes / 4); // [warp][column][row of the tile]
    UNROLL
    for (int c = 0; c < Shape::columnTiles; ++c)
      UNROLL
      for (int j = 0; j < 4; ++j) {
        int column = c * 8 + 2 * t + (j & 1), row = g + (j & 2 ? 8 : 0);
        if (column < Shape::columns)
          sumsOfWarps[(warp * Shape::columns + column) * 16 + row] = sums[c][j];
      }
    __syncthreads();
    if (i < reducers * 32) { // whole warps
      float result = 0.0f, square = 0.0f;
      if (i < Shape::M * 16) {
        UNROLL
        for (int w = 0; w < warps; ++w) {
          UNROLL
          for (int split = 0; split < Shape::splits; ++split)
            result += sumsOfWarps[(w * Shape::columns + m * Shape::splits + split) * 16 + r];
          if (Prologue::deferred)
            square += squareSums[w * Shape::M + m];
        }
        if (Prologue::deferred)
          result *= prologue.finish(square);
      }
      epilogue.store(early, m, n, result, mine);
    }
    tile = next, rowLow = nextLow, rowHigh = nextHigh;
  }
}

} // namespace transom::cuda
