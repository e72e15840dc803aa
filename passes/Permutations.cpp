// See Permutations.h.
#include "passes/Permutations.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom {

Permutation identityPermutation(size_t rank) { return llvm::to_vector<4>(llvm::seq<int64_t>(0, rank)); }

bool isIdentity(ArrayRef<int64_t> permutation) {
  for (auto [index, axis] : llvm::enumerate(permutation))
    if (axis != int64_t(index))
      return false;
  return true;
}

Permutation inverse(ArrayRef<int64_t> permutation) {
  Permutation result(permutation.size());
  for (auto [index, axis] : llvm::enumerate(permutation))
    result[axis] = index;
  return result;
}

Permutation compose(ArrayRef<int64_t> first, ArrayRef<int64_t> second) {
  Permutation result;
  for (int64_t axis : second)
    result.push_back(first[axis]);
  return result;
}

Dims permuted(const Dims &dims, ArrayRef<int64_t> permutation) {
  Dims result;
  for (int64_t axis : permutation)
    result.push_back(dims[axis]);
  return result;
}

Permutation ranked(ArrayRef<int64_t> keys) {
  Permutation result;
  for (int64_t key : keys)
    result.push_back(llvm::count_if(keys, [&](int64_t other) { return other < key; }));
  return result;
}

bool movesOnlyUnits(ArrayRef<int64_t> permutation, const Dims &input) {
  int64_t last = -1;
  for (int64_t axis : permutation) {
    if (input[axis] == DimExpr(1))
      continue;
    if (axis < last)
      return false;
    last = axis;
  }
  return true;
}

/// Sizes of the reshape's result in terms of those of its input; none where one does not follow.
static std::optional<Dims> resultOf(ReshapeOp op, const Dims &input) {
  Dims result, from, to;
  int rest = -1;
  for (auto [index, entry] : llvm::enumerate(op.getShape())) {
    if (entry == -1)
      rest = index;
    result.push_back(entry > 0 ? DimExpr(entry) : entry == 0 ? input[index] : DimExpr(1));
  }
  // Sizes kept in place would only make the division harder.
  for (size_t i = 0; i < std::max(input.size(), result.size()); ++i) {
    bool kept = i < result.size() && op.getShape()[i] == 0;
    if (i < input.size() && !kept)
      from.push_back(input[i]);
    if (i < result.size() && !kept)
      to.push_back(result[i]);
  }
  if (rest >= 0)
    result[rest] = product(from).dividedBy(product(to));
  if (llvm::any_of(result, [](const DimExpr &size) { return size.isUnknown(); }))
    return std::nullopt;
  return result;
}

/// The smallest group that begins at (in, out).
static std::optional<ReshapeGroup> nextGroup(const Dims &input, const Dims &result, unsigned in, unsigned out) {
  unsigned inLeft = input.size() - in, outLeft = result.size() - out;
  // Only sizes of 1 can be left on one side alone.
  unsigned leastIn = inLeft && outLeft ? 1 : 0, leastOut = leastIn;
  for (unsigned total = 1; total <= inLeft + outLeft; ++total)
    for (unsigned takenIn = std::max(leastIn, total > outLeft ? total - outLeft : 0); takenIn <= inLeft && takenIn + leastOut <= total; ++takenIn) {
      unsigned takenOut = total - takenIn;
      if (product(ArrayRef(input).slice(in, takenIn)) == product(ArrayRef(result).slice(out, takenOut)))
        return ReshapeGroup{in, in + takenIn, out, out + takenOut};
    }
  return std::nullopt;
}

std::optional<ReshapeGroups> reshapeGroups(ReshapeOp op, Dims input) {
  for (auto [index, size] : llvm::enumerate(input))
    if (size.isUnknown())
      size = DimExpr::symbol("unnamed" + std::to_string(index));
  std::optional<Dims> result = resultOf(op, input);
  if (!result)
    return std::nullopt;
  ReshapeGroups found{input, *result, {}};
  for (unsigned in = 0, out = 0; in < input.size() || out < result->size();) {
    std::optional<ReshapeGroup> group = nextGroup(input, *result, in, out);
    if (!group)
      return std::nullopt;
    found.groups.push_back(*group);
    in = group->inEnd, out = group->outEnd;
  }
  return found;
}

std::optional<SmallVector<int64_t>> reshapeShape(const Dims &input, const Dims &result) {
  SmallVector<int64_t> shape;
  bool inferred = false;
  for (auto [index, size] : llvm::enumerate(result)) {
    if (std::optional<int64_t> constant = size.constant(); constant && *constant > 0) {
      shape.push_back(*constant);
    } else if (index < input.size() && input[index] == size) {
      shape.push_back(0);
    } else if (!inferred) {
      shape.push_back(-1);
      inferred = true;
    } else {
      return std::nullopt;
    }
  }
  return shape;
}

} // namespace transom
