// Token selection: argmax, the k largest, sampling. Sampling sorts nothing: it walks the distribution from the most
// probable token down by histograms over the bits of the logits, in a few passes and without scratch memory.
#pragma once

#include "Norm.h"

namespace transom::kernels {

/// Larger floats have larger keys, both zeros the same; NaN counts as the smallest.
INLINE uint32_t orderKey(float x) {
  uint32_t bits = x == 0.0f ? 0 : __builtin_bit_cast(uint32_t, x);
  return x != x ? 0 : (bits >> 31 ? ~bits : bits | 0x80000000u);
}

INLINE int32_t argmaxRow(const float *x, int64_t n) {
  F32 best = (F32)(-infinity);
  for (int64_t at = 0; at < n; at += lanes) {
    F32 v = loadUpTo(x + at, n - at, -infinity);
    best = v > best ? v : best; // drops NaN
  }
  float top = reduceLanes(best, [](auto a, auto b) __attribute__((always_inline)) { return a > b ? a : b; });
  for (int64_t i = 0; i < n; ++i)
    if (x[i] == top)
      return (int32_t)i;
  return 0;
}
INLINE void argmax(const float *x, int32_t *y, int64_t n, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row)
    y[row] = argmaxRow(x + row * n, n);
}

/// Insertion into the results, which are sorted all the time: quick where k is small.
INLINE void topK(const float *x, float *values, int32_t *indices, int64_t n, int64_t k, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    float *v = values + row * k;
    int32_t *at = indices + row * k;
    int64_t filled = 0;
    for (int64_t i = 0; i < n; ++i) {
      float candidate = x[row * n + i];
      uint32_t key = orderKey(candidate);
      if (filled == k && orderKey(v[k - 1]) >= key)
        continue;
      int64_t place = filled < k ? filled++ : k - 1;
      for (; place > 0 && orderKey(v[place - 1]) < key; --place) {
        v[place] = v[place - 1];
        at[place] = at[place - 1];
      }
      v[place] = candidate;
      at[place] = (int32_t)i;
    }
    for (; filled < k; ++filled) { // a row may have fewer
      v[filled] = -infinity;
      at[filled] = -1;
    }
  }
}

/// A prefix of the tokens sorted by falling logit, equal ones by index: all whose key is above `key`, and the first
/// `ties` with that key. mass: the sum of its weights.
struct Prefix { uint32_t key; int64_t ties; double mass; };

/// One row of logits as weights e^((x - largest) / temperature).
struct Distribution {
  const float *x;
  int64_t n;
  float temperature, largest;
  INLINE float weight(float v) const { return v != v ? 0.0f : expV((F32)((v - largest) / temperature))[0]; }
};

/// The shortest prefix with `count` tokens or whose mass is `mass` or more (whichever is given: the other is infinite).
INLINE Prefix findPrefix(const Distribution &d, double count, double mass) {
  uint32_t key = 0;
  double countLeft = count, massLeft = mass, taken = 0.0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    double counts[256] = {}, masses[256] = {};
    for (int64_t i = 0; i < d.n; ++i) {
      uint32_t k = orderKey(d.x[i]);
      if (shift < 24 && (k ^ key) >> (shift + 8) != 0)
        continue;
      counts[k >> shift & 255] += 1.0;
      masses[k >> shift & 255] += d.weight(d.x[i]);
    }
    int bucket = 255, lowest = 255;
    for (int b = 255; b >= 0; --b)
      if (counts[b] > 0.0)
        lowest = b;
    for (; bucket > lowest && (counts[bucket] < countLeft && masses[bucket] < massLeft); --bucket) {
      countLeft -= counts[bucket];
      massLeft -= masses[bucket];
      taken += masses[bucket];
    }
    key |= (uint32_t)bucket << shift;
  }
  // All tokens with this key weigh the same.
  float x = __builtin_bit_cast(float, key >> 31 ? key ^ 0x80000000u : ~key);
  double one = key == 0 ? 0.0 : (double)d.weight(x), ties = countLeft;
  if (massLeft < (double)infinity && one > 0.0)
    ties = __builtin_fmin(ties, __builtin_ceil(massLeft / one));
  ties = ties < 1.0 ? 1.0 : (ties > (double)d.n ? (double)d.n : ties);
  return {key, (int64_t)ties, taken + ties * one};
}

/// The last token of a prefix.
INLINE int32_t lastOf(const Distribution &d, Prefix prefix) {
  int32_t last = 0;
  int64_t seen = 0;
  for (int64_t i = 0; i < d.n && seen < prefix.ties; ++i)
    if (orderKey(d.x[i]) == prefix.key) {
      last = (int32_t)i;
      ++seen;
    }
  return last;
}

/// The first output word of Philox4x32-10 for counter (step, 0, 0, 0), as a number in [0, 1).
INLINE double philoxUniform(uint64_t seed, uint32_t step) {
  uint32_t c[4] = {step, 0, 0, 0}, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    uint64_t a = (uint64_t)c[0] * 0xd2511f53u, b = (uint64_t)c[2] * 0xcd9e8d57u;
    uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ key[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ key[1],
                        (uint32_t)a};
    for (int i = 0; i < 4; ++i)
      c[i] = next[i];
    key[0] += 0x9e3779b9u;
    key[1] += 0xbb67ae85u;
  }
  return (double)(c[0] >> 8) * 0x1p-24;
}

INLINE void sample(const float *logits, const float *temperature, const int32_t *topK, const float *topP,
                   const int64_t *seed, const int32_t *step, int32_t *y, int64_t n, int64_t begin, int64_t end) {
  constexpr double none = (double)infinity;
  for (int64_t row = begin; row < end; ++row) {
    const float *x = logits + row * n;
    int32_t best = argmaxRow(x, n);
    if (!(temperature[row] > 0.0f)) {
      y[row] = best;
      continue;
    }
    Distribution d{x, n, temperature[row], x[best]};
    double kept = topK[row] > 0 && topK[row] < n ? findPrefix(d, topK[row], none).mass : findPrefix(d, none, none).mass;
    if (topP[row] < 1.0f)
      kept = findPrefix(d, topK[row] > 0 ? topK[row] : none, topP[row] * kept).mass;
    // The running sum must pass the target: a hair above it, where it hits a token's end exactly.
    double target = philoxUniform((uint64_t)seed[row], (uint32_t)step[row]) * kept;
    y[row] = lastOf(d, findPrefix(d, topK[row] > 0 ? topK[row] : none, target + kept * 0x1p-50));
  }
}

} // namespace transom::kernels
