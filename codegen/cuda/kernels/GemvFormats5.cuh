// GGUF's formats of five bits: q5_0, q5_1, q5_K as planes, with their repacking. As q4_0, q4_1 and q4_K (GemvFormats.cuh), with
// one plane more for the fifth bits: high [N][step of 128][t][block of 4] of eight bits, number 2i of a lane's eight at
// bit i, number 2i + 1 at bit i + 4.
#pragma once

#include "GemvFormats.cuh"
#include "Repack.cuh"

namespace transom::cuda {

/// Eight 5-bit numbers less offset, as four operand pairs: low as nibblePairs has it, high the eight fifth bits.
DEVICE uint4 fivePairs(uint32 low, uint32 high, uint32 offsetPair) {
  const uint32 spread = (high & 0xf) | (high & 0xf0) << 12; // of numbers 2i below, 2i + 1 in the upper half
  return make_uint4(integerPair((low & 0x000f000f) | (spread << 4 & 0x00100010) | bias128, offsetPair),
                    integerPair((low >> 4 & 0x000f000f) | (spread << 3 & 0x00100010) | bias128, offsetPair),
                    integerPair((low >> 8 & 0x000f000f) | (spread << 2 & 0x00100010) | bias128, offsetPair),
                    integerPair((low >> 12 & 0x000f000f) | (spread << 1 & 0x00100010) | bias128, offsetPair));
}

/// q5_0 and q5_1: quants and scales as q4_0 and q4_1. K % 32 == 0.
template <int innerSize, bool withMinimum> struct Q5Format {
  using Four = Q4Format<innerSize, withMinimum>;
  using Operand = BFloat;
  static constexpr int K = innerSize, stepK = 128, steps = ceilDiv(K, stepK);
  static constexpr bool halves = false, minima = withMinimum;
  struct View { const uint8 *quants, *high; const Half *scales; };
  struct Piece { typename Four::Piece four; uint32 high; }; // high: a byte per block
  static DEVICE Piece load(const View &w, int64 row, int step, int t) {
    return {Four::load({w.quants, w.scales}, row, step, t), ((const uint32 *)w.high)[(row * steps + step) * 4 + t]};
  }
  static DEVICE void prefetchRow(const View &w, int64 row, int step, int most) {
    Four::prefetchRow({w.quants, w.scales}, row, step, most);
  }
  static DEVICE uint4 operands(const Piece &p, int block) {
    return fivePairs(word(p.four.bits, block), p.high >> 8 * block & 255, withMinimum ? bias128 : 0x43104310u); // q5_0: less 16
  }
  template <int tiles, int columns>
  static DEVICE void multiply(float (&sums)[tiles][4], Piece low, Piece high, const uint16 *x, const float *blockSums,
                              int g, int t) {
    UNROLL
    for (int block = 0; block < 4; ++block) {
      uint4 a = operands(low, block), b = operands(high, block);
      UNROLL
      for (int tile = 0; tile < tiles; ++tile) {
        float part[4] = {};
        mma32<BFloat>(part, a, b, stagedColumn<columns>(x, block, tile * 8 + g, t));
        addScaled<columns>(sums[tile], part, Four::scale(low.four, block), Four::scale(high.four, block));
        if constexpr (withMinimum)
          addMinima<columns>(sums[tile], blockSums, block, tile, t, highFloat<Half>(low.four.scales[block]),
                             highFloat<Half>(high.four.scales[block]));
      }
    }
  }
};

/// q5_K: quants and heads as q4_K. K % 256 == 0.
template <int innerSize> struct Q5KFormat {
  using Four = Q4KFormat<innerSize>;
  using Operand = BFloat;
  static constexpr int K = innerSize, stepK = 128, steps = K / stepK;
  static constexpr bool halves = false, minima = true;
  struct View { const uint8 *quants, *high; const uint4 *heads; };
  struct Piece { typename Four::Piece four; uint32 high; };
  static DEVICE Piece load(const View &w, int64 row, int step, int t) {
    return {Four::load({w.quants, w.heads}, row, step, t), ((const uint32 *)w.high)[(row * steps + step) * 4 + t]};
  }
  static DEVICE void prefetchRow(const View &w, int64 row, int step, int most) {
    Four::prefetchRow({w.quants, w.heads}, row, step, most);
  }
  template <int tiles, int columns>
  static DEVICE void multiply(float (&sums)[tiles][4], Piece low, Piece high, const uint16 *x, const float *blockSums,
                              int g, int t) {
    float dLow = lowFloat<Half>(low.four.outer), dHigh = lowFloat<Half>(high.four.outer);
    float mLow = -highFloat<Half>(low.four.outer), mHigh = -highFloat<Half>(high.four.outer);
    UNROLL
    for (int block = 0; block < 4; ++block) {
      const int shift = 8 * block;
      uint4 a = fivePairs(word(low.four.bits, block), low.high >> shift & 255, bias128);
      uint4 b = fivePairs(word(high.four.bits, block), high.high >> shift & 255, bias128);
      UNROLL
      for (int tile = 0; tile < tiles; ++tile) {
        float part[4] = {};
        mma32<BFloat>(part, a, b, stagedColumn<columns>(x, block, tile * 8 + g, t));
        addScaled<columns>(sums[tile], part, dLow * (float)(low.four.scales >> shift & 255),
                           dHigh * (float)(high.four.scales >> shift & 255));
        addMinima<columns>(sums[tile], blockSums, block, tile, t, mLow * (float)(low.four.minima >> shift & 255),
                           mHigh * (float)(high.four.minima >> shift & 255));
      }
    }
  }
};

//===-- Repacking ---------------------------------------------------------------------------------------------------===//

/// The four bytes of fifth bits of block `block` of 32: bit(i) of weight i.
template <class Bit> DEVICE void storeFifthBits(uint8 *high, int64 step, int block, Bit bit) {
  for (int t = 0; t < 4; ++t) {
    uint32 bits = 0;
    for (int i = 0; i < 4; ++i)
      bits |= bit(8 * t + 2 * i) << i | bit(8 * t + 2 * i + 1) << (i + 4);
    high[(step * 4 + t) * 4 + block % 4] = (uint8)bits;
  }
}

template <bool minimum> struct RepackQ5 {
  static constexpr int blocksPerStep = 4;
  static DEVICE void block(const uint8 *row, Planes p, int64 outRow, int steps, int block, bool inside) {
    constexpr int head = minimum ? 4 : 2;
    const uint8 *from = row + block * (head + 20);
    const int64 step = outRow * steps + block / 4;
    for (int t = 0; t < 4; ++t)
      ((uint32 *)p.quants)[step * 16 + t * 4 + block % 4] =
          inside ? nibbleWord([&](int e) { return splitNibble(from + head + 4, 8 * t + e); }) : 0;
    storeFifthBits(p.high, step, block, [&](int i) { return inside ? (uint32)(from[head + i / 8] >> i % 8 & 1) : 0u; });
    for (int i = 0; i < head / 2; ++i)
      ((uint16 *)p.scales)[(outRow * steps * 4 + block) * (head / 2) + i] = inside ? from[2 * i] | from[2 * i + 1] << 8 : 0;
  }
};

struct RepackQ5K {
  static constexpr int blocksPerStep = 4;
  static DEVICE void block(const uint8 *row, Planes p, int64 outRow, int steps, int block, bool) {
    const uint8 *from = row + block / 8 * 176, *quants = from + 48 + block % 8 / 2 * 32;
    const int64 step = outRow * steps + block / 4;
    for (int t = 0; t < 4; ++t)
      ((uint32 *)p.quants)[step * 16 + t * 4 + block % 4] =
          nibbleWord([&](int e) { return (uint32)(quants[8 * t + e] >> 4 * (block & 1) & 15); });
    storeFifthBits(p.high, step, block, [&](int i) { return (uint32)(from[16 + i] >> block % 8 & 1); });
    if (block % 8 == 0)
      for (int i = 0; i < 16; ++i)
        ((uint8 *)p.scales)[(outRow * (steps / 2) + block / 8) * 16 + i] = from[i];
  }
};

} // namespace transom::cuda
