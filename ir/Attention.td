// Attention, rotary embedding, and token positions.
#ifndef TRANSOM_ATTENTION_TD
#define TRANSOM_ATTENTION_TD

include "ir/TransomBase.td"

def HeadLayout : I32EnumAttr<"HeadLayout", "order of dimensions of a tensor with heads", [
    I32EnumAttrCase<"bhsd", 0>, // [batch, heads, seq, head_dim]
    I32EnumAttrCase<"bshd", 1>, // [batch, seq, heads, head_dim]
    I32EnumAttrCase<"thd", 2>   // [tokens, heads, head_dim], sequences packed one after the other
  ]> {
  let cppNamespace = "::transom";
}

def AttentionOp : Transom_ShapedOp<"attention", [AttrSizedOperandSegments]> {
  let summary = "softmax(scale * query * key^T + bias) * value for each head";
  let description = [{
    Vaswani et al., Attention Is All You Need, 2017. Query heads share key/value heads in equal groups (Ainslie et al.,
    GQA, 2023): query head h reads key/value head h / (heads / kv_heads). A softmax over no allowed key gives zeros.

    Which keys a query may attend to:
    - Query i of S stands at position p = i + (T - S), T keys; with caches at p = past_lengths[b] + i.
    - Caches: only written slots, j < past_lengths[b] + lengths[b].
    - `causal`: only keys j <= p.
    - `window = w`: only keys j > p - w.
    - `mask` [batch, T]: only keys where it is not 0.
    - `lengths` [batch] with caches: row b has lengths[b] new tokens; results of queries i >= lengths[b] are undefined.
    - `cumulative_lengths` [batch + 1] with thd: sequence b is tokens [cumulative_lengths[b], cumulative_lengths[b+1])
      and attends within itself, as a row of S = T tokens; with caches, to row b's slots, where its length is lengths[b];
      with `key_cumulative_lengths` [batch + 1], to keys [key_cumulative_lengths[b], key_cumulative_lengths[b+1]) of
      another packed tensor. Results of tokens after the last are undefined.
    `bias` [batch or 1, heads or 1, S or 1, T or 1] is added to the scaled scores; `softcap = c` replaces a score s by
    c * tanh(s / c) before bias and mask.

    C1: query, key and value have the layout's rank; caches are [batch, kv_heads, capacity, head_dim]. C2: batch,
    head_dim and key length agree; of packed sequences without key lengths also tokens. C3: kv_heads divides heads. C4: key and
    value are both caches or both tensors, and caches come with `past_lengths`, padded also with `lengths`, and only they
    do. C5: thd comes with `cumulative_lengths`, and only it does; it takes neither mask nor bias; key lengths come with
    packed tensors alone. C6: mask, bias and lengths have the shapes above. C7: window and softcap are positive; scale is
    finite.

    ```mlir
    %y = transom.attention bhsd %q, %k, %v mask %m {causal, scale = 0.125 : f64}
       : (tensor<?x9x?x64xf32>, tensor<?x3x?x64xf32>, tensor<?x3x?x64xf32>, tensor<?x?xi32>) -> tensor<?x9x?x64xf32>
    ```
  }];
  let arguments = (ins Transom_Float:$query, Transom_TensorOrCache:$key, Transom_TensorOrCache:$value,
      Optional<Transom_I32>:$mask, Optional<Transom_Float>:$bias, Optional<Transom_I32>:$past_lengths,
      Optional<Transom_I32>:$lengths, Optional<Transom_I32>:$cumulative_lengths,
      Optional<Transom_I32>:$key_cumulative_lengths, HeadLayout:$layout, F64Attr:$scale, UnitAttr:$causal, OptionalAttr<I64Attr>:$window, OptionalAttr<F64Attr>:$softcap);
  let results = (outs Transom_Float:$result);
  let assemblyFormat = [{
    $layout $query `,` $key `,` $value (`mask` $mask^)? (`bias` $bias^)? (`past` $past_lengths^)?
    (`lengths` $lengths^)? (`cumulative` $cumulative_lengths^)? (`keys` $key_cumulative_lengths^)? attr-dict `:` functional-type(operands, results)
  }];
  // Without lengths of the keys.
  let builders = [
    OpBuilder<(ins "::mlir::Value":$query, "::mlir::Value":$key, "::mlir::Value":$value, "::mlir::Value":$mask,
        "::mlir::Value":$bias, "::mlir::Value":$past, "::mlir::Value":$lengths, "::mlir::Value":$cumulative,
        "HeadLayout":$layout, "::llvm::APFloat":$scale, "bool":$causal, "::mlir::IntegerAttr":$window,
        "::mlir::FloatAttr":$softcap), [{
      build($_builder, $_state, query, key, value, mask, bias, past, lengths, cumulative,
            /*key_cumulative_lengths=*/::mlir::Value(), layout, scale, causal, window, softcap);
    }]>,
    OpBuilder<(ins "::mlir::Type":$type, "::mlir::Value":$query, "::mlir::Value":$key, "::mlir::Value":$value,
        "::mlir::Value":$mask, "::mlir::Value":$bias, "::mlir::Value":$past, "::mlir::Value":$lengths,
        "::mlir::Value":$cumulative, "HeadLayoutAttr":$layout, "::mlir::FloatAttr":$scale, "::mlir::UnitAttr":$causal,
        "::mlir::IntegerAttr":$window, "::mlir::FloatAttr":$softcap), [{
      build($_builder, $_state, type, query, key, value, mask, bias, past, lengths, cumulative,
            /*key_cumulative_lengths=*/::mlir::Value(), layout, scale, causal, window, softcap);
    }]>];
  let hasVerifier = 1;
}

def RotaryOp : Transom_ShapedOp<"rotary"> {
  let summary = "rotary position embedding of each head";
  let description = [{
    Su et al., RoFormer, 2021. Of head_dim numbers the first `dims` turn in pairs: pair i of dims/2 by the angle
    position * scale * base^(-2i/dims) / factors[i]. `interleaved`: a pair is numbers 2i and 2i+1; otherwise i and
    i + dims/2. `positions` is [batch, seq], or [tokens] for thd.

    C1: input has the layout's rank. C2: positions have the shapes above. C3: dims is even, positive and at most
    head_dim. C4: factors, if any, is [dims/2]. C5: base and scale are positive.
  }];
  let arguments = (ins Transom_Float:$input, Transom_I32:$positions, Optional<RankedTensorOf<[F32]>>:$factors,
      HeadLayout:$layout, I64Attr:$dims, F64Attr:$base, DefaultValuedAttr<F64Attr, "1.0">:$scale, UnitAttr:$interleaved);
  let results = (outs Transom_Float:$result);
  let assemblyFormat = [{
    $layout $input `,` $positions (`factors` $factors^)? `dims` $dims `base` $base (`interleaved` $interleaved^)?
    attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def PositionsOp : Transom_ShapedOp<"positions"> {
  let summary = "result[b, i] = start[b] + i";
  let description = [{
    `like` [batch, seq] gives the sizes only. C1: start is [batch], like [batch, seq].
  }];
  let arguments = (ins Transom_I32:$start, Transom_Dense:$like);
  let results = (outs Transom_I32:$result);
  let assemblyFormat = "$start `like` $like attr-dict `:` functional-type(operands, results)";
}

#endif
