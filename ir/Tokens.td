// From token ids to vectors and back: embedding lookup, one token of each row, token selection.
#ifndef TRANSOM_TOKENS_TD
#define TRANSOM_TOKENS_TD

include "ir/TransomBase.td"

def EmbeddingOp : Transom_ShapedOp<"embedding"> {
  let summary = "rows of a table by index";
  let description = [{
    table [rows, width], indices [...] give [..., width], fp32 where the table is quantised. An index outside the table
    gives a row of zeros. C1: the table has rank 2.
  }];
  let arguments = (ins Transom_Numbers:$table, Transom_Int:$indices, OptionalAttr<TypeAttr>:$to);
  let results = (outs Transom_Float:$result);
  let assemblyFormat = "$table `,` $indices (`to` $to^)? attr-dict `:` functional-type(operands, results)";
  let elementRule = OwnElement;
}

// One token of each row, of padded rows by their lengths or of packed ones by their cumulative lengths.
class Transom_TokenOfRow<string mnemonic> : Transom_ShapedOp<mnemonic, [AttrSizedOperandSegments]> {
  let arguments = (ins Transom_Dense:$input, Optional<Transom_I32>:$lengths, Optional<Transom_I32>:$cumulative);
  let results = (outs Transom_Dense:$result);
  let assemblyFormat = [{
    $input (`,` $lengths^)? (`cumulative` $cumulative^)? attr-dict `:` functional-type(operands, results)
  }];
  let builders = [OpBuilder<(ins "::mlir::Type":$type, "::mlir::Value":$input, "::mlir::Value":$lengths), [{
    build($_builder, $_state, type, input, lengths, /*cumulative=*/nullptr);
  }]>, OpBuilder<(ins "::mlir::Value":$input, "::mlir::Value":$lengths), [{
    build($_builder, $_state, input, lengths, /*cumulative=*/nullptr);
  }]>];
  let hasVerifier = 1;
}

def LastTokenOp : Transom_TokenOfRow<"last_token"> {
  let summary = "the last valid token's vector of each row";
  let description = [{
    input [batch, seq, ...], lengths [batch] give [batch, ...]: result[b] = input[b, lengths[b] - 1]; zeros where
    lengths[b] is 0. Packed input [tokens, ...] with cumulative [batch + 1]: result[b] = input[cumulative[b+1] - 1]; zeros
    where the row has no token. C1: input has rank 2 or more, packed 1 or more. C2: lengths is [batch], cumulative
    [batch + 1]. C3: there is one of lengths and cumulative.
  }];
}

def FirstTokenOp : Transom_TokenOfRow<"first_token"> {
  let summary = "the first valid token's vector of each row";
  let description = [{
    As `last_token`, but result[b] = input[b, 0], or input[cumulative[b]] of packed input.
    C1: input has rank 2 or more, packed 1 or more. C2: lengths is [batch], cumulative [batch + 1]. C3: there is one of
    lengths and cumulative.
  }];
}

def ArgmaxOp : Transom_ShapedOp<"argmax"> {
  let summary = "index of the largest number along the last dimension, the first of equals";
  let description = "NaN counts as the smallest. C1: input has rank 1 or more.";
  let arguments = (ins Transom_Float:$input);
  let results = (outs Transom_I32:$result);
  let assemblyFormat = "$input attr-dict `:` functional-type(operands, results)";
  let elementRule = OwnElement;
}

def TopKOp : Transom_ShapedOp<"top_k"> {
  let summary = "the k largest numbers along the last dimension and their indices, largest first";
  let description = [{
    Equal numbers keep their order; NaN counts as the smallest. C1: 1 <= k <= the last dimension.
  }];
  let arguments = (ins Transom_Float:$input, I64Attr:$k);
  let results = (outs Transom_Float:$values, Transom_I32:$indices);
  let assemblyFormat = "$input `k` $k attr-dict `:` functional-type(operands, results)";
  let elementRule = OwnElement;
}

def SampleOp : Transom_ShapedOp<"sample"> {
  let summary = "one token id per row, drawn from the filtered distribution of the logits";
  let description = [{
    logits [batch, vocab]; temperature, top_p [batch] f32; top_k [batch] i32; seed [batch] i64; step [batch] i32.
    Per row: temperature 0 picks argmax. Otherwise logits / temperature, keep the top_k largest (0: all, equal logits by
    index), of these the shortest run of most probable ones whose probabilities sum to top_p or more (1: all), then the
    token at which the running sum of probabilities, most probable first, passes u, where u in [0, 1) comes from
    Philox4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011), keyed by seed, at counter step.

    C1: logits has rank 2. C2: the others are [batch].
  }];
  let arguments = (ins Transom_Float:$logits, RankedTensorOf<[F32]>:$temperature, Transom_I32:$top_k,
      RankedTensorOf<[F32]>:$top_p, RankedTensorOf<[I64]>:$seed, Transom_I32:$step);
  let results = (outs Transom_I32:$result);
  let assemblyFormat = [{
    $logits `temperature` $temperature `top_k` $top_k `top_p` $top_p `seed` $seed `step` $step attr-dict `:`
    functional-type(operands, results)
  }];
  let elementRule = OwnElement;
}

#endif
