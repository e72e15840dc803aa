// Quantised weights from their planes (GemvFormats.cuh, GemvFormats5.cuh): where the planes lie, decoding to numbers, whole
// matrices for products by a library, and embedding rows. Decoding is exact: each number is what GGML's own decoder gives
// in fp32, since products of a scale and a quant fit 24 bits.
#pragma once

#include "GemvFormats5.cuh"
#include "Lanes.cuh"
#include "Rows.cuh"

namespace transom::cuda {

//===-- Where planes lie --------------------------------------------------------------------------------------------===//

/// The planes of [rows, K] weights from `data` on, one after another, each at a multiple of 256 bytes, as
/// runtime/format/Planes.h writes them.
struct PlaneCursor {
  const uint8 *at;
  DEVICE const uint8 *take(int64 bytes) {
    const uint8 *plane = at;
    at += (bytes + 255) / 256 * 256;
    return plane;
  }
};
/// Format's View of the planes at `data` (256-byte aligned). rows: of the whole matrix.
template <class Format> struct PlanesAt;
template <int K> struct PlanesAt<Q80Format<K>> {
  static DEVICE typename Q80Format<K>::View view(const void *data, int64 rows) {
    PlaneCursor p{(const uint8 *)data};
    const uint8 *quants = p.take(rows * Q80Format<K>::steps * 64);
    return {quants, (const Half *)p.at};
  }
};
template <int K, bool minimum> struct PlanesAt<Q4Format<K, minimum>> {
  static DEVICE typename Q4Format<K, minimum>::View view(const void *data, int64 rows) {
    PlaneCursor p{(const uint8 *)data};
    const uint8 *quants = p.take(rows * Q4Format<K, minimum>::steps * 64);
    return {quants, (const Half *)p.at};
  }
};
template <int K, bool minimum> struct PlanesAt<Q5Format<K, minimum>> {
  static DEVICE typename Q5Format<K, minimum>::View view(const void *data, int64 rows) {
    PlaneCursor p{(const uint8 *)data};
    const uint8 *quants = p.take(rows * Q5Format<K, minimum>::steps * 64), *high = p.take(rows * Q5Format<K, minimum>::steps * 16);
    return {quants, high, (const Half *)p.at};
  }
};
template <int K> struct PlanesAt<Q4KFormat<K>> {
  static DEVICE typename Q4KFormat<K>::View view(const void *data, int64 rows) {
    PlaneCursor p{(const uint8 *)data};
    const uint8 *quants = p.take(rows * Q4KFormat<K>::steps * 64);
    return {quants, (const uint4 *)p.at};
  }
};
template <int K> struct PlanesAt<Q5KFormat<K>> {
  static DEVICE typename Q5KFormat<K>::View view(const void *data, int64 rows) {
    PlaneCursor p{(const uint8 *)data};
    const uint8 *quants = p.take(rows * Q5KFormat<K>::steps * 64), *high = p.take(rows * Q5KFormat<K>::steps * 16);
    return {quants, high, (const uint4 *)p.at};
  }
};
template <int K> struct PlanesAt<Q6KFormat<K>> {
  static DEVICE typename Q6KFormat<K>::View view(const void *data, int64 rows) {
    PlaneCursor p{(const uint8 *)data};
    const uint8 *low = p.take(rows * Q6KFormat<K>::steps * 64), *high = p.take(rows * Q6KFormat<K>::steps * 32);
    const uint8 *scales = p.take(rows * Q6KFormat<K>::steps * 8);
    return {low, high, (const int8 *)scales, (const Half *)p.at};
  }
};

//===-- Numbers -----------------------------------------------------------------------------------------------------===//

/// eight(piece, block): the eight numbers that a lane's piece holds of block `block` of its step.
template <class Format> struct PlaneNumbers;

/// scale * (quant - offset), and + shift where `shifted`, of eight 4- or 5-bit numbers; high: their fifth bits.
template <bool shifted> DEVICE Eight quantNumbers(uint32 low, uint32 high, int offset, float scale, float shift) {
  Eight v;
  UNROLL
  for (int i = 0; i < 8; ++i) {
    const int place = i / 2 + i % 2 * 4;
    v.v[i] = scale * (float)((int)((low >> 4 * place & 15) | (high >> place & 1) << 4) - offset);
    if (shifted) // adding zero would turn -0 to 0
      v.v[i] += shift;
  }
  return v;
}
template <int K> struct PlaneNumbers<Q80Format<K>> {
  static DEVICE Eight eight(const typename Q80Format<K>::Piece &p, int block) {
    const float scale = toFloat(Half{(uint16)(p.scales >> 16 * block)});
    Eight v;
    UNROLL
    for (int i = 0; i < 8; ++i)
      v.v[i] = scale * (float)(int8)(word(p.bits, 2 * block + i / 4) >> 8 * (i % 4));
    return v;
  }
};
template <int K, bool minimum> struct PlaneNumbers<Q4Format<K, minimum>> {
  using Format = Q4Format<K, minimum>;
  static DEVICE Eight eight(const typename Format::Piece &p, int block) {
    return quantNumbers<minimum>(word(p.bits, block), 0, minimum ? 0 : 8, Format::scale(p, block),
                                 minimum ? highFloat<Half>(p.scales[minimum ? block : 0]) : 0.0f);
  }
};
template <int K, bool minimum> struct PlaneNumbers<Q5Format<K, minimum>> {
  using Format = Q5Format<K, minimum>;
  static DEVICE Eight eight(const typename Format::Piece &p, int block) {
    return quantNumbers<minimum>(word(p.four.bits, block), p.high >> 8 * block, minimum ? 0 : 16, Format::Four::scale(p.four, block),
                                 minimum ? highFloat<Half>(p.four.scales[minimum ? block : 0]) : 0.0f);
  }
};
template <int K> struct PlaneNumbers<Q4KFormat<K>> {
  static DEVICE Eight eight(const typename Q4KFormat<K>::Piece &p, int block, uint32 high = 0) {
    return quantNumbers<true>(word(p.bits, block), high, 0, lowFloat<Half>(p.outer) * (float)(p.scales >> 8 * block & 255),
                              -(highFloat<Half>(p.outer) * (float)(p.minima >> 8 * block & 255)));
  }
};
template <int K> struct PlaneNumbers<Q5KFormat<K>> {
  static DEVICE Eight eight(const typename Q5KFormat<K>::Piece &p, int block) {
    return PlaneNumbers<Q4KFormat<K>>::eight(p.four, block, p.high >> 8 * block);
  }
};
template <int K> struct PlaneNumbers<Q6KFormat<K>> {
  using Format = Q6KFormat<K>;
  static DEVICE Eight eight(const typename Format::Piece &p, int block) {
    const uint32 low = word(p.bits, block), high = (block < 2 ? p.high.x : p.high.y) >> 16 * (block & 1);
    Eight v;
    UNROLL
    for (int i = 0; i < 8; ++i) {
      int place = i / 2 + i % 2 * 4;
      v.v[i] = Format::scale(p, block, i / 4) * (float)((int)((low >> 4 * place & 15) | (high >> 2 * place & 3) << 4) - 32);
    }
    return v;
  }
};

DEVICE void store4(float *p, const float *v) { *(float4 *)p = make_float4(v[0], v[1], v[2], v[3]); }
template <class T> DEVICE void store4(T *p, const float *v) {
  *(uint2 *)p = make_uint2(Type<T>::pack(v[0], v[1]), Type<T>::pack(v[2], v[3]));
}
/// The numbers of lane t of a step to their places in the row y; add(k, four neighbours from k on) may change them first.
template <class Format, class T, class Add> DEVICE void storeStep(const typename Format::Piece &piece, int step, int t, T *y, Add add) {
  UNROLL
  for (int block = 0; block < Format::stepK / 32; ++block) {
    const int k = step * Format::stepK + 32 * block;
    if (Format::K % Format::stepK != 0 && k >= Format::K)
      break;
    Eight v = PlaneNumbers<Format>::eight(piece, block);
    UNROLL
    for (int half = 0; half < 2; ++half) {
      const int at = k + (Format::halves ? 16 * half + 4 * t : 8 * t + 4 * half);
      add(at, v.v + 4 * half);
      if constexpr (Format::halves)
        store4(y + at, v.v + 4 * half);
    }
    if constexpr (!Format::halves)
      store8(y + k + 8 * t, v);
  }
}

/// Eight neighbours of a row, from column `k` on, a multiple of 8.
template <class Format> DEVICE Lanes<8> planesLanes(const typename Format::View &weights, int64 row, int k) {
  const int step = k / Format::stepK, block = k % Format::stepK / 32, place = k % 32;
  Lanes<8> lanes;
  if constexpr (Format::halves) { // lane t has four from 4t on and four from 16 + 4t on
    UNROLL
    for (int part = 0; part < 2; ++part) {
      const Eight v = PlaneNumbers<Format>::eight(Format::load(weights, row, step, place % 16 / 4 + part), block);
      UNROLL
      for (int i = 0; i < 4; ++i)
        lanes.v[4 * part + i] = place < 16 ? v.v[i] : v.v[4 + i];
    }
  } else {
    const Eight v = PlaneNumbers<Format>::eight(Format::load(weights, row, step, place / 8), block);
    UNROLL
    for (int i = 0; i < 8; ++i)
      lanes.v[i] = v.v[i];
  }
  return lanes;
}

//===-- Kernels -----------------------------------------------------------------------------------------------------===//

/// Blocks of `threads` threads that unpackPlanes takes.
template <class Format, int threads> constexpr int64 unpackBlocks(int64 rows) {
  return (rows * Format::steps * 4 + threads - 1) / threads;
}
/// y [rows, K] = the weights of the planes as T (fp32, fp16, bf16); y is 32-byte aligned. A thread takes a lane's part of a
/// step. Grid: unpackBlocks<Format, threads>(rows).
template <class Format, class T, int threads> DEVICE void unpackPlanes(const typename Format::View &weights, T *y, int64 rows) {
  launchDependents();
  const int64 at = (int64)blockIdx.x * threads + threadIdx.x, row = at / (Format::steps * 4);
  const int step = (int)(at / 4 % Format::steps), t = (int)(at % 4);
  const bool inside = row < rows;
  typename Format::Piece piece;
  if (inside)
    piece = Format::load(weights, row, step, t);
  waitProducers();
  if (inside)
    storeStep<Format>(piece, step, t, y + row * Format::K, [](int, float *) {});
}

/// y[row] [K] = row indices[row] of the table's planes (+ row positions[row] of `places` [.., K]; null: none); zeros where
/// an index is outside [0, tableRows). As `embedding` of Rows.cuh. y is 32-byte aligned. Grid: (rows of indices).
template <class Format, class P, class Y, int threads>
DEVICE void embeddingPlanes(const typename Format::View &table, const int *indices, int tableRows, const P *places,
                            const int *positions, Y *y, LiveRows live) {
  launchDependents();
  waitProducers();
  const int64 row = blockIdx.x;
  if (!live.has(row))
    return;
  const int index = indices[row];
  const bool inside = index >= 0 && index < tableRows;
  const P *place = places ? places + (int64)positions[row] * Format::K : nullptr;
  for (int at = threadIdx.x; at < Format::steps * 4; at += threads) {
    const int step = at / 4, t = at % 4;
    const typename Format::Piece piece = Format::load(table, inside ? index : 0, step, t);
    storeStep<Format>(piece, step, t, y + row * Format::K, [&](int k, float *four) {
      UNROLL
      for (int i = 0; i < 4; ++i)
        four[i] = place ? (inside ? four[i] : 0.0f) + toFloat(place[k + i]) : inside ? four[i] : 0.0f;
    });
  }
}

} // namespace transom::cuda
