// What can stand in a pass's way: one of these is in a perturbed graph.
#pragma once

#include "test/random/Random.h"

#include <span>

namespace transom::random {

struct Spec;

/// Where a change of the finished graph happens: at one random value of this kind.
enum class Site { none, matmul, norm, normInput, attention, rotary, concat, past, mask, add, elementwise, reshape, transpose, embedding, slice, trunk, weight };

/// What happens there. The graph stays valid; what it computes may be another thing.
enum class Mutation {
  none,         ///< the generator does it, by the perturbation's name
  output,       ///< the value becomes a result
  reader,       ///< something else reads it: its row maxima become a result
  cast,         ///< its readers read it through f64
  vector,       ///< they read it plus a vector of its last dimension
  column,       ///< they read it times a number of each row
  positions,    ///< they read it plus a number of each token's place
  mixTokens,    ///< they read it plus the mean over the tokens of a row
  mixBatch,     ///< they read it plus the mean over rows
  swapTwice,    ///< they read it through two transposes with an op between
  reshapeTwice, ///< they read it through two reshapes with an op between
  padSlice,     ///< they read it padded and cut again
  halves,       ///< they read its halves, turned over and joined
  foldable,     ///< they read it plus what folds to a constant
  huge,         ///< they read it plus a vector that is cut out of a constant too large to store
  someReaders,  ///< one of its readers reads its negative
  transposedOutput, ///< it becomes a result in another order of dimensions
};

struct Perturbation {
  const char *name;
  const char *pass; ///< that should leave something alone because of it; empty: none need
  unsigned families; ///< bits 1 << Family
  Site site = Site::none;
  Mutation mutation = Mutation::none;
};

/// All of them; the first changes nothing.
std::span<const Perturbation> perturbations();
/// A perturbation that applies to `spec`, after which `spec` may need to be one that it applies to.
int drawPerturbation(Spec &spec, Random &random);

} // namespace transom::random
