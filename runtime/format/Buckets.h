// The sizes for which GPUs make graphs: live sizes are rounded up to them.
#pragma once

#include "runtime/format/Contents.h"

#include <algorithm>
#include <bit>

namespace transom::artifact {

/// The size that a graph is made for where `value`, at most the symbol's bound, is live: the symbol's own buckets where it has some;
/// else batches go to the next power of two, others to 16, 32, 48 and 64, then by steps of an eighth of the power of two below, but beyond 4096 of no
/// more than 256 or a 64th, whichever is more: what a library's product computes for nobody costs most where it is large.
/// `coarse`: every size goes to the next power of two. Powers of two and the bound stay as they are, and the bound is not passed.
inline int64_t bucketOf(int64_t value, const Symbol &symbol, bool coarse = false) {
  if (value <= 0 || value >= symbol.max)
    return value;
  if (!symbol.buckets.empty())
    return *std::lower_bound(symbol.buckets.begin(), symbol.buckets.end(), value);
  auto above = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(value)));
  if (above == value || coarse || symbol.name == "batch")
    return std::min(above, symbol.max);
  int64_t step = value <= 64 ? 16 : std::max(std::min<int64_t>(above / 16, 256), above / 128);
  return std::min((value + step - 1) / step * step, symbol.max);
}

/// How many buckets the symbol's positive sizes have.
inline int64_t countBuckets(const Symbol &symbol) {
  int64_t count = 0, value = 1;
  for (; value <= std::min<int64_t>(symbol.max, 64); ++value) // powers of two lie between others' steps
    count += bucketOf(value, symbol) == value;
  for (; value <= symbol.max; value = bucketOf(value, symbol) + 1)
    ++count;
  return count;
}

/// Graphs of a program that a session keeps.
inline constexpr size_t mostGraphs = 192;

} // namespace transom::artifact
