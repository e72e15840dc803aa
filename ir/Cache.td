// Caches of keys and values, and packed sequences.
#ifndef TRANSOM_CACHE_TD
#define TRANSOM_CACHE_TD

include "ir/TransomBase.td"

def CacheAppendOp : Transom_ShapedOp<"cache_append"> {
  let summary = "writes the new tokens of each row behind its past ones";
  let description = [{
    cache [batch, kv_heads, capacity, head_dim], new [batch, kv_heads, seq, head_dim] (bhsd) or [batch, seq, kv_heads,
    head_dim] (bshd): for i < lengths[b], slot past_lengths[b] + i of row b takes token i; slots past the capacity
    drop theirs. C1: new has rank 4. C2: batch, heads and head_dim agree. C3: past_lengths and lengths are [batch].
    C4: element types agree.
  }];
  let arguments = (ins CacheType:$cache, Transom_Float:$tokens, Transom_I32:$past_lengths, Transom_I32:$lengths,
      HeadLayout:$layout);
  let results = (outs CacheType:$result);
  let assemblyFormat = [{
    $layout $cache `,` $tokens `past` $past_lengths `lengths` $lengths attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def CumulativeLengthsOp : Transom_ShapedOp<"cumulative_lengths"> {
  let summary = "[0, l0, l0 + l1, ...] of lengths [batch]: [batch + 1]";
  let description = "C1: lengths has rank 1.";
  let arguments = (ins Transom_I32:$lengths);
  let results = (outs Transom_I32:$result);
  let assemblyFormat = "$lengths attr-dict `:` functional-type(operands, results)";
}

def PackOp : Transom_ShapedOp<"pack"> {
  let summary = "the valid tokens of padded rows, one after the other";
  let description = [{
    input [batch, seq, ...], cumulative [batch + 1] give [batch*seq, ...]: token i of row b, for i < its length, goes to
    cumulative[b] + i; the rest is undefined. C1: input has rank 2 or more. C2: cumulative is [batch + 1].
  }];
  let arguments = (ins Transom_Dense:$input, Transom_I32:$cumulative);
  let results = (outs Transom_Dense:$result);
  let assemblyFormat = "$input `,` $cumulative attr-dict `:` functional-type(operands, results)";
}

def UnpackOp : Transom_ShapedOp<"unpack"> {
  let summary = "packed tokens back in padded rows, zeros behind each row's last";
  let description = [{
    packed [batch*seq, ...], cumulative [batch + 1], like [batch, seq, ...] (sizes only) give [batch, seq, ...].
    C1: packed has rank 1 or more, like rank 2 or more. C2: cumulative is [batch + 1].
  }];
  let arguments = (ins Transom_Dense:$packed, Transom_I32:$cumulative, Transom_Dense:$like);
  let results = (outs Transom_Dense:$result);
  let assemblyFormat = "$packed `,` $cumulative `like` $like attr-dict `:` functional-type(operands, results)";
}

#endif
