// What inferDims functions check with. Private to ir/.
#pragma once

#include "ir/Transom.h"

namespace transom::detail {

/// Succeeds if `found` may be `expected`: equal rank, and no two sizes known to differ.
inline llvm::LogicalResult expectDims(EmitError emitError, llvm::StringRef constraint, llvm::StringRef what,
                                      const Dims &expected, const Dims &found) {
  bool fits = expected.size() == found.size();
  for (size_t i = 0; fits && i < found.size(); ++i)
    fits = expected[i].mayEqual(found[i]);
  if (fits)
    return mlir::success();
  return emitError() << constraint << ": expected " << what << " of shape " << transom::str(expected) << ", found "
                     << transom::str(found);
}

/// Succeeds if `found` may be [batch + 1] for some batch.
inline llvm::LogicalResult expectCumulative(EmitError emitError, llvm::StringRef constraint, const Dims &found) {
  if (found.size() == 1 && found[0].constant().value_or(1) >= 1)
    return mlir::success();
  return emitError() << constraint << ": expected cumulative lengths [batch + 1], found " << transom::str(found);
}

/// Succeeds if 0 <= axis < rank.
inline llvm::LogicalResult expectAxis(EmitError emitError, llvm::StringRef constraint, int64_t axis, size_t rank) {
  if (axis >= 0 && axis < static_cast<int64_t>(rank))
    return mlir::success();
  return emitError() << constraint << ": axis " << axis << " is not a dimension of a tensor of rank " << rank;
}

/// Numbers a block of the tensor's last dimension holds: 32 in the plain formats, 256 in the K formats; 1 if it is not
/// quantised.
inline int64_t blockLength(mlir::Type type) {
  auto block = mlir::dyn_cast<BlockType>(elementOf(type));
  return !block ? 1 : block.getFormat() >= BlockFormat::q4_k ? 256 : 32;
}

inline mlir::FailureOr<llvm::SmallVector<Dims>> single(Dims dims) { return llvm::SmallVector<Dims>{std::move(dims)}; }

/// The more specific of two sizes that must be equal.
inline const DimExpr &known(const DimExpr &a, const DimExpr &b) { return a.isUnknown() ? b : a; }

} // namespace transom::detail
