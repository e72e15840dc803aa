// Packed sequences: the valid tokens of padded rows one after the other, without the padding.
#ifndef TRANSOM_PACKED_TD
#define TRANSOM_PACKED_TD

include "ir/TransomBase.td"
include "ir/Reduce.td"

def ValidTokensOp : Transom_ShapedOp<"valid_tokens"> {
  let summary = "the places of the valid tokens of padded rows, and how many each row has";
  let description = [{
    `rows` [batch, seq] is a mask: a token is valid where it is not 0. With `lengths` [batch], row b's first lengths[b]
    tokens are valid, and `rows` [batch, seq, ...] gives the sizes only. `index` [tokens] holds b*seq + s of each valid
    token, row by row; `cumulative` is [0, n0, n0 + n1, ...] of the counts n of valid tokens. `size` names the number of
    tokens, which is known only when it runs; the module's bounds hold its range.

    C1: rows is [batch, seq], of integers where it is the mask; with lengths it has rank 2 or more. C2: lengths is [batch].
    C3: size is a name.

    ```mlir
    %index, %cumulative = transom.valid_tokens %mask size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
    ```
  }];
  let arguments = (ins Transom_Dense:$rows, Optional<Transom_I32>:$lengths, StrAttr:$size);
  let results = (outs Transom_I32:$index, Transom_I32:$cumulative);
  let assemblyFormat = "$rows (`lengths` $lengths^)? `size` $size attr-dict `:` functional-type(operands, results)";
  let elementRule = OwnElement;
  let hasVerifier = 1;
}

def PackOp : Transom_ShapedOp<"pack"> {
  let summary = "the tokens of padded rows that `index` names, one after the other";
  let description = [{
    input [batch, seq, ...], index [tokens] give [tokens, ...]: token i is input[index[i] / seq, index[i] % seq]. What
    `index` does not name is not read. C1: input has rank 2 or more. C2: index has rank 1.
  }];
  let arguments = (ins Transom_Dense:$input, Transom_I32:$index);
  let results = (outs Transom_Dense:$result);
  let assemblyFormat = "$input `,` $index attr-dict `:` functional-type(operands, results)";
}

def UnpackOp : Transom_ShapedOp<"unpack"> {
  let summary = "packed tokens back in padded rows, zeros elsewhere";
  let description = [{
    packed [tokens, ...], index [tokens], like [batch, seq, ...] (sizes only) give [batch, seq, ...]: packed[i] at
    [index[i] / seq, index[i] % seq]. `index` rises, as valid_tokens makes it.
    C1: packed has rank 1 or more, like rank 2 or more. C2: index is [tokens].
  }];
  let arguments = (ins Transom_Dense:$packed, Transom_I32:$index, Transom_Dense:$like);
  let results = (outs Transom_Dense:$result);
  let assemblyFormat = "$packed `,` $index `like` $like attr-dict `:` functional-type(operands, results)";
}

def ReducePackedOp : Transom_ShapedOp<"reduce_packed"> {
  let summary = "sum, mean, maximum or minimum over the tokens of each packed row";
  let description = [{
    input [tokens, ...], cumulative [batch + 1] give [batch, ...]: row b is tokens [cumulative[b], cumulative[b+1]).
    Of a row without tokens sum and mean are 0, max and min what `transom.reduce` gives over nothing: the smallest and the
    largest number. Sums accumulate in fp32 or wider.
    C1: input has rank 1 or more. C2: cumulative is [batch + 1]. C3: mean is of floats.

    ```mlir
    %s = transom.reduce_packed sum %x, %cumulative : (tensor<?x384xf32>, tensor<?xi32>) -> tensor<?x384xf32>
    ```
  }];
  let arguments = (ins ReduceKind:$kind, Transom_Dense:$input, Transom_I32:$cumulative);
  let results = (outs Transom_Dense:$result);
  let assemblyFormat = "$kind $input `,` $cumulative attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def CumulativeLengthsOp : Transom_ShapedOp<"cumulative_lengths"> {
  let summary = "[0, l0, l0 + l1, ...] of lengths [batch]: [batch + 1]";
  let description = "C1: lengths has rank 1.";
  let arguments = (ins Transom_I32:$lengths);
  let results = (outs Transom_I32:$result);
  let assemblyFormat = "$lengths attr-dict `:` functional-type(operands, results)";
}

#endif
