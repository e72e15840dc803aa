// What becomes of a result of a matrix-vector product: bias, activation, residual, gate, rotary embedding and cache,
// the running argmax. One thread has one result; a pair's other half (Gemv.cuh) is a shuffle away.
//
// An epilogue offers Early, what it reads, so that it is there after the product: constants(n) of memory that no kernel writes, so that it
// may come before the producers are waited for, and early(e, m, n) the rest; prepare(e, n): what it computes of that; and store(e, m, n, v, mine), called by
// whole warps: where not `mine`, the thread only takes part in shuffles; or, for SkinnyChain.cuh, value(e, m, n, v), the one result.
#pragma once

#include "Base.cuh"

namespace transom::cuda {

struct Identity { static DEVICE float apply(float v) { return v; } };
struct Silu { static DEVICE float apply(float v) { return silu(v); } };
struct GeluErf { static DEVICE float apply(float v) { return geluErf(v); } };
template <class T> struct GeluErfFor { static DEVICE float apply(float v) { return geluErfFor<T>(v); } };
struct GeluTanh { static DEVICE float apply(float v) { return geluTanh(v); } };
struct Relu { static DEVICE float apply(float v) { return v < 0.0f ? 0.0f : v; } };

/// y = activation(v + bias) + residual; bias and residual may be null. y may be the residual.
template <class Y, class B, int N, class Activation> struct StoreEpilogue {
  Y *y;              // [M, N]
  const B *bias;     // [N] or null
  const Y *residual; // [M, N] or null
  struct Early { float bias, residual; };
  DEVICE Early constants(int n) const { return {bias ? toFloat(bias[n]) : 0.0f, 0.0f}; }
  DEVICE void early(Early &e, int m, int n) const {
    if (residual)
      e.residual = toFloat(residual[(int64)m * N + n]);
  }
  DEVICE void prepare(Early &, int) const {}
  DEVICE float value(const Early &e, int, int, float v) const { return Activation::apply(v + e.bias) + e.residual; }
  DEVICE void store(const Early &e, int m, int n, float v, bool mine) const {
    if (mine)
      y[(int64)m * N + n] = fromFloat<Y>(value(e, m, n, v));
  }
};

/// y = activation(gate) * up, where row n of the weights is the gate and row `width` + n is up (HalfPairs<width>).
template <class Y, class B, int width, class Activation> struct GateEpilogue {
  Y *y;          // [M, width]
  const B *bias; // [2 * width] or null
  struct Early { float bias; };
  DEVICE Early constants(int n) const { return {bias ? toFloat(bias[n]) : 0.0f}; }
  DEVICE void early(Early &, int, int) const {}
  DEVICE void prepare(Early &, int) const {}
  DEVICE void store(const Early &e, int m, int n, float v, bool mine) const {
    v += mine ? e.bias : 0.0f;
    float up = __shfl_xor_sync(~0u, v, 8);
    if (mine && n < width)
      y[(int64)m * width + n] = fromFloat<Y>(Activation::apply(v) * up);
  }
};

/// Rows of W are query, key and value heads. Queries and keys turn by their position; queries are stored, keys and values
/// go to the caches behind their row's past tokens. Row m of x is the one new token of sequence m.
/// dims: how many numbers of a head turn (Attention.td); partner: 1 interleaved (NeighbourPairs), 8 halves
/// (HeadPairs<headDim, dims>).
template <class Y, class C, class B, int heads, int kvHeads, int headDim, int dims, int partner>
struct RotaryAppendEpilogue {
  Y *query;                 // [M, heads, head_dim]
  C *keys, *values;         // [M, kv_heads, capacity, head_dim]
  const int *past;          // [M]: position of the new token
  const double *turns;      // [dims / 2]: scale * base^(-2i/dims) / factors[i] / 2 pi
  const B *bias;            // [(heads + 2 kv_heads) * head_dim] or null
  int capacity;
  struct Early { float bias; int past; double turns; SinCos angle; };
  DEVICE Early constants(int n) const { return {bias ? toFloat(bias[n]) : 0.0f, 0, 0.0, {0.0f, 1.0f}}; }
  DEVICE void early(Early &e, int m, int n) const {
    int i = n % headDim, pair = partner == 1 ? i / 2 : i < dims / 2 ? i : i - dims / 2;
    bool turn = n < (heads + kvHeads) * headDim && i < dims;
    e.past = past[m], e.turns = turn ? turns[pair] : 0.0;
  }
  DEVICE void prepare(Early &e, int) const {
    if (e.turns != 0.0)
      e.angle = rotaryAngle(e.past, e.turns);
  }
  DEVICE void store(const Early &e, int m, int n, float v, bool mine) const {
    v += mine ? e.bias : 0.0f;
    float other = __shfl_xor_sync(~0u, v, partner);
    if (!mine)
      return;
    int i = n % headDim, head = n / headDim;
    bool first = partner == 1 ? i % 2 == 0 : i < dims / 2;
    float turned = e.turns == 0.0 ? v : v * e.angle.cosine + (first ? -other : other) * e.angle.sine;
    if (head < heads) {
      query[(int64)m * heads * headDim + n] = fromFloat<Y>(turned);
    } else if (e.past >= 0 && e.past < capacity) {
      bool key = head < heads + kvHeads;
      int kvHead = head - heads - (key ? 0 : kvHeads);
      C *to = key ? keys : values;
      to[(((int64)m * kvHeads + kvHead) * capacity + e.past) * headDim + i] = fromFloat<C>(key ? turned : v);
    }
  }
};

/// Larger floats have larger keys; both zeros are equal, NaN is above all. The order of runtime/format/Sampling.h.
DEVICE uint32 orderKey(float x) {
  uint32 bits = __float_as_uint(x + 0.0f);
  return x != x ? ~0u : (bits >> 31 ? ~bits : bits | 0x80000000u);
}
/// Sorts by logit, then by falling index: the largest is the first of the largest. Zero is below all.
DEVICE uint64 argmaxKey(float logit, int index) { return (uint64)orderKey(logit) << 32 | (uint32)~index; }
/// The index in the largest key of a row; -1 where a logit is NaN or positive infinity, or all are negative infinity.
DEVICE int argmaxToken(uint64 key) {
  const uint32 order = (uint32)(key >> 32);
  return order > 0x007fffffu && order < 0xff800000u ? (int)~(uint32)key : -1;
}

/// Raises best[m], which is zero before, to the largest key of the half of a warp; 0 is no key. Called by whole warps.
DEVICE void raiseBest(uint64 *best, int m, uint64 key) {
  UNROLL
  for (int apart = 8; apart > 0; apart >>= 1) {
    uint64 other = __shfl_xor_sync(~0u, key, apart);
    key = other > key ? other : key;
  }
  if (laneId() % 16 == 0 && key != 0)
    atomicMax((unsigned long long *)best + m, (unsigned long long)key);
}

/// Stores logits and raises best[m], which is zero before, to the largest's key: greedy decoding needs no second pass.
template <class B, int N> struct LogitsEpilogue {
  float *logits; // [M, N] or null
  uint64 *best;  // [M]
  const B *bias; // [N] or null
  struct Early { float bias; };
  DEVICE Early constants(int n) const { return {bias ? toFloat(bias[n]) : 0.0f}; }
  DEVICE void early(Early &, int, int) const {}
  DEVICE void prepare(Early &, int) const {}
  DEVICE void store(const Early &e, int m, int n, float v, bool mine) const {
    v += mine ? e.bias : 0.0f;
    if (mine && logits)
      logits[(int64)m * N + n] = v;
    raiseBest(best, m, mine ? argmaxKey(v, n) : 0);
  }
};

} // namespace transom::cuda
