// Orders of dimensions: permutations as transpose ops carry them, and reshapes as groups of dimensions.
#pragma once

#include "ir/Transom.h"

namespace transom {

/// As an attribute of a transpose: dimension i of its result is dimension permutation[i] of its input.
using Permutation = llvm::SmallVector<int64_t, 4>;

Permutation identityPermutation(size_t rank);
bool isIdentity(llvm::ArrayRef<int64_t> permutation);
Permutation inverse(llvm::ArrayRef<int64_t> permutation);
/// The one transpose that does what `first` and then `second` do.
Permutation compose(llvm::ArrayRef<int64_t> first, llvm::ArrayRef<int64_t> second);
/// `dims` as a transpose orders them.
Dims permuted(const Dims &dims, llvm::ArrayRef<int64_t> permutation);
/// Numbers 0 to n - 1 in the order of `keys`, which are distinct: what is left of a permutation after dimensions have gone.
Permutation ranked(llvm::ArrayRef<int64_t> keys);
/// Whether a transpose of a tensor of sizes `input` leaves the order of all dimensions but those of size 1: its memory is
/// then its input's.
bool movesOnlyUnits(llvm::ArrayRef<int64_t> permutation, const Dims &input);

/// Dimensions [inBegin, inEnd) of a reshape's input and [outBegin, outEnd) of its result, which hold the same numbers.
struct ReshapeGroup {
  unsigned inBegin, inEnd, outBegin, outEnd;
};

/// A reshape taken apart into as many groups as there can be. Sizes that nothing names have names of their own here, so
/// that one dimension's size on both sides is seen to be equal.
struct ReshapeGroups {
  Dims input, result;
  llvm::SmallVector<ReshapeGroup> groups;
};
/// nullopt where a size of the result does not follow from those of the input.
std::optional<ReshapeGroups> reshapeGroups(ReshapeOp op, Dims input);

/// The `shape` attribute of a reshape from `input` to `result`; nullopt where two sizes would have to be inferred.
std::optional<llvm::SmallVector<int64_t>> reshapeShape(const Dims &input, const Dims &result);

} // namespace transom
