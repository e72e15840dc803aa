// Choosing one token of each row, as early in the graph as that can be done.
#pragma once

#include "ir/Transom.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace transom {

/// Of so many packed tokens the time of a product is that of reading its weight: choosing some of them earlier is no gain.
constexpr int64_t fewTokens = 64;

/// How far upward the choice moves.
enum class SinkReach {
  everything, ///< through every row-wise op
  oneMatmul,  ///< up to the left operand of the first matmul
};

/// Replaces `use` of a tensor [batch, seq, ...] by a tensor [batch, ...]: the last of lengths[b] tokens of each row;
/// where `lengths` is null, seq is 1 and the only token is meant. Row-wise ops (matmul by a matrix, norms, elementwise
/// ops, slices of what a token has) that nothing else reads are then computed for the chosen tokens alone, and so are those
/// behind a swap of the first two dimensions, [seq, batch, ...]. `function` verifies and holds all of it.
void selectToken(mlir::func::FuncOp function, mlir::OpOperand &use, mlir::Value lengths, SinkReach reach);

/// `value` [a, b, ...] as [b, a, ...].
mlir::Value swapBatchAndSeq(mlir::OpBuilder &builder, mlir::Value value);

} // namespace transom
