// The proof of make-kv-static: which arguments and results of a naive decoder graph are a cache of keys and values.
// Matches only; rewrites nothing.
#pragma once

#include "ir/DimAnalysis.h"
#include "passes/KvViews.h"
#include "passes/Report.h"

#include "llvm/ADT/DenseSet.h"

namespace transom {

/// One `past` argument, the concat that extends it, and the `present` result it becomes.
struct CachePair {
  unsigned argument, result;
  ConcatOp concat;
  DimRoles roles;        ///< of what the concat joins
  DimExpr heads, headDim; ///< static
};

/// A decoder whose state between calls is nothing but caches.
struct KvGraph {
  llvm::SmallVector<CachePair> caches; ///< in the order of their arguments
  std::optional<unsigned> mask;        ///< argument that says which tokens are valid, past ones included
  llvm::SmallVector<unsigned> positions; ///< arguments that give each new token's position
  std::optional<unsigned> like;        ///< an argument of shape [batch, seq] that stays
  unsigned logits = 0;                 ///< the result that is no cache: [batch, seq, ...] or [seq, batch, ...]
  bool sequenceFirst = false;          ///< which of the two
  DimExpr batch;                       ///< rows
  std::string seq, past;               ///< names of the sizes: new tokens, and those before them
  int64_t capacity = 0;                ///< most tokens of a row
  llvm::DenseSet<mlir::Operation *> views; ///< what only shows past or joined tensors in another shape
};

/// The caches of `function`. Between argument, concat, result and attention may stand views: transposes, reshapes, and the
/// repetition of key/value heads for the query heads that share them. So a cache may come as [batch, kv_heads, past, head_dim],
/// [past, batch, kv_heads, head_dim] or in any other order, with dimensions joined. Conditions, each a rejection where it fails:
/// K1: a result is an argument extended by concat. K2: the argument has no other use. K3: it is joined with one tensor along
/// the past tokens, as attention's layout tells them from batch, heads and head_dim; argument and result have one order; heads
/// and head_dim are static. K4: past and the new tokens' seq are named sizes, the same for all caches. K5: the joined tensor is
/// read by attention as key or value, and returned once, and by nothing else. K6: such attention is causal, its keys and values
/// are both caches, its queries are the new tokens, and it has no bias, whose last dimension would count keys, which a cache no
/// longer has one of for each past token. K7: its mask, if any, is one argument [batch, past+seq] that nothing else reads. K8:
/// no other value's size depends on past or is unknown. K9: one other result remains, [batch, seq, ...] or [seq, batch, ...] of
/// floats. K10: sizes have bounds. K11: where positions are an argument, an argument [batch, seq] stays beside it. K12:
/// no other op mixes rows or tokens: their dimensions are never reduced, cut, joined with others or multiplied along, nor is
/// what has them read whole, as a table or a scale.
mlir::FailureOr<KvGraph> matchKvGraph(mlir::func::FuncOp function, const Reporter &reporter);

} // namespace transom
