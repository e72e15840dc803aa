// Matrix-vector products over GGML's quantised blocks (formats: ggml-common.h, ggml-quants.c), decoded exactly, with
// fp32 activations and sums. No int8 activations: results stay within fp32 rounding of the decoded weights.
//
// Layout. A register holds one 16-byte piece of `laneRows` weight rows, one row per 128-bit lane. Field j of all dwords
// gives the weights {j, 4+j, 8+j, 12+j} of the piece, so x is permuted once per call to that order (each 16 floats as a
// 4x4 transpose) and read by broadcasting 4 floats to all lanes. Scales differ by row only, hence are constant in a lane
// and are applied once per block. Minima use precomputed sums of x.
#pragma once

#include "Gemv.h"

namespace transom::kernels {

constexpr int laneRows = lanes / 4;
constexpr int smallGroups = lanes == 16 ? 4 : 2; // as many as the registers hold
using F32x4 = Vec<float, 4>;
using I8 = Vec<int8_t, lanes * 4>;

/// The same 16 bytes (4 floats) in every 128-bit lane.
INLINE F32 broadcast4(const float *address) {
  F32x4 v = load<F32x4>(address);
#if defined(__AVX512F__)
  return __builtin_shufflevector(v, v, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
#else
  return __builtin_shufflevector(v, v, 0, 1, 2, 3, 0, 1, 2, 3);
#endif
}

/// Element `element` of each lane in all four places of its lane.
template <int element> INLINE U32 lanePick(U32 v) {
#if defined(__AVX512F__)
  return __builtin_shufflevector(v, v, element, element, element, element, element + 4, element + 4, element + 4,
                                 element + 4, element + 8, element + 8, element + 8, element + 8, element + 12,
                                 element + 12, element + 12, element + 12);
#else
  return __builtin_shufflevector(v, v, element, element, element, element, element + 4, element + 4, element + 4,
                                 element + 4);
#endif
}

/// `laneRows` row pointers of one register.
struct RowPointers { const uint8_t *row[laneRows]; };

/// 16 bytes at `offset` of each row, one row per lane.
INLINE U32 loadRows(const RowPointers &p, int64_t offset) {
#if defined(__AVX512F__)
  __m512i v = _mm512_broadcast_i32x4(load<__m128i>(p.row[0] + offset));
  v = _mm512_mask_broadcast_i32x4(v, 0x00f0, load<__m128i>(p.row[1] + offset));
  v = _mm512_mask_broadcast_i32x4(v, 0x0f00, load<__m128i>(p.row[2] + offset));
  return (U32)_mm512_mask_broadcast_i32x4(v, 0xf000, load<__m128i>(p.row[3] + offset));
#else
  __m256i v = _mm256_castsi128_si256(load<__m128i>(p.row[0] + offset));
  return (U32)_mm256_inserti128_si256(v, load<__m128i>(p.row[1] + offset), 1);
#endif
}

/// The dword at `offset` of each row, `places` times in a vector of laneRows * places. By broadcasts and blends: these
/// use the load ports, where inserting elements one by one would queue at the shuffle unit.
template <int places> INLINE Vec<uint32_t, laneRows * places> loadWords(const RowPointers &p, int64_t offset) {
  using Words = Vec<uint32_t, laneRows * places>;
  auto word = [&](int r) __attribute__((always_inline)) { return (Words)(load<uint32_t>(p.row[r] + offset)); };
#if defined(__AVX512F__)
  if constexpr (places == 2) {
    Words a = __builtin_shufflevector(word(0), word(1), 0, 1, 10, 11, 0, 1, 10, 11);
    Words b = __builtin_shufflevector(word(2), word(3), 4, 5, 14, 15, 4, 5, 14, 15);
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 12, 13, 14, 15);
  } else {
    __m512i v = (__m512i)word(0);
    v = _mm512_mask_set1_epi32(v, 0x00f0, load<int32_t>(p.row[1] + offset));
    v = _mm512_mask_set1_epi32(v, 0x0f00, load<int32_t>(p.row[2] + offset));
    return (Words)_mm512_mask_set1_epi32(v, 0xf000, load<int32_t>(p.row[3] + offset));
  }
#else
  if constexpr (places == 2)
    return __builtin_shufflevector(word(0), word(1), 0, 1, 6, 7);
  else
    return __builtin_shufflevector(word(0), word(1), 0, 1, 2, 3, 12, 13, 14, 15);
#endif
}

struct ScalePair { F32 low, high; };
/// Two halves stored side by side in each row, as floats, each repeated in its row's lane.
INLINE ScalePair loadHalfPairs(const RowPointers &p, int64_t offset) {
  using Halves = Vec<Half, lanes>;
  F32 f = __builtin_convertvector((Halves)loadWords<2>(p, offset), F32); // low high low high, per lane
#if defined(__AVX512F__)
  return {(F32)_mm512_permute_ps((__m512)f, 0xa0), (F32)_mm512_permute_ps((__m512)f, 0xf5)};
#else
  return {(F32)_mm256_permute_ps((__m256)f, 0xa0), (F32)_mm256_permute_ps((__m256)f, 0xf5)};
#endif
}

/// The field of `bits` bits at place `at` (at + bits <= 23) of each dword, less `offset`, as a float. The field becomes
/// the low end of the mantissa of 2^(23 - at), so no shift and no conversion: exact, and spread over all of a core's
/// vector units.
INLINE F32 field(U32 v, int at, int bits, float offset) {
  uint32_t one = (uint32_t)(127 + 23 - at) << 23, mask = ((1u << bits) - 1) << at;
  return (F32)((v & mask) | one) - (__builtin_bit_cast(float, one) + offset);
}
/// Byte j of each dword, of which `bits` bits count.
INLINE F32 byteField(U32 v, U32 upper, int j, int bits, float offset) {
  return field(j < 2 ? v : upper, 8 * (j & 1), bits, offset);
}
/// Bits of a where mask is set, of b elsewhere (one ternary-logic instruction on v4).
INLINE U32 mix(uint32_t mask, U32 a, U32 b) { return (a & mask) | (b & ~mask); }
/// v moved right by `places`, left where that is negative.
INLINE U32 moveRight(U32 v, int places) { return places < 0 ? v << -places : v >> places; }

/// What a Format offers: bytes and weights of its block; groups: how many registers of rows share the loads of x; `block`, which adds one block's products with M rows of x to
/// acc. x: permuted, xStride floats between rows; sums: per 32 weights the 4 lane sums of x, sumStride between rows.
struct TileView {
  const float *x, *sums;
  int64_t xStride, sumStride;
  TileView at(int64_t weights) const { return {x + weights, sums + weights / 8, xStride, sumStride}; }
};

/// acc[m] += w * x for all M rows of x, x being 4 floats.
template <int M> INLINE void addStep(F32 w, const float *x, int64_t xStride, F32 (&acc)[M]) {
  UNROLL
  for (int m = 0; m < M; ++m)
    acc[m] = fma(w, broadcast4(x + m * xStride), acc[m]);
}

/// One piece in bytes (16 weights of each row) times x: four steps.
template <int M>
INLINE void addBytes(U32 v, int bits, float offset, const float *x, int64_t xStride, F32 (&acc)[M]) {
  U32 upper = v >> 16;
  UNROLL
  for (int j = 0; j < 4; ++j)
    addStep<M>(byteField(v, upper, j, bits, offset), x + 4 * j, xStride, acc);
}
/// Both nibbles of one piece: `low` gets those of the low nibbles, `high` (which may be the same) the others.
template <int M>
INLINE void addNibbles(U32 v, float offset, const float *xLow, const float *xHigh, int64_t xStride, F32 (&low)[M],
                       F32 (&high)[M]) {
  U32 upper = v >> 16;
  UNROLL
  for (int j = 0; j < 4; ++j) {
    U32 from = j < 2 ? v : upper;
    addStep<M>(field(from, 8 * (j & 1), 4, offset), xLow + 4 * j, xStride, low);
    addStep<M>(field(from, 8 * (j & 1) + 4, 4, offset), xHigh + 4 * j, xStride, high);
  }
}

/// The four 32-weight formats with nibbles: a scale, perhaps a minimum, perhaps a fifth bit.
enum class Minimum { none, stored };
template <Minimum minimum, int bits> struct SmallBlock {
  static constexpr int64_t weights = 32;
  static constexpr int groups = smallGroups;
  static constexpr int64_t head = minimum == Minimum::stored ? 4 : 2, high = bits == 5 ? 4 : 0;
  static constexpr int64_t bytes = head + high + 16;
  static constexpr float offset = minimum == Minimum::stored ? 0.0f : (bits == 5 ? 16.0f : 8.0f);

  /// Bits 4p to 4p+3 of `words` (p: the place in the lane), each at place 4 of its own byte.
  static INLINE U32 spreadFifth(U32 words, U32 from) { return ((words >> from & 15u) * 0x02040810u) & 0x10101010u; }

  template <int M> static INLINE void block(const RowPointers &p, int64_t at, TileView v, F32 (&acc)[M]) {
    U32 quants = loadRows(p, at + head + high);
    F32 part[M] = {};
    if constexpr (bits == 5) {
      U32 words = loadWords<4>(p, at + head), places = ((U32)laneIndex() & 3u) * 4u;
      U32 low = mix(0x0f0f0f0fu, quants, spreadFifth(words, places));
      U32 up = mix(0x0f0f0f0fu, quants >> 4, spreadFifth(words, places + 16u));
      addBytes<M>(low, 5, offset, v.x, v.xStride, part);
      addBytes<M>(up, 5, offset, v.x + 16, v.xStride, part);
    } else {
      addNibbles<M>(quants, offset, v.x, v.x + 16, v.xStride, part, part);
    }
    ScalePair scales = loadHalfPairs(p, at);
    UNROLL
    for (int m = 0; m < M; ++m) {
      acc[m] = fma(scales.low, part[m], acc[m]);
      if constexpr (minimum == Minimum::stored)
        acc[m] = fma(scales.high, broadcast4(v.sums + m * v.sumStride), acc[m]);
    }
  }
};
using BlockQ40 = SmallBlock<Minimum::none, 4>;
using BlockQ41 = SmallBlock<Minimum::stored, 4>;
using BlockQ50 = SmallBlock<Minimum::none, 5>;
using BlockQ51 = SmallBlock<Minimum::stored, 5>;

struct BlockQ80 {
  static constexpr int64_t weights = 32, bytes = 34;
  static constexpr int groups = smallGroups;
  template <int M> static INLINE void block(const RowPointers &p, int64_t at, TileView v, F32 (&acc)[M]) {
    F32 part[M] = {};
    UNROLL
    for (int piece = 0; piece < 2; ++piece) // signed bytes become unsigned, 128 up
      addBytes<M>(loadRows(p, at + 2 + 16 * piece) ^ 0x80808080u, 8, 128.0f, v.x + 16 * piece, v.xStride, part);
    F32 scale = loadHalfPairs(p, at).low;
    UNROLL
    for (int m = 0; m < M; ++m)
      acc[m] = fma(scale, part[m], acc[m]);
  }
};

/// q4_k and q5_k: 256 weights, eight sub-blocks of 32 with 6-bit scales and minima under two halves.
template <int bits> struct SuperBlock {
  static constexpr int64_t weights = 256, bytes = 16 + (bits == 5 ? 32 : 0) + 128;
  static constexpr int groups = 2;
  static constexpr int64_t highAt = 16, quantsAt = bits == 5 ? 48 : 16;

  /// Scales (and minima) of sub-blocks 0-3 and 4-7 as bytes of two dwords.
  struct Packed { U32 scales[2], minima[2]; };
  static INLINE Packed unpackScales(U32 header) {
    U32 a = lanePick<1>(header), b = lanePick<2>(header), c = lanePick<3>(header);
    return {{a & 0x3f3f3f3fu, (c & 0x0f0f0f0fu) | ((a >> 6 & 0x03030303u) << 4)},
            {b & 0x3f3f3f3fu, (c >> 4 & 0x0f0f0f0fu) | ((b >> 6 & 0x03030303u) << 4)}};
  }
  static INLINE F32 byteOf(const U32 (&packed)[2], int i) {
    return byteField(packed[i / 4], packed[i / 4] >> 16, i % 4, 8, 0.0f);
  }

  template <int M>
  static INLINE void chunkPart(const RowPointers &p, int64_t at, int chunk, const U32 (&high)[2], TileView v,
                               F32 (&low)[M], F32 (&up)[M]) {
    UNROLL
    for (int piece = 0; piece < 2; ++piece) {
      U32 quants = loadRows(p, at + quantsAt + 32 * chunk + 16 * piece);
      const float *x = v.x + 64 * chunk + 16 * piece;
      if constexpr (bits == 4) {
        addNibbles<M>(quants, 0.0f, x, x + 32, v.xStride, low, up);
      } else {
        U32 first = mix(0x0f0f0f0fu, quants, moveRight(high[piece], 2 * chunk - 4));
        U32 second = mix(0x0f0f0f0fu, quants >> 4, moveRight(high[piece], 2 * chunk - 3));
        addBytes<M>(first, 5, 0.0f, x, v.xStride, low);
        addBytes<M>(second, 5, 0.0f, x + 32, v.xStride, up);
      }
    }
  }

  template <int M> static INLINE void block(const RowPointers &p, int64_t at, TileView v, F32 (&acc)[M]) {
    ScalePair outer = loadHalfPairs(p, at);
    Packed packed = unpackScales(loadRows(p, at));
    U32 high[2] = {};
    UNROLL
    for (int piece = 0; bits == 5 && piece < 2; ++piece)
      high[piece] = loadRows(p, at + highAt + 16 * piece);
    UNROLL
    for (int chunk = 0; chunk < 4; ++chunk) {
      F32 part[2][M] = {};
      chunkPart<M>(p, at, chunk, high, v, part[0], part[1]);
      for (int sub = 2 * chunk; sub < 2 * chunk + 2; ++sub) {
        F32 scale = outer.low * byteOf(packed.scales, sub), minimum = outer.high * byteOf(packed.minima, sub);
        UNROLL
        for (int m = 0; m < M; ++m)
          acc[m] = fma(-minimum, broadcast4(v.sums + 4 * sub + m * v.sumStride), fma(scale, part[sub & 1][m], acc[m]));
      }
    }
  }
};
using BlockQ4K = SuperBlock<4>;
using BlockQ5K = SuperBlock<5>;

/// q6_k: 256 weights, sixteen sub-blocks of 16 with int8 scales; nibbles and two high bits apart.
struct BlockQ6K {
  static constexpr int64_t weights = 256, bytes = 210;
  static constexpr int groups = 2;
  template <int M, int n>
  static INLINE void half(const RowPointers &p, int64_t at, TileView v, F32 outer, F32 (&acc)[M]) {
    U32 scales = loadRows(p, at + 192) ^ 0x80808080u; // signed bytes, 128 up
    UNROLL
    for (int piece = 0; piece < 2; ++piece) {
      U32 high = loadRows(p, at + 128 + 32 * n + 16 * piece);
    UNROLL
      for (int group = 0; group < 4; ++group) {
        U32 low = loadRows(p, at + 64 * n + 32 * (group & 1) + 16 * piece);
        F32 part[M] = {};
        addBytes<M>(mix(0x0f0f0f0fu, low >> (4 * (group >> 1)), moveRight(high, 2 * group - 4)), 6, 32.0f,
                    v.x + 128 * n + 32 * group + 16 * piece, v.xStride, part);
        int sub = 2 * group + piece; // of this half's eight
        U32 four = sub < 4 ? lanePick<2 * n>(scales) : lanePick<2 * n + 1>(scales);
        F32 scale = outer * byteField(four, four >> 16, sub % 4, 8, 128.0f);
        UNROLL
        for (int m = 0; m < M; ++m)
          acc[m] = fma(scale, part[m], acc[m]);
      }
    }
  }
  template <int M> static INLINE void block(const RowPointers &p, int64_t at, TileView v, F32 (&acc)[M]) {
    F32 outer = loadHalfPairs(p, at + 206).high; // the block's last two bytes
    half<M, 0>(p, at, v, outer, acc);
    half<M, 1>(p, at, v, outer, acc);
  }
};

/// x rows of one K tile in the order the formats read, with their sums: about 72 KiB of stack.
struct Tile {
  static constexpr int64_t capacity = 16384, maxRows = 32;
  alignas(64) float x[capacity];
  alignas(64) float sums[capacity / 8];

  static INLINE void fill(Tile &tile, const float *x, int64_t rows, int64_t k, int64_t at, int64_t width) {
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t i = 0; i < width; i += 32) {
        const float *from = x + row * k + at + i;
        float *to = tile.x + row * width + i;
        F32x4 sum = (F32x4)(0.0f);
        UNROLL
        for (int piece = 0; piece < 2; ++piece)
          UNROLL
          for (int j = 0; j < 4; ++j) {
            const float *q = from + 16 * piece + j;
            F32x4 picked = {q[0], q[4], q[8], q[12]};
            store(to + 16 * piece + 4 * j, picked);
            sum += picked;
          }
        store(tile.sums + (row * width + i) / 8, sum);
      }
  }
};

/// One K tile of G * laneRows weight rows times M rows of x; adds to y where the tile is not the first.
template <typename Format, int G, int M>
INLINE void blockRows(const uint8_t *weights, int64_t rowBytes, int64_t row, int64_t lastRow, int64_t n,
                      int64_t blockBegin, int64_t blocks, TileView view, float *y, const uint8_t *ahead) {
  RowPointers p[G];
  UNROLL
  for (int i = 0; i < G * laneRows; ++i)
    p[i / laneRows].row[i % laneRows] = weights + (n % gemvRows ? min64(row + i, n - 1) : row + i) * rowBytes;
  F32 acc[G][M] = {};
  constexpr int64_t stepBytes = G * laneRows * Format::bytes;
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t line = 0; line < stepBytes; line += 64)
      __builtin_prefetch(ahead + b * stepBytes + line);
    UNROLL
    for (int g = 0; g < G; ++g)
      Format::template block<M>(p[g], (blockBegin + b) * Format::bytes, view.at(b * Format::weights), acc[g]);
  }
  UNROLL
  for (int g = 0; g < G; ++g)
    UNROLL
    for (int m = 0; m < M; ++m)
      UNROLL
      for (int i = 0; i < laneRows; ++i) {
        int64_t r = row + g * laneRows + i;
        float sum = (acc[g][m][4 * i] + acc[g][m][4 * i + 1]) + (acc[g][m][4 * i + 2] + acc[g][m][4 * i + 3]);
        if (n % gemvRows == 0 || r < lastRow)
          y[m * n + r] = blockBegin ? y[m * n + r] + sum : sum;
      }
}

/// Up to Tile::maxRows rows of x: the weights pass through the core once.
template <typename Format>
INLINE void gemvTile(const float *x, const uint8_t *weights, float *y, int64_t m, int64_t n, int64_t k, int64_t begin,
                     int64_t end) {
  constexpr int rowsAtOnce = Format::groups * laneRows;
  int64_t rowBytes = k / Format::weights * Format::bytes, lastRow = min64(end * gemvRows, n);
  int64_t tileWidth = min64(k, Tile::capacity / m / 256 * 256);
  Tile tile;
  for (int64_t at = 0; at < k; at += tileWidth) {
    int64_t width = min64(tileWidth, k - at);
    Tile::fill(tile, x, m, k, at, width);
    for (int64_t row = begin * gemvRows; row < lastRow; row += rowsAtOnce)
      forRowTiles(m, [&]<int M>(int64_t first) __attribute__((always_inline)) {
        TileView view{tile.x + first * width, tile.sums + first * width / 8, width, width / 8};
        blockRows<Format, Format::groups, M>(weights, rowBytes, row, lastRow, n, at / Format::weights, width / Format::weights,
                                view, y + first * n, weights + (row + rowsAtOnce) * rowBytes);
      });
  }
}

template <typename Format>
INLINE void gemvBlocks(const float *x, const uint8_t *weights, float *y, int64_t m, int64_t n, int64_t k,
                       int64_t begin, int64_t end) {
  for (int64_t row = 0; row < m; row += Tile::maxRows)
    gemvTile<Format>(x + row * k, weights, y + row * n, min64(Tile::maxRows, m - row), n, k, begin, end);
}

} // namespace transom::kernels
