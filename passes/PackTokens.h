// Building the packed form of what the padded tokens of a graph compute.
#pragma once

#include "passes/PaddedTokens.h"

namespace transom {

/// Makes packed values [tokens, ...] of padded ones [batch, seq, ...] in a function that `graph` describes. Ops stand where
/// the padded ones do, which stay until nothing reads them.
class TokenPacker {
public:
  /// Packs each space by the name in `sizes`.
  TokenPacker(mlir::func::FuncOp function, const PaddedGraph &graph, const DimAnalysis &dims, llvm::ArrayRef<std::string> sizes);

  /// Makes the packed form of every value that `exits` need and of what they are computed from: ops that compute each token
  /// on its own, and attention of the graph. Other values are gathered.
  void pack(llvm::ArrayRef<PackedExit> exits);

  /// The packed form of a value that pack() was asked for.
  mlir::Value packed(mlir::Value padded) const { return values.lookup(padded); }
  mlir::Value index(size_t space) const { return indices[space]; }
  mlir::Value cumulative(size_t space) const { return ends[space]; }

private:
  void packOp(mlir::Operation *op, size_t space);
  mlir::Operation *clone(mlir::OpBuilder &builder, mlir::Operation *op, llvm::ArrayRef<mlir::Value> operands);
  mlir::Value packAttention(mlir::OpBuilder &builder, AttentionOp op, llvm::ArrayRef<mlir::Value> operands);
  mlir::Value gather(mlir::Value padded, size_t space);
  mlir::Value operand(mlir::OpBuilder &builder, mlir::Value value, Reading reading, size_t space, size_t rank);
  mlir::Value lookUp(mlir::Value table, unsigned axis, size_t space);
  mlir::Value makeLookUp(mlir::Value table, unsigned axis, size_t space);
  mlir::Value gatherSpread(mlir::Value numbers, unsigned axis, size_t space);
  mlir::Value places(unsigned axis, size_t space);

  mlir::func::FuncOp function;
  const PaddedGraph &graph;
  const DimAnalysis &dims;
  llvm::SmallVector<mlir::Value> indices, ends;       ///< of each space
  llvm::DenseMap<mlir::Value, mlir::Value> values;    ///< padded to packed
  llvm::DenseMap<std::pair<size_t, unsigned>, mlir::Value> placeOf; ///< each token's row (axis 0) or place in it (axis 1)
  llvm::DenseMap<std::pair<mlir::Value, size_t>, mlir::Value> spread; ///< packed forms of values that all rows or places share
};

} // namespace transom
