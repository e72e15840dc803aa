// Rows of weights as floats, natural order, bit for bit as GGML's dequantize_row functions give them (ggml-quants.c);
// embedding lookup; quantisation to q8_0, rounding to E4M3. A work item is a row.
#pragma once

#include "Gemv.h"

namespace transom::kernels {

using F32x16 = Vec<float, 16>;
using U8x16 = Vec<uint8_t, 16>;
INLINE F32x16 toFloats(U8x16 v) { return __builtin_convertvector(v, F32x16); }
INLINE float halfAt(const uint8_t *address) { return (float)load<Half>(address); }

/// 16 weights: scale * q and scale * q + shift, rounded after each step as GGML's code does.
INLINE void storeScaled(float *y, F32x16 q, float scale) { store(y, q * scale); }
INLINE void storeScaled(float *y, F32x16 q, float scale, float shift) {
#pragma clang fp contract(off)
  F32x16 product = q * scale;
  store(y, product + shift);
}

template <bool minimum, int bits> struct DecodeSmall {
  static constexpr int64_t weights = 32, head = minimum ? 4 : 2, bytes = head + (bits == 5 ? 4 : 0) + 16;
  static INLINE void block(const uint8_t *from, float *y) {
    float scale = halfAt(from);
    U8x16 quants = load<U8x16>(from + bytes - 16), halves[2] = {quants & 15, quants >> 4};
    for (int half = 0; half < 2; ++half) {
      F32x16 q = toFloats(halves[half]);
      if (bits == 5) {
        uint32_t high = load<uint32_t>(from + head) >> (16 * half);
        for (int i = 0; i < 16; ++i)
          q[i] += (float)((high >> i & 1) << 4);
      }
      if constexpr (minimum)
        storeScaled(y + 16 * half, q, scale, halfAt(from + 2));
      else
        storeScaled(y + 16 * half, q - (bits == 5 ? 16.0f : 8.0f), scale);
    }
  }
};

using DecodeQ40 = DecodeSmall<false, 4>;
using DecodeQ41 = DecodeSmall<true, 4>;
using DecodeQ50 = DecodeSmall<false, 5>;
using DecodeQ51 = DecodeSmall<true, 5>;

struct DecodeQ80 {
  static constexpr int64_t weights = 32, bytes = 34;
  static INLINE void block(const uint8_t *from, float *y) {
    for (int half = 0; half < 2; ++half)
      storeScaled(y + 16 * half, __builtin_convertvector(load<Vec<int8_t, 16>>(from + 2 + 16 * half), F32x16),
                  halfAt(from));
  }
};

template <int bits> struct DecodeSuper {
  static constexpr int64_t weights = 256, bytes = 16 + (bits == 5 ? 32 : 0) + 128;
  static INLINE void block(const uint8_t *from, float *y) {
    const uint8_t *packed = from + 4, *quants = from + bytes - 128;
    for (int sub = 0; sub < 8; ++sub) {
      int scale = sub < 4 ? packed[sub] & 63 : (packed[sub + 4] & 15) | (packed[sub - 4] >> 6) << 4;
      int minimum = sub < 4 ? packed[sub + 4] & 63 : packed[sub + 4] >> 4 | (packed[sub] >> 6) << 4;
      for (int piece = 0; piece < 2; ++piece) {
        U8x16 both = load<U8x16>(quants + 32 * (sub / 2) + 16 * piece), q = sub & 1 ? both >> 4 : both & 15;
        if (bits == 5)
          q |= (load<U8x16>(from + 16 + 16 * piece) >> (uint8_t)sub & 1) << 4;
        storeScaled(y + 32 * sub + 16 * piece, toFloats(q), halfAt(from) * (float)scale,
                    -(halfAt(from + 2) * (float)minimum));
      }
    }
  }
};

struct DecodeQ6K {
  static constexpr int64_t weights = 256, bytes = 210;
  static INLINE void block(const uint8_t *from, float *y) {
    float outer = halfAt(from + 208);
    for (int at = 0; at < 16; ++at) { // 16 weights each
      int n = at / 8, group = at / 2 % 4, piece = at % 2;
      U8x16 low = load<U8x16>(from + 64 * n + 32 * (group & 1) + 16 * piece);
      U8x16 high = load<U8x16>(from + 128 + 32 * n + 16 * piece) >> (uint8_t)(2 * group) & 3;
      U8x16 q = (group >> 1 ? low >> 4 : low & 15) | high << 4;
      storeScaled(y + 16 * at, toFloats(q) - 32.0f, outer * (float)(int8_t)from[192 + at]);
    }
  }
};

template <typename Format> INLINE void decodeRow(const uint8_t *row, float *y, int64_t width) {
  for (int64_t i = 0; i < width; i += Format::weights)
    Format::block(row + i / Format::weights * Format::bytes, y + i);
}
/// Plain types as formats of one-element blocks, with a row decoder of their own.
template <typename T> struct Plain {
  static constexpr int64_t weights = 1, bytes = sizeof(T);
};
template <typename T> INLINE void decodePlainRow(const T *row, float *y, int64_t width) {
  for (int64_t i = 0; i < width; i += lanes)
    storeUpTo(y + i, width - i >= lanes ? loadWeights(row + i) : loadWeightsPart(row + i, width - i), width - i);
}
template <typename Format> struct RowDecoder {
  static INLINE void decode(const uint8_t *row, float *y, int64_t width) { decodeRow<Format>(row, y, width); }
};
template <typename T> struct RowDecoder<Plain<T>> {
  static INLINE void decode(const uint8_t *row, float *y, int64_t width) { decodePlainRow((const T *)row, y, width); }
};

template <typename Format>
INLINE void unpackWeights(const uint8_t *weights, float *y, int64_t width, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row)
    RowDecoder<Format>::decode(weights + row * (width / Format::weights * Format::bytes), y + row * width, width);
}

template <typename Format, typename Index>
INLINE void embedding(const uint8_t *table, const Index *indices, float *y, int64_t rows, int64_t width, int64_t begin,
                      int64_t end) {
  for (int64_t item = begin; item < end; ++item) {
    int64_t row = (int64_t)indices[item];
    if (row >= 0 && row < rows)
      RowDecoder<Format>::decode(table + row * (width / Format::weights * Format::bytes), y + item * width, width);
    else
      for (int64_t i = 0; i < width; ++i)
        y[item * width + i] = 0.0f;
  }
}

/// Rows of `width` (a multiple of 32) to q8_0: scale max|x| / 127, halves rounded away from zero.
INLINE void quantizeQ80(const float *x, uint8_t *y, int64_t width, int64_t begin, int64_t end) {
  for (int64_t block = begin * (width / 32); block < end * (width / 32); ++block) {
    const float *from = x + block * 32;
    uint8_t *to = y + block * 34;
    float largest = 0.0f;
    for (int i = 0; i < 32; ++i)
      largest = __builtin_fmaxf(largest, __builtin_fabsf(from[i]));
    float scale = largest / 127.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    store(to, (Half)scale);
    for (int i = 0; i < 32; ++i) {
      float v = from[i] * inverse, size = __builtin_floorf(__builtin_fabsf(v)), rest = __builtin_fabsf(v) - size;
      to[2 + i] = (uint8_t)(int8_t)(__builtin_copysignf(rest >= 0.5f ? size + 1.0f : size, v));
    }
  }
}

/// Rows of `width` to numbers of E4M3 times `scale`, or where that is null times the row's own.
INLINE void roundE4m3(const float *x, const float *scale, float *y, int64_t width, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float *from = x + row * width;
    F32 top = zeros();
    if (!scale)
      for (int64_t at = 0; at < width; at += lanes) {
        F32 v = loadUpTo(from + at, width - at);
        top = maxNan(top, maxNan(v, -v));
      }
    float own = scale ? *scale : e4m3::scaleFor(maxLanes(top)), inverse = 1.0f / own;
    for (int64_t i = 0; i < width; ++i)
      y[row * width + i] = own * e4m3::round(from[i] * inverse);
  }
}

} // namespace transom::kernels
