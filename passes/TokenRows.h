// Padded rows of tokens, [batch, seq, ...], and the ops that compute each token of them on its own. Changes nothing.
#pragma once

#include "ir/DimAnalysis.h"

namespace transom {

/// Rows of one pair of sizes, and which of their tokens are valid.
struct TokenSpace {
  DimExpr batch, seq;
  mlir::Value rows;    ///< [batch, seq]: the mask; with lengths any tensor of these sizes
  mlir::Value lengths; ///< [batch], valid tokens at each row's front; null where the mask says

  bool holds(const Dims &dims) const { return dims.size() >= 2 && dims[0] == batch && dims[1] == seq; }
};

/// What an op reads of an operand to compute one token of its result.
enum class Reading {
  token, ///< of [batch, seq, ...]: the same token
  place, ///< of [seq, ...] or [1, seq, ...]: what stands at the token's place, in every row the same
  row,   ///< of [batch, 1, ...]: what its row has
  whole, ///< all of it, for every token the same
};

/// How `op`, whose results are [batch, seq, ...], reads each operand; nullopt where a token of a result depends on other
/// tokens, where sizes are not known to fit, and for ops over heads in layout bhsd. Attention is none of them.
std::optional<llvm::SmallVector<Reading>> readingsOf(mlir::Operation *op, const TokenSpace &space, const DimAnalysis &dims);

/// The number that `value` [batch, seq, ...] holds at every token that `space`'s mask hides; null where there is none that
/// follows from the ops that compute it. Products with 0 count as 0.
mlir::TypedAttr numberAtPadding(mlir::Value value, const TokenSpace &space, const DimAnalysis &dims);

} // namespace transom
