// From GGUF's blocks to the planes of GemvFormats.cuh, once, when weights are loaded or written. A thread moves one block
// of 32 weights; the numbers stay the same bit for bit. Block layouts: ggml-common.h, ggml-quants.c.
#pragma once

#include "Base.cuh"

namespace transom::cuda {

/// One plane or more per format; unused ones are null.
struct Planes {
  uint8 *quants, *high;  // high: upper bits of q6_K
  void *scales, *outer;  // outer: q6_K's fp16 scales
};

/// Eight 4-bit numbers in the order of nibblePairs: number 2i is nibble i, number 2i + 1 nibble i + 4.
template <class Number> DEVICE uint32 nibbleWord(Number number) {
  uint32 v = 0;
  UNROLL
  for (int i = 0; i < 4; ++i)
    v |= number(2 * i) << 4 * i | number(2 * i + 1) << 4 * (i + 4);
  return v;
}

/// Number i of 32 in a 16-byte run of nibbles: the low ones first.
DEVICE uint32 splitNibble(const uint8 *bytes, int i) { return i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4; }

struct RepackQ80 {
  static constexpr int blocksPerStep = 2;
  static DEVICE void block(const uint8 *row, Planes p, int64 outRow, int steps, int block, bool inside) {
    const uint8 *from = row + block * 34;
    uint8 *to = p.quants + (outRow * steps + block / 2) * 64 + block % 2 * 8;
    for (int i = 0; i < 32; ++i)
      to[i / 8 * 16 + i % 8] = inside ? from[2 + i] : 0;
    ((uint16 *)p.scales)[outRow * steps * 2 + block] = inside ? from[0] | from[1] << 8 : 0;
  }
};

template <bool minimum> struct RepackQ4 {
  static constexpr int blocksPerStep = 4;
  static DEVICE void block(const uint8 *row, Planes p, int64 outRow, int steps, int block, bool inside) {
    constexpr int head = minimum ? 4 : 2;
    const uint8 *from = row + block * (head + 16);
    for (int t = 0; t < 4; ++t)
      ((uint32 *)p.quants)[(outRow * steps + block / 4) * 16 + t * 4 + block % 4] =
          inside ? nibbleWord([&](int e) { return splitNibble(from + head, 8 * t + e); }) : 0;
    for (int i = 0; i < head / 2; ++i)
      ((uint16 *)p.scales)[(outRow * steps * 4 + block) * (head / 2) + i] = inside ? from[2 * i] | from[2 * i + 1] << 8 : 0;
  }
};

struct RepackQ4K {
  static constexpr int blocksPerStep = 4;
  static DEVICE void block(const uint8 *row, Planes p, int64 outRow, int steps, int block, bool) {
    const uint8 *from = row + block / 8 * 144, *quants = from + 16 + block % 8 / 2 * 32;
    for (int t = 0; t < 4; ++t)
      ((uint32 *)p.quants)[(outRow * steps + block / 4) * 16 + t * 4 + block % 4] =
          nibbleWord([&](int e) { return (uint32)(quants[8 * t + e] >> 4 * (block & 1) & 15); });
    if (block % 8 == 0)
      for (int i = 0; i < 16; ++i)
        ((uint8 *)p.scales)[(outRow * (steps / 2) + block / 8) * 16 + i] = from[i];
  }
};

struct RepackQ6K {
  static constexpr int blocksPerStep = 4;
  static DEVICE void block(const uint8 *row, Planes p, int64 outRow, int steps, int block, bool) {
    const uint8 *from = row + block / 8 * 210;
    auto parts = [&](int t, int e) { // low and high bits of lane t's number e
      int weight = block % 8 * 32 + (e < 4 ? 4 * t + e : 16 + 4 * t + e - 4), at = weight / 16, i = weight % 16;
      int n = at / 8, group = at / 2 % 4, piece = at % 2;
      uint32 low = from[64 * n + 32 * (group & 1) + 16 * piece + i] >> 4 * (group >> 1) & 15;
      uint32 high = from[128 + 32 * n + 16 * piece + i] >> 2 * group & 3;
      return make_uint2(low, high);
    };
    int64 step = outRow * steps + block / 4;
    for (int t = 0; t < 4; ++t) {
      ((uint32 *)p.quants)[step * 16 + t * 4 + block % 4] = nibbleWord([&](int e) { return parts(t, e).x; });
      uint32 high = 0;
      for (int i = 0; i < 4; ++i)
        high |= parts(t, 2 * i).y << 2 * i | parts(t, 2 * i + 1).y << 2 * (i + 4);
      ((uint16 *)p.high)[step * 16 + t * 4 + block % 4] = (uint16)high;
    }
    for (int i = 0; i < 2; ++i)
      ((int8 *)p.scales)[(outRow * steps * 4 + block) * 2 + i] = (int8)from[192 + block % 8 * 2 + i];
    if (block % 8 == 0)
      ((uint16 *)p.outer)[outRow * (steps / 2) + block / 8] = from[208] | from[209] << 8;
  }
};

/// rows of K weights, `rowBytes` apart. One thread for each block of 32, padding blocks included.
template <class Format, int K, int threads>
DEVICE void repackRows(const uint8 *blocks, Planes planes, int rows, int rowBytes) {
  constexpr int steps = ceilDiv(K / 32, Format::blocksPerStep), perRow = steps * Format::blocksPerStep;
  int64 at = (int64)blockIdx.x * threads + threadIdx.x;
  if (at >= (int64)rows * perRow)
    return;
  int64 row = at / perRow;
  int block = (int)(at % perRow);
  Format::block(blocks + row * rowBytes, planes, row, steps, block, block < K / 32);
}

} // namespace transom::cuda
