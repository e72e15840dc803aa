// The proof of remove-padding: which rows of tokens are padded, and that no result depends on what stands in the padding.
// Matches only; rewrites nothing.
#pragma once

#include "passes/Report.h"
#include "passes/TokenRows.h"

namespace transom {

/// A place where packed tokens end: an op, or an operand of one, that takes another form.
struct PackedExit {
  enum class Kind {
    cacheAppend, ///< packed tokens into a cache
    sum,         ///< over each row; the padding holds zeros
    extremum,    ///< max or min over each row; the padding holds `filler`
    firstToken,  ///< the slice [0, 1) of each row
    lastToken,   ///< of lengths' rows
    padded,      ///< `operand` is unpacked: a result, or masked keys or values of padded queries
    sizes,       ///< `operand` gives sizes only, which the space's rows have too
  };
  Kind kind;
  mlir::Operation *op;
  unsigned operand;
  size_t space;
  mlir::TypedAttr filler;
};

struct PaddedGraph {
  llvm::SmallVector<TokenSpace> spaces;
  /// Attention ops to compute on packed tokens: the spaces of query and of key and value.
  struct Spaces {
    size_t query, key;
  };
  llvm::DenseMap<mlir::Operation *, Spaces> attention;
  llvm::SmallVector<PackedExit> exits; ///< in the order of the block
};

/// The padded tokens of `function` that can be packed; none where there is no attention. Conditions, each a rejection of
/// one pair of sizes where it fails:
/// P1: attention's mask is [batch, seq] over tokens, or it reads caches with lengths, and batch and seq have bounds.
/// P2: batch can be larger than 1. P3: all attention over rows of these sizes has this mask, or these lengths.
/// P4: attention, rotary and cache_append have layout bshd. P5: attention has no bias; with a mask no window, as a mask may
/// have holes, which change distances; and causal attention is over the queries' own rows. P6: where queries are packed,
/// keys and values are too. P7: what depends on attention is read token by token, returned, appended to caches, reduced
/// over rows where the padding does not count, or asked for each row's first or last token, or for tokens at places that are given. P8: an argument has the
/// sizes [batch, seq] where lengths say which tokens are valid.
PaddedGraph matchPaddedGraph(mlir::func::FuncOp function, const DimAnalysis &dims, const Reporter &reporter);

} // namespace transom
