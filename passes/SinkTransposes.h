// Moving transposes down through one op at a time: how each op computes on operands that stand in another order.
#pragma once

#include "passes/PlacedValues.h"

namespace transom {

class TransposeSinker {
public:
  TransposeSinker(mlir::func::FuncOp function, RecipeNames &names, const Reporter &reporter)
      : function(function), values(function, names), reporter(reporter) {}

  /// Rewrites the function unless that would move more bytes than it did. Leaves dead ops in place.
  void run();

private:
  using Order = llvm::ArrayRef<int64_t>;
  using Adjust = llvm::function_ref<void(mlir::Operation *)>;

  void visit(mlir::Operation *op);
  void visitDefault(mlir::Operation *op);
  void visitReshape(ReshapeOp op);
  void visitBroadcasting(mlir::Operation *op);
  void visitBroadcast(BroadcastOp op);
  void visitMatmul(MatmulOp op);
  void visitBatchedMatmul(MatmulOp op);
  void visitRows(mlir::Operation *op);
  void visitReduce(ReduceOp op);
  template <typename Op> void visitAlongAxis(Op op);
  void visitConcat(ConcatOp op);
  void visitIota(IotaOp op);
  void visitEmbedding(EmbeddingOp op);
  void visitLastToken(LastTokenOp op);
  void visitRotary(RotaryOp op);
  void visitAppend(CacheAppendOp op);
  void visitAttention(AttentionOp op);

  /// `op` on `operands`, its results standing in `orders` (of the old ones); `adjust` changes attributes.
  void rebuild(mlir::Operation *op, mlir::ValueRange operands, llvm::ArrayRef<Permutation> orders, Adjust adjust = nullptr);
  /// All operands but the first in the order that they were written in, the first as `first`.
  llvm::SmallVector<mlir::Value> withFirst(mlir::Operation *op, mlir::Value first);
  mlir::Value settle(mlir::Value value, Order order, mlir::Operation *stop, const llvm::Twine &condition) {
    return values.settle(value, order, stop, condition);
  }

  /// The order of all dimensions of `value` in which its last one is last.
  Permutation lastKept(mlir::Value value) const;
  /// `operand`, broadcast from its last dimension on to a result of `rank` dimensions, for a result in `order`.
  Permutation ownOrder(mlir::Value operand, Order order) const;
  mlir::Value broadcastOperand(mlir::Value operand, Order order, mlir::Operation *op);
  /// Of the orders that the operands stand in the one that costs least to bring the others to.
  Permutation cheapestOrder(mlir::ValueRange operands, size_t rank) const;
  /// The layout of heads that `value`, written in `written`, stands in or costs least to bring to.
  HeadLayout layoutOf(mlir::Value value, HeadLayout written) const;
  mlir::Value settleHeads(mlir::Value value, HeadLayout written, HeadLayout wanted, mlir::Operation *stop);

  void report(int64_t before, int64_t after);
  int64_t transposedBytes();
  bool readOnlyByMatmul(mlir::Value weight) const;

  mlir::func::FuncOp function;
  PlacedValues values;
  const Reporter &reporter;
  llvm::SmallVector<std::pair<mlir::Operation *, std::string>> done; ///< for the report
  llvm::SmallVector<std::pair<mlir::Operation *, std::string>> missed;
};

} // namespace transom
