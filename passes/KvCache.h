// The proof of make-kv-static: which arguments and results of a naive decoder graph are a cache of keys and values.
// Matches only; rewrites nothing.
#pragma once

#include "ir/DimAnalysis.h"
#include "passes/Report.h"

namespace transom {

/// One `past` argument, the concat that extends it, and the `present` result it becomes.
struct CachePair {
  unsigned argument, result;
  ConcatOp concat;
  HeadLayout layout; ///< bhsd or bshd
};

/// A decoder whose state between calls is nothing but caches.
struct KvGraph {
  llvm::SmallVector<CachePair> caches; ///< in the order of their arguments
  std::optional<unsigned> mask;        ///< argument that says which tokens are valid, past ones included
  llvm::SmallVector<unsigned> positions; ///< arguments that give each new token's position
  std::optional<unsigned> like;        ///< an argument of shape [batch, seq] that stays
  unsigned logits = 0;                 ///< the result that is no cache: [batch, seq, ...]
  std::string seq, past;               ///< names of the sizes: new tokens, and those before them
  int64_t capacity = 0;                ///< most tokens of a row
};

/// The caches of `function`. Conditions, each a rejection where it fails:
/// K1: a result is an argument extended by concat. K2: the argument has no other use. K3: it is [batch, kv_heads, past,
/// head_dim] joined along dimension 2, or [batch, past, kv_heads, head_dim] joined along dimension 1, heads and head_dim
/// static. K4: past and the new tokens' seq are named sizes, the same for all caches. K5: the joined tensor is read by
/// attention as key or value in the same layout, and returned once, and by nothing else. K6: such attention is causal,
/// its keys and values are both caches, its queries are the new tokens, and it has no bias. K7: its mask, if any, is one argument
/// [batch, past+seq] that nothing else reads. K8: no other value's size depends on past or is unknown. K9: one other
/// result remains, [batch, seq, ...] of floats. K10: sizes have bounds. K11: where positions are an argument, an
/// argument [batch, seq] stays beside it. K12: no other op mixes rows or tokens: their dimensions are never reduced, cut,
/// joined with others or multiplied along.
mlir::FailureOr<KvGraph> matchKvGraph(mlir::func::FuncOp function, const Reporter &reporter);

} // namespace transom
