// Building the packed form of what the padded tokens of a graph compute.
#pragma once

#include "passes/PaddedTokens.h"

namespace transom {

/// Makes packed values [tokens, ...] of padded ones [batch, seq, ...] in a function that `graph` describes. What says which
/// tokens are valid moves to the front of the block, padded as it is. Ops stand where the padded ones do, or behind the names
/// of the valid tokens; the padded ones stay until nothing reads them.
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
  /// Whether `op` stands at the front, where it finds padded values only.
  bool isAtFront(mlir::Operation *op) const { return sources.contains(op); }

private:
  void moveSourcesToFront();
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
  llvm::DenseSet<mlir::Operation *> sources;          ///< what rows and lengths of the spaces are computed by
  mlir::Operation *behindFront = nullptr;             ///< the first op behind those and behind the names of valid tokens
  llvm::SmallVector<mlir::Value> indices, ends;       ///< of each space
  llvm::DenseMap<mlir::Value, mlir::Value> values;    ///< padded to packed
  llvm::DenseMap<std::pair<size_t, unsigned>, mlir::Value> placeOf; ///< each token's row (axis 0) or place in it (axis 1)
  /// Packed forms of values that all rows (axis 1) or all places of a row (axis 0) of a space share.
  llvm::DenseMap<std::tuple<mlir::Value, unsigned, size_t>, mlir::Value> spread;
};

} // namespace transom
