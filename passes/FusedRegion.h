// Building transom.fused regions from elementwise ops: used where ops are fused and where a single one is lowered.
#pragma once

#include "ir/Transom.h"

#include "llvm/ADT/SmallPtrSet.h"

namespace transom {

/// Whether `op` computes each element of its result from one element of each operand: an elementwise op, or a fused op
/// without reduction.
bool isPointwise(mlir::Operation *op);

/// Creates, at `builder`, the fused op that computes what `root` does, with the pointwise ops of `inlined` computed
/// inside its region. `root` is an elementwise or a fused op; each op of `inlined` feeds `root` or another one of them and
/// has the shape of the elements `root` iterates over. Each distinct input is one region argument; splat constants become
/// scalar constants of the region where the remaining inputs still give the shape. Replaces and erases nothing.
FusedOp buildFused(mlir::OpBuilder &builder, mlir::Operation *root, const llvm::SmallPtrSetImpl<mlir::Operation *> &inlined);

/// The fused form of one elementwise op.
FusedOp wrapScalarOp(mlir::OpBuilder &builder, ScalarOp op);

/// The number in a constant that holds it everywhere; null otherwise.
mlir::TypedAttr splatOf(mlir::Value value);

} // namespace transom
