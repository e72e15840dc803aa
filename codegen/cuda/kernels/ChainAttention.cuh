// Attention of a few rows inside a chain of products: which keys a row sees, as bits, and from scores to weights.
#pragma once

#include "Base.cuh"

namespace transom::cuda {

/// The keys of 32 that row laneId() sees, a bit for each. cumulative: [count + 1], of packed sequences; null: rows are padded to `count` places.
/// own: of this lane, where a sequence starts, cumulative[min(lane, count)], or whether the place `lane` is a valid key.
template <bool causal> DEVICE uint32 keysSeen(const int *cumulative, int count, int own) {
  const int row = laneId();
  int first, last;
  uint32 valid = ~0u;
  if (cumulative) {
    uint32 starts = 0; // a bit for each row where a sequence starts
    _Pragma("unroll 1") for (int at = 0; at <= count; at += 32) {
      const int start = at == 0 ? own : cumulative[minInt(at + row, count)];
      starts |= __reduce_or_sync(~0u, start < 32 ? 1u << start : 0u);
    }
    const uint32 upTo = starts & ((2u << row) - 1), behind = starts & ~((2u << row) - 1);
    first = upTo ? 31 - __clz((int)upTo) : 0, last = behind ? __ffs((int)behind) - 1 : 32;
  } else {
    first = row / count * count, last = minInt(first + count, 32);
    valid = __ballot_sync(~0u, own != 0);
  }
  last = causal ? minInt(last, row + 1) : last;
  return valid & (last < 32 ? (1u << last) - 1 : ~0u) & ~((1u << first) - 1);
}

DEVICE float greaterOrNan(float a, float b) {
  float v;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(v) : "f"(a), "f"(b));
  return v;
}

/// Scores of two rows, four lanes have a row, to weights; factor: one over their sums. A lane's score [j][i] is of row i / 2 and of the key that bit
/// apart j + i % 2 of sees[i / 2] is for. scale: of scores, to powers of 2.
template <int apart> DEVICE void weightsOfScores(float (&scores)[4][4], float (&factor)[2], const uint32 (&sees)[2], float scale) {
  float most[2] = {-infinity(), -infinity()}, total[2] = {};
  UNROLL
  for (int j = 0; j < 4; ++j)
    UNROLL
    for (int i = 0; i < 4; ++i) {
      scores[j][i] = sees[i / 2] >> (apart * j + i % 2) & 1 ? scores[j][i] * scale : -infinity();
      most[i / 2] = greaterOrNan(most[i / 2], scores[j][i]);
    }
  UNROLL
  for (int other = 1; other <= 2; other *= 2)
    UNROLL
    for (int h = 0; h < 2; ++h)
      most[h] = greaterOrNan(most[h], __shfl_xor_sync(~0u, most[h], other));
  UNROLL
  for (int h = 0; h < 2; ++h)
    most[h] = most[h] == -infinity() ? 0.0f : most[h];
  UNROLL
  for (int j = 0; j < 4; ++j)
    UNROLL
    for (int i = 0; i < 4; ++i) {
      scores[j][i] = exp2Fast(scores[j][i] - most[i / 2]);
      total[i / 2] += scores[j][i];
    }
  UNROLL
  for (int other = 1; other <= 2; other *= 2)
    UNROLL
    for (int h = 0; h < 2; ++h)
      total[h] += __shfl_xor_sync(~0u, total[h], other);
  UNROLL
  for (int h = 0; h < 2; ++h)
    factor[h] = total[h] == 0.0f ? 0.0f : __fdividef(1.0f, total[h]);
}

} // namespace transom::cuda
