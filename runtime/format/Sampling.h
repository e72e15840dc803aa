// Choosing a token from logits, with Hugging Face's semantics: temperature, then top-k, then top-p. Plain functions on
// plain memory, shared by the runtime and generated kernels: nothing is allocated and no library is called.
#pragma once

#include <cstdint>

namespace transom::sampling {

struct Options {
  float temperature = 0; ///< 0: greedy, the rest is ignored
  int32_t topK = 0;      ///< keep the tokens not below the k-th largest logit, ties included; 0: all, 1: greedy
  float topP = 1;        ///< keep the most likely tokens until their mass reaches this; of equal ones the first
};

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): four words from a counter, by the
/// key. The same everywhere, whatever was drawn before.
struct Words {
  uint32_t word[4];
};
inline Words philox(Words counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    uint64_t a = uint64_t(0xD2511F53u) * counter.word[0], b = uint64_t(0xCD9E8D57u) * counter.word[2];
    counter = {{uint32_t(b >> 32) ^ counter.word[1] ^ key0, uint32_t(b), uint32_t(a >> 32) ^ counter.word[3] ^ key1,
                uint32_t(a)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// A number in [0, 1) for step `step` of sequence `stream`, with 53 random bits.
inline double uniform(uint64_t seed, uint64_t step, uint64_t stream) {
  Words words = philox({{uint32_t(step), uint32_t(step >> 32), uint32_t(stream), uint32_t(stream >> 32)}},
                       uint32_t(seed), uint32_t(seed >> 32));
  uint64_t bits = (uint64_t(words.word[0]) << 32 | words.word[1]) >> 11;
  return double(bits) * 0x1p-53;
}

/// exp(x) for x <= 0, to about 1e-14: 2^n times the series of the rest. 0 from where it is lost beside 1.
inline double expOf(double x) {
  constexpr double inverse[] = {0, 1, 1. / 2, 1. / 3, 1. / 4, 1. / 5, 1. / 6, 1. / 7, 1. / 8, 1. / 9, 1. / 10, 1. / 11};
  if (!(x > -45))
    return 0;
  int64_t n = int64_t(x * 1.4426950408889634 - 0.5);
  double r = x - double(n) * 0.6931471805599453, sum = 1;
  for (int i = 11; i > 0; --i)
    sum = 1 + sum * (r * inverse[i]);
  union {
    uint64_t bits;
    double value;
  } power = {uint64_t(n + 1023) << 52};
  return sum * power.value;
}

/// A number that orders floats as unsigned integers, both zeros alike; above it only NaN's.
inline uint32_t orderOf(float x) {
  union {
    float value;
    uint32_t bits;
  } cast = {x == 0.0f ? 0.0f : x};
  return cast.bits & 0x80000000u ? ~cast.bits : cast.bits | 0x80000000u;
}
inline constexpr uint32_t orderOfInfinity = 0xFF800000u, orderOfMinusInfinity = 0x007FFFFFu;

/// The first largest of n logits; -1 where one is NaN or positive infinity, or all are negative infinity.
inline int64_t argmax(const float *logits, int64_t n) {
  int64_t best = -1;
  uint32_t bestOrder = orderOfMinusInfinity;
  for (int64_t i = 0; i < n; ++i) {
    uint32_t order = orderOf(logits[i]);
    if (order >= orderOfInfinity || order < orderOfMinusInfinity)
      return -1;
    if (order > bestOrder) {
      best = i;
      bestOrder = order;
    }
  }
  return best;
}

/// Tokens with order > `above` are kept, and the first `ties` of those with order == `above`.
struct Cut {
  uint32_t above = 0;
  int64_t ties = INT64_MAX;
};

/// The cut that keeps the k largest and what equals the last of them. One byte of the orders at a time.
inline Cut topKCut(const float *logits, int64_t n, int64_t k) {
  if (k <= 0 || k >= n)
    return {};
  uint32_t prefix = 0, mask = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    int64_t counts[256] = {};
    for (int64_t i = 0; i < n; ++i)
      if (uint32_t order = orderOf(logits[i]); (order & mask) == prefix)
        ++counts[order >> shift & 255];
    uint32_t digit = 255;
    for (; counts[digit] < k; --digit)
      k -= counts[digit];
    prefix |= digit << shift;
    mask |= 255u << shift;
  }
  return {prefix, INT64_MAX};
}

/// The weight of a logit relative to that of the largest.
inline double weightOf(float logit, float largest, float temperature) {
  return expOf((double(logit) - double(largest)) / double(temperature));
}

/// Narrows `cut` to the smallest set of most likely tokens with at least `p` of its mass; at least one token.
inline Cut topPCut(const float *logits, int64_t n, Cut cut, float largest, float temperature, double mass) {
  uint32_t prefix = 0, mask = 0;
  double above = 0; // the mass of all tokens of a larger order than the prefix
  for (int shift = 24; shift >= 0; shift -= 8) {
    double sums[256] = {};
    for (int64_t i = 0; i < n; ++i)
      if (uint32_t order = orderOf(logits[i]); order >= cut.above && (order & mask) == prefix)
        sums[order >> shift & 255] += weightOf(logits[i], largest, temperature);
    uint32_t digit = 255, last = 255;
    for (;; --digit) {
      if (sums[digit] > 0) {
        last = digit;
        if (above + sums[digit] >= mass)
          break;
        above += sums[digit];
      }
      if (digit == 0) { // rounding left a rest past the last token
        above -= sums[last];
        break;
      }
    }
    prefix |= last << shift;
    mask |= 255u << shift;
  }
  union {
    uint32_t bits;
    float value;
  } cast = {prefix & 0x80000000u ? prefix & 0x7FFFFFFFu : ~prefix};
  double each = weightOf(cast.value, largest, temperature), missing = (mass - above) / each;
  if (!(missing < 1e15))
    return {prefix, INT64_MAX};
  int64_t whole = int64_t(missing), ties = whole + (double(whole) < missing);
  return {prefix, ties < 1 ? 1 : ties};
}

/// The token for a uniform number u in [0, 1): the kept tokens share [0, 1) in the order of their ids. -1 as argmax.
inline int64_t sample(const float *logits, int64_t n, const Options &options, double u) {
  int64_t best = argmax(logits, n);
  if (best < 0 || !(options.temperature > 0) || options.topK == 1)
    return best;
  float largest = logits[best];
  Cut cut = topKCut(logits, n, options.topK);
  double mass = 0;
  for (int64_t i = 0; i < n; ++i)
    if (orderOf(logits[i]) >= cut.above)
      mass += weightOf(logits[i], largest, options.temperature);
  if (options.topP < 1) {
    cut = topPCut(logits, n, cut, largest, options.temperature, mass * (options.topP > 0 ? options.topP : 0));
    mass = 0;
    int64_t ties = cut.ties;
    for (int64_t i = 0; i < n; ++i)
      if (uint32_t order = orderOf(logits[i]); order > cut.above || (order == cut.above && ties-- > 0))
        mass += weightOf(logits[i], largest, options.temperature);
  }
  int64_t chosen = best;
  double rest = u * mass;
  for (int64_t i = 0, ties = cut.ties; i < n && rest >= 0; ++i) {
    uint32_t order = orderOf(logits[i]);
    if (order < cut.above || (order == cut.above && ties-- <= 0))
      continue;
    double weight = weightOf(logits[i], largest, options.temperature);
    rest -= weight;
    if (weight > 0)
      chosen = i;
  }
  return chosen;
}

} // namespace transom::sampling
