// Caches of keys and values.
#ifndef TRANSOM_CACHE_TD
#define TRANSOM_CACHE_TD

include "ir/TransomBase.td"

def CacheAppendOp : Transom_ShapedOp<"cache_append", [AttrSizedOperandSegments]> {
  let summary = "writes the new tokens of each row behind its past ones";
  let description = [{
    cache [batch, kv_heads, capacity, head_dim], new [batch, kv_heads, seq, head_dim] (bhsd), [batch, seq, kv_heads,
    head_dim] (bshd) or [tokens, kv_heads, head_dim] (thd): for i < lengths[b], slot past_lengths[b] + i of row b takes
    token i; slots past the capacity drop theirs. The tokens of row b of a packed tensor are [cumulative_lengths[b],
    cumulative_lengths[b+1]). C1: new has the layout's rank. C2: batch, heads and head_dim agree. C3: past_lengths and
    lengths are [batch], cumulative lengths [batch + 1]. C4: element types agree. C5: bhsd and bshd come with lengths, thd
    with cumulative lengths.
  }];
  let arguments = (ins CacheType:$cache, Transom_Float:$tokens, Transom_I32:$past_lengths,
      Optional<Transom_I32>:$lengths, Optional<Transom_I32>:$cumulative_lengths, HeadLayout:$layout);
  let results = (outs CacheType:$result);
  let assemblyFormat = [{
    $layout $cache `,` $tokens `past` $past_lengths (`lengths` $lengths^)? (`cumulative` $cumulative_lengths^)?
    attr-dict `:` functional-type(operands, results)
  }];
  let builders = [OpBuilder<(ins "::mlir::Value":$cache, "::mlir::Value":$tokens, "::mlir::Value":$past,
      "::mlir::Value":$lengths, "HeadLayout":$layout), [{
    build($_builder, $_state, cache.getType(), cache, tokens, past, lengths, /*cumulative_lengths=*/nullptr, layout);
  }]>];
  let hasVerifier = 1;
}

#endif
