// Writes artifacts: the compiler's side of the format. Not part of the runtime library.
#pragma once

#include "runtime/format/Contents.h"
#include "runtime/support/Status.h"

#include <cstddef>
#include <functional>

namespace transom::artifact {

/// Takes a weight's bytes piece by piece, in order.
using ByteSink = std::function<Status(std::span<const std::byte>)>;
/// Yields the bytes of one weight into the sink, in pieces of any size.
using WeightSource = std::function<Status(const ByteSink &)>;

struct WriteInput {
  /// Sections need no offsets, sizes or checksums: the writer computes them. Metadata needs no order.
  Contents contents;
  std::vector<WeightSource> weights;             ///< one per contents.weights; called once each, from `threads` threads
  unsigned threads = 1;
  std::vector<std::vector<std::byte>> codeBytes; ///< one per contents.code
  /// Called after each weight, by one thread at a time, with the bytes written so far and in all; may be empty.
  std::function<void(uint64_t, uint64_t)> progress;
};

/// Writes `path`, complete or not at all. The same input gives the same bytes. Memory: one piece of a weight for each thread.
/// Errors: io; whatever a source says, of the first weight that fails; internal where the contents would not pass the reader's checks.
Status write(const std::string &path, WriteInput input);

} // namespace transom::artifact
