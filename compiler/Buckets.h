// Sizes of graphs for the texts that a user expects.
#pragma once

#include "runtime/format/Contents.h"
#include "runtime/support/Status.h"

#include <span>
#include <vector>

namespace transom {

/// Lengths of texts in tokens: a file with a whole number from 1 to `most` on each line. Errors: those
/// of readTextFile(), which an empty file is; invalidFile, naming the line.
Result<std::vector<int64_t>> readLengths(const std::string &path, int64_t most);

struct BucketChoice {
  std::vector<int64_t> sizes; ///< rising, the last is the bound
  /// Of the tokens that are computed, the share that no text has: with these buckets, and with the runtime's own rule.
  double waste = 0, plainWaste = 0;
};

/// At most `count` buckets for the tokens of a run: of 1 to `maxBatch` texts, each number as likely, with lengths drawn from `lengths`.
/// No other choice on a grid of `tokens.max / 1024` tokens (at least 1) wastes less. `lengths` is not empty.
BucketChoice chooseBuckets(std::span<const int64_t> lengths, int64_t maxBatch, const artifact::Symbol &tokens, size_t count);

} // namespace transom
