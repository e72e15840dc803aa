// How weights [N, K] lie in memory for matrix-vector products, and how one step of them meets the tensor cores.
//
// A step is what one 16-byte load per lane gives: `stepK` inner elements of 8 rows, lane t of four lanes of a row
// holding eight neighbours of each 32 ("block"). Plain types are read as they are, row-major. GGUF's blocks are kept
// as planes (Repack.cuh): first the quants, in the order of these loads, then the scales; bit for bit the same numbers
// in the same number of bytes, and every load is aligned. Numbers are decoded exactly to bf16 (integers below 2^8) and
// multiplied by their scale in fp32, once per block.
#pragma once

#include "Mma.cuh"

namespace transom::cuda {

/// What a Format offers:
///   Operand: the 16-bit type that the tensor cores see; stepK; halves: whether lane t holds 4t.. and 16+4t.. of a
///   block instead of 8t..; minima: whether `multiply` needs the sums of x over blocks.
///   View: the weights; Piece: what a lane keeps of a row and a step; load(view, row, step, t).
///   multiply<tiles, columns>(sums, low row's piece, high row's piece, x, blockSums, g, t).
/// x: staged operands of the step [block of 32][columns][32]; blockSums [block][columns].

/// Eight staged operands of column g of the tile for lane t; columns past the last are zero.
template <int columns> DEVICE uint4 stagedColumn(const uint16 *x, int block, int column, int t) {
  return column < columns ? *(const uint4 *)(x + (block * columns + column) * 32 + 8 * t) : make_uint4(0, 0, 0, 0);
}

template <class T, int innerSize> struct PlainFormat {
  using Operand = T;
  static constexpr int K = innerSize, stepK = 32, steps = ceilDiv(K, stepK);
  static constexpr bool halves = false, minima = false;
  static_assert(K % 8 == 0, "rows of plain weights start at multiples of 16 bytes");
  struct View { const T *data; }; // [N, K]
  struct Piece { uint4 bits; };
  static DEVICE Piece load(const View &w, int64 row, int step, int t) {
    int at = step * stepK + 8 * t;
    if (K % stepK != 0 && at >= K)
      return {make_uint4(0, 0, 0, 0)};
    return {loadStream(w.data + row * K + at)};
  }
  static DEVICE void prefetchRow(const View &w, int64 row, int step, int most) {
    if (step < steps)
      prefetchL2(w.data + row * K + step * stepK, minInt(most, (K - step * stepK) * 2 & ~15));
  }
  template <int tiles, int columns>
  static DEVICE void multiply(float (&sums)[tiles][4], Piece low, Piece high, const uint16 *x, const float *, int g,
                              int t) {
    UNROLL
    for (int tile = 0; tile < tiles; ++tile)
      mma32<T>(sums[tile], low.bits, high.bits, stagedColumn<columns>(x, 0, tile * 8 + g, t));
  }
};

//===-- Quantised ---------------------------------------------------------------------------------------------------===//

/// sums += scale * block's products, for rows g and g+8; less minimum * sum of x where the format has minima.
template <int columns>
DEVICE void addScaled(float (&sums)[4], const float (&part)[4], float scaleLow, float scaleHigh) {
  sums[0] = fmaf(scaleLow, part[0], sums[0]);
  sums[1] = fmaf(scaleLow, part[1], sums[1]);
  sums[2] = fmaf(scaleHigh, part[2], sums[2]);
  sums[3] = fmaf(scaleHigh, part[3], sums[3]);
}
template <int columns>
DEVICE void addMinima(float (&sums)[4], const float *blockSums, int block, int tile, int t, float low, float high) {
  UNROLL
  for (int i = 0; i < 2; ++i) {
    int column = tile * 8 + 2 * t + i;
    float x = column < columns ? blockSums[block * columns + column] : 0.0f;
    sums[i] = fmaf(low, x, sums[i]);
    sums[2 + i] = fmaf(high, x, sums[2 + i]);
  }
}

/// Two bf16 with 7-bit integers in their mantissas (128 + n each) less 128 + offset: exact.
DEVICE uint32 integerPair(uint32 biased, uint32 offsetPair) {
  uint32 v;
#if __CUDA_ARCH__ >= 900
  asm("sub.rn.bf16x2 %0, %1, %2;" : "=r"(v) : "r"(biased), "r"(offsetPair));
#elif __CUDA_ARCH__ >= 800
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(v) : "r"(biased), "r"(0x3f803f80u), "r"(offsetPair ^ 0x80008000u));
#else
  v = Type<BFloat>::pack(lowFloat<BFloat>(biased) - lowFloat<BFloat>(offsetPair),
                         highFloat<BFloat>(biased) - highFloat<BFloat>(offsetPair));
#endif
  return v;
}
constexpr uint32 bias128 = 0x43004300u; // 128 twice, in bf16

/// Eight 4-bit numbers of a word less offset, as four operand pairs; nibble i and i+4 are neighbours 2i and 2i+1.
DEVICE uint4 nibblePairs(uint32 word, uint32 offsetPair) {
  return make_uint4(integerPair((word & 0x000f000f) | bias128, offsetPair),
                    integerPair((word >> 4 & 0x000f000f) | bias128, offsetPair),
                    integerPair((word >> 8 & 0x000f000f) | bias128, offsetPair),
                    integerPair((word >> 12 & 0x000f000f) | bias128, offsetPair));
}
DEVICE uint32 word(uint4 v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

/// q8_0: quants [N][step of 64][t][block of 2][8] int8, scales [N][K/32] fp16.
template <int innerSize> struct Q80Format {
  using Operand = BFloat;
  static constexpr int K = innerSize, stepK = 64, steps = ceilDiv(K, stepK);
  static constexpr bool halves = false, minima = false;
  struct View { const uint8 *quants; const Half *scales; };
  struct Piece { uint4 bits; uint32 scales; };
  static DEVICE Piece load(const View &w, int64 row, int step, int t) {
    return {loadStream(w.quants + (row * steps + step) * 64 + 16 * t), ((const uint32 *)w.scales)[row * steps + step]};
  }
  static DEVICE void prefetchRow(const View &w, int64 row, int step, int most) {
    if (step < steps)
      prefetchL2(w.quants + (row * steps + step) * 64, minInt(most, (steps - step) * 64));
  }
  /// Four int8 as two operand pairs.
  static DEVICE uint2 pairs(uint32 word) {
    uint32 biased = word ^ 0x80808080u; // 128 + n, put behind the exponent of 2^23
    float f[4];
    UNROLL
    for (int i = 0; i < 4; ++i)
      f[i] = __uint_as_float(__byte_perm(biased, 0x4b000000u, 0x7650 | i)) - 8388736.0f;
    return make_uint2(Type<BFloat>::pack(f[0], f[1]), Type<BFloat>::pack(f[2], f[3]));
  }
  static DEVICE uint4 operands(uint32 first, uint32 second) {
    uint2 a = pairs(first), b = pairs(second);
    return make_uint4(a.x, a.y, b.x, b.y);
  }
  template <int tiles, int columns>
  static DEVICE void multiply(float (&sums)[tiles][4], Piece low, Piece high, const uint16 *x, const float *, int g,
                              int t) {
    UNROLL
    for (int block = 0; block < 2; ++block) {
      uint4 a = operands(word(low.bits, 2 * block), word(low.bits, 2 * block + 1));
      uint4 b = operands(word(high.bits, 2 * block), word(high.bits, 2 * block + 1));
      float scaleLow = toFloat(Half{(uint16)(low.scales >> 16 * block)});
      float scaleHigh = toFloat(Half{(uint16)(high.scales >> 16 * block)});
      UNROLL
      for (int tile = 0; tile < tiles; ++tile) {
        float part[4] = {};
        mma32<BFloat>(part, a, b, stagedColumn<columns>(x, block, tile * 8 + g, t));
        addScaled<columns>(sums[tile], part, scaleLow, scaleHigh);
      }
    }
  }
};

/// q4_0 and q4_1: quants [N][step of 128][t][block of 4] words of eight nibbles; scales [N][K/32 padded to 4] fp16, of
/// q4_1 pairs of scale and minimum.
template <int innerSize, bool withMinimum> struct Q4Format {
  using Operand = BFloat;
  static constexpr int K = innerSize, stepK = 128, steps = ceilDiv(K, stepK);
  static constexpr bool halves = false, minima = withMinimum;
  struct View { const uint8 *quants; const Half *scales; };
  struct Piece { uint4 bits; uint32 scales[withMinimum ? 4 : 2]; };
  static DEVICE Piece load(const View &w, int64 row, int step, int t) {
    Piece piece;
    piece.bits = loadStream(w.quants + (row * steps + step) * 64 + 16 * t);
    if constexpr (withMinimum) {
      uint4 s = ((const uint4 *)w.scales)[row * steps + step];
      piece.scales[0] = s.x, piece.scales[1] = s.y, piece.scales[2] = s.z, piece.scales[3] = s.w;
    } else {
      uint2 s = ((const uint2 *)w.scales)[row * steps + step];
      piece.scales[0] = s.x, piece.scales[1] = s.y;
    }
    return piece;
  }
  static DEVICE void prefetchRow(const View &w, int64 row, int step, int most) {
    if (step < steps)
      prefetchL2(w.quants + (row * steps + step) * 64, minInt(most, (steps - step) * 64));
  }
  static DEVICE float scale(const Piece &p, int block) {
    return withMinimum ? lowFloat<Half>(p.scales[block]) : toFloat(Half{(uint16)(p.scales[block / 2] >> 16 * (block & 1))});
  }
  template <int tiles, int columns>
  static DEVICE void multiply(float (&sums)[tiles][4], Piece low, Piece high, const uint16 *x, const float *blockSums,
                              int g, int t) {
    constexpr uint32 offset = withMinimum ? bias128 : 0x43084308u; // q4_0: less 8
    UNROLL
    for (int block = 0; block < 4; ++block) {
      uint4 a = nibblePairs(word(low.bits, block), offset), b = nibblePairs(word(high.bits, block), offset);
      UNROLL
      for (int tile = 0; tile < tiles; ++tile) {
        float part[4] = {};
        mma32<BFloat>(part, a, b, stagedColumn<columns>(x, block, tile * 8 + g, t));
        addScaled<columns>(sums[tile], part, scale(low, block), scale(high, block));
        if constexpr (withMinimum)
          addMinima<columns>(sums[tile], blockSums, block, tile, t, highFloat<Half>(low.scales[block]),
                             highFloat<Half>(high.scales[block]));
      }
    }
  }
};

/// q4_K: quants as q4_0; heads [N][K/256] of 16 bytes as the file has them: d, dmin in fp16, then 8 scales and 8 minima
/// of 6 bits in 12 bytes.
template <int innerSize> struct Q4KFormat {
  using Operand = BFloat;
  static constexpr int K = innerSize, stepK = 128, steps = K / stepK;
  static constexpr bool halves = false, minima = true;
  static_assert(K % 256 == 0, "rows of q4_K are whole blocks of 256");
  struct View { const uint8 *quants; const uint4 *heads; };
  struct Piece { uint4 bits; uint32 outer, scales, minima; }; // four bytes of scales and minima: the step's blocks
  static DEVICE Piece load(const View &w, int64 row, int step, int t) {
    Piece piece;
    piece.bits = loadStream(w.quants + (row * steps + step) * 64 + 16 * t);
    uint4 head = w.heads[row * (steps / 2) + step / 2];
    piece.outer = head.x;
    if (step & 1) { // blocks 4 to 7: low nibbles in the last four bytes, two high bits above the others'
      piece.scales = (head.w & 0x0f0f0f0f) | (head.y >> 2 & 0x30303030);
      piece.minima = (head.w >> 4 & 0x0f0f0f0f) | (head.z >> 2 & 0x30303030);
    } else {
      piece.scales = head.y & 0x3f3f3f3f;
      piece.minima = head.z & 0x3f3f3f3f;
    }
    return piece;
  }
  static DEVICE void prefetchRow(const View &w, int64 row, int step, int most) {
    if (step < steps)
      prefetchL2(w.quants + (row * steps + step) * 64, minInt(most, (steps - step) * 64));
  }
  template <int tiles, int columns>
  static DEVICE void multiply(float (&sums)[tiles][4], Piece low, Piece high, const uint16 *x, const float *blockSums,
                              int g, int t) {
    float dLow = lowFloat<Half>(low.outer), dHigh = lowFloat<Half>(high.outer);
    float mLow = -highFloat<Half>(low.outer), mHigh = -highFloat<Half>(high.outer);
    UNROLL
    for (int block = 0; block < 4; ++block) {
      uint4 a = nibblePairs(word(low.bits, block), bias128), b = nibblePairs(word(high.bits, block), bias128);
      UNROLL
      for (int tile = 0; tile < tiles; ++tile) {
        float part[4] = {};
        mma32<BFloat>(part, a, b, stagedColumn<columns>(x, block, tile * 8 + g, t));
        addScaled<columns>(sums[tile], part, dLow * (float)(low.scales >> 8 * block & 255),
                           dHigh * (float)(high.scales >> 8 * block & 255));
        addMinima<columns>(sums[tile], blockSums, block, tile, t, mLow * (float)(low.minima >> 8 * block & 255),
                           mHigh * (float)(high.minima >> 8 * block & 255));
      }
    }
  }
};

/// q6_K: low [N][step of 128][t][block of 4] words of eight nibbles, high [N][step][t][block of 4] of eight 2-bit
/// numbers, scales [N][K/16] int8, outer [N][K/256] fp16. In a block, lane t holds 4t..4t+3 (which share the first
/// scale) and 16+4t..16+4t+3 (the second).
template <int innerSize> struct Q6KFormat {
  using Operand = BFloat;
  static constexpr int K = innerSize, stepK = 128, steps = K / stepK;
  static constexpr bool halves = true, minima = false;
  static_assert(K % 256 == 0, "rows of q6_K are whole blocks of 256");
  struct View { const uint8 *low, *high; const int8 *scales; const Half *outer; };
  struct Piece { uint4 bits; uint2 high, scales; float outer; };
  static DEVICE Piece load(const View &w, int64 row, int step, int t) {
    int64 at = row * steps + step;
    return {loadStream(w.low + at * 64 + 16 * t), ((const uint2 *)(w.high + at * 32))[t], ((const uint2 *)w.scales)[at],
            toFloat(w.outer[at >> 1])};
  }
  static DEVICE void prefetchRow(const View &w, int64 row, int step, int most) {
    if (step < steps)
      prefetchL2(w.low + (row * steps + step) * 64, minInt(most, (steps - step) * 64));
  }
  /// high: 16 bits, the 2-bit number of nibble i at 2i.
  static DEVICE uint4 operands(uint32 low, uint32 high) {
    uint32 spread = (high & 0xff) | (high & 0xff00) << 8; // of nibbles 0..3 below, 4..7 in the upper half
    uint32 pair[4];
    UNROLL
    for (int i = 0; i < 4; ++i) {
      uint32 top = 2 * i < 4 ? spread << (4 - 2 * i) : spread >> (2 * i - 4);
      pair[i] = integerPair((low >> 4 * i & 0x000f000f) | (top & 0x00300030) | bias128, 0x43204320u); // less 32
    }
    return make_uint4(pair[0], pair[1], pair[2], pair[3]);
  }
  static DEVICE float scale(const Piece &p, int block, int half) {
    uint32 four = block < 2 ? p.scales.x : p.scales.y;
    return p.outer * (float)(int8)(four >> 8 * (2 * (block & 1) + half));
  }
  template <int tiles, int columns>
  static DEVICE void multiply(float (&sums)[tiles][4], Piece low, Piece high, const uint16 *x, const float *, int g,
                              int t) {
    UNROLL
    for (int block = 0; block < 4; ++block) {
      uint32 highLow = (block < 2 ? low.high.x : low.high.y) >> 16 * (block & 1) & 0xffff;
      uint32 highHigh = (block < 2 ? high.high.x : high.high.y) >> 16 * (block & 1) & 0xffff;
      uint4 a = operands(word(low.bits, block), highLow), b = operands(word(high.bits, block), highHigh);
      UNROLL
      for (int tile = 0; tile < tiles; ++tile) {
        uint4 column = stagedColumn<columns>(x, block, tile * 8 + g, t);
        float first[4] = {}, second[4] = {};
        mma<BFloat>(first, make_uint4(a.x, b.x, a.y, b.y), column.x, column.y);
        mma<BFloat>(second, make_uint4(a.z, b.z, a.w, b.w), column.z, column.w);
        addScaled<columns>(sums[tile], first, scale(low, block, 0), scale(high, block, 0));
        addScaled<columns>(sums[tile], second, scale(low, block, 1), scale(high, block, 1));
      }
    }
  }
};

} // namespace transom::cuda
