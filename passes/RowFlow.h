// Whether a graph computes each token of each row from that token alone, as far as its ops say; attention over caches aside.
#pragma once

#include "ir/DimAnalysis.h"

namespace transom {

/// The sizes that rows and tokens are counted by, and the one that counts past tokens.
struct TokenSizes {
  DimExpr batch, seq;
  llvm::StringRef past;
};

/// The first op whose result at one row and token depends on other rows or tokens, or that joins their dimensions with
/// others; null if there is none. Values whose sizes depend on `past` are the caches': what happens to them is not looked
/// at, and attention over them counts as a token's own.
mlir::Operation *findMixingOp(mlir::func::FuncOp function, const DimAnalysis &dims, const TokenSizes &sizes);

} // namespace transom
